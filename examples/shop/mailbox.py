"""The example's mailbox: takes in every mail that comes to its SMTP port, delivers none, shows them all.

python -m examples.shop.mailbox      # started by examples/shop/run.py, which sets the environment
"""

import asyncio
import os
import re
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from examples.shop.mailbox_page import FRAME_POLICY, PAGE_POLICY, frame_page, list_page, mail_page
from examples.shop.mails import Mail, read_mail, unsubscribe

MESSAGE_BYTES_MAX = 1024 * 1024
MESSAGES_MAX = 10_000
SHOWN_MAX = 200
READ_MAX = 1_000
CSS = Path(__file__).parent / "static" / "mailbox.css"
ID = re.compile(r"[0-9]{20}-[0-9a-f]{8}")


class Mailbox:
    """Mails as files of one folder, the newest first; the oldest make room."""

    def __init__(self, folder: Path, dkim_keys: Path | None = None) -> None:
        """`dkim_keys`: a folder with what the DNS would say, a file a name."""
        self._folder = folder
        self._dkim_keys = dkim_keys
        self._read: OrderedDict[str, Mail] = OrderedDict()
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

    def mails(self, count: int = MESSAGES_MAX) -> list[Mail]:
        """The newest ones. One that makes room meanwhile is left out."""
        newest = sorted(self._folder.glob("*.eml"), reverse=True)[:count]
        found = [self.mail(path.stem) for path in newest]
        return [mail for mail in found if mail is not None]

    def mail(self, name: str) -> Mail | None:
        """One mail; what was read lately is kept."""
        known = self._read.get(name)
        if known is not None:
            return known
        if not ID.fullmatch(name):
            return None
        try:
            content = (self._folder / f"{name}.eml").read_bytes()
        except FileNotFoundError:
            return None
        mail = self._read[name] = read_mail(name, content, self._dkim_keys)
        while len(self._read) > READ_MAX:
            self._read.popitem(last=False)
        return mail


def envelope_lines(envelope: Envelope) -> bytes:
    """Who sent it to whom by SMTP, which the mail itself need not say, as headers in front of it."""
    recipients = ", ".join(clean(address) for address in envelope.rcpt_tos)
    return f"X-Envelope-From: {clean(envelope.mail_from)}\r\nX-Envelope-To: {recipients}\r\n".encode()


def clean(value: str | None) -> str:
    return re.sub(r"[\r\n]", "", value or "")


class Handler:
    """What aiosmtpd calls for each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.to_thread(self._mailbox.put, envelope)
        return "250 OK"


class Pages:
    """The mailbox over HTTP."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._reading = asyncio.Lock()

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/messages", self.messages),
                Route("/", self.index),
                Route("/mail/{id}", self.mail),
                Route("/mail/{id}/html", self.frame),
                Route("/mail/{id}/unsubscribe", self.unsubscribe, methods=["POST"]),
                Route("/mailbox.css", self.css),
                Route("/healthz", self.healthz),
            ]
        )

    async def messages(self, request: Request) -> Response:
        mails = await self._mails(MESSAGES_MAX)
        return JSONResponse({"messages": [mail.as_json() for mail in mails]})

    async def index(self, request: Request) -> Response:
        return page(list_page(await self._mails(SHOWN_MAX)))

    async def mail(self, request: Request) -> Response:
        mail = await self._mail(request)
        return missing() if mail is None else page(mail_page(mail))

    async def frame(self, request: Request) -> Response:
        mail = await self._mail(request)
        if mail is None or not mail.html:
            return missing()
        return HTMLResponse(frame_page(mail), headers=safe(FRAME_POLICY))

    async def unsubscribe(self, request: Request) -> Response:
        """One click, made by this process as a mailbox provider's would."""
        mail = await self._mail(request)
        if mail is None:
            return missing()
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != request.headers.get("host"):
            return PlainTextResponse("expected a click on this mailbox's own page, got another one", 403)
        try:
            status = await asyncio.to_thread(unsubscribe, mail.one_click)
        except (OSError, ValueError) as error:
            return page(mail_page(mail, f"It could not be done: {error}"), 502)
        if status // 100 == 2:
            return page(mail_page(mail, f"Unsubscribed: the sender has answered {status}."))
        return page(mail_page(mail, f"The sender has answered {status}: not unsubscribed."), 502)

    async def css(self, request: Request) -> Response:
        return FileResponse(CSS)

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def _mails(self, count: int) -> list[Mail]:
        async with self._reading:
            return await asyncio.to_thread(self._mailbox.mails, count)

    async def _mail(self, request: Request) -> Mail | None:
        async with self._reading:
            return await asyncio.to_thread(self._mailbox.mail, request.path_params["id"])


def page(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers=safe(PAGE_POLICY))


def missing() -> Response:
    return PlainTextResponse("no such mail", 404)


def safe(policy: str) -> dict[str, str]:
    return {
        "content-security-policy": policy,
        # Without a referrer browsers do not say where a form comes from.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


async def serve(mailbox: Mailbox, http_port: int, smtp_port: int) -> None:
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(Handler(mailbox), data_size_limit=MESSAGE_BYTES_MAX, enable_SMTPUTF8=True, loop=loop),
        host="127.0.0.1",
        port=smtp_port,
    )
    config = uvicorn.Config(
        Pages(mailbox).app(),
        host="127.0.0.1",
        port=http_port,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )
    async with smtp:
        await uvicorn.Server(config).serve()


def main() -> None:
    keys = os.environ.get("MAILBOX_DKIM_KEYS", "")
    mailbox = Mailbox(Path(os.environ["MAILBOX_FOLDER"]), Path(keys) if keys else None)
    ports = (int(os.environ["MAILBOX_HTTP_PORT"]), int(os.environ["MAILBOX_SMTP_PORT"]))
    asyncio.run(serve(mailbox, *ports))


if __name__ == "__main__":
    main()
