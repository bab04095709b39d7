"""What a mailbox makes of a mail: headers, preview, both bodies, the signature's verdict, and one-click
unsubscribing (RFC 8058)."""

import email.policy
import ipaddress
import re
from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.message import EmailMessage
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import dkim

BODY_LENGTH_MAX = 512 * 1024
PREVIEW_LENGTH = 140
ONE_CLICK = "List-Unsubscribe=One-Click"
ONE_CLICK_SECONDS_MAX = 10.0
_ADDRESS = re.compile(r"<([^<>\s]+)>")
#: What fills a preview without being seen.
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufeff]+")
_DNS_NAME = re.compile(r"[a-z0-9-]{1,63}\._domainkey(\.[a-z0-9-]{1,63})+")


@dataclass(frozen=True)
class Mail:
    """One mail as it is shown. `dkim`: pass, fail, or none where it is not signed."""

    id: str
    received_at_ms: int
    # By SMTP: envelope sender and recipients.
    envelope_from: str
    envelope_to: list[str]
    subject: str
    preheader: str
    headers: dict[str, str]
    text: str
    html: str
    dkim: str
    one_click: str  # address to post to, "" if there is none

    def as_json(self) -> dict[str, object]:
        document = asdict(self)
        document["from"] = document.pop("envelope_from")
        document["to"] = document.pop("envelope_to")
        return document


def read_mail(name: str, content: bytes, dkim_keys: Path | None) -> Mail:
    """Read a stored mail: two lines about the envelope, then the mail as it came."""
    envelope_from, envelope_to, raw = split_envelope(content)
    message = message_from_bytes(raw, policy=email.policy.default)
    headers = {key: str(value) for key, value in message.items()}
    html = body(message, "html")
    text = body(message, "plain")
    return Mail(
        id=name,
        received_at_ms=int(name.split("-", 1)[0]) // 1_000_000,
        envelope_from=envelope_from,
        envelope_to=envelope_to,
        subject=headers.get("Subject", ""),
        preheader=preview(html) or " ".join(text.split())[:PREVIEW_LENGTH],
        headers=headers,
        text=text,
        html=html,
        dkim=verdict(raw, dkim_keys),
        one_click=one_click_address(headers),
    )


def split_envelope(content: bytes) -> tuple[str, list[str], bytes]:
    sender, recipients, raw = content.split(b"\r\n", 2)
    to = recipients.decode().removeprefix("X-Envelope-To: ")
    return sender.decode().removeprefix("X-Envelope-From: "), [one for one in to.split(", ") if one], raw


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())[:BODY_LENGTH_MAX]
    except (LookupError, ValueError):  # an unknown charset or transfer encoding
        return ""


class _Words(HTMLParser):
    """Text of a page from its beginning, hidden parts included, as mailboxes take it for previews."""

    SKIPPED = frozenset({"head", "style", "script", "title"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipping += tag in self.SKIPPED

    def handle_endtag(self, tag: str) -> None:
        self._skipping -= tag in self.SKIPPED and self._skipping > 0

    def handle_data(self, data: str) -> None:
        if not self._skipping:
            self.words.append(data)


def preview(html: str) -> str:
    """What stands beside the subject in a list of mails. Filling ends it."""
    words = _Words()
    words.feed(html)
    text = " ".join("".join(words.words).replace("\u00a0", " ").split())
    shown = _UNSEEN.split(text, 1)[0] or _UNSEEN.sub("", text)
    return shown.strip()[:PREVIEW_LENGTH]


# ---- Signature


def verdict(raw: bytes, dkim_keys: Path | None) -> str:
    """Whether the DKIM signature holds. Public keys are files of `dkim_keys`, named as in the DNS."""
    if b"\ndkim-signature:" not in b"\n" + raw.split(b"\r\n\r\n", 1)[0].lower():
        return "none"

    def txt(name: bytes | str, timeout: int = 5) -> bytes | None:
        text = name.decode() if isinstance(name, bytes) else name
        text = text.rstrip(".").lower()
        if dkim_keys is None or not _DNS_NAME.fullmatch(text):
            return None
        path = dkim_keys / f"{text}.txt"
        return path.read_bytes().strip() if path.is_file() else None

    try:
        return "pass" if dkim.verify(raw, dnsfunc=txt) else "fail"
    except (dkim.DKIMException, ValueError):
        return "fail"


# ---- One click


def one_click_address(headers: dict[str, str]) -> str:
    """The address of List-Unsubscribe to post to; "" unless the sender says that it takes one click."""
    named = {name.lower(): value for name, value in headers.items()}
    if named.get("list-unsubscribe-post", "").strip() != ONE_CLICK:
        return ""
    for address in _ADDRESS.findall(named.get("list-unsubscribe", "")):
        if address.lower().startswith(("http://", "https://")):
            return str(address)
    return ""


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine: the example's mailbox calls nobody else."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def unsubscribe(address: str) -> int:
    """Post one click as a mailbox provider does: no cookies, nothing followed. Returns the status."""
    if not is_loopback(address):
        raise ValueError("the example's mailbox unsubscribes only at addresses of this machine")
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ONE_CLICK_SECONDS_MAX)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, ONE_CLICK, form)
        return connection.getresponse().status
    finally:
        connection.close()
