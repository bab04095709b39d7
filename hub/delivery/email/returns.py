"""What comes back by mail: bounces, complaints, and the mails by which people unsubscribe.

Only what names one of our messages by a signed token changes anything: nobody can suppress another's address
by writing a mail. The token stands in the address that the mail came to, or in the message that it brings
back.
"""

import asyncio
import email
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import structlog

from core.events import Event, Identifier
from hub.delivery.email.bounces import Report, read_mail
from hub.delivery.email.verp import Verp
from hub.delivery.links import UNSUBSCRIBE, Links
from hub.delivery.options import DeliveryOptions
from hub.delivery.outcomes import stop_open
from hub.delivery.outside import Report as Reported
from hub.delivery.outside import reported
from hub.delivery.recipients import ADDRESS_KINDS
from hub.delivery.subscriptions import Subscriptions
from hub.errors import NotFoundError
from hub.store import counters, outbox, suppressions
from hub.store.engine import Connection, Store
from hub.store.outbox import Message
from hub.store.suppressions import BOUNCE, COMPLAINT, Suppression

Verdict = Literal["bounce", "complaint", "soft", "none"]

#: Names of counts.
COUNTS: Final[dict[Verdict, str]] = {
    "bounce": "bounces_hard",
    "complaint": "complaints",
    "soft": "bounces_soft",
    "none": "returns_other",
}
UNKNOWN: Final = "returns_unknown"
EVENTS: Final[dict[str, str]] = {"bounce": "Email Bounced", "complaint": "Email Marked as Spam"}
_OUTCOMES: Final = {"bounce": "bounced", "complaint": "complained"}
_REASONS: Final = {"bounce": BOUNCE, "complaint": COMPLAINT}
SOURCE_MAILTO: Final = "mailto"

_VERP: Final = re.compile(rb"bounces\+[0-9a-f]{32}-[0-9a-f]{16}@[A-Za-z0-9.-]+", re.IGNORECASE)
_UNSUBSCRIBE: Final = re.compile(rb"/u/([A-Za-z0-9_.-]{20,400})")
_FOLDS: Final = re.compile(rb"=\r?\n|\r?\n[ \t]+")
TOKENS_LOOKED_AT: Final = 20
_OPTIONS: Final = DeliveryOptions()

Accept = Callable[[Sequence[Event]], Awaitable[object]]
_log = structlog.get_logger(__name__)


class Returns:
    """Acts on mails that come back. `take` may be called again with the same mail."""

    def __init__(
        self,
        store: Store,
        accept: Accept,
        subscriptions: Subscriptions,
        verp: Verp,
        links: Links,
        clock: Callable[[], int],
        node: str,
        unsubscribe_mailto: str = "",
    ) -> None:
        self._store = store
        self._accept = accept
        self._subscriptions = subscriptions
        self._verp = verp
        self._links = links
        self._clock = clock
        self._node = node
        self._mailto = unsubscribe_mailto.lower()

    def is_ours(self, address: str) -> bool:
        """Whether a mail to this address is taken in."""
        return address.lower() == self._mailto or address.lower().endswith(f"@{self._verp.mail_domain}")

    async def take(self, recipients: Sequence[str], content: bytes) -> str:
        """Act on one mail; what it was. Raises UnavailableError where it cannot be kept now."""
        if self._mailto and self._mailto in (one.lower() for one in recipients):
            return await self._unsubscribe(content)
        message_id = self._message_of(recipients, content)
        reports = await asyncio.to_thread(read_mail, content)
        verdict, report = verdict_of(reports)
        if message_id is None:
            await self._store.write(lambda connection: counters.add(connection, {UNKNOWN: 1}))
            return UNKNOWN
        message = await self._store.write(
            lambda connection: self._settle(connection, message_id, verdict, report)
        )
        if message is not None and report is not None and verdict in EVENTS:
            await self._accept([self._event(message, verdict, report)])
        _log.info("mail came back", verdict=verdict, reason=report.reason if report else "")
        return verdict

    async def _unsubscribe(self, content: bytes) -> str:
        subject = str(email.message_from_bytes(content[:65_536]).get("Subject", ""))
        message_id = self._verp.message_of_token(subject.strip().rpartition(" ")[2])
        if message_id is None:
            return UNKNOWN
        try:
            await self._subscriptions.unsubscribe(message_id, SOURCE_MAILTO)
        except NotFoundError:
            return UNKNOWN
        return "unsubscribe"

    def _message_of(self, recipients: Sequence[str], content: bytes) -> str | None:
        """The message that a mail is about."""
        found = next(filter(None, map(self._verp.message_of, recipients)), None)
        if found is not None:
            return found
        flat = _FOLDS.sub(b"", content)
        senders = [one.decode("ascii") for one in _VERP.findall(flat)[:TOKENS_LOOKED_AT]]
        found = next(filter(None, map(self._verp.message_of, senders)), None)
        if found is not None:
            return found
        for token in _UNSUBSCRIBE.findall(flat)[:TOKENS_LOOKED_AT]:
            try:
                return self._links.message_of(UNSUBSCRIBE, token.decode("ascii"))
            except NotFoundError:
                continue
        return None

    def _settle(
        self, connection: Connection, message_id: str, verdict: Verdict, report: Report | None
    ) -> Message | None:
        message = next(outbox.by_id(connection, [message_id]), None)
        if message is None or message.channel not in ADDRESS_KINDS:
            counters.add(connection, {UNKNOWN: 1})
            return None
        counters.add(connection, {COUNTS[verdict]: 1})
        if verdict not in _OUTCOMES or report is None:
            return message
        now_ms = self._clock()
        source = f"{report.reason} {report.code or ''} {report.status}".strip()
        reason = _REASONS[verdict]
        suppressions.add(
            connection, [Suppression(message.source_id, message.channel, reason, now_ms, source)]
        )
        told = Reported(message_id, _OUTCOMES[verdict], now_ms, report.code, report.status)
        outbox.save(connection, [reported(message, told, _OPTIONS, now_ms)])
        stop_open(connection, [message.source_id], message.channel, reason, now_ms)
        return message

    def _event(self, message: Message, verdict: str, report: Report) -> Event:
        now_ms = self._clock()
        return Event(
            # A mail that comes twice is told once.
            message_id=f"{verdict}-{message.message_id}",
            kind="track",
            name=EVENTS[verdict],
            at_ms=now_ms,
            received_ms=now_ms,
            identifiers=(Identifier(ADDRESS_KINDS[message.channel], message.source_id, True),),
            properties={
                "message_id": message.message_id,
                "campaign_id": message.origin,
                "placement": message.placement,
                "template": message.template,
                "reason": report.feedback or report.reason,
                "status": report.status,
            },
            node=self._node,
        )


def verdict_of(reports: Sequence[Report]) -> tuple[Verdict, Report | None]:
    """What a mail comes to: the worst of what it reports. A message of ours has one recipient."""
    complaint = next((one for one in reports if one.complaint), None)
    if complaint is not None:
        return "complaint", complaint
    hard = next((one for one in reports if one.hard), None)
    if hard is not None:
        return "bounce", hard
    soft = next((one for one in reports if one.reason not in ("delivered", "vacation", "feedback")), None)
    return ("soft", soft) if soft is not None else ("none", None)
