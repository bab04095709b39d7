"""The composition root of one worker: reads the settings, builds the parts, passes them on, opens and
closes them.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge import figures
from edge.context import Countries
from edge.control import SEAT_BUNDLE_REVISION, SEAT_COMMITTED, SEAT_PID, SEAT_READY
from edge.decision_log import DecisionLog
from edge.errors import EdgeError
from edge.figures import Figures
from edge.folder import Folder, hold_lock
from edge.following import Follower
from edge.http.access import OPERATOR, SERVER, SITE, Keyring, Origins
from edge.http.body import ClientGoneError, Patience
from edge.http.decide import Decider, DecideRoute, Reply
from edge.http.events import EventRoutes
from edge.http.ofrep import OfrepRoutes
from edge.http.probes import Probes
from edge.http.replies import HttpError
from edge.http.static import static_routes
from edge.identity import Identities, load_token_keys
from edge.journal.commit import GroupCommit
from edge.journal.replay import replay
from edge.journal.segments import recover
from edge.journal.writer import JournalWriter
from edge.load import Load
from edge.logs import log
from edge.node import Node
from edge.overlay import Overlay
from edge.seat import Seat, lone_seat
from edge.settings import MIB, Settings
from edge.snapshot.current import CurrentSnapshot
from edge.taking import Taker

LOG_FLUSH_SECONDS: Final = 1.0
LOCK_SECONDS: Final = 5.0
CORS_PATHS: Final = ("/v1/", "/ofrep/")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(settings: Settings, seat: Seat | None = None) -> "Application":
    """Build a worker's application.

    Parameters
    ----------
    settings : everything that can be set
    seat : the worker's place, from the supervisor; None: one worker alone on the data folder
    """
    return Application(settings, seat or lone_seat(Folder(settings.data_dir)))


class Application:
    """The ASGI application: the hot route first, Starlette for all others, parts opened and closed in the
    lifespan.
    """

    def __init__(self, settings: Settings, seat: Seat) -> None:
        self._settings = settings
        self._seat = seat
        self._worker: Worker | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        worker = self._worker
        if scope["type"] == "http" and worker is not None:
            try:
                if scope["path"] == "/v1/decide" and scope["method"] == "POST":
                    await worker.decide(scope, receive, send)
                else:
                    await worker.serve(scope, receive, send)
            except ClientGoneError:
                return
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close"})

    @property
    def load(self) -> Load:
        """How busy the worker is."""
        assert self._worker is not None
        return self._worker.load

    def decide(
        self,
        headers: dict[bytes, bytes],
        query: bytes,
        raw: bytes,
        client: tuple[str, int] | None,
        started_ns: int,
    ) -> Reply:
        """The short way of a whole `POST /v1/decide` (edge/http/short.py)."""
        assert self._worker is not None
        return self._worker.decide.reply(headers, query, raw, client, started_ns)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._worker = Worker(self._settings, self._seat)
            self._worker.start()
        except Exception as error:
            # Our own words and the system's name nobody; any other text might quote what was read.
            reason = str(error) if isinstance(error, EdgeError | OSError) else type(error).__name__
            log.exception("worker cannot start", reason=reason)
            await send({"type": "lifespan.startup.failed", "message": reason})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._worker.stop()
        await send({"type": "lifespan.shutdown.complete"})


class Worker:
    """Every part of one worker, open from start to stop."""

    def __init__(self, settings: Settings, seat: Seat) -> None:
        folder = seat.folder
        journal_folder = folder.journal(seat.index)
        journal_folder.mkdir(parents=True, exist_ok=True)
        self._lock = hold_lock(journal_folder / "lock", LOCK_SECONDS)
        self._control = seat.open_control()
        self._seat = self._control.seat(seat.index)
        self._figures = Figures(self._seat)
        self._overlay = Overlay(folder.overlay, settings.overlay_megabytes_max * MIB)
        replay(recover(journal_folder), self._overlay)
        journal = JournalWriter(journal_folder, bytes_max=settings.journal_megabytes_max * MIB)

        def committed(end: int) -> None:
            self._seat[SEAT_COMMITTED] = end + 1
            seat.sync_bell.ring()

        self._commit = GroupCommit(journal, self._overlay, committed, lambda: time.time_ns() // 1_000_000)
        self._snapshot = CurrentSnapshot(
            folder.snapshots,
            settings.snapshot_megabytes_max * MIB,
            self._control,
            self._seat,
            seat.sync_bell,
        )
        self._node = Node(self._overlay, self._snapshot)
        self._taker = Taker(
            self._node,
            self._overlay,
            self._commit,
            self._figures,
            identifier_key=settings.identifier_key_bytes,
            node_name=settings.edge_id,
        )
        self._follower = Follower(
            folder, self._control, self._seat, seat.bell, seat.sync_bell, settings.signing_key_bytes
        )
        self._decision_log = DecisionLog(folder.decisions, seat.index)
        self._sync_bell = seat.sync_bell
        self.load = Load(settings.in_flight_max)
        self._patience = Patience()
        self._countries = Countries(settings.country_header, settings.client_ip_header, settings.mmdb)
        self._origins = Origins(settings.allowed_origins)
        self._flushing: asyncio.Task[None] | None = None
        self._build_faces(settings, folder)

    def _build_faces(self, settings: Settings, folder: Folder) -> None:
        token_keys = load_token_keys(settings.user_token_keys)
        identities = Identities(settings.identifier_key_bytes, token_keys, settings.site)
        keyring = Keyring(
            {SITE: settings.site_keys, SERVER: settings.server_keys, OPERATOR: settings.operator_keys}
        )
        decider = Decider(
            self._node,
            identities,
            self._countries,
            self._decision_log,
            self._figures,
            self.load,
            node_name=settings.edge_id,
            allow_time_travel=settings.allow_time_travel,
        )
        #: The hot route, called without a step between.
        self.decide = DecideRoute(decider, keyring, self._origins, self._figures, self.load, self._patience)
        routes: list[BaseRoute] = [
            Route("/v1/decide", _served_before, methods=["POST"]),
            *EventRoutes(self._node, self._taker, identities, keyring, self._patience).routes(),
            *OfrepRoutes(decider, keyring, self._patience).routes(),
            *Probes(self._control, folder, self._node, settings.edge_id).routes(),
            *static_routes(),
        ]
        handlers: dict[Any, Any] = {
            HttpError: _http_error,
            HTTPException: _starlette_error,
            ClientGoneError: _client_gone,
            Exception: _unexpected,
        }
        self._rest = Starlette(routes=routes, exception_handlers=handlers)
        self._rest.router.redirect_slashes = False

    def start(self) -> None:
        """Load the last good state, then take requests."""
        self._follower.load(self._node, self._taker)
        self._commit.start()
        self._follower.start(self._node, self._taker)
        self.load.start()
        self._patience.start()
        self._flushing = asyncio.create_task(self._flush_log(), name="decision log")
        self._seat[SEAT_READY] = 1
        self._seat[SEAT_PID] = os.getpid()
        log.info("worker started", revision=self._seat[SEAT_BUNDLE_REVISION])

    async def stop(self) -> None:
        """Everything accepted is on disk when this returns."""
        self.load.stop()
        self._patience.stop()
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        await self._follower.stop()
        await asyncio.to_thread(self._commit.stop)
        self._decision_log.flush(time.time_ns())
        self._snapshot.close()
        self._overlay.close()
        self._countries.close()
        self._seat[SEAT_READY] = 0
        self._seat[SEAT_PID] = 0
        os.close(self._lock)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Every route but the hot one: CORS around Starlette."""
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if scope["method"] == "OPTIONS" and scope["path"].startswith(CORS_PATHS):
            headers = self._origins.preflight(origin)
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return

        async def counted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self._count(message["status"])
                message["headers"] = [*message["headers"], *self._origins.headers(origin)]
            await send(message)

        self.load.enter()
        try:
            await self._rest(scope, receive, counted)
        finally:
            self.load.leave()

    def _count(self, status: int) -> None:
        if status >= 500:
            self._figures.add(figures.HTTP_5XX)
        elif status >= 400:
            self._figures.add(figures.HTTP_4XX)

    async def _flush_log(self) -> None:
        while True:
            await asyncio.sleep(LOG_FLUSH_SECONDS)
            dropped = await asyncio.to_thread(self._decision_log.flush, time.time_ns())
            if dropped:
                self._figures.add(figures.ROWS_DROPPED, dropped)
            self._sync_bell.ring()


async def _served_before(_: Request) -> Response:
    """The table of routes knows the hot route, so that another method on it is 405; `Application` answers
    it.
    """
    raise AssertionError("the hot route is served before routing")


async def _client_gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("request failed", error=type(error).__name__)
    return _respond(HttpError(500, "error", message="the edge has failed to answer"))


async def _http_error(_: Request, error: HttpError) -> Response:
    return _respond(error)


async def _starlette_error(request: Request, error: HTTPException) -> Response:
    """What routing itself refuses, in the contract's shape."""
    allowed = (error.headers or {}).get("Allow", "")
    if error.status_code == 405:
        headers = ((b"allow", allowed.encode()),)
        refused = HttpError(
            405,
            "method_not_allowed",
            path=request.url.path,
            expected=allowed,
            got=request.method,
            headers=headers,
        )
    elif error.status_code == 404:
        refused = HttpError(
            404, "not_found", path=request.url.path[:128], expected="a path of /openapi.json", got="another"
        )
    else:
        refused = HttpError(error.status_code, "refused", message=error.detail)
    return _respond(refused)


def _respond(error: HttpError) -> Response:
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return Response(error.body, status_code=error.status, headers=headers)
