"""Bounces and complaints: what the mails that come back say of the messages that went out.

Four shapes, tried in this order: a feedback report (ARF, RFC 5965), a delivery status (RFC 3464), the
notices of a few senders as JSON, and prose, for which flufl.bounce finds the recipients. Of what a mail says
only a reason, a code and a status are kept; an address stays in memory.
"""

import email
import email.policy
import json
import re
from collections.abc import Iterator
from email.message import Message
from typing import Any, Final

import msgspec
from flufl.bounce import all_failures

from hub.delivery.email.replies import HARD, UNDEFINED, code_of, phase_of, reason_of, status_of

MAIL_BYTES_MAX: Final = 1024 * 1024
REPORTS_MAX: Final = 100
NOTICE_LENGTH_MAX: Final = 16 * 1024
PARTS_MAX: Final = 50

FEEDBACK: Final = "feedback"
#: Feedback by which a person says that she does not want the mail; others, such as `auth-failure`, are about
#: it.
COMPLAINTS: Final = frozenset({"abuse", "fraud", "opt-out", "opt-out-list"})
#: Actions of a delivery status (RFC 3464) that say the message arrived, or went on.
_FINE: Final = frozenset({"delivered", "deliverable", "relayed", "expanded"})

#: Where in prose the returned message begins.
_RETURNED: Final = re.compile(
    r"^(?:-+ ?(?:This is a copy of|Original message|The header of|Unsent message|Returned message|"
    r"Below this line|Included is a copy|Message header|Undelivered message)|"
    r"\s*-+ ?(?:Original|Unsent|Returned) |"
    r"Original message follows|Message headers follow|Below is a copy of|Return-Path:|Received: |"
    r"--- (?:Below|Original|The header|Enclosed)).*",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+[A-Za-z0-9]")
_FIELD: Final = re.compile(r"^([A-Z][A-Za-z-]+): *(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
_REFUSAL: Final = re.compile(r"(?:^|[^\d.])[45][0-5]\d[ -].*@|@.{0,200}[^\d.][45][0-5]\d[ -]")
_VACATION: Final = re.compile(
    r"auto.?re(?:ply|sponse)|vacation|out of (?:the )?office|i am away", re.IGNORECASE
)


class Report(msgspec.Struct, frozen=True):
    """What a mail says of one recipient. `feedback`: type of a feedback report, such as `abuse`."""

    recipient: str
    reason: str
    code: int = 0
    status: str = ""
    hard: bool = False
    feedback: str = ""

    @property
    def complaint(self) -> bool:
        """Whether the person asked for no more mail."""
        return self.feedback in COMPLAINTS


def read_mail(content: bytes) -> list[Report]:
    """Everything that a mail reports, at most REPORTS_MAX; nothing if it is no report."""
    mail = email.message_from_bytes(content[:MAIL_BYTES_MAX], policy=email.policy.compat32)
    parts = list(_parts(mail))[:PARTS_MAX]
    for read in (_feedback, _delivery_status, _json_notice, _prose):
        found = list(read(mail, parts))
        if found:
            return found[:REPORTS_MAX]
    return []


# Feedback reports ---------------------------------------------------------------------------------


def _feedback(mail: Message, parts: list[Message]) -> Iterator[Report]:
    for part in parts:
        if part.get_content_type() == "message/feedback-report":
            fields = _fields(_text(part))
            kind = (fields.get("feedback-type") or ["abuse"])[0].strip().lower()
            recipients = fields.get("original-rcpt-to") or fields.get("removal-recipient") or [""]
            yield from (Report(_address(one), FEEDBACK, feedback=kind) for one in recipients)
            return
    subject, sender = str(mail.get("Subject", "")), str(mail.get("From", ""))
    if "staff@hotmail.com" in sender and subject.lower().startswith("complaint about message"):
        yield Report(_address(_of_returned(mail, "X-HmXmrOriginalRecipient")), FEEDBACK, feedback="abuse")
    elif "sent this email to unsubscribe from the message" in _notice(parts):
        yield Report("", FEEDBACK, feedback="opt-out")


def _of_returned(mail: Message, name: str) -> str:
    return next((str(part[name]) for part in mail.walk() if part.get(name)), "")


# Delivery statuses --------------------------------------------------------------------------------


def _delivery_status(mail: Message, parts: list[Message]) -> Iterator[Report]:
    notice = _notice(parts)
    blocks = [one for part in parts if _is_status(part) for block in _blocks(part) for one in _each(block)]
    blocks = blocks or _blocks_of_prose(notice)
    known = {"final-recipient", "original-recipient", "status"}
    reported = [fields for fields in blocks if known & fields.keys()]
    for fields in reported:
        yield _of_fields(fields, notice, alone=len(reported) == 1)


def _is_status(part: Message) -> bool:
    return part.get_content_type() in ("message/delivery-status", "message/global-delivery-status")


def _blocks(part: Message) -> list[dict[str, list[str]]]:
    """The groups of fields of a status: one of the message, then one a recipient."""
    inner = part.get_payload()
    if isinstance(inner, list):
        return [_fields(_inner_text(one)) for one in inner if isinstance(one, Message)]
    return [_fields(group) for group in re.split(r"\n\s*\n", _text(part))]


def _each(fields: dict[str, list[str]]) -> list[dict[str, list[str]]]:
    """One group a recipient, where the empty lines between them were lost."""
    count = len(fields.get("final-recipient", ()))
    if count < 2:
        return [fields]
    return [{name: [one[at]] for name, one in fields.items() if len(one) == count} for at in range(count)]


def _blocks_of_prose(notice: str) -> list[dict[str, list[str]]]:
    """Some senders write the fields of a status into their text."""
    fields = _fields(notice)
    return [fields] if {"action", "status"} <= fields.keys() and "final-recipient" in fields else []


def _of_fields(fields: dict[str, list[str]], notice: str, *, alone: bool) -> Report:
    action = _first(fields, "action").lower()
    recipient = _address(_first(fields, "final-recipient") or _first(fields, "original-recipient"))
    said = _first(fields, "diagnostic-code")
    status = status_of(_first(fields, "status"))
    if action in _FINE or status.startswith("2."):
        return Report(recipient, "delivered", status=status)
    said = said if alone else f"{said}\n{_about(notice, recipient)}"
    return _judged(recipient, said, notice, status, alone=alone, passing=action == "delayed")


# Notices as JSON ----------------------------------------------------------------------------------


def _json_notice(mail: Message, parts: list[Message]) -> Iterator[Report]:
    """Of Amazon SES, straight or inside a notification of Amazon SNS."""
    text = _text(next((part for part in parts if not part.is_multipart()), mail)).strip()
    begin = text.find("{")
    if begin < 0 or "notificationType" not in text:
        return
    try:
        notice, _ = json.JSONDecoder(strict=False).raw_decode(text[begin:])
        notice = json.loads(notice["Message"], strict=False) if "Message" in notice else notice
        yield from _of_ses(notice)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return


def _of_ses(notice: dict[str, Any]) -> Iterator[Report]:
    for one in notice.get("complaint", {}).get("complainedRecipients", ()):
        yield Report(_address(str(one["emailAddress"])), FEEDBACK, feedback="abuse")
    for one in notice.get("bounce", {}).get("bouncedRecipients", ()):
        passing = notice["bounce"].get("bounceType") == "Transient"
        said, status = str(one.get("diagnosticCode", "")), status_of(str(one.get("status", "")))
        yield _judged(_address(str(one["emailAddress"])), said, "", status, passing=passing)


# Prose --------------------------------------------------------------------------------------------


def _prose(mail: Message, parts: list[Message]) -> Iterator[Report]:
    notice = _notice(parts)
    recipients = _recipients(mail)
    if _is_notice(mail):
        recipients = sorted({*recipients, *_refused_in(notice)})[:REPORTS_MAX]
    elif not recipients:
        if _is_reply(mail):
            yield Report("", "vacation")
        return
    for recipient in recipients or [""]:
        yield _judged(recipient, _about(notice, recipient), notice, "", alone=len(recipients) < 2)


def _refused_in(notice: str) -> Iterator[str]:
    """Recipients that stand in one line with a refusal."""
    for line in notice.splitlines():
        if _REFUSAL.search(line) and not line.lstrip().startswith(">>>"):
            yield _address(line)


def _is_reply(mail: Message) -> bool:
    """A mail that a person's program sent by itself."""
    automatic = str(mail.get("Auto-Submitted", "")).lower().startswith("auto-replied")
    return automatic or _VACATION.search(str(mail.get("Subject", ""))) is not None


def _is_notice(mail: Message) -> bool:
    """A mail of a mail system: no sender of the envelope, or one that says so."""
    sender = f"{mail.get('Return-Path', '')} {mail.get('From', '')}".lower()
    return "<>" in sender or "mailer-daemon" in sender or "postmaster" in sender or "mail delivery" in sender


def _recipients(mail: Message) -> list[str]:
    try:
        found = all_failures(mail)
    except (LookupError, TypeError, ValueError, AttributeError):
        return []  # its readers expect well-formed mails
    addresses = {bytes(one).decode("ascii", "replace") for group in found for one in group}
    return sorted(addresses)


def _judged(
    recipient: str, said: str, notice: str, status: str, *, alone: bool = True, passing: bool = False
) -> Report:
    """The verdict: what the server said of the recipient counts before what stands around it.

    `alone`: the notice is about this recipient only. `passing`: the sender still tries.
    """
    status = status_of(said) or status
    code = code_of(said)
    phase = phase_of(said) or phase_of(notice)
    reason = reason_of(status, code, said, phase)
    if reason == UNDEFINED and alone:
        status = status_of(notice) or status
        code = code or code_of(notice)
        reason = reason_of(status, code, notice, phase)
    if reason == "userunknown" and said.lower().startswith("x-unix"):
        reason = "mailererror"  # a program on the way, not the mailbox
    return Report(recipient, reason, code, status, _is_hard(reason, status) and not passing)


def _is_hard(reason: str, status: str) -> bool:
    """A domain that cannot be found now may be found tomorrow, if the sender's status says so."""
    return reason in HARD and not (status.startswith("4.") and reason != "userunknown")


# Reading ------------------------------------------------------------------------------------------


def _parts(mail: Message) -> Iterator[Message]:
    """The parts of a mail, without those of the mail that came back inside it."""
    yield mail
    if mail.is_multipart() and mail.get_content_type() not in ("message/rfc822", "text/rfc822-headers"):
        for part in mail.get_payload():
            if isinstance(part, Message):
                yield from _parts(part)


def _notice(parts: list[Message]) -> str:
    """The words of the mail system, without the mail that came back."""
    for part in parts:
        if part.get_content_type() in ("text/plain", "text/html") or not part.is_multipart():
            text = _text(part)
            if part.get_content_type() == "text/html":
                text = re.sub(r"<[^>]{0,500}>", " ", text)
            return _RETURNED.sub("", text[:NOTICE_LENGTH_MAX])
    return ""


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        inner = part.get_payload()
        return "\n\n".join(map(_inner_text, inner)) if isinstance(inner, list) else str(inner)
    charset = part.get_content_charset() or "utf-8"
    try:
        return payload.decode(charset, "replace")
    except LookupError:
        return payload.decode("utf-8", "replace")


def _inner_text(part: Message) -> str:
    head = "".join(f"{name}: {value}\n" for name, value in part.items())
    body = part.get_payload()
    return f"{head}\n{body}" if isinstance(body, str) else head


def _fields(text: str) -> dict[str, list[str]]:
    """`Name: value` lines, by lower-case name; folded lines are joined."""
    found: dict[str, list[str]] = {}
    for name, value in _FIELD.findall(text.replace("\r\n", "\n")):
        found.setdefault(name.lower(), []).append(" ".join(value.split()))
    return found


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]


def _address(text: str) -> str:
    found = _ADDRESS.search(text)
    return found[0].lower() if found else ""


def _about(notice: str, recipient: str) -> str:
    """The paragraph of a notice that names a recipient."""
    paragraphs = re.split(r"\n\s*\n", notice)
    named = [one for one in paragraphs if recipient and recipient.lower() in one.lower()]
    lines = [line for one in named for line in one.split("\n") if recipient.lower() in line.lower()]
    return "\n".join(lines)
