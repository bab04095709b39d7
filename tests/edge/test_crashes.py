"""kill -9 of a worker, the sync process, the whole edge, between and during posts; damaged snapshots; a
full disk.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path

import pytest

from core.decide import Engine
from edge.snapshot.environment import read_pointer
from tests.edge.conftest import KNOWN
from tests.edge.fleet import Edge, anon, fact, granted, known_person, profile
from tests.edge.test_events import of

Visitor = Callable[[], int]


@pytest.fixture
def own(tmp_path: Path, engine: Engine) -> Iterator[Edge]:
    """An edge for one test alone."""
    made = Edge(tmp_path)
    now_ms = time.time_ns() // 1_000_000
    record = profile(engine, granted(), fact("Product Added", now_ms), at_ms=now_ms)
    made.seed(known_person(KNOWN, record, ("anon", anon(KNOWN))))
    made.start()
    yield made
    made.kill()


class Shoppers:
    """Threads that put things into carts, each thing until the edge has said that it has it."""

    def __init__(self, edge: Edge, numbers: list[int]) -> None:
        self._edge = edge
        self._stop = threading.Event()
        self.acknowledged = dict.fromkeys(numbers, 0)
        self.retries = 0
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in numbers]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        while not self._stop.is_set():
            self._put(number, f"{number}-{self.acknowledged[number]}")
            self.acknowledged[number] += 1

    def _put(self, number: int, message_id: str) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            try:
                reply = self._edge.track(number, "Product Added", message_id)
            except (OSError, HTTPException):
                self.retries += 1
                time.sleep(0.005)
                continue
            if reply.status == 200:
                assert reply.json["accepted"] + reply.json["duplicates"] == 1
                assert "dropped" not in reply.json
                return
        raise AssertionError("never taken")

    def until(self, count: int) -> None:
        """Wait until everybody has put in so many more things."""
        targets = {number: done + count for number, done in self.acknowledged.items()}
        self._edge.until(
            lambda: all(self.acknowledged[number] >= target for number, target in targets.items()), 40
        )

    def finish(self) -> dict[int, int]:
        self._stop.set()
        for thread in self._threads:
            thread.join(40)
        return self.acknowledged


def cart(edge: Edge, number: int) -> str:
    found: str = edge.decide(number, "home.banner")["placements"]["home.banner"]["blocks"]["text"]["value"]
    return found


def check_nothing_lost_nothing_double(edge: Edge, bought: dict[int, int]) -> None:
    for number, count in bought.items():
        on_disk = {event.message_id for event in of(edge, number)}
        assert {f"{number}-{index}" for index in range(count)} <= on_disk, "acknowledged and lost"
        for _ in range(3):
            assert cart(edge, number) == f"In your cart: {count}"


def is_another(edge: Edge, name: str, victim: int) -> bool:
    """Whether a process has been replaced."""
    return edge.child(name) not in (0, victim)


def test_a_worker_killed_while_it_takes_events(own: Edge, visitor: Visitor) -> None:
    numbers = [visitor() for _ in range(4)]
    for number in numbers:
        own.consent(number)
    shoppers = Shoppers(own, numbers)
    for round_ in range(4):
        shoppers.until(5)
        name = f"worker-{round_ % 2}"
        victim = own.until(partial(own.child, name))
        os.kill(victim, signal.SIGKILL)
        own.until(partial(is_another, own, name, victim))
    shoppers.until(5)
    check_nothing_lost_nothing_double(own, shoppers.finish())
    assert own.get("/metrics").body.count(b"onevoice_edge_process_deaths_total 4.0") == 1


def test_the_whole_edge_killed_while_it_takes_events(own: Edge, visitor: Visitor) -> None:
    numbers = [visitor() for _ in range(4)]
    for number in numbers:
        own.consent(number)
    shoppers = Shoppers(own, numbers)
    for _ in range(2):
        shoppers.until(5)
        own.kill()
        own.start()
    shoppers.until(5)
    check_nothing_lost_nothing_double(own, shoppers.finish())
    assert "last stop was not clean" in own.log()


def test_the_sync_process_killed_is_started_again(own: Edge, visitor: Visitor) -> None:
    number = visitor()
    own.consent(number)
    shoppers = Shoppers(own, [number])
    victim = own.until(lambda: own.child("sync"))
    os.kill(victim, signal.SIGKILL)
    own.until(lambda: own.child("sync") not in (0, victim))
    shoppers.until(3)
    check_nothing_lost_nothing_double(own, shoppers.finish())


def test_a_clean_stop_keeps_the_overlay_and_says_so(own: Edge, visitor: Visitor) -> None:
    number = visitor()
    own.consent(number)
    own.track(number, "Product Added")
    assert own.folder.running.exists()
    assert own.stop() == 0
    assert not own.folder.running.exists()
    own.start()
    assert cart(own, number) == "In your cart: 1"
    assert "last stop was not clean" not in own.log()


def test_a_torn_journal_tail_is_cut_at_the_start(own: Edge, visitor: Visitor) -> None:
    number = visitor()
    own.consent(number)
    own.track(number, "Product Added")
    own.kill()
    for segment in own.folder.journals.glob("*/*.journal"):
        with segment.open("ab") as file:
            file.write(b"\x10\x00\x00\x00torn in the middle of a rec")
    own.start()
    assert cart(own, number) == "In your cart: 1"
    own.track(number, "Product Added")
    own.kill()
    own.start()
    assert cart(own, number) == "In your cart: 2"


def test_fewer_workers_than_before_lose_no_journal(own: Edge, visitor: Visitor) -> None:
    numbers = [visitor() for _ in range(8)]
    for number in numbers:
        own.consent(number)
        own.track(number, "Product Added")
    own.kill()
    own.workers = 1
    own.start()
    assert [cart(own, number) for number in numbers] == ["In your cart: 1"] * 8


def test_only_the_sync_process_holds_grpc(own: Edge) -> None:
    def maps(pid: int) -> str:
        return Path(f"/proc/{pid}/maps").read_text("utf-8")

    assert own.process is not None
    assert "cygrpc" in maps(own.child("sync"))
    for pid in (own.process.pid, own.child("worker-0"), own.child("worker-1")):
        assert "cygrpc" not in maps(pid)


def test_a_second_edge_on_the_folder_is_refused(own: Edge) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edge.main"],
        env={**os.environ, **own.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("onevoice-edge: expected a folder of no other edge")


def test_a_port_in_use_is_one_line_that_says_what_to_do(own: Edge, tmp_path: Path) -> None:
    port = own.base.rpartition(":")[2]
    other = Edge(tmp_path / "other", extra={"ONEVOICE_PORT": port})
    done = subprocess.run(
        [sys.executable, "-m", "edge.main"],
        env={**os.environ, **other.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "ONEVOICE_PORT" in done.stderr.splitlines()[-1]


# ---- Damage


def hero_reason(edge: Edge) -> str:
    try:
        found: str = edge.decide(KNOWN, "home.banner")["placements"]["home.banner"]["reason"]
    except (OSError, HTTPException):
        return "gone"
    return found


def data_file(edge: Edge) -> Path:
    path = read_pointer(edge.folder.snapshots)
    assert path is not None
    return path / "data.mdb"


def test_a_damaged_record_gives_the_fallback_and_then_sets_the_snapshot_aside(own: Edge) -> None:
    assert own.decide(KNOWN, "home.banner")["profile"]["sequence"] == 1
    path = data_file(own)
    data = path.read_bytes()
    with path.open("r+b") as file:
        start = data.index(b"OV1R")
        while start >= 0:
            file.seek(start + 70)
            file.write(bytes([data[start + 70] ^ 0xFF]))
            start = data.find(b"OV1R", start + 1)
    assert hero_reason(own) == "error"
    own.until(lambda: hero_reason(own) == "error" and list(own.folder.snapshots.glob("aside-*")))
    own.until(lambda: own.get("/readyz").status == 503)
    assert own.get("/readyz").json["missing"] == ["snapshot"]
    assert own.decide(99, "home.notice")["placements"]["home.notice"]["reason"] == "error"


def test_a_snapshot_cut_short_kills_two_workers_and_is_set_aside(own: Edge) -> None:
    path = data_file(own)
    os.truncate(path, 8192)
    own.until(lambda: list(own.folder.snapshots.glob("aside-*")) and hero_reason(own) == "error")
    for index in range(2):
        own.until(partial(own.child, f"worker-{index}"))
    assert hero_reason(own) == "error"
    own.kill()
    own.start("/healthz")
    assert own.get("/readyz").json["missing"] == ["snapshot"]
    assert hero_reason(own) == "error", "a restart does not make an edge without its snapshot a new one"


def test_workers_dying_of_segfaults_set_the_snapshot_aside(own: Edge) -> None:
    for name in ("worker-0", "worker-1"):
        os.kill(own.until(partial(own.child, name)), signal.SIGSEGV)
    own.until(lambda: list(own.folder.snapshots.glob("aside-*")))
    own.until(lambda: hero_reason(own) == "error")


def test_a_snapshot_damaged_while_the_edge_was_down_is_set_aside_at_the_start(own: Edge) -> None:
    own.stop()
    os.truncate(data_file(own), 5000)
    own.start("/healthz")
    own.until(lambda: own.get("/readyz").status == 503)
    own.until(lambda: hero_reason(own) == "error")
    assert list(own.folder.snapshots.glob("aside-*"))


def test_a_damaged_bundle_file_is_not_served(own: Edge) -> None:
    own.stop()
    data = bytearray(own.folder.bundle.read_bytes())
    data[-100] ^= 1
    own.folder.bundle.write_bytes(data)
    own.start("/healthz")
    reply = own.post("/v1/decide", {"anonymous_id": anon(1), "placements": ["home.hero"]})
    assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "no_bundle", "1")
    assert own.get("/readyz").json["missing"] == ["bundle"]
    assert own.track(5, "Order Completed").status == 503
    assert own.consent(5).status == 200, "a consent is kept whatever else is missing"


# ---- A full disk


def limit_files(edge: Edge, size: int) -> None:
    """No file of a worker may grow beyond a size: what a full disk does."""
    for index in range(2):
        pid = edge.until(partial(edge.child, f"worker-{index}"))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_refuses_events_and_goes_on_deciding(own: Edge, visitor: Visitor) -> None:
    number = visitor()
    own.consent(number)
    own.track(number, "Product Added")
    limit_files(own, 100)
    for _ in range(6):
        reply = own.track(number, "Product Added")
        assert (reply.status, reply.error["code"]) == (503, "journal")
        assert int(reply.headers["retry-after"]) >= 1
        assert own.consent(number, "withdrawn").status == 503
        assert cart(own, number) == "In your cart: 1"
    limit_files(own, 1 << 40)
    for count in range(2, 8):
        assert own.track(number, "Product Added").json["accepted"] == 1
        assert cart(own, number) == f"In your cart: {count}"
    own.kill()
    own.start()
    assert cart(own, number) == "In your cart: 7"
