"""A decided message becomes RFC 5322: multipart/alternative, with one-click unsubscribing, signed.

The bytes are put together here and not by `email.message`, which takes 3 ms a message, folds
List-Unsubscribe into encoded words that no receiver reads as an address, and has a boundary from chance:
here equal messages are equal bytes. Tests read them back with `email`.
"""

import binascii
import hashlib
import html as html_escaping
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import Header as EncodedHeader
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from typing import Final

from hub.delivery.email.dkim import Header, Signer
from hub.delivery.email.render import Rendered, Renderer
from hub.delivery.email.verp import PREFIX, Verp
from hub.delivery.links import Links
from hub.delivery.ports import Addressed, Composed
from hub.errors import ContentError

ADDRESS_LENGTH_MAX: Final = 254
MESSAGE_BYTES_MAX: Final = 2 * 1024 * 1024
LINKS_TRACKED_MAX: Final = 200
MAILBOXES_KEPT: Final = 256
_LOCAL_PART: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_TRACKED: Final = ("https://", "http://")
_PART_HEAD: Final = (
    b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
)
_PIXEL: Final = (
    '<img src="{}" width="1" height="1" alt="" style="display:block;border:0;width:1px;height:1px">'
)


@dataclass(frozen=True)
class EmailComposer:
    """Composes e-mail. `track`: rewrite links and add a picture, to learn of clicks and opens. `site_url`:
    what templates put before addresses that begin with a slash, `links.site`."""

    links: Links
    verp: Verp
    signer: Signer | None = None
    track: bool = True
    unsubscribe_mailto: str = ""
    site_url: str = ""
    renderer: Renderer = field(default_factory=Renderer)

    def compose(self, message: Addressed) -> Composed:
        """Turn a decided message into signed bytes.

        Raises ContentError where the template cannot be rendered or an address cannot be written.
        """
        message_id = message.message_id.partition("@")[0]
        links = {
            "unsubscribe": self.links.unsubscribe(message_id),
            "preferences": self.links.preferences(message_id),
            "site": self.site_url,
        }
        rendered = self.renderer.render(message, links, self._rewriting(message_id))
        body, content_type = _body(rendered.text, self._page(message_id, rendered), message_id)
        headers = self._headers(message, rendered, links["unsubscribe"], content_type)
        content = b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n" + body
        if len(content) > MESSAGE_BYTES_MAX:
            raise ContentError(
                expected=f"a message of at most {MESSAGE_BYTES_MAX} bytes",
                got=str(len(content)),
                path="message",
            )
        if self.signer is not None:
            content = self.signer.header(headers, body, message.now_ms // 1000) + content
        return Composed(
            message.message_id, self.verp.sender(message_id), _ascii_address(message.recipient), content
        )

    def _whole_id(self, message_id: str) -> str:
        return message_id if "@" in message_id else f"{message_id}@{self.verp.mail_domain}"

    def _rewriting(self, message_id: str) -> Callable[[str], str]:
        """What becomes of the address of each link, in the order of the page."""
        count = 0

        def rewrite(address: str) -> str:
            nonlocal count
            if not address.lower().startswith(_TRACKED) or self.links.is_own(address):
                return address
            count += 1
            if not self.track or count > LINKS_TRACKED_MAX:
                return address
            return self.links.click(message_id, count - 1, address)

        return rewrite

    def _page(self, message_id: str, rendered: Rendered) -> str:
        if not self.track or not rendered.html:
            return rendered.html
        before, end, after = rendered.html.rpartition("</body>")
        pixel = _PIXEL.format(html_escaping.escape(self.links.open(message_id)))
        return f"{before}{pixel}{end}{after}"

    def _headers(
        self, message: Addressed, rendered: Rendered, unsubscribe: str, content_type: bytes
    ) -> list[Header]:
        template = message.template
        ways = [f"<{unsubscribe}>"]
        if self.unsubscribe_mailto:
            token = self.verp.sender(message.message_id).partition("@")[0].removeprefix(PREFIX)
            ways.append(f"<mailto:{self.unsubscribe_mailto}?subject=unsubscribe%20{token}>")
        sent_at = datetime.fromtimestamp(message.now_ms // 1000, UTC)
        headers = [
            ("From", _mailbox(template.sender, f"templates.{template.id}.sender")),
            ("To", _ascii_address(message.recipient)),
            ("Subject", _words(rendered.subject)),
            ("Date", format_datetime(sent_at)),
            ("Message-ID", f"<{self._whole_id(message.message_id)}>"),
            ("List-Unsubscribe", ",\r\n ".join(ways)),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Auto-Submitted", "auto-generated"),
            ("Feedback-ID", f"{template.id}:{message.placement}:onevoice:{self.verp.mail_domain}"),
            ("MIME-Version", "1.0"),
        ]
        if template.reply_to:
            headers.append(("Reply-To", _mailbox(template.reply_to, f"templates.{template.id}.reply_to")))
        encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]
        return [*encoded, (b"Content-Type", content_type)]


def _body(text: str, page: str, message_id: str) -> tuple[bytes, bytes]:
    """Body and content type. Plain text comes first: programs show the last part that they can."""
    boundary = b"=_" + hashlib.sha256(message_id.encode()).hexdigest()[:32].encode()
    parts = [_part(kind, content) for kind, content in ((b"plain", text), (b"html", page)) if content]
    if not parts:
        raise ContentError(expected="a text or an HTML part", got="neither", path="message")
    whole = b"".join(b"--%s\r\n%s\r\n" % (boundary, part) for part in parts)
    return whole + b"--%s--\r\n" % boundary, b'multipart/alternative;\r\n boundary="%s"' % boundary


def _part(kind: bytes, content: str) -> bytes:
    lines = content.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    encoded = binascii.b2a_qp(lines, istext=True)
    # Mailboxes of the old form change a line that begins with "From ", which would break the signature.
    encoded = (b"\n" + encoded).replace(b"\nFrom ", b"\n=46rom ")[1:]
    return (
        b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s'
        % (kind, encoded)
    )


def _words(text: str) -> str:
    """A header's text, as encoded words where it is not ASCII."""
    if text.isascii():
        return text
    return EncodedHeader(text, "utf-8", header_name="Subject").encode(linesep="\r\n")


@lru_cache(MAILBOXES_KEPT)
def _mailbox(text: str, path: str) -> str:
    """`Name <address>` as a header's value."""
    name, address = parseaddr(text)
    try:
        return formataddr((name, _ascii_address(address)))
    except ContentError as error:
        raise ContentError(expected=error.expected, got="another text", path=path) from error


def _ascii_address(address: str) -> str:
    """An address as every server takes it: the domain in its ASCII form. The error never repeats it."""
    local, _, domain = address.rpartition("@")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_domain = ""
    written = f"{local}@{ascii_domain}"
    if (
        not _LOCAL_PART.fullmatch(local)
        or not re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", ascii_domain)
        or len(written) > ADDRESS_LENGTH_MAX
    ):
        raise ContentError(expected="an e-mail address of ASCII letters", got="another one", path="recipient")
    return written
