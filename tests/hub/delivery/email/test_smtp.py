"""The hand-off to an SMTP server: each way it can end, and what is then known (docs/decisions/0006)."""

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hub.delivery.email.smtp import SmtpSender, SmtpServer
from hub.delivery.ports import Composed, Outcome
from tests.hub.asyncs import run_async
from tests.hub.delivery.email.servers import CUT, RESET, Catcher, catching, scripted

CONTENT = b"Subject: x\r\n\r\n" + b"".join(b"line %d\r\n.dot\r\n" % n for n in range(20))
BIG = CONTENT + b"x" * 76 + b"\r\n"


def letter(number: int = 1, recipient: str = "ada@example.com", content: bytes = CONTENT) -> Composed:
    return Composed(f"{number:032x}", "bounces@shop.example", recipient, content)


async def send(port: int, *letters: Composed, **options: Any) -> list[Outcome]:
    sender = SmtpSender(SmtpServer("127.0.0.1", port, **{"timeout_seconds": 0.5, **options}))
    try:
        return [await sender.send(one) for one in letters]
    finally:
        await sender.close()


@run_async
async def test_a_real_server_gets_the_very_bytes() -> None:
    catcher = Catcher()
    async with catching(catcher) as port:
        [outcome] = await send(port, letter())
    assert (outcome.kind, outcome.code, outcome.status) == ("sent", 250, "2.0.0")
    [envelope] = catcher.got
    assert envelope.original_content == CONTENT
    assert (envelope.mail_from, envelope.rcpt_tos) == ("bounces@shop.example", ["ada@example.com"])


@run_async
async def test_one_connection_carries_many_messages() -> None:
    catcher = Catcher(refuse={"gone@example.com": "550 5.1.1 no such user"})
    letters = [letter(1), letter(2, "gone@example.com"), letter(3)]
    async with catching(catcher) as port:
        outcomes = await send(port, *letters)
    assert [one.kind for one in outcomes] == ["sent", "failed", "sent"]
    assert len(catcher.sessions) == 1


@run_async
async def test_many_are_sent_at_once_over_a_bounded_number_of_connections() -> None:
    catcher = Catcher()
    async with catching(catcher) as port:
        sender = SmtpSender(SmtpServer("127.0.0.1", port, connections=3))
        outcomes = await asyncio.gather(*(sender.send(letter(n)) for n in range(50)))
        await sender.close()
    assert {one.kind for one in outcomes} == {"sent"}
    assert (len(catcher.got), len(catcher.sessions)) == (50, 3)


#: What the client had said, what then happens, and how the hand-off ends.
ENDS: list[tuple[str, str, tuple[str, int, bool]]] = [
    # Before the server has the message.
    ("CONNECT", "421 4.3.2 too busy", ("deferred", 421, False)),
    ("CONNECT", "554 5.7.1 go away", ("deferred", 554, False)),
    ("CONNECT", CUT, ("deferred", 0, False)),
    ("CONNECT", RESET, ("deferred", 0, False)),
    ("CONNECT", "hang", ("deferred", 0, False)),
    ("EHLO", "421 no", ("deferred", 421, False)),
    ("EHLO", "502 what is that", ("sent", 250, False)),
    ("MAIL", "421 4.7.0 slow down", ("deferred", 421, False)),
    ("MAIL", "451 4.3.0 later", ("deferred", 451, False)),
    ("MAIL", "530 5.7.0 log in first", ("deferred", 530, False)),
    ("MAIL", "550 5.7.1 sender refused", ("failed", 550, False)),
    ("MAIL", CUT, ("deferred", 0, False)),
    ("RCPT", "450 4.2.0 greylisted", ("deferred", 450, False)),
    ("RCPT", "451 try later", ("deferred", 451, False)),
    ("RCPT", "421 bye", ("deferred", 421, False)),
    ("RCPT", "550 5.1.1 no such user", ("failed", 550, True)),
    ("RCPT", "550 no such user here", ("failed", 550, True)),
    ("RCPT", "550 5.1.2 bad domain", ("failed", 550, True)),
    ("RCPT", "550-5.1.1 the account that you\r\n550 5.1.1 tried does not exist", ("failed", 550, True)),
    ("RCPT", "552 5.2.2 mailbox full", ("failed", 552, False)),
    ("RCPT", "550 5.7.1 blocked by policy", ("failed", 550, False)),
    ("RCPT", "554 5.7.1 your address is on a blocklist", ("failed", 554, False)),
    ("RCPT", RESET, ("deferred", 0, False)),
    ("DATA", "451 4.3.0 later", ("deferred", 451, False)),
    ("DATA", "554 5.6.0 no", ("failed", 554, False)),
    ("DATA", CUT, ("deferred", 0, False)),
    ("DATA", "hang", ("deferred", 0, False)),
    # The server has it.
    ("DOT", "451 4.3.0 later", ("deferred", 451, False)),
    ("DOT", "421 4.3.2 going down", ("deferred", 421, False)),
    ("DOT", "550 5.7.1 spam", ("failed", 550, False)),
    ("DOT", "552 5.3.4 too big", ("failed", 552, False)),
    ("DOT", "hang", ("in_doubt", 0, False)),
    ("DOT", CUT, ("in_doubt", 0, False)),
    ("DOT", RESET, ("in_doubt", 0, False)),
    ("DOT", "what?", ("in_doubt", 0, False)),
    ("DOT", "250 2.0.0 taken+cut", ("sent", 250, False)),
]


@pytest.mark.parametrize(
    ("word", "happens", "end"), ENDS, ids=[f"{word}-{what[:12]}" for word, what, _ in ENDS]
)
@run_async
async def test_every_end_is_known_for_what_it_is(word: str, happens: str, end: tuple[str, int, bool]) -> None:
    async with scripted(lambda said, _: happens if said == word else None) as (server, port):
        [outcome] = await send(port, letter())
    assert (outcome.kind, outcome.code, outcome.suppress) == end
    assert "ada" not in outcome.detail
    assert server.said.count("DOT") <= 1


@run_async
async def test_a_cut_within_the_message_is_no_doubt() -> None:
    """More than the system's buffers hold, so the end was never written when the server goes."""
    big = letter(content=CONTENT + b"x" * 76 + b"\r\n" + (b"y" * 76 + b"\r\n") * 400_000)
    async with scripted(lambda said, _: RESET if said == "BODY" else None) as (_, port):
        [outcome] = await send(port, big, timeout_seconds=5.0)
    assert (outcome.kind, outcome.detail) == ("deferred", "data: no answer")


@run_async
async def test_a_refusal_within_the_message_is_heard() -> None:
    big = letter(content=CONTENT + (b"y" * 76 + b"\r\n") * 400_000)
    async with scripted(lambda said, _: "552 5.3.4 too big+cut" if said == "BODY" else None) as (_, port):
        [outcome] = await send(port, big, timeout_seconds=5.0)
    assert outcome.kind in ("failed", "deferred")


@run_async
async def test_a_message_in_doubt_is_not_tried_again_and_the_next_goes_on() -> None:
    async with scripted(lambda said, n: "hang" if said == "DOT" and n == 1 else None) as (server, port):
        outcomes = await send(port, letter(1), letter(2), timeout_seconds=0.2)
    assert [one.kind for one in outcomes] == ["in_doubt", "sent"]
    assert (server.said.count("DOT"), server.connections) == (2, 2)


@pytest.mark.parametrize("way", [CUT, RESET, "421 4.4.2 idle for too long+cut"])
@run_async
async def test_a_server_that_ended_an_idle_connection_costs_nothing(way: str) -> None:
    said_before: list[str] = []

    def script(said: str, number: int) -> str | None:
        said_before.append(said)
        if said == "MAIL" and number == 1 and said_before.count("MAIL") == 2:
            return way
        return None

    async with scripted(script) as (server, port):
        outcomes = await send(port, letter(1), letter(2))
    assert [one.kind for one in outcomes] == ["sent", "sent"]
    assert (server.said.count("DOT"), server.connections) == (2, 2)


@run_async
async def test_no_server_is_a_deferral() -> None:
    async with scripted(lambda said, _: None) as (_, port):
        pass
    [outcome] = await send(port, letter())
    assert (outcome.kind, outcome.detail) == ("deferred", "connection: no answer")


@run_async
async def test_a_cancelled_hand_off_leaves_no_connection_that_is_used_again() -> None:
    async with scripted(lambda said, n: "hang" if said == "DOT" and n == 1 else None) as (server, port):
        sender = SmtpSender(SmtpServer("127.0.0.1", port, timeout_seconds=5.0))
        task = asyncio.create_task(sender.send(letter(1)))
        async with asyncio.timeout(5):
            while "DOT" not in server.said:
                await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await sender.send(letter(2))).kind == "sent"
        await sender.close()
    assert server.connections == 2


# Encryption and logging in ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.test")])
    now = datetime.datetime.now(datetime.UTC)
    import ipaddress

    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(public, private)
    return public, context


@pytest.mark.parametrize("tls", ["starttls", "tls"])
@pytest.mark.parametrize("trusted", [True, False])
@run_async
async def test_the_way_is_encrypted_to_a_server_that_is_trusted_only(
    certificate: tuple[Path, ssl.SSLContext], tls: str, trusted: bool
) -> None:
    public, context = certificate
    catcher = Catcher()
    async with catching(catcher, tls=context, at_once=tls == "tls") as port:
        [outcome] = await send(
            port, letter(), tls=tls, ca=str(public) if trusted else "", timeout_seconds=5.0
        )
    assert outcome.kind == ("sent" if trusted else "deferred")
    assert len(catcher.got) == trusted


@run_async
async def test_a_server_without_encryption_gets_nothing_where_it_is_asked_for() -> None:
    catcher = Catcher()
    async with catching(catcher) as port:
        [outcome] = await send(port, letter(), tls="starttls")
    assert (outcome.kind, catcher.got) == ("deferred", [])


@pytest.mark.parametrize(("password", "kind"), [("right", "sent"), ("wrong", "deferred")])
@run_async
async def test_a_wrong_password_loses_no_message(
    certificate: tuple[Path, ssl.SSLContext], password: str, kind: str
) -> None:
    public, context = certificate
    async with catching(Catcher(), tls=context, login=("shop", "right")) as port:
        [outcome] = await send(
            port,
            letter(),
            tls="starttls",
            ca=str(public),
            username="shop",
            password=password,
            timeout_seconds=1.0,
        )
    assert outcome.kind == kind
