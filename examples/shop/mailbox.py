"""The example's mailbox: takes in every mail that comes to its SMTP port, delivers none, shows them all.

python -m examples.shop.mailbox      # started by examples/shop/run.py, which sets the environment
"""

import asyncio
import email.policy
import html
import os
import re
import time
import uuid
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGES_MAX = 10_000
SHOWN_MAX = 200
TEXT_LENGTH_MAX = 20_000


class Mailbox:
    """Mails as files of one folder, the newest first; the oldest make room."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, envelope: Envelope) -> str:
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
        content = envelope.original_content or b""
        draft = self._folder / f".{name}"
        draft.write_bytes(envelope_lines(envelope) + content)
        draft.rename(self._folder / f"{name}.eml")
        for old in sorted(self._folder.glob("*.eml"))[:-MESSAGES_MAX]:
            old.unlink(missing_ok=True)
        return name

    def messages(self, count: int = MESSAGES_MAX) -> list[dict[str, Any]]:
        newest = sorted(self._folder.glob("*.eml"), reverse=True)[:count]
        return [describe(path.stem, path.read_bytes()) for path in newest]


def envelope_lines(envelope: Envelope) -> bytes:
    """Who sent it to whom by SMTP, which the mail itself need not say, as headers in front of it."""
    recipients = ", ".join(clean(address) for address in envelope.rcpt_tos)
    return f"X-Envelope-From: {clean(envelope.mail_from)}\r\nX-Envelope-To: {recipients}\r\n".encode()


def clean(value: str | None) -> str:
    return re.sub(r"[\r\n]", "", value or "")


def describe(name: str, content: bytes) -> dict[str, Any]:
    message = message_from_bytes(content, policy=email.policy.default)
    headers = {key: str(value) for key, value in message.items()}
    return {
        "id": name,
        "received_at_ms": int(name.split("-", 1)[0]) // 1_000_000,
        "from": headers.pop("X-Envelope-From", ""),
        "to": [address for address in headers.pop("X-Envelope-To", "").split(", ") if address],
        "subject": headers.get("Subject", ""),
        "headers": headers,
        "text": body(message, "plain"),
        "html": body(message, "html"),
    }


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content())[:TEXT_LENGTH_MAX] if part is not None else ""


class Handler:
    """What aiosmtpd calls for each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.to_thread(self._mailbox.put, envelope)
        return "250 OK"


def create_app(mailbox: Mailbox) -> Starlette:
    async def messages(request: Request) -> Response:
        return JSONResponse({"messages": await asyncio.to_thread(mailbox.messages)})

    async def page(request: Request) -> Response:
        shown = await asyncio.to_thread(mailbox.messages, SHOWN_MAX)
        return HTMLResponse(render(shown), headers={"content-security-policy": "default-src 'none'"})

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route("/messages", messages), Route("/", page), Route("/healthz", healthz)],
    )


def render(messages: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<article><h2>{html.escape(message['subject'] or '(no subject)')}</h2>"
        f"<p>from {html.escape(message['from'])} to {html.escape(', '.join(message['to']))}</p>"
        f"<pre>{html.escape(message['text'])}</pre></article>"
        for message in messages
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Mailbox of the sample shop</title>'
        "<h1>Mailbox of the sample shop</h1><p>Every mail ends here; none is delivered. "
        f'The same as JSON: <a href="/messages">/messages</a></p>{rows or "<p>No mail yet.</p>"}</html>'
    )


async def serve(mailbox: Mailbox, http_port: int, smtp_port: int) -> None:
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(Handler(mailbox), data_size_limit=MESSAGE_BYTES_MAX, enable_SMTPUTF8=True, loop=loop),
        host="127.0.0.1",
        port=smtp_port,
    )
    config = uvicorn.Config(
        create_app(mailbox),
        host="127.0.0.1",
        port=http_port,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    async with smtp:
        await uvicorn.Server(config).serve()


def main() -> None:
    mailbox = Mailbox(Path(os.environ["MAILBOX_FOLDER"]))
    ports = (int(os.environ["MAILBOX_HTTP_PORT"]), int(os.environ["MAILBOX_SMTP_PORT"]))
    asyncio.run(serve(mailbox, *ports))


if __name__ == "__main__":
    main()
