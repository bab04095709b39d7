"""The example system under test, and a visitor who comes to its shop with a real browser."""

import contextlib
import json
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import grpc
import httpx2
from playwright.sync_api import Browser, Page

from core.hashing import bucket
from core.identifiers import hash_identifier, normalise
from edge.control import SEAT_PID, SEAT_READY, Control
from examples.shop.addresses import EDGE_IDS, HOST, http
from examples.shop.system import CATALOGUE, WORKERS, Options, System, answers
from hub.cli.client import HubAddress, HubClient
from onevoice.v1 import profiles_pb2
from tests.ports import free_ports

CUSTOMERS = 40
WAIT_SECONDS_MAX = 20.0
POLL_SECONDS = 0.005
HOLDOUT_SALT, HOLDOUT_MILLIONTHS = "global-2026", 20_000
#: From sending an event to an edge until another edge has applied it.
STAGES = (
    "journal on disk, answered",
    "batch window, upload, log on disk",
    "wait for ingestion",
    "SQL",
    "frame",
    "apply",
)

#: The hub does not know the person yet, or is starting.
PASSING = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)

T = TypeVar("T")
HOME = ("home.hero", "home.banner", "home.recommendations-strip")


def until(ask: Callable[[], T], seconds: float = WAIT_SECONDS_MAX, what: str = "") -> T:
    """Ask again and again until the answer is true; return it."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, what or "the awaited condition did not come about"
        time.sleep(POLL_SECONDS)
    return answer


class Fleet:
    """The running example: commands, plain HTTP to its edges, and ways to hurt it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"
        self.catalogue = folder / "catalogue"
        shutil.copytree(CATALOGUE, self.catalogue)
        self._allow_time()
        self.ports = free_ports()
        options = Options(self.folder, self.ports, CUSTOMERS, self.catalogue)
        self.lines: list[str] = []
        self.system = System(options, self.lines.append)
        self.http = httpx2.Client(trust_env=False, timeout=10)
        self.keys: dict[str, str] = {}
        self._hub: HubClient | None = None

    def _allow_time(self) -> None:
        """A busy machine must not turn the story into fallbacks for lateness; deadlines have their tests."""
        path = self.catalogue / "placements.yaml"
        path.write_text(path.read_text(encoding="utf-8").replace("deadline: 80ms", "deadline: 5s"), "utf-8")

    def start(self) -> None:
        self.system.start()
        self.keys = self.system.keys()
        target, ca = f"{HOST}:{self.ports.hub_grpc}", self.folder / "certs" / "ca.pem"
        self._hub = HubClient(HubAddress(target, self.keys["operator"], ca))

    @property
    def hub(self) -> HubClient:
        assert self._hub is not None
        return self._hub

    def stop(self) -> None:
        self.http.close()
        if self._hub is not None:
            self._hub.close()
        self.system.stop()

    @property
    def shop(self) -> str:
        return http(self.ports.shop)

    @property
    def edges(self) -> dict[str, str]:
        return {edge: http(port) for edge, port in zip(EDGE_IDS, self.ports.edges, strict=True)}

    # ---- Commands

    def onevoice(self, *arguments: str) -> Any:
        """`onevoice ... --json`, which must succeed."""
        return self.system.command.json(*arguments)

    def publish(self) -> Any:
        return self.onevoice("publish", str(self.catalogue), "--as", "maya", "--wait")

    def edit(self, name: str, old: str, new: str) -> None:
        """Change one place of one catalogue file."""
        path = self.catalogue / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is not once in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    # ---- Plain HTTP

    def decide(self, edge: str, anonymous_id: str, *placements: str, **more: Any) -> dict[str, Any]:
        """One decision by a connection of its own, so that any worker may answer."""
        body = {"anonymous_id": anonymous_id, "placements": placements or HOME, "context": {}, **more}
        return self.post(edge, "/v1/decide", body, key="site")

    def placement(self, edge: str, anonymous_id: str, name: str) -> dict[str, Any]:
        """What one placement shows somebody."""
        found: dict[str, Any] = self.decide(edge, anonymous_id, name)["decision"]["placements"][name]
        return found

    def post(self, edge: str, path: str, body: object, key: str = "site") -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.keys[key]}", "connection": "close"}
        answer = self.http.post(self.edges[edge] + path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def track(self, edge: str, anonymous_id: str, event: str, properties: dict[str, Any]) -> None:
        """One event, taken for certain."""
        answer = self.post(edge, "/v1/events", {"events": [a_track(anonymous_id, event, properties)]})
        assert answer["accepted"] == 1, answer

    def try_track(
        self, edge: str, anonymous_id: str, event: str, properties: dict[str, Any], message_id: str
    ) -> bool:
        """One event under an id of the caller's; whether the edge has acknowledged it, now or before."""
        body = {"events": [a_track(anonymous_id, event, properties, message_id)]}
        try:
            answer = self.post(edge, "/v1/events", body)
        except httpx2.TransportError:
            return False
        assert answer["accepted"] + answer["duplicates"] == 1, answer
        return True

    @property
    def mailbox(self) -> str:
        return http(self.ports.mailbox)

    def mails(self, to: str) -> list[dict[str, Any]]:
        """What the mailbox holds for an address, the newest first."""
        messages: list[dict[str, Any]] = self.http.get(self.mailbox + "/messages").json()["messages"]
        return [message for message in messages if message["to"] == [to]]

    def answers(self, url: str) -> bool:
        return answers(url)

    def attribute(self, anonymous_id: str, name: str) -> Any:
        """One attribute of a profile at the hub, None while there is none."""
        request = profiles_pb2.GetRequest(person=f"anon:{anonymous_id}")
        try:
            answer = self.hub.profiles.Get(request, timeout=10)
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() in PASSING:
                return None
            raise
        return json.loads(answer.profile)["attributes"].get(name)

    def consent(self, edge: str, anonymous_id: str, state: str, purpose: str = "personalization") -> None:
        change = {
            "anonymous_id": anonymous_id,
            "purpose": purpose,
            "state": state,
            "text_version": "2026-11",
            "source": "test",
        }
        self.post(edge, "/v1/consent", change)

    def stages(self, edge: str, sent_ms: float, answered_ms: float) -> list[float]:
        """The way of the newest event to an edge: what each of STAGES took, in ms of one clock."""

        def times() -> list[int]:
            found: list[int] = self.http.get(self.edges[edge] + "/readyz").json()["stages"]["frame_stages_ms"]
            return found if found and found[0] >= int(sent_ms) else []

        points = [sent_ms, answered_ms, *until(times, what="the edge tells of no newer frame")]
        return [after - before for before, after in pairwise(points)]

    # ---- Processes

    def processes_of(self, service: str) -> dict[int, str]:
        """Pid and command line of every process in a service's group."""
        group = self.system.services[service].pid
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    if os.getpgid(int(folder.name)) == group:
                        found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        return found

    def edge_process(self, edge: str, part: str) -> int:
        """The pid of an edge's supervisor, of its first worker, or of its sync process."""
        service = f"edge-{edge}"
        supervisor = self.system.services[service].pid
        if part == "supervisor":
            return supervisor
        workers = self.workers(edge)
        if part == "worker":
            return workers[0]
        spawned = [pid for pid, line in self.processes_of(service).items() if "spawn_main" in line]
        others = [pid for pid in spawned if pid not in workers]
        assert len(others) == 1, others
        return others[0]

    def workers(self, edge: str) -> list[int]:
        """The pids of the workers that serve."""
        control = Control(self.folder / f"edge-{edge}" / "control")
        try:
            return [int(seat[SEAT_PID]) for seat in control.seats() if seat[SEAT_READY]]
        finally:
            control.close()

    def is_whole(self, edge: str) -> bool:
        """Whether every worker serves and the stream to the hub is up."""
        return (
            answers(self.edges[edge] + "/readyz")
            and len(self.workers(edge)) == WORKERS
            and bool(self.http.get(self.edges[edge] + "/readyz").json()["connected"])
        )


def a_track(
    anonymous_id: str, event: str, properties: dict[str, Any], message_id: str | None = None
) -> dict[str, Any]:
    return {
        "type": "track",
        "event": event,
        "messageId": message_id or str(uuid.uuid4()),
        "anonymousId": anonymous_id,
        "properties": properties,
    }


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class Visitor:
    """Somebody with a browser of her own."""

    def __init__(self, fleet: Fleet, browser: Browser, **options: Any) -> None:
        self.fleet = fleet
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.requests: list[str] = []
        self.page.on("request", lambda request: self.requests.append(f"{request.method} {request.url}"))
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def close(self) -> None:
        self.context.close()

    def go(self, path: str, **options: Any) -> None:
        """Open a page and wait until it has its decisions."""
        self.page.goto(self.fleet.shop + path, **options)
        self.page.wait_for_selector("html[data-shop=ready]")

    def sign_up(self, email: str, first_name: str = "") -> None:
        """Open an account, and come back to the home page as its customer."""
        self.go("/login")
        self.page.fill("#first-name", first_name)
        self.page.fill("#new-email", email)
        self._after_log_in("#signup button")

    def log_in(self, email: str) -> None:
        self.go("/login")
        self.page.fill("#email", email)
        self._after_log_in('form[action="/login"] button')

    def _after_log_in(self, button: str) -> None:
        with self.page.expect_navigation():
            self.page.click(button)
        self.page.wait_for_selector("html[data-shop=ready]")

    def add_to_cart(self, product: str) -> None:
        self.go(f"/product/{product}")
        self.page.click("#add-to-cart")
        self.page.wait_for_selector("#added:not(:empty)")

    def accept(self) -> None:
        self._after_consent("#consent-accept")

    def withdraw(self) -> None:
        self._after_consent("#consent-withdraw")

    def _after_consent(self, button: str) -> None:
        self.page.evaluate("delete document.documentElement.dataset.consent")
        self.page.click(button)
        self.page.wait_for_selector("html[data-consent=recorded]")

    def why(self, placement: str) -> dict[str, str]:
        """What the page says of a placement: reason, offer, fallback."""
        found = self.page.locator(f'[data-why="{placement}"]').evaluate("node => ({...node.dataset})")
        return {str(key): str(value) for key, value in found.items()}

    def text(self, placement: str, slot: str) -> str:
        return self.page.inner_text(
            f'[data-onevoice-placement="{placement}"] [data-onevoice-slot="{slot}"]'
        ).strip()

    @property
    def anonymous_id(self) -> str:
        found = self.page.evaluate("onevoice.anonymousId()")
        assert isinstance(found, str)
        return found


def daytime() -> str:
    """A time zone where it is day, so that quiet hours hold back no mail of a test."""
    zones = ("Europe/Berlin", "America/New_York", "Pacific/Honolulu", "Asia/Tokyo")
    return next(zone for zone in zones if 8 <= datetime.now(ZoneInfo(zone)).hour < 20)


def is_held_out(fleet: Fleet, anonymous_id: str) -> bool:
    """Whether the global holdout has this device: two in a hundred are in it."""
    key = bytes.fromhex((fleet.folder / "hub" / "keys" / "identifier.key").read_text().strip())
    unit_key = hash_identifier(key, "anon", normalise("anon", anonymous_id))
    return bucket(HOLDOUT_SALT, unit_key) < HOLDOUT_MILLIONTHS


def someone(fleet: Fleet, edge: str = "eu", *, held_out: bool = False) -> str:
    """The anonymous id of somebody who has just consented to personalization at an edge."""
    anonymous_id = str(uuid.uuid4())
    while is_held_out(fleet, anonymous_id) != held_out:
        anonymous_id = str(uuid.uuid4())
    fleet.consent(edge, anonymous_id, "granted")
    return anonymous_id


@contextlib.contextmanager
def visitor_outside_holdout(fleet: Fleet, browser: Browser, **options: Any) -> Iterator[Visitor]:
    """A visitor who has consented on the home page and is not in the holdout."""
    while True:
        visitor = Visitor(fleet, browser, **options)
        visitor.go("/")
        if not is_held_out(fleet, visitor.anonymous_id):
            break
        visitor.close()
    try:
        visitor.accept()
        yield visitor
        assert not visitor.errors
    finally:
        visitor.close()
