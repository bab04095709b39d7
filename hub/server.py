"""The composition root of the hub: builds every part from the settings, starts and stops them in order.

Store and data plane first, then publishing and decisions, then the faces. The stop is the reverse: first
nothing comes in any more, then what is in hand is written.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from starlette.routing import Route

from core.user_token import load_user_token_key
from hub.checks import CATALOGUE_CHECKS
from hub.data.intake import Intake
from hub.data.maintenance import Retention
from hub.data.plane import DataPlane, wall_clock_ms
from hub.data.view import view_of_content
from hub.decisioning.asking import Desk
from hub.decisioning.bundles import ActiveBundle, SignedBundle
from hub.decisioning.deciding import Decider
from hub.decisioning.decision_log import DecisionLog
from hub.decisioning.publishing import Publisher
from hub.delivery.email.channel import EmailChannel, EmailOptions, open_channel
from hub.delivery.email.listener import BounceListener
from hub.delivery.email.returns import Returns
from hub.delivery.email.smtp import SmtpServer
from hub.delivery.email.verp import Verp
from hub.delivery.engagement import Engagements
from hub.delivery.engines import Engines
from hub.delivery.links import Links
from hub.delivery.options import DeliveryOptions
from hub.delivery.plane import Delivery
from hub.delivery.subscriptions import Subscriptions
from hub.errors import SettingsError, UnavailableError
from hub.keys import Keys, open_keys
from hub.locking import locked
from hub.metrics import Metrics
from hub.rpc.auth import Keyring
from hub.rpc.catalogue import Catalogue
from hub.rpc.consents import Consents
from hub.rpc.decisions import Decisions
from hub.rpc.fleet import Fleet as FleetFace
from hub.rpc.fleet import FleetReport
from hub.rpc.governance import Governance
from hub.rpc.ingest import Ingest
from hub.rpc.interceptor import Gate
from hub.rpc.listening import Endpoint, Servicers, listen
from hub.rpc.messages import Reader
from hub.rpc.outbound import Outbound
from hub.rpc.people import Lookup
from hub.rpc.profiles import Profiles
from hub.settings import Settings
from hub.store import log_state
from hub.store.engine import Connection, Store, sqlite_url
from hub.store.migrate import migrate
from hub.sync.fleet import Fleet
from hub.sync.frames import Frames
from hub.sync.service import SyncService
from hub.web.app import create_app
from hub.web.listening import serve
from hub.web.public import public_routes

ADDRESSES_FILE: Final = "addresses.json"
FLEET_SAVE_SECONDS: Final = 5.0
FOLLOW_SECONDS: Final = 1.0
APPLIED_SECONDS_MAX: Final = 1.0
SMTP_PORTS: Final = {"none": 25, "starttls": 587, "tls": 465}
_log = structlog.get_logger("hub")


def create_server(settings: Settings) -> "HubServer":
    """A hub that has not started: `async with create_server(settings).running() as hub`."""
    return HubServer(settings)


class HubServer:
    """One hub, from its start to its stop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.grpc_port = 0
        self.http_port = 0
        self.bounce_port = 0  # 0: none
        self._waiting_for = ["start"]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["HubServer"]:
        """Start every part; stop them in reverse order."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(locked(self.settings.data_dir))
            keys = open_keys(self.settings)
            store = await self._open_store(stack)
            engines = Engines(store)
            plane = await self._start_plane(stack, store, keys, engines)
            parts = await _Parts.start(stack, self.settings, keys, store, plane, engines)
            self.metrics.watch("onevoice_hub", parts.report.gauges)
            self.metrics.watch("onevoice", parts.delivery.gauges)
            self.grpc_port = await self._listen(stack, keys, parts)
            app = create_app(parts.report.status, lambda: self._waiting_for, self.metrics, parts.public())
            self.http_port = await serve(stack, app, self.settings.http_host, self.settings.http_port)
            parts.email.links.public_url = self.settings.public_url or (
                f"http://{self.settings.http_host}:{self.http_port}"
            )
            self.bounce_port = await self._take_returns(stack, parts)
            self._announce(keys)
            yield self
            self._waiting_for = ["stop"]

    async def _open_store(self, stack: contextlib.AsyncExitStack) -> Store:
        store = Store(self.settings.database_url or sqlite_url(self.settings.data_dir / "state.db"))
        stack.push_async_callback(asyncio.to_thread, store.close)
        await asyncio.to_thread(migrate, store)
        if self.settings.restored:
            await store.write(_renew_epoch)
        return store

    async def _start_plane(
        self, stack: contextlib.AsyncExitStack, store: Store, keys: Keys, engines: Engines
    ) -> DataPlane:
        plane = DataPlane(
            store,
            self.settings.data_dir / "jetstream",
            nats_url=self.settings.nats_url,
            sealing_key=keys.sealing_private,
            identifier_key=keys.identifier,
            retention=Retention(
                log_days=self.settings.event_log_days,
                decision_days=self.settings.decision_days,
                message_days=self.settings.message_days,
            ),
            interest=engines.interest,
        )
        stack.push_async_callback(plane.stop)
        await plane.start()
        return plane

    async def _listen(self, stack: contextlib.AsyncExitStack, keys: Keys, parts: "_Parts") -> int:
        settings = self.settings
        gate = Gate(Keyring(keys.api), self.metrics, concurrency=settings.decide_concurrency)
        endpoint = Endpoint(
            settings.grpc_host, settings.grpc_port, settings.tls_certificate, settings.tls_key
        )
        servicers = parts.servicers(settings, keys, self.metrics)
        port = await listen(stack, endpoint, gate, servicers)
        stack.callback(
            servicers.sync.end_all, UnavailableError(expected="a hub that runs", got="one that stops")
        )
        return port

    async def _take_returns(self, stack: contextlib.AsyncExitStack, parts: "_Parts") -> int:
        """Take bounces and complaints, where a port is set; returns it."""
        settings = self.settings
        if settings.bounce_port is None:
            return 0
        returns = parts.returns(settings)
        listener = BounceListener(returns, settings.bounce_host, settings.bounce_port, settings.mail_domain)
        await listener.start()
        stack.push_async_callback(listener.stop)
        return listener.port

    def _announce(self, keys: Keys) -> None:
        """Say where the hub is: in its log, and in a file for whoever started it on free ports."""
        addresses = {
            "grpc": f"{self.settings.grpc_host}:{self.grpc_port}",
            "http": f"http://{self.settings.http_host}:{self.http_port}",
            "signing_key": keys.signing_public.hex(),
        }
        if self.bounce_port:
            addresses["bounces"] = f"{self.settings.bounce_host}:{self.bounce_port}"
        draft = self.settings.data_dir / f".{ADDRESSES_FILE}"
        draft.write_text(json.dumps(addresses) + "\n", encoding="utf-8")
        draft.replace(self.settings.data_dir / ADDRESSES_FILE)
        self._waiting_for = []
        _log.info("hub started", node=self.settings.node, **addresses)


class _Parts:
    """What stands between the data plane and the faces."""

    def __init__(
        self, settings: Settings, keys: Keys, store: Store, plane: DataPlane, engines: Engines
    ) -> None:
        self.store = store
        self.plane = plane
        self.decision_log = DecisionLog(store, settings.node)
        self.decider = Decider(store, self.decision_log.add)
        self.bundles = ActiveBundle()
        self.intake = Intake(store, plane.event_log, plane.ingestion, settings.node)
        self.email = _email(settings, keys)
        self.delivery = Delivery(
            store,
            engines,
            settings.node,
            composers=self.email.composers(),
            senders=self.email.senders(),
            accept=self.intake.accept,
            decision_log=self.decision_log.add,
            clock=wall_clock_ms,
            options=_delivery_options(settings),
        )
        self.subscriptions = Subscriptions(
            store,
            self.intake.accept,
            partial(_until_applied, plane),
            lambda: self.decider.document,
            wall_clock_ms,
            settings.node,
        )
        self.engagement = Engagements(store, self.intake.accept, wall_clock_ms, settings.node)
        plane.changes.subscribe(self.delivery.wake)
        # Delivery before ingestion: whom an event concerns is known before the first one is applied by it.
        prepare = (self.decider.prepare, self.delivery.prepare, _preparing(plane))
        self.fleet = Fleet(store, wall_clock_ms)
        self.publisher = Publisher(
            store,
            keys.signing,
            self.bundles,
            prepare,
            wall_clock_ms,
            self.fleet_revision,
            CATALOGUE_CHECKS,
        )
        self.report = FleetReport(
            settings.node,
            plane,
            self.bundles,
            self.fleet,
            self.intake,
            self.decision_log,
            self.delivery.counts,
        )

    @classmethod
    async def start(
        cls,
        stack: contextlib.AsyncExitStack,
        settings: Settings,
        keys: Keys,
        store: Store,
        plane: DataPlane,
        engines: Engines,
    ) -> "_Parts":
        """Build and start them."""
        parts = cls(settings, keys, store, plane, engines)
        await parts.fleet.start()
        stack.push_async_callback(parts.fleet.save)
        _run_beside(stack, _save_often(parts.fleet), "fleet")
        _run_beside(stack, _follow(parts.publisher), "publishing")
        _run_beside(stack, parts.decision_log.run(), "decision-log")
        parts.intake.start()
        stack.push_async_callback(parts.intake.stop)
        # What people in journeys wait to hear of is known before a bundle lets ingestion go on.
        await parts.delivery.start()
        stack.push_async_callback(parts.delivery.stop)
        await parts.publisher.load(sign_anew=settings.sign_anew)
        parts.engagement.start()
        stack.push_async_callback(parts.engagement.stop)
        return parts

    def fleet_revision(self) -> int:
        """The highest revision that an edge has told."""
        return max((edge.bundle_revision for edge in self.fleet.edges()), default=0)

    def public(self) -> list[Route]:
        """The routes that links in messages lead to."""
        return public_routes(self.email.links, self.subscriptions, self.engagement)

    def returns(self, settings: Settings) -> Returns:
        """What acts on mails that come back."""
        return Returns(
            self.store,
            self.intake.accept,
            self.subscriptions,
            self.email.verp,
            self.email.links,
            wall_clock_ms,
            settings.node,
            settings.unsubscribe_mailto,
        )

    def servicers(self, settings: Settings, keys: Keys, metrics: Metrics) -> Servicers:
        """The faces on gRPC."""
        reader = Reader(keys.identifier, keys.sealing_public, settings.node, wall_clock_ms)
        lookup = Lookup(keys.identifier)
        plane = self.plane
        return Servicers(
            catalogue=Catalogue(self.publisher),
            consents=Consents(reader, self.intake, plane.event_log, plane.ingestion, lookup, self.store),
            decisions=Decisions(_desk(settings, keys), self.decider, metrics, settings.node),
            fleet=FleetFace(self.report.status),
            governance=Governance(self.store),
            ingest=Ingest(reader, self.intake, plane, wall_clock_ms),
            outbound=Outbound(self.delivery.outside, lookup, self.store, wall_clock_ms),
            profiles=Profiles(
                lookup,
                self.store,
                plane.profiles,
                lambda: self.decider.document,
                self.decision_log,
                wall_clock_ms,
            ),
            sync=SyncService(
                store=self.store,
                event_log=plane.event_log,
                changes=plane.changes,
                frames=Frames(self.store, plane.changes, keys.signing, wall_clock_ms),
                bundles=self.bundles,
                fleet=self.fleet,
                signing_public=keys.signing_public,
                sealing_public=keys.sealing_public,
                clock=wall_clock_ms,
            ),
        )


def _delivery_options(settings: Settings) -> DeliveryOptions:
    return DeliveryOptions(
        rates=dict(settings.outbound_rates),
        in_flight=settings.smtp_connections,
        retry_first_ms=settings.outbound_retry_seconds * 1000,
        age_max_ms=settings.outbound_hours * 3_600_000,
        report_ms=settings.outbound_report_minutes * 60_000,
    )


def _email(settings: Settings, keys: Keys) -> EmailChannel:
    """The e-mail channel; without an SMTP server it sends nothing, and its links still work."""
    server = None
    if settings.smtp_host:
        server = SmtpServer(
            settings.smtp_host,
            settings.smtp_port or SMTP_PORTS[settings.smtp_tls],
            settings.smtp_tls,
            settings.smtp_username,
            settings.smtp_password,
            host_name=settings.mail_domain,
            ca=str(settings.smtp_ca or ""),
            timeout_seconds=settings.smtp_timeout_seconds,
            connections=settings.smtp_connections,
        )
    return open_channel(
        EmailOptions(
            Links(keys.links, settings.public_url or f"http://{settings.http_host}:{settings.http_port}"),
            Verp(keys.links, settings.mail_domain),
            server,
            settings.dkim_selector,
            settings.dkim_key,
            settings.track_engagement,
            settings.unsubscribe_mailto,
            settings.site_url,
        )
    )


def _renew_epoch(connection: Connection) -> None:
    """A restored store counts its changes anew, so the numbers that edges hold mean nothing to it."""
    log_state.prepare(connection, wall_clock_ms())
    log_state.renew_epoch(connection)


def _preparing(plane: DataPlane) -> Callable[[SignedBundle], Callable[[], None]]:
    """Let ingestion read the bundle before it becomes active."""

    def prepare(bundle: SignedBundle) -> Callable[[], None]:
        view = view_of_content(bundle.content)
        return lambda: plane.ingestion.use(view)

    return prepare


def _desk(settings: Settings, keys: Keys) -> Desk:
    token_keys = [load_user_token_key(_read(path)) for path in settings.user_token_keys]
    return Desk(
        keys.identifier,
        token_keys,
        settings.site,
        wall_clock_ms,
        allow_time_travel=settings.allow_time_travel,
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"ONEVOICE_USER_TOKEN_KEYS: expected readable files, got {path}: {error}"
        raise SettingsError(message) from error


async def _until_applied(plane: DataPlane) -> None:
    """Wait a moment until what the event log holds by now is in force."""
    if plane.ingestion.running:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(APPLIED_SECONDS_MAX):
                await plane.ingestion.applied(plane.event_log.last_sequence)


async def _follow(publisher: Publisher) -> None:
    """Another replica may publish too; what it published is taken up within a second."""
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            await publisher.follow()
        except UnavailableError as error:
            _log.warning("revisions not read", error=type(error).__name__)


async def _save_often(fleet: Fleet) -> None:
    while True:
        await asyncio.sleep(FLEET_SAVE_SECONDS)
        try:
            await fleet.save()
        except UnavailableError as error:
            _log.warning("fleet not saved", error=type(error).__name__)


def _run_beside(stack: contextlib.AsyncExitStack, work: Coroutine[Any, Any, None], name: str) -> None:
    """Run a task until the stack closes."""
    task = asyncio.create_task(work, name=name)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
