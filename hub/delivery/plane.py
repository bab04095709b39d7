"""Delivery of one hub, put together: journeys, outbox, and what the faces ask of both."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from hub.data.tasks import SteadyTask
from hub.decisioning.bundles import SignedBundle
from hub.delivery.engines import Engines, Loaded
from hub.delivery.handoff import HandOff, Log
from hub.delivery.options import DeliveryOptions
from hub.delivery.outbox import Accept, Outbox
from hub.delivery.outside import Outside
from hub.delivery.ports import Composer, Sender
from hub.delivery.runner import CURSOR, JourneyRunner
from hub.delivery.threads import DeliveryThread
from hub.store import journeys, outbox, signals
from hub.store.engine import Connection, Store

STOP_SECONDS: Final = 10.0
FIGURES_SECONDS: Final = 2.0
OWNER_BYTES: Final = 6
DECISION_ID_BYTES: Final = 16
OPTIONS: Final = DeliveryOptions()

log = structlog.get_logger(__name__)


class Delivery:
    """Owns everything between signals and the providers; `prepare` a bundle, `start`, `stop`."""

    def __init__(
        self,
        store: Store,
        engines: Engines,
        node: str,
        *,
        composers: Mapping[str, Composer],
        senders: Mapping[str, Sender],
        accept: Accept,
        decision_log: Log,
        clock: Callable[[], int],
        options: DeliveryOptions = OPTIONS,
    ) -> None:
        """A composer and a sender for each channel that the hub itself sends on; `accept` puts events onto
        the event log.
        """
        self._store = store
        self._clock = clock
        prefix = f"hub/{node}/"
        owner = prefix + secrets.token_hex(OWNER_BYTES)
        self._prefix = prefix
        self._thread = DeliveryThread()
        self.engines = engines
        handoff = HandOff(store, engines, self._thread, composers, decision_log, clock, _decision_id, node)
        self.outbox = Outbox(
            store, handoff, senders, accept, options, owner, prefix, clock, node, lambda: engines.ready
        )
        self.runner = JourneyRunner(store, self.engines, self._thread, owner, clock, self.outbox.wake)
        self.outside = Outside(store, self.engines, handoff, senders.keys(), accept, options, clock, node)
        self._runner_task = SteadyTask("journeys", self.runner.run)
        self._figures_task = SteadyTask("delivery-figures", self._keep_figures)
        self._figures: dict[str, int] = {}
        self._started = False

    def prepare(self, bundle: SignedBundle) -> Callable[[], None]:
        """Load a bundle beside the active one (in any thread); the returned function puts it in place."""
        loaded = Loaded(bundle.content, bundle.revision)

        def swap() -> None:
            self.engines.activate(loaded)
            self.runner.wake()

        return swap

    async def start(self) -> None:
        """Take up what earlier runs left, then go on. Before the event log is read any further: what people
        inside wait to hear of is known then.
        """
        await self._store.write(lambda connection: journeys.release(connection, self._prefix))
        await self.engines.refresh()
        await self.outbox.start()
        self._runner_task.start()
        self._figures_task.start()
        self._started = True

    async def stop(self) -> None:
        """Stop advancing, finish what is being handed over."""
        if self._started:
            await self._figures_task.stop()
            await self._runner_task.stop()
            await self.outbox.stop(STOP_SECONDS)
        await asyncio.to_thread(self._thread.close)

    def wake(self) -> None:
        """Something was committed."""
        self.runner.wake()

    def counts(self) -> dict[str, int]:
        """Figures of the last seconds for the fleet's report: `outbox.*`, `journeys.*`."""
        return {**self._figures, "journeys.advanced": self.runner.advanced}

    def gauges(self) -> dict[str, float]:
        """The same for Prometheus, each as `onevoice_NAME`."""
        return {name.replace(".", "_"): value for name, value in self.counts().items()}

    async def _keep_figures(self) -> None:
        while True:
            self._figures = await self._store.read(lambda connection: figures(connection, self._clock()))
            await asyncio.sleep(FIGURES_SECONDS)


def figures(connection: Connection, now_ms: int) -> dict[str, int]:
    """How many messages are in which state, how long the oldest due one has been, who is in journeys."""
    states = outbox.counts(connection)
    due_ms = outbox.oldest_due_ms(connection, now_ms)
    return {
        **{f"outbox.{state}": states.get(state, 0) for state in outbox.STATES},
        "outbox.oldest_due_seconds": max(
            ((now_ms - since_ms) // 1000 for since_ms in due_ms.values()), default=0
        ),
        "journeys.inside": journeys.count_inside(connection),
        "journeys.due": journeys.count_due(connection, now_ms),
        "journeys.signals_waiting": signals.waiting(connection, CURSOR),
    }


def _decision_id() -> str:
    return secrets.token_hex(DECISION_ID_BYTES)
