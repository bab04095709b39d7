"""The mailbox takes in what SMTP brings, keeps it, shows it, and runs nothing of it."""

import os
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx2
import pytest
from aiosmtpd.smtp import Envelope

from examples.shop import mailbox
from examples.shop.mailbox import Mailbox
from examples.shop.system import answers
from tests.shared import ROOT


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def a_mail(subject: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.com>", "ada@example.com", subject
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}</p>", subtype="html")
    return mail


def send(port: int, mail: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(mail, "bounce@example.com", ["ada@example.com", "ben@example.com"])


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A mailbox process of its own: its HTTP and SMTP ports."""
    http, smtp = free_port(), free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MAILBOX_FOLDER": str(tmp_path),
        "MAILBOX_HTTP_PORT": str(http),
        "MAILBOX_SMTP_PORT": str(smtp),
    }
    with subprocess.Popen([sys.executable, "-m", "examples.shop.mailbox"], env=environment) as process:
        try:
            deadline = time.monotonic() + 20
            while not answers(f"http://127.0.0.1:{http}/healthz"):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield http, smtp
        finally:
            process.terminate()


def test_mails_are_shown_newest_first_as_json_and_escaped_on_the_page(ports: tuple[int, int]) -> None:
    http, smtp = ports
    send(smtp, a_mail("Grüße", "Hello Ada"))
    send(smtp, a_mail("<script>alert(1)</script>", "Second"))
    with httpx2.Client(base_url=f"http://127.0.0.1:{http}", trust_env=False) as client:
        second, first = client.get("/messages").json()["messages"]
        page = client.get("/").text
    assert (first["subject"], first["text"].strip()) == ("Grüße", "Hello Ada")
    assert first["from"] == "bounce@example.com"
    assert first["to"] == ["ada@example.com", "ben@example.com"]
    assert "<p>Hello Ada</p>" in first["html"]
    assert second["subject"] == "<script>alert(1)</script>"
    assert "<script>alert" not in page


def test_oldest_mails_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MESSAGES_MAX", 3)
    box = Mailbox(tmp_path)
    for number in range(5):
        envelope = Envelope()
        envelope.mail_from, envelope.rcpt_tos = "a@example.com\r\nX-Evil: 1", ["b@example.com"]
        envelope.original_content = f"Subject: {number}\r\n\r\ntext".encode()
        box.put(envelope)
    assert [message["subject"] for message in box.messages()] == ["4", "3", "2"]
    assert "X-Evil" not in box.messages()[0]["headers"]
