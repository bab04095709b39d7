"""The HTTP port: uvicorn on the hub's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette

from hub.errors import SettingsError

STOP_SECONDS: Final = 2
BACKLOG: Final = 64
CONNECTIONS_MAX: Final = 256


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(stack: contextlib.AsyncExitStack, app: Starlette, host: str, port: int) -> int:
    """Serve until the stack closes; returns the port."""
    listener = _bind(host, port)
    bound: int = listener.getsockname()[1]
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")

    async def stop() -> None:
        server.should_exit = True
        await task

    stack.push_async_callback(stop)
    return bound


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        message = f"ONEVOICE_HTTP_PORT: expected a free port, got {host}:{port} ({error.strerror})"
        raise SettingsError(message, code="in_use") from error
