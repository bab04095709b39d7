"""Reading a request's body: bounded in bytes and in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from edge.http.replies import HttpError

BODY_SECONDS_MAX: Final = 10.0
TICK_SECONDS: Final = 1.0
#: What is too long is read to its end and thrown away, up to here: a client that is still sending hears no
#: answer.
DRAINED_BYTES_MAX: Final = 4 * 1024 * 1024
#: Beacons send text/plain, so that the browser asks no question before.
TYPES: Final = (b"application/json", b"text/plain")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientGoneError(Exception):
    """The client hung up; nobody is there to answer."""


class Patience:
    """Ends requests whose body does not come.

    A timer a request would cost as much as a database look-up; one tick a second over those that wait costs
    nothing.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._expired: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        now = time.monotonic()
        for task, since in list(self._waiting.items()):
            if now - since > BODY_SECONDS_MAX:
                self._expired.add(task)
                task.cancel()
        self.start()

    async def read_body(self, receive: Receive, headers: Mapping[bytes, bytes], bytes_max: int) -> bytes:
        """The whole body.

        Raises
        ------
        HttpError
            413 too long, 415 of another type, 400 too slow.
        """
        check_type(headers)
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = time.monotonic()
        try:
            return await _gather(receive, bytes_max)
        except asyncio.CancelledError as error:
            if task not in self._expired:
                raise
            task.uncancel()
            expected = f"the whole body within {BODY_SECONDS_MAX:.0f} seconds"
            raise HttpError(400, "too_slow", path="$", expected=expected, got="a part") from error
        finally:
            del self._waiting[task]
            self._expired.discard(task)


async def _gather(receive: Receive, bytes_max: int) -> bytes:
    body, total = b"", 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part: bytes = message.get("body", b"")
        total += len(part)
        if total <= bytes_max:
            body = body + part if body else part
        elif total > bytes_max + DRAINED_BYTES_MAX:
            raise too_large(bytes_max)
        if not message.get("more_body", False):
            if total > bytes_max:
                raise too_large(bytes_max)
            return body


def check_type(headers: Mapping[bytes, bytes]) -> None:
    """Accept JSON, also where it is called plain text or nothing at all."""
    given = headers.get(b"content-type")
    if given is None or given == TYPES[0] or given.split(b";", 1)[0].strip().lower() in TYPES:
        return
    raise HttpError(
        415, "unsupported_media_type", path="content-type", expected="application/json", got="another"
    )


def too_large(bytes_max: int) -> HttpError:
    return HttpError(413, "too_large", path="$", expected=f"at most {bytes_max} bytes", got="more")
