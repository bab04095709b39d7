"""The e-mail channel put together: composer, sender, and the keys of its links and envelope senders."""

from dataclasses import dataclass
from pathlib import Path

import structlog

from hub.delivery.email.compose import EmailComposer
from hub.delivery.email.dkim import DkimSigner, dns_record, load_key
from hub.delivery.email.smtp import SmtpSender, SmtpServer
from hub.delivery.email.verp import Verp
from hub.delivery.links import Links
from hub.delivery.ports import EMAIL, Composer, Sender
from hub.errors import SettingsError

_log = structlog.get_logger("mail")


@dataclass(frozen=True, repr=False)
class EmailOptions:
    """What an operator decides about e-mail. `server` None: none is sent from here."""

    links: Links
    verp: Verp
    server: SmtpServer | None
    dkim_selector: str = ""
    dkim_key: Path | None = None
    track: bool = True
    unsubscribe_mailto: str = ""
    site_url: str = ""


@dataclass(frozen=True, repr=False)
class EmailChannel:
    """The parts of the channel; without a sender no e-mail goes from this hub."""

    links: Links
    verp: Verp
    composer: EmailComposer
    sender: SmtpSender | None

    def composers(self) -> dict[str, Composer]:
        """By channel, as the outbox takes them."""
        return {EMAIL: self.composer} if self.sender is not None else {}

    def senders(self) -> dict[str, Sender]:
        """By channel, as the outbox takes them."""
        return {EMAIL: self.sender} if self.sender is not None else {}


def open_channel(options: EmailOptions) -> EmailChannel:
    """Build the channel. Raises SettingsError."""
    signer = None
    if options.dkim_key is not None:
        key = load_key(_read(options.dkim_key))
        signer = DkimSigner(options.verp.mail_domain, options.dkim_selector, key)
        name = f"{options.dkim_selector}._domainkey.{options.verp.mail_domain}"
        _log.info("mail is signed; the DNS must say so", name=name, txt=dns_record(key))
    sender = SmtpSender(options.server) if options.server is not None else None
    composer = EmailComposer(
        options.links,
        options.verp,
        signer,
        options.track,
        options.unsubscribe_mailto,
        options.site_url,
    )
    return EmailChannel(options.links, options.verp, composer, sender)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"ONEVOICE_DKIM_KEY: expected a readable file, got {error.strerror} for {path}"
        raise SettingsError(message) from error
