"""One worker process: uvicorn on the shared socket."""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn

from edge.http.app import create_app
from edge.http.short import ShortWay
from edge.process import become_child, configure_logging, on_terminate
from edge.seat import Seat
from edge.settings import Settings

KEEP_ALIVE_SECONDS: Final = 30
GRACE_SECONDS: Final = 5
BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Stops at SIGTERM only; the supervisor alone hears the terminal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        on_terminate(self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


def server_config(app: object) -> uvicorn.Config:
    """How every worker serves."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="uvloop",
        http=ShortWay,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        backlog=BACKLOG,
    )


def run_worker(settings: Settings, seat: Seat, listener: socket.socket, supervisor_pid: int) -> None:
    """The process's main function."""
    become_child(supervisor_pid)
    configure_logging(settings.log_level, f"worker-{seat.index}")
    server = _Server(server_config(create_app(settings, seat)))
    server.run(sockets=[listener])
    # Threads of the journal are joined by now; what is left (executor threads) holds nothing.
    os._exit(0 if server.started else 1)
