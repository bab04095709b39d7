"""A hub that really sends, and an SMTP server that keeps what comes, fails, or kills the hub."""

import asyncio
import contextlib
import email
import threading
from collections import Counter
from collections.abc import Callable, Iterator

from aiosmtpd.smtp import SMTP, Envelope, Session

from hub.cli.client import HubClient
from onevoice.v1 import catalogue_pb2, ingest_pb2, outbound_pb2
from tests.hub.delivery.catalogue import FILES
from tests.hub.running import lines, source_files

DOMAIN = "shop.example"
#: Says what a server does with a message: None takes it; a reply refuses it; `cut` ends the connection.
Behaviour = Callable[[str, str], str | None]
CUT = "cut"


def settings(port: int) -> dict[str, object]:
    """Settings of a hub that sends to a port of this machine."""
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_tls": "none",
        "mail_domain": DOMAIN,
        "public_url": "http://127.0.0.1:1",
        "outbound_retry_seconds": 1,
    }


class Mailbox:
    """Counts what was taken, by Message-ID; asks `behaviour(phase, recipient)` at MAIL, DATA and TAKEN."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or (lambda phase, recipient: None)
        self.taken: Counter[str] = Counter()
        self.recipients: Counter[str] = Counter()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.behaviour("RCPT", address)
        if reply is not None:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        (recipient,) = envelope.rcpt_tos
        reply = self.behaviour("DATA", recipient)
        if reply is not None and reply != CUT:
            return reply
        content = envelope.content
        assert isinstance(content, bytes)
        name = email.message_from_bytes(content)["Message-ID"]
        self.taken[name.strip("<>").partition("@")[0]] += 1
        self.recipients[recipient] += 1
        if reply == CUT or self.behaviour("TAKEN", recipient) == CUT:
            server.transport.abort()
        return "250 2.0.0 taken"


@contextlib.contextmanager
def mailbox(box: Mailbox) -> Iterator[int]:
    """Serve on a free port, in a thread with a loop of its own; yields the port."""
    started: list[int] = []
    ready, done = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        loops.append(loop)
        server = await loop.create_server(lambda: SMTP(box, hostname="mx.test"), "127.0.0.1", 0)
        started.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await done.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield started[0]
    finally:
        loops[0].call_soon_threadsafe(done.set)
        thread.join(10)


def publish(client: HubClient) -> None:
    """The catalogue of these tests, published and approved."""
    request = catalogue_pb2.PublishRequest(files=source_files(FILES), user="ada")
    answer = client.catalogue.Publish(request, timeout=30)
    assert not answer.faults
    approve = catalogue_pb2.ApproveRequest(content_hash=answer.content_hash, user="ben")
    client.catalogue.Approve(approve, timeout=30)


def sign_up(client: HubClient, people: range) -> None:
    """People who consent and sign up, so that each gets one message."""
    messages = [message for number in people for message in _signing_up(number)]
    for start in range(0, len(messages), 500):
        request = ingest_pb2.EventsRequest(messages=lines(messages[start : start + 500]))
        client.ingest.Events(request, timeout=60)


def _signing_up(number: int) -> Iterator[dict[str, object]]:
    who = f"c-{number}"
    for purpose in ("email", "analytics"):
        yield {
            "type": "consent",
            "userId": who,
            "purpose": purpose,
            "state": "granted",
            "text_version": "v1",
            "source": "test",
            "messageId": f"{purpose}-{who}",
        }
    traits = {"email": address(number)}
    yield {"type": "identify", "userId": who, "messageId": f"i-{who}", "traits": traits}
    yield {"type": "track", "userId": who, "event": "Signed Up", "messageId": f"s-{who}"}


def address(number: int) -> str:
    return f"n{number}@mail.example"


def listed(client: HubClient, *states: str) -> dict[str, outbound_pb2.OutboundMessage]:
    """Messages in some states, by id."""
    request = outbound_pb2.OutboundListRequest(states=states, count=1000)
    return {one.message_id: one for one in client.outbound.List(request, timeout=30).messages}


def counts(client: HubClient) -> dict[str, int]:
    answer = client.outbound.List(outbound_pb2.OutboundListRequest(count=1), timeout=30)
    return {state: count for state, count in answer.counts.items() if count}


def environment(port: int) -> dict[str, str]:
    """The same settings for a hub in a process of its own."""
    return {f"ONEVOICE_{name.upper()}": str(value) for name, value in settings(port).items()}
