"""`onevoice-hub`: reads the settings, runs the hub until SIGTERM or SIGINT."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import structlog

from core.errors import CoreError
from hub import logs
from hub.errors import SettingsError
from hub.options import read
from hub.server import create_server
from hub.settings import Settings

_log = structlog.get_logger("hub")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the hub: 0 after a clean stop, 2 where it is set wrongly, 1 where it cannot run."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        settings = read(Settings, "onevoice-hub", given, os.environ)
        logs.configure(settings.log_level)
        asyncio.run(_run(settings))
    except CoreError as error:
        print(f"onevoice-hub: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) and error.code == "settings" else 1
    return 0


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with create_server(settings).running():
        await stop.wait()
        _log.info("hub stops", node=settings.node)
    _log.info("hub stopped", node=settings.node)


if __name__ == "__main__":
    sys.exit(main())
