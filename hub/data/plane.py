"""The data plane of one hub, put together: log, ingestion, changes, and what the faces ask of profiles."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from core.bundle import BundleDocument
from hub.data.changes import Changes
from hub.data.disk import fdatasync_ms
from hub.data.event_log import EventLog
from hub.data.ingestion import Ingestion
from hub.data.ingestor import Ingestor
from hub.data.maintenance import Maintenance, Retention
from hub.data.merging import Merging
from hub.data.people import People
from hub.data.profiles import ProfileData
from hub.data.reprojection import Reprojection
from hub.data.signals import InterestSource, no_interest
from hub.data.tasks import SteadyTask
from hub.data.values import Values
from hub.data.view import view_of
from hub.store import log_state
from hub.store.engine import Store


def wall_clock_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


RETENTION: Final = Retention()
#: How soon the edges of one replica hear of what another one committed.
REPLICA_SECONDS: Final = 0.05
#: A log that is far behind does not hold up an erasure for longer.
CATCH_UP_SECONDS_MAX: Final = 5.0

log = structlog.get_logger(__name__)


class DataPlane:
    """Owns everything between the event log and the profiles; `start`, `use` a bundle, `stop`."""

    def __init__(
        self,
        store: Store,
        log_folder: Path,
        *,
        nats_url: str = "",
        sealing_key: bytes,
        identifier_key: bytes,
        clock: Callable[[], int] = wall_clock_ms,
        retention: Retention = RETENTION,
        interest: InterestSource = no_interest,
    ) -> None:
        """`store` is migrated; `sealing_key` is the raw X25519 private key."""
        self.store = store
        self.clock = clock
        self.event_log = EventLog(log_folder, nats_url)
        self.changes = Changes(store, clock)
        self.people = People()
        self.values = Values(sealing_key, identifier_key)
        self.ingestor = Ingestor(self.people, self.values, interest)
        self.ingestion = Ingestion(store, self.event_log, self.changes, self.ingestor)
        self.reprojection = Reprojection(self.changes)
        self.ingestion.on_use(self.reprojection.use)
        self.maintenance = Maintenance(store, self.event_log, clock, retention)
        self.profiles = ProfileData(store, self.changes, clock, self._caught_up)
        self.merging = Merging(self.changes, self.people, lambda: self.ingestion.view, self._caught_up)
        self._log_folder = log_folder
        self._replicas = SteadyTask("replicas", lambda: self.changes.watch(REPLICA_SECONDS))

    async def start(self) -> None:
        self._log_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        cost_ms = await asyncio.to_thread(fdatasync_ms, self._log_folder)
        log.info("data plane starts", store=self.store.dialect, fdatasync_ms=round(cost_ms, 3))
        await self.store.write(lambda connection: log_state.prepare(connection, self.clock()))
        await self.changes.start()
        if self.store.dialect == "postgresql":
            self._replicas.start()
        await self.event_log.start()
        self.ingestion.start()
        self.reprojection.start()
        self.maintenance.start()

    async def _caught_up(self) -> None:
        if self.ingestion.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                    await self.ingestion.applied(self.event_log.last_sequence)

    def use(self, document: BundleDocument) -> None:
        """Apply events by this bundle from now on; the first one lets ingestion begin."""
        self.ingestion.use(view_of(document))

    async def stop(self) -> None:
        await self._replicas.stop()
        await self.maintenance.stop()
        await self.reprojection.stop()
        await self.ingestion.stop()
        await self.event_log.stop()
