"""The short way of the hot route.

An ordinary `POST /v1/decide` on a connection that stays open is answered as soon as its last byte has come:
no task, no ASGI messages, one write. Everything else, an unusual request for a decision included, goes
uvicorn's own way through ASGI and gets the same answer. It rests on uvicorn's class, whose version is
pinned for that.
"""

import asyncio
import time
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from edge.http.app import Application
from edge.http.body import BODY_SECONDS_MAX
from edge.http.decide import BODY_BYTES_MAX

_URL: Final = b"/v1/decide"
_METHOD: Final = b"POST"
_VERSION: Final = "1.1"
_LENGTH_DIGITS_MAX: Final = 6


class ShortWay(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        application = self.config.app
        self._application = application if isinstance(application, Application) else None
        #: The parts of a short-way request's body; None outside of one.
        self._parts: list[bytes] | None = None
        self._started_ns = 0
        self._body_timer: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Only what the parser needs; the scope is made when a request goes the ordinary way."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Choose the way."""
        if self.url == _URL and self._application is not None and self._is_ordinary_decision():
            self._parts = []
            self._started_ns = time.perf_counter_ns()
            self.cycle = None  # type: ignore[assignment]
            self._application.load.enter()
            return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        super().on_headers_complete()

    def _is_ordinary_decision(self) -> bool:
        """Whether neither request nor connection needs ASGI: one answer at a time, a said and allowed
        length.
        """
        parser = self.parser
        if (
            parser.get_method() != _METHOD
            or parser.get_http_version() != _VERSION
            or not parser.should_keep_alive()
            or parser.should_upgrade()
            or self.expect_100_continue
            or (self.cycle is not None and not self.cycle.response_complete)
            or self.flow.write_paused
        ):
            return False
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return length.isdigit() and len(length) <= _LENGTH_DIGITS_MAX and int(length) <= BODY_BYTES_MAX

    def on_body(self, body: bytes) -> None:
        """Keep a part."""
        if self._parts is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        parts, application = self._parts, self._application
        if parts is None or application is None:
            super().on_message_complete()
            return
        raw = parts[0] if len(parts) == 1 else b"".join(parts)
        headers = dict(self.headers)
        status, reply_headers, body = application.decide(headers, b"", raw, self.client, self._started_ns)
        self._leave()
        content = [STATUS_LINE[status]]
        for name, value in self.server_state.default_headers:
            content += (name, b": ", value, b"\r\n")
        for name, value in reply_headers:
            content += (name, b": ", value, b"\r\n")
        content += (b"\r\n", body)
        self.transport.write(b"".join(content))
        self.on_response_complete()

    def data_received(self, data: bytes) -> None:
        """Let the parser run; a body that has not come whole with it is given a timer, the common one has."""
        super().data_received(data)
        if self._parts is not None and self._body_timer is None:
            self._body_timer = self.loop.call_later(BODY_SECONDS_MAX, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a request that will not be whole."""
        if self._parts is not None:
            self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        self._parts = None
        if self._application is not None:
            self._application.load.leave()
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _give_up(self) -> None:
        """The body does not come: nothing was asked, so nothing is answered."""
        self._body_timer = None
        if self._parts is not None and not self.transport.is_closing():
            self.transport.close()
