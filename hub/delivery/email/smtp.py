"""Hands messages to an SMTP server, and says exactly what is known of each afterwards (decision 0006).

What matters is the moment at which the line with the single dot is written. Before it the server has no
message: whatever goes wrong is *deferred*, or *failed* if the server refused for good. After it only an
answer is knowledge: without one the message is *in doubt*.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from typing import Final

import aiosmtplib
import structlog
from aiosmtplib.protocol import PERIOD_REGEX, SMTPProtocol

from hub.delivery.email.replies import HARD, Phase, reason_of, status_of
from hub.delivery.ports import Composed, Outcome

CONNECT_SECONDS_MAX: Final = 10.0
MESSAGES_A_CONNECTION: Final = 500
IDLE_SECONDS_MAX: Final = 20.0
QUIT_SECONDS_MAX: Final = 2.0
DRAIN_SECONDS: Final = 0.005

#: Refusals that are about us and not about the message: it waits until they are mended.
_OURS: Final = frozenset({421, 530, 534, 535, 538})
_OK, _START = 250, 354

_log = structlog.get_logger("smtp")


@dataclass(frozen=True, repr=False)
class SmtpServer:
    """Where messages go. `host_name`: how we introduce ourselves. `ca`: PEM file to trust beside the
    system's."""

    host: str
    port: int
    tls: str = "none"  # none, starttls or tls
    username: str = ""
    password: str = ""
    host_name: str = "localhost"
    ca: str = ""
    timeout_seconds: float = 60.0
    connections: int = 8


class _RefusedError(Exception):
    """The server said no, or went away, before it had the message."""

    def __init__(self, phase: Phase, code: int = 0, text: str = "") -> None:
        super().__init__(phase)
        self.phase = phase
        self.code = code
        self.text = text


class _InDoubtError(Exception):
    """The server had the whole message and said nothing."""


class SmtpSender:
    """A pool of connections to one server. Messages may be sent at the same time."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._room = asyncio.Semaphore(server.connections)
        self._idle: list[_Connection] = []
        self._tls = _tls_context(server)

    async def send(self, message: Composed) -> Outcome:
        """Hand one message over. Raises nothing: every end is an outcome."""
        async with self._room:
            connection = self._take()
            try:
                outcome = await self._hand_over(connection, message)
            except BaseException:
                connection.drop()
                raise
            self._give_back(connection)
            return outcome

    async def close(self) -> None:
        """End connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(connection.quit() for connection in idle))

    async def _hand_over(self, connection: "_Connection", message: Composed) -> Outcome:
        fresh = not connection.is_open
        try:
            return await self._try(connection, message)
        except _RefusedError as refused:
            gone = refused.code in (0, 421) and refused.phase != "data"
            if fresh or not gone:
                return _outcome_of(refused)
        # A server may end a connection that was idle; that says nothing about the message.
        connection.drop()
        try:
            return await self._try(connection, message)
        except _RefusedError as refused:
            return _outcome_of(refused)

    async def _try(self, connection: "_Connection", message: Composed) -> Outcome:
        try:
            return await connection.transfer(message, self._tls)
        except _InDoubtError:
            connection.drop()
            return Outcome("in_doubt", detail="no answer after the end of the message")
        except _RefusedError as refused:
            if refused.code in (0, 421) or refused.phase in ("connection", "data"):
                connection.drop()
            raise

    def _take(self) -> "_Connection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.drop()
        return _Connection(self._server)

    def _give_back(self, connection: "_Connection") -> None:
        if connection.is_usable():
            self._idle.append(connection)
        else:
            connection.drop()


class _Connection:
    """One connection, opened when it is first used."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._client: aiosmtplib.SMTP | None = None
        self._sent = 0
        self._used_at = 0.0
        self._begun = False  # a message that was refused before its end leaves its beginning behind

    @property
    def is_open(self) -> bool:
        return self._client is not None and self._client.is_connected

    def is_usable(self) -> bool:
        """Whether it may carry one more message."""
        idle = asyncio.get_running_loop().time() - self._used_at
        return self.is_open and self._sent < MESSAGES_A_CONNECTION and idle < IDLE_SECONDS_MAX

    def drop(self) -> None:
        """End it without a word."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def quit(self) -> None:
        """End it as the protocol asks."""
        if self._client is not None and self._client.is_connected:
            with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
                await self._client.quit(timeout=QUIT_SECONDS_MAX)
        self.drop()

    async def transfer(self, message: Composed, tls: ssl.SSLContext | None) -> Outcome:
        """Raises _RefusedError before the server has the message, _InDoubtError after."""
        client = await self._open(tls)
        code, text = await self._dialogue(client, message)
        self._begun = False
        self._sent += 1
        self._used_at = asyncio.get_running_loop().time()
        if code == _OK:
            return Outcome("sent", code=code, status=status_of(text))
        raise _RefusedError("data", code, text)

    async def _dialogue(self, client: aiosmtplib.SMTP, message: Composed) -> tuple[int, str]:
        sender, recipient = message.envelope_from, message.recipient
        if self._begun:
            await self._say(client, "sender", b"RSET")
        self._begun = True
        await self._say(client, "sender", b"MAIL", b"FROM:<%s>" % sender.encode("ascii"))
        await self._say(client, "recipient", b"RCPT", b"TO:<%s>" % recipient.encode("ascii"))
        await self._say(client, "data", b"DATA", expected=_START)
        protocol = client.protocol
        if protocol is None:
            raise _RefusedError("data")
        return await _write_message(protocol, message.content, self._server.timeout_seconds)

    async def _say(self, client: aiosmtplib.SMTP, phase: Phase, *words: bytes, expected: int = _OK) -> None:
        try:
            reply = await client.execute_command(*words)
        except aiosmtplib.SMTPResponseException as error:
            raise _RefusedError(phase, error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            self.drop()
            raise _RefusedError(phase) from error
        if reply.code != expected and not (expected == _OK and reply.code == 251):
            raise _RefusedError(phase, reply.code, reply.message)

    async def _open(self, tls: ssl.SSLContext | None) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        server = self._server
        self._sent, self._begun = 0, False
        self._client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username or None,
            password=server.password or None,
            local_hostname=server.host_name,
            timeout=server.timeout_seconds,
            use_tls=server.tls == "tls",
            start_tls=server.tls == "starttls",
            tls_context=tls,
        )
        try:
            await self._client.connect(timeout=min(CONNECT_SECONDS_MAX, server.timeout_seconds))
            await _introduce(self._client)
        except aiosmtplib.SMTPResponseException as error:
            raise _RefusedError("connection", error.code, error.message) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            _log.warning("no connection", error=type(error).__name__)
            raise _RefusedError("connection") from error
        return self._client


async def _introduce(client: aiosmtplib.SMTP) -> None:
    """Say who we are, the old way to a server that does not know the new one."""
    if not client.is_ehlo_or_helo_needed:
        return
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code < 500:
            raise
        await client.helo()


async def _write_message(protocol: SMTPProtocol, content: bytes, timeout_seconds: float) -> tuple[int, str]:
    """Write the message, then its end, then read the answer. Raises _RefusedError or _InDoubtError."""
    waiting = asyncio.ensure_future(protocol.read_response(timeout=timeout_seconds))
    await asyncio.sleep(0)  # until it listens, so an early answer is not missed
    try:
        await asyncio.wait_for(_write_body(protocol, content), timeout_seconds)
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise await _early(waiting) from error
    if waiting.done():
        raise await _early(waiting)
    try:
        protocol.write(b".\r\n")
    except aiosmtplib.SMTPException as error:
        raise await _early(waiting) from error
    try:
        reply = await waiting
    except aiosmtplib.SMTPResponseException as error:
        # An answer that cannot be read is none.
        raise _InDoubtError from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise _InDoubtError from error
    return reply.code, reply.message


async def _write_body(protocol: SMTPProtocol, content: bytes) -> None:
    """Everything but the end, until the system has taken all of it."""
    protocol.write(PERIOD_REGEX.sub(b"..", content))
    # uvloop's transports are no asyncio.WriteTransport, so the method is asked for and not the type.
    while waiting := getattr(protocol.transport, "get_write_buffer_size", None):
        if not waiting():
            return
        await asyncio.sleep(DRAIN_SECONDS)


async def _early(waiting: "asyncio.Future[aiosmtplib.SMTPResponse]") -> _RefusedError:
    """What the server said, if anything, before it had the whole message."""
    if not waiting.done():
        waiting.cancel()
    try:
        reply = await waiting
    except (asyncio.CancelledError, aiosmtplib.SMTPException, OSError, TimeoutError):
        return _RefusedError("data")
    return _RefusedError("data", reply.code, reply.message)


def _outcome_of(refused: _RefusedError) -> Outcome:
    code, status = refused.code, status_of(refused.text)
    known = f"{refused.phase}: {code}" if code else f"{refused.phase}: no answer"
    if refused.phase == "connection" or not 500 <= code <= 599 or code in _OURS:
        return Outcome("deferred", code=code, status=status, detail=known)
    reason = reason_of(status, code, refused.text, refused.phase)
    return Outcome("failed", code=code, status=status, detail=f"{known} {reason}", suppress=reason in HARD)


def _tls_context(server: SmtpServer) -> ssl.SSLContext | None:
    if server.tls == "none":
        return None
    context = ssl.create_default_context()
    if server.ca:
        context.load_verify_locations(server.ca)
    return context
