"""A hub in a process of its own, which kills itself at a chosen point: `runner.py FOLDER URL POINT COUNT`.

Points: `before_commit` and `after_commit` of the n-th transaction, `after_publish` of the n-th batch or
`never`. Prints its address.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import event as sqlalchemy_event

from hub.data.changes import Changes
from hub.data.event_log import EventLog
from hub.store.engine import Store
from hub.store.migrate import migrate
from tests.hub.sync.harness import hub


class Bomb:
    """Goes off at the n-th call."""

    def __init__(self, count: int) -> None:
        self._left = count

    def tick(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(store: Store, point: str, bomb: Bomb) -> None:
    """Put the bomb in place."""
    match point:
        case "before_commit":
            sqlalchemy_event.listen(store._writer_engine, "commit", bomb.tick)
        case "after_commit":
            Changes._committed = behind(bomb, Changes._committed)  # type: ignore[method-assign]
        case "after_publish":
            publish = EventLog.publish

            async def then_die(*args: Any) -> None:
                await publish(*args)
                bomb.tick()

            EventLog.publish = then_die  # type: ignore[method-assign]


def behind(bomb: Bomb, function: Callable[..., None]) -> Callable[..., None]:
    def wrapped(*args: Any) -> None:
        bomb.tick()
        function(*args)

    return wrapped


async def main(folder: Path, url: str, point: str, count: int) -> None:
    store = Store(url)
    migrate(store)
    async with hub(store, folder) as served:
        arm(store, point, Bomb(count))
        print(served.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
