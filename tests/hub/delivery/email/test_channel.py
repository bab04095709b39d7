"""The e-mail channel of a whole hub: real SMTP out and in, real HTTP, what a person does with her mail."""

import asyncio
import email
import email.policy
import json
import re
import smtplib
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from core.identifiers import hash_identifier, normalise
from hub.delivery.email.verp import Verp
from hub.delivery.links import Links
from hub.keys import open_keys
from hub.store import counters, engagements, outbox, suppressions
from hub.store.engine import Store, sqlite_url
from hub.store.outbox import Message
from onevoice.v1 import consents_pb2, ingest_pb2, profiles_pb2
from tests.hub.delivery.catalogue import changed
from tests.hub.delivery.email.servers import Catcher, catching
from tests.hub.running import RunningHub, lines, until
from tests.shared import shared_data

HOUR_MS = 3_600_000
BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0"
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"
MJML = (
    "<mjml><mj-body><mj-section><mj-column><mj-text>{{ slots.text }}</mj-text>"
    '<mj-button href="https://shop.example/one">One</mj-button>'
    '<mj-button href="https://shop.example/two">Two</mj-button>'
    '<mj-text><a href="{{ links.unsubscribe }}">stop</a> '
    '<a href="{{ links.preferences }}">choose</a></mj-text>'
    "</mj-column></mj-section></mj-body></mjml>"
)
FILES = changed('text: "{{ slots.text }}"}\n  - {id: note', f"mjml: '{MJML}'}}\n  - {{id: note")
CLICKS = "  - {id: clicks, owner: ada, type: int, source: {events: [Email Link Clicked], function: count}}\n"
FILES = {name: text.replace("attributes:\n", f"attributes:\n{CLICKS}") for name, text in FILES.items()}


@dataclass
class Mailing:
    """A hub that sends to a catcher, and its store to look into."""

    hub: RunningHub
    catcher: Catcher
    store: Store
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10_000)))

    def join(self, *purposes: str) -> str:
        """A new person who grants these purposes; her address."""
        who = f"p{next(self.numbers)}"
        given = [
            {
                "type": "consent", "userId": who, "purpose": purpose, "state": "granted",
                "text_version": "v1", "source": "test", "messageId": f"{who}-{purpose}",
            }
            for purpose in purposes
        ]  # fmt: skip
        address = f"{who}@mail.example"
        traits = {"email": address, "first_name": who}
        given.append({"type": "identify", "userId": who, "traits": traits, "messageId": f"{who}-i"})
        with self.hub.client("server") as client:
            client.ingest.Events(ingest_pb2.EventsRequest(messages=lines(given)), timeout=30)
        until(lambda: self.consent(address, purposes[0]) == "granted", "her consent")
        return address

    def key(self, address: str) -> bytes:
        return hash_identifier(open_keys(self.hub.settings).identifier, "email", normalise("email", address))

    def queue(self, address: str, **changes: object) -> str:
        """A message to her in the outbox; its id."""
        now_ms = int(time.time() * 1000)
        row = Message(
            f"{next(self.numbers):032x}",
            None,
            "cart",
            self.key(address),
            "email",
            "mail.main",
            "plain",
            "",
            now_ms,
            now_ms,
        )._replace(**changes)  # type: ignore[arg-type]
        with self.store.writing() as connection:
            outbox.add(connection, [row])
        return row.message_id

    def sent(self, address: str) -> tuple[str, EmailMessage]:
        """A message that has arrived: its id and the mail."""
        message_id = self.queue(address)
        until(lambda: self.row(message_id).state == "sent", f"a mail, not {self.row(message_id)}")
        (content,) = [one.original_content for one in self.catcher.got if address in one.rcpt_tos]
        mail = email.message_from_bytes(content or b"", policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return message_id, mail

    def old(self, address: str) -> str:
        """A message that was sent an hour ago."""
        ago = int(time.time() * 1000) - HOUR_MS
        return self.queue(address, state="sent", handed_over_at_ms=ago, created_at_ms=ago, changed_at_ms=ago)

    def row(self, message_id: str) -> Message:
        with self.store.reading() as connection:
            return next(outbox.by_id(connection, [message_id]))

    def stops(self, address: str) -> list[str]:
        with self.store.reading() as connection:
            return [one.reason for one in suppressions.of_person(connection, [self.key(address)])]

    def count(self, name: str) -> int:
        with self.store.reading() as connection:
            return counters.read(connection).get(name, 0)

    def verdicts(self, message_id: str) -> list[tuple[str, bool | None]]:
        with self.store.reading() as connection:
            found = engagements.of_messages(connection, [message_id])
            return [(row.kind, row.machine) for row in found]

    def consent(self, address: str, purpose: str) -> str:
        """The last state received."""
        with self.hub.client("server") as client:
            request = consents_pb2.HistoryRequest(person=f"email:{address}")
            try:
                changes = client.consents.History(request, timeout=10).changes
            except Exception:
                return ""
        states = [one.state for one in changes if one.purpose == purpose]
        return consents_pb2.ConsentState.Name(states[-1]).rpartition("_")[2].lower() if states else ""

    def clicks(self, address: str) -> int:
        with self.hub.client("server") as client:
            shown = client.profiles.Get(profiles_pb2.GetRequest(person=f"email:{address}"), timeout=10)
        return int(json.loads(shown.profile)["attributes"].get("clicks", 0))

    def ask(
        self, method: str, url: str, body: bytes = b"", kind: str = FORM, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)) as connection:
            connection.request(method, parts.path, body or None, {"content-type": kind, **named})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            charset = "latin-1" if "gif" in found.get("content-type", "") else "utf-8"
            return answer.status, found, answer.read().decode(charset)


@pytest.fixture(scope="module")
def mailing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailing]:
    catcher = Catcher()
    with (
        InThread(catcher) as port,
        RunningHub(
            tmp_path_factory.mktemp("mailing"),
            smtp_host="127.0.0.1",
            smtp_port=port,
            smtp_tls="none",
            mail_domain="shop.example",
            bounce_port=0,
            unsubscribe_mailto="stop@shop.example",
        ) as hub,
    ):
        hub.publish(FILES)
        store = Store(sqlite_url(hub.settings.data_dir / "state.db"))
        yield Mailing(hub, catcher, store)
        store.close()


class InThread:
    """The catcher on an event loop of its own."""

    def __init__(self, catcher: Catcher) -> None:
        self._catcher = catcher
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), daemon=True)
        self._port = 0

    async def _live(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with catching(self._catcher) as self._port:
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> int:
        self._thread.start()
        assert self._ready.wait(10)
        return self._port

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def one_click_url(mail: EmailMessage) -> str:
    return re.findall(r"<(http[^<>]+)>", mail["List-Unsubscribe"])[0]


# One click ---------------------------------------------------------------------------------------


MULTIPART = (
    "multipart/form-data; boundary=abc",
    b'--abc\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--abc--\r\n',
)


@pytest.mark.parametrize(("kind", "body"), [(FORM, ONE_CLICK), MULTIPART], ids=["urlencoded", "multipart"])
def test_one_click_stops_everything_that_is_not_handed_over(mailing: Mailing, kind: str, body: bytes) -> None:
    """The server rules of the shared cases: POST at once, GET never, idempotent."""
    assert len(json.loads(shared_data("one_click_unsubscribe/cases.json").read_text())["server_rules"]) == 5
    address = mailing.join("email", "analytics")
    _, mail = mailing.sent(address)
    url = one_click_url(mail)
    later = mailing.queue(address, not_before_ms=int(time.time() * 1000) + HOUR_MS)

    status, headers, page = mailing.ask("GET", url, accept="text/html")
    assert (status, "set-cookie" in headers) == (200, False)
    assert address not in page
    assert "p***@m***.example" in page
    assert (mailing.stops(address), mailing.consent(address, "email")) == ([], "granted")

    for _ in range(2):
        status, headers, answer = mailing.ask("POST", url, body, kind)
        assert (status, json.loads(answer)) == (200, {"unsubscribed": True})
        assert mailing.row(later).state == "cancelled"
        assert mailing.stops(address) == ["unsubscribe"]
        assert mailing.consent(address, "email") == "withdrawn"
    assert mailing.consent(address, "analytics") == "granted"

    message_id = mailing.queue(address)
    until(lambda: mailing.row(message_id).state not in ("queued", "claimed"), "a verdict")
    assert mailing.row(message_id).state == "refused"
    assert mailing.ask("GET", url, accept="text/html")[2].count("Unsubscribed") >= 1


def test_the_page_s_button_does_the_same(mailing: Mailing) -> None:
    address = mailing.join("email")
    url = one_click_url(mailing.sent(address)[1])
    page = mailing.ask("GET", url, accept="text/html")[2]
    fields = re.findall(r'<input type=hidden name="?([\w-]+)"? value="?([\w-]+)"?>', page)
    body = "&".join(f"{name}={value}" for name, value in fields).encode()
    status, _, answer = mailing.ask("POST", url, body, accept="text/html")
    assert (status, mailing.stops(address)) == (200, ["unsubscribe"])
    assert "We send no more e-mails" in answer


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (FORM, b"", 400),
        (FORM, b"List-Unsubscribe=Two-Clicks", 400),
        (FORM, b"x" * 20_000, 413),
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=abc", b"no parts", 400),
        (FORM, b"\xff=\xfe", 400),
    ],
)
def test_what_is_no_one_click_is_refused_and_changes_nothing(
    mailing: Mailing, kind: str, body: bytes, status: int
) -> None:
    address = mailing.join("email")
    message_id = mailing.old(address)
    url = links(mailing, "u", message_id)
    found, _, answer = mailing.ask("POST", url, body, kind)
    assert (found, mailing.stops(address)) == (status, [])
    assert set(json.loads(answer)["error"]) == {"code", "message", "path", "expected", "got"}


def links(mailing: Mailing, use: str, message_id: str) -> str:
    made = Links(open_keys(mailing.hub.settings).links, mailing.hub.http)
    return {
        "u": made.unsubscribe,
        "p": made.preferences,
        "o": made.open,
        "c0": lambda one: made.click(one, 0, "https://shop.example/one"),
        "c1": lambda one: made.click(one, 1, "https://shop.example/two"),
    }[use](message_id)


@pytest.mark.parametrize("use", ["u", "p", "c"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_none_of_ours_is_one_clear_answer(mailing: Mailing, use: str, method: str) -> None:
    if use == "c" and method == "POST":
        return
    for token in ("x", "a.b", links(mailing, "u", "f" * 32).rpartition("/")[2]):
        status, _, page = mailing.ask(
            method, f"{mailing.hub.http}/{use}/{token}", ONE_CLICK, accept="text/html"
        )
        assert (status, "This link does not work" in page) == (404, True)
        status, _, answer = mailing.ask(method, f"{mailing.hub.http}/{use}/{token}", ONE_CLICK)
        assert (status, json.loads(answer)["error"]["code"]) == (404, "not_found")


def test_pages_have_no_script_and_let_nothing_in(mailing: Mailing) -> None:
    message_id = mailing.old(mailing.join("email"))
    for use in ("u", "p"):
        _, headers, page = mailing.ask("GET", links(mailing, use, message_id))
        assert "<script" not in page
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store, private"
        assert "width=device-width" in page
        assert "prefers-color-scheme: dark" in page


def test_people_choose_by_purpose(mailing: Mailing) -> None:
    address = mailing.join("email", "analytics")
    url = links(mailing, "p", mailing.old(address))
    page = mailing.ask("GET", url)[2]
    assert set(re.findall(r'value="(\w+)" checked', page)) == {"email", "analytics"}
    assert set(re.findall(r'value="(\w+)"', page)) == {"personalization", "email", "sms", "analytics", "ads"}

    page = mailing.ask("POST", url, b"purpose=ads")[2]
    assert set(re.findall(r'value="(\w+)" checked', page)) == {"ads"}
    states = {name: mailing.consent(address, name) for name in ("email", "analytics", "ads", "sms")}
    assert states == {"email": "withdrawn", "analytics": "withdrawn", "ads": "granted", "sms": ""}
    assert mailing.stops(address) == ["unsubscribe"]

    page = mailing.ask("POST", url, b"purpose=email&purpose=analytics&purpose=nonsense")[2]
    assert set(re.findall(r'value="(\w+)" checked', page)) == {"email", "analytics"}
    assert mailing.stops(address) == []
    assert mailing.sent(address)[0], "she hears from the shop again"


# Opens and clicks --------------------------------------------------------------------------------


def test_what_a_person_does_becomes_events_and_what_a_machine_does_is_counted_apart(mailing: Mailing) -> None:
    human, scanner, burst = (mailing.join("email", "analytics") for _ in range(3))
    ids = {address: mailing.old(address) for address in (human, scanner, burst)}
    machine_clicks = mailing.count("machine_clicks")

    status, headers, _ = mailing.ask("GET", links(mailing, "c0", ids[human]), user_agent=BROWSER)
    assert (status, headers["location"]) == (302, "https://shop.example/one")
    status, headers, pixel = mailing.ask("GET", links(mailing, "o", ids[human]), user_agent=BROWSER)
    assert (status, headers["content-type"], pixel[:3]) == (200, "image/gif", "GIF")
    for method, agent in (("GET", "Barracuda Link Protection"), ("HEAD", BROWSER), ("GET", "")):
        mailing.ask(method, links(mailing, "c0", ids[scanner]), user_agent=agent)
    for use in ("c0", "c1"):
        mailing.ask("GET", links(mailing, use, ids[burst]), user_agent=BROWSER)
    fresh = mailing.sent(mailing.join("email", "analytics"))[0]
    mailing.ask("GET", links(mailing, "c0", fresh), user_agent=BROWSER)

    until(lambda: mailing.clicks(human) == 1, "her click as an event")
    # The event comes first, then the verdict.
    until(lambda: mailing.verdicts(ids[human]) == [("click", False), ("open", False)], "the verdicts")
    assert mailing.verdicts(ids[scanner]) == [("click", True)] * 3
    assert mailing.verdicts(ids[burst]) == [("click", True)] * 2
    until(lambda: mailing.verdicts(fresh) == [("click", True)], "the verdict on a click within seconds")
    assert (mailing.clicks(scanner), mailing.clicks(burst)) == (0, 0)
    assert mailing.count("machine_clicks") == machine_clicks + 6


def test_a_picture_with_a_wrong_token_is_still_a_picture(mailing: Mailing) -> None:
    status, _, pixel = mailing.ask("GET", f"{mailing.hub.http}/o/nonsense.gif")
    assert (status, pixel[:3]) == (200, "GIF")


# What comes back ---------------------------------------------------------------------------------


def bounce(to: str, status: str, said: str, action: str = "failed") -> bytes:
    return (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {to}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nIt could not be delivered.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; x@mail.example\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {said}\r\n\r\n--b--\r\n"
    ).encode()


def complaint(original: bytes) -> bytes:
    return (
        b"From: fbl@provider.example\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nA complaint.\r\n"
        b"--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        b"Feedback-Type: abuse\r\nUser-Agent: x\r\nVersion: 1\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n" + original + b"\r\n--b--\r\n"
    )


def bring_back(mailing: Mailing, to: str, content: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", mailing.hub.server.bounce_port, timeout=10) as client:
        client.sendmail("", [to], content)


def sender_of(mailing: Mailing, address: str) -> str:
    (found,) = [one.mail_from for one in mailing.catcher.got if address in one.rcpt_tos]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "said", "action", "stops", "state", "counted"),
    [
        ("5.1.1", "550 5.1.1 user unknown", "failed", ["bounce"], "failed", "bounces_hard"),
        ("5.2.2", "552 5.2.2 mailbox full", "failed", [], "sent", "bounces_soft"),
        ("4.2.0", "450 4.2.0 greylisted", "delayed", [], "sent", "bounces_soft"),
    ],
)
def test_a_bounce_suppresses_who_is_not_there(
    mailing: Mailing, status: str, said: str, action: str, stops: list[str], state: str, counted: str
) -> None:
    address = mailing.join("email", "analytics")
    message_id, _ = mailing.sent(address)
    before = mailing.count(counted)
    bring_back(mailing, sender_of(mailing, address), bounce("x", status, said, action))
    assert (mailing.stops(address), mailing.row(message_id).state) == (stops, state)
    assert mailing.count(counted) == before + 1


def test_a_complaint_suppresses_by_the_message_that_it_brings_back(mailing: Mailing) -> None:
    address = mailing.join("email")
    message_id, mail = mailing.sent(address)
    bring_back(mailing, "fbl@shop.example", complaint(mail.as_bytes()))
    assert (mailing.stops(address), mailing.row(message_id).reason) == (["complaint"], "complained")


def test_nobody_suppresses_another_by_a_mail_of_her_own(mailing: Mailing) -> None:
    address = mailing.join("email")
    message_id, _ = mailing.sent(address)
    for to in (f"bounces+{message_id}-{0:016x}@shop.example", "bounces@shop.example"):
        bring_back(mailing, to, bounce("x", "5.1.1", f"550 5.1.1 <{address}> user unknown"))
    assert mailing.stops(address) == []


def test_a_mail_to_the_unsubscribe_address_stops_too(mailing: Mailing) -> None:
    address = mailing.join("email")
    _, mail = mailing.sent(address)
    found = re.search(r"<mailto:([^?]+)\?subject=([^>]+)>", mail["List-Unsubscribe"].replace("\r\n", ""))
    assert found is not None
    subject = found[2].replace("%20", " ")
    bring_back(mailing, found[1], f"From: {address}\r\nSubject: {subject}\r\n\r\n".encode())
    assert (mailing.stops(address), mailing.consent(address, "email")) == (["unsubscribe"], "withdrawn")


def test_the_bounce_port_relays_nothing_and_takes_nothing_big(mailing: Mailing) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        bring_back(mailing, "somebody@elsewhere.example", b"Subject: x\r\n\r\n")
    with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPSenderRefused)):
        bring_back(mailing, "bounces@shop.example", b"x" * 75 * 20_000)


def test_a_token_of_the_hub_s_key_is_what_its_senders_hold(mailing: Mailing) -> None:
    address = mailing.join("email")
    message_id, _ = mailing.sent(address)
    verp = Verp(open_keys(mailing.hub.settings).links, "shop.example")
    assert sender_of(mailing, address) == verp.sender(message_id)
