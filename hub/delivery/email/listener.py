"""The SMTP port that takes bounces, complaints and unsubscribe mails; it relays nothing."""

import asyncio
from typing import Any, Final

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from hub.delivery.email.bounces import MAIL_BYTES_MAX
from hub.delivery.email.returns import Returns
from hub.errors import HubError, SettingsError

CONNECTIONS_MAX: Final = 64
RECIPIENTS_MAX: Final = 10
TIMEOUT_SECONDS: Final = 60
COMMANDS_MAX: Final = 100
LINE_BYTES_MAX: Final = 64 * 1024

_log = structlog.get_logger("bounces")


class BounceListener:
    """An SMTP server on the hub's own event loop."""

    def __init__(self, returns: Returns, host: str, port: int, host_name: str) -> None:
        self._handler = _Handler(returns)
        self._host = host
        self._wanted = port
        self._host_name = host_name
        self._open: set[_Session] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises SettingsError."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._session, self._host, self._wanted)
        except OSError as error:
            where = f"{self._host}:{self._wanted} ({error.strerror})"
            raise SettingsError(
                f"ONEVOICE_BOUNCE_PORT: expected a free port, got {where}", code="in_use"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take nothing more; a mail that was not acknowledged comes again."""
        if self._server is not None:
            self._server.close()
            for session in list(self._open):
                session.end()
            await self._server.wait_closed()

    def _session(self) -> SMTP:
        return _Session(self._open, self._handler, self._host_name)


class _Session(SMTP):
    """One connection, of a bounded number."""

    #: Longer than RFC 5321 has them: notices quote headers and HTML as they are.
    line_length_limit = LINE_BYTES_MAX

    def __init__(self, among: "set[_Session]", handler: "_Handler", host_name: str) -> None:
        super().__init__(
            handler,
            data_size_limit=MAIL_BYTES_MAX,
            hostname=host_name,
            ident="Onevoice",
            timeout=TIMEOUT_SECONDS,
            auth_exclude_mechanism=["LOGIN", "PLAIN"],
            command_call_limit=COMMANDS_MAX,
        )
        self._among = among

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._among) >= CONNECTIONS_MAX:
            transport.close()
            return
        self._among.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._among:
            self._among.discard(self)
            super().connection_lost(error)

    def end(self) -> None:
        """Close without a word."""
        if self.transport is not None:
            self.transport.close()


class _Handler:
    """Answers a mail only when everything that it says is kept."""

    def __init__(self, returns: Returns) -> None:
        self._returns = returns

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if not self._returns.is_ours(address):
            return "550 5.7.1 this server takes returned mail only"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            await self._returns.take(envelope.rcpt_tos, content)
        except HubError as error:
            _log.warning("returned mail not kept", error=type(error).__name__)
            return "451 4.3.0 try again later"
        return "250 2.0.0 taken"
