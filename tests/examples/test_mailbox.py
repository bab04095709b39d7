"""The mailbox takes in what SMTP brings, keeps it, shows it as a person sees it, and runs nothing of it."""

import base64
import os
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dkim
import httpx2
import pytest
from aiosmtpd.smtp import Envelope

from examples.shop import mailbox
from examples.shop.accounts import make_dkim_key
from examples.shop.mailbox import Mailbox
from examples.shop.mails import one_click_address, preview, unsubscribe, verdict
from examples.shop.system import answers
from tests.shared import ROOT

DOMAIN, SELECTOR = "shop.example", "test"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def a_mail(subject: str, text: str, html: str = "", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Shop <shop@{DOMAIN}>", "ada@example.com", subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    mail.add_alternative(html or f"<p>{text}</p>", subtype="html")
    return mail


def send(port: int, mail: EmailMessage | bytes) -> None:
    to = ["ada@example.com", "ben@example.com"]
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        if isinstance(mail, bytes):
            client.sendmail("bounce@example.com", to, mail)
        else:
            client.send_message(mail, "bounce@example.com", to)


@dataclass
class Keys:
    """A DKIM key and the folder with its public half."""

    private: bytes
    folder: Path

    def signed(self, mail: EmailMessage) -> bytes:
        raw = mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))
        header: bytes = dkim.sign(raw, SELECTOR.encode(), DOMAIN.encode(), self.private)
        return header + raw


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("dkim")
    make_dkim_key(folder / "private.pem", folder, SELECTOR, DOMAIN)
    return Keys((folder / "private.pem").read_bytes(), folder)


@dataclass
class Box:
    """A mailbox process of its own."""

    http: int
    smtp: int

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.http}{path}", trust_env=False)

    def post(self, path: str, **options: object) -> httpx2.Response:
        return httpx2.post(f"http://127.0.0.1:{self.http}{path}", trust_env=False, **options)  # type: ignore[arg-type]

    def newest(self) -> dict[str, object]:
        found: dict[str, object] = self.get("/messages").json()["messages"][0]
        return found


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Box]:
    box = Box(free_port(), free_port())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MAILBOX_FOLDER": str(tmp_path_factory.mktemp("mails")),
        "MAILBOX_HTTP_PORT": str(box.http),
        "MAILBOX_SMTP_PORT": str(box.smtp),
        "MAILBOX_DKIM_KEYS": str(keys.folder),
    }
    with subprocess.Popen([sys.executable, "-m", "examples.shop.mailbox"], env=environment) as process:
        try:
            deadline = time.monotonic() + 20
            while not answers(f"http://127.0.0.1:{box.http}/healthz"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield box
        finally:
            process.terminate()


def test_mails_are_shown_newest_first_as_json_and_escaped_on_the_page(box: Box) -> None:
    send(box.smtp, a_mail("Grüße", "Hello Ada"))
    send(box.smtp, a_mail("<script>alert(1)</script>", "Second"))
    second, first = box.get("/messages").json()["messages"][:2]
    assert (first["subject"], first["text"].strip()) == ("Grüße", "Hello Ada")
    assert first["from"] == "bounce@example.com"
    assert first["to"] == ["ada@example.com", "ben@example.com"]
    assert "<p>Hello Ada</p>" in first["html"]
    assert (first["preheader"], first["dkim"], first["one_click"]) == ("Hello Ada", "none", "")
    assert second["subject"] == "<script>alert(1)</script>"
    for path in ("/", f"/mail/{second['id']}"):
        assert "<script>alert" not in box.get(path).text


def test_html_is_shown_in_a_frame_where_nothing_runs_and_links_open_beside(box: Box) -> None:
    html = (
        "<html><head></head><body><script>alert(1)</script><a href='http://127.0.0.1/x'>x</a></body></html>"
    )
    send(box.smtp, a_mail("Frame", "x", html))
    name = box.newest()["id"]
    page = box.get(f"/mail/{name}").text
    assert f'src="/mail/{name}/html" sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    frame = box.get(f"/mail/{name}/html")
    policy = frame.headers["content-security-policy"]
    assert "sandbox allow-popups" in policy
    assert "allow-scripts" not in policy + page
    assert "script-src" not in policy, "default-src 'none' is the last word on scripts"
    assert '<head><base target="_blank">' in frame.text


@pytest.mark.parametrize("path", ["/mail/x", "/mail/..%2Fx", "/mail/00000000000000000000-00000000/html"])
def test_mails_that_are_not_there_are_404(box: Box, path: str) -> None:
    assert box.get(path).status_code == 404


def test_oldest_mails_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MESSAGES_MAX", 3)
    box = Mailbox(tmp_path)
    for number in range(5):
        envelope = Envelope()
        envelope.mail_from, envelope.rcpt_tos = "a@example.com\r\nX-Evil: 1", ["b@example.com"]
        envelope.original_content = f"Subject: {number}\r\n\r\ntext".encode()
        box.put(envelope)
    assert [mail.subject for mail in box.mails()] == ["4", "3", "2"]
    assert "X-Evil" not in box.mails()[0].headers


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        (
            "<body><div style='display:none'>First words&#847;&zwnj;&nbsp;&#847;</div>Hello</body>",
            "First words",
        ),
        ("<head><title>T</title><style>a{}</style></head><p>Hello\n  you</p>", "Hello you"),
        (f"<p>{'x' * 500}</p>", "x" * 140),
        ("", ""),
    ],
)
def test_a_preview_is_the_beginning_without_its_filling(html: str, expected: str) -> None:
    assert preview(html) == expected


# ---- Signatures


def test_a_signature_is_verified_with_the_published_key(box: Box, keys: Keys) -> None:
    signed = keys.signed(a_mail("Signed", "Hello"))
    send(box.smtp, signed)
    assert box.newest()["dkim"] == "pass"
    assert 'data-dkim="pass"' in box.get(f"/mail/{box.newest()['id']}").text
    send(box.smtp, signed.replace(b"Subject: Signed", b"Subject: Forged"))
    assert box.newest()["dkim"] == "fail"


def test_a_signature_without_its_public_key_does_not_hold(keys: Keys, tmp_path: Path) -> None:
    signed = keys.signed(a_mail("Signed", "Hello"))
    assert verdict(signed, keys.folder) == "pass"
    assert verdict(signed, tmp_path) == "fail"
    assert verdict(signed, None) == "fail"
    assert verdict(b"DKIM-Signature: nonsense\r\n" + signed, keys.folder) == "fail"
    (tmp_path / f"{SELECTOR}._domainkey.{DOMAIN}.txt").write_bytes(
        b"v=DKIM1; k=rsa; p=" + base64.b64encode(b"no key")
    )
    assert verdict(signed, tmp_path) == "fail"


# ---- One click


@dataclass
class Sender:
    """The sender's server: what was asked of it."""

    status: int = 200
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)


@pytest.fixture
def sender() -> Iterator[tuple[Sender, str]]:
    heard = Sender()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.asked.append((self.command, self.path, self.headers["Content-Type"], body))
            self.send_response(heard.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield heard, f"http://127.0.0.1:{server.server_port}/u/token?a=1"
        server.shutdown()
        thread.join()


def a_list_mail(address: str) -> EmailMessage:
    return a_mail(
        "News",
        "x",
        List_Unsubscribe=f"<mailto:stop@{DOMAIN}>, <{address}>",
        List_Unsubscribe_Post="List-Unsubscribe=One-Click",
    )


def test_unsubscribing_is_one_post_as_rfc_8058_says(box: Box, sender: tuple[Sender, str]) -> None:
    heard, address = sender
    send(box.smtp, a_list_mail(address))
    mail = box.newest()
    assert mail["one_click"] == address
    assert 'id="unsubscribe"' in box.get(f"/mail/{mail['id']}").text
    assert heard.asked == [], "showing a mail unsubscribes nobody"
    answer = box.post(f"/mail/{mail['id']}/unsubscribe")
    form = "application/x-www-form-urlencoded"
    assert heard.asked == [("POST", "/u/token?a=1", form, "List-Unsubscribe=One-Click")]
    assert "the sender has answered 200" in answer.text


@pytest.mark.parametrize("status", [302, 404, 500])
def test_another_answer_is_told_and_not_followed(box: Box, sender: tuple[Sender, str], status: int) -> None:
    heard, address = sender
    heard.status = status
    send(box.smtp, a_list_mail(address))
    answer = box.post(f"/mail/{box.newest()['id']}/unsubscribe")
    assert answer.status_code == 502
    assert f"answered {status}: not unsubscribed" in answer.text
    assert len(heard.asked) == 1


def test_a_click_of_another_page_is_refused(box: Box, sender: tuple[Sender, str]) -> None:
    heard, address = sender
    send(box.smtp, a_list_mail(address))
    path = f"/mail/{box.newest()['id']}/unsubscribe"
    assert box.post(path, headers={"origin": "http://elsewhere.test"}).status_code == 403
    assert heard.asked == []


@pytest.mark.parametrize(
    "address", ["http://192.0.2.1/u", "https://127.0.0.1/u", "ftp://127.0.0.1/u", "", "http://["]
)
def test_nothing_beyond_this_machine_is_called(address: str) -> None:
    with pytest.raises(ValueError, match="this machine"):
        unsubscribe(address)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"List-Unsubscribe": "<http://127.0.0.1/u>"}, ""),
        (
            {
                "List-Unsubscribe": "<mailto:a@example.com>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
            "",
        ),
        ({"List-Unsubscribe": "<http://127.0.0.1/u>", "List-Unsubscribe-Post": "Other=One-Click"}, ""),
        (
            {
                "list-unsubscribe": "<mailto:a@example.com>, <http://127.0.0.1/u>",
                "list-unsubscribe-post": "List-Unsubscribe=One-Click",
            },
            "http://127.0.0.1/u",
        ),
    ],
)
def test_one_click_needs_both_headers(headers: dict[str, str], expected: str) -> None:
    assert one_click_address(headers) == expected
