"""SMTP servers to send to: a real one (aiosmtpd), and one that fails as it is told to."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Catcher:
    """Keeps what comes; `refuse` answers a recipient with a reply of its own."""

    refuse: dict[str, str] = field(default_factory=dict)
    got: list[Envelope] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.sessions.add(id(session))
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.got.append(envelope)
        return "250 2.0.0 taken"


@contextlib.asynccontextmanager
async def catching(
    catcher: Catcher,
    *,
    tls: ssl.SSLContext | None = None,
    at_once: bool = False,
    login: tuple[str, str] | None = None,
) -> AsyncIterator[int]:
    """A real server; yields its port. `tls`: STARTTLS, or `at_once` TLS from the first byte."""

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = login is not None and (data.login.decode(), data.password.decode()) == login
        return AuthResult(success=good)

    def make() -> SMTP:
        return SMTP(
            catcher,
            hostname="mx.test",
            tls_context=None if at_once else tls,
            require_starttls=tls is not None and not at_once,
            authenticator=check,
            auth_required=login is not None,
            auth_require_tls=not at_once and tls is not None,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=tls if at_once else None)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


CUT, RESET = "cut", "reset"  # instead of a reply: end the connection, politely or not
USUAL = {"CONNECT": "220 mx", "EHLO": "250 mx", "DATA": "354 go on", "BODY": "", "QUIT": "221 bye"}


@dataclass
class Scripted:
    """A server that does as a script says, and counts.

    The script gets what the client said (`CONNECT`, `EHLO`, `MAIL`, `RCPT`, `DATA`, `BODY`, `DOT`, `QUIT`)
    and the number of the connection; it gives a reply, CUT, RESET or "hang".
    """

    script: Callable[[str, int], str | None]
    said: list[str] = field(default_factory=list)
    connections: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if await self._answer(writer, "CONNECT", number):
                while await self._one(reader, writer, number):
                    pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> bool:
        line = await reader.readline()
        word = line.decode("ascii", "replace").strip().split(" ")[0].upper()
        if not word:
            return False
        if not await self._answer(writer, word, number):
            return False
        if word == "DATA" and self.said[-1] == "DATA":
            await reader.readexactly(20)
            if not await self._answer(writer, "BODY", number):
                return False
            await reader.readuntil(b"\r\n.\r\n")
            return await self._answer(writer, "DOT", number)
        return word != "QUIT"

    async def _answer(self, writer: asyncio.StreamWriter, word: str, number: int) -> bool:
        self.said.append(word)
        reply = self.script(word, number)
        if reply is None:
            reply = USUAL.get(word, "250 OK")
        if reply in (CUT, RESET):
            if reply == RESET:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()
            return False
        if reply == "hang":
            await asyncio.Event().wait()
        after = reply.endswith("+cut")
        if reply:
            writer.write(reply.removesuffix("+cut").encode() + b"\r\n")
            await writer.drain()
        if word == "DATA" and not reply.startswith("354"):
            self.said[-1] = "DATA refused"
        return not after


@contextlib.asynccontextmanager
async def scripted(script: Callable[[str, int], str | None]) -> AsyncIterator[tuple[Scripted, int]]:
    """A server on a free port that answers as the script says; None: as servers usually do."""
    one = Scripted(script)
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    try:
        yield one, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in one._writers:
            writer.transport.abort()
        await server.wait_closed()
