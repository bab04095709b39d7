"""Figure of the whole way of an event: answered by one edge, decided upon by the other."""

import contextlib
import http.client
import json
import random
import time
import uuid
from pathlib import Path
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.edges import SITE_KEY, edge
from benchmarks.hubs import BenchHub, wait_until
from benchmarks.results import Figure, Results, fdatasync_ms

PEOPLE = 200
EVENTS = 1_000
POLL_SECONDS = 0.001
SEEN_SECONDS_MAX = 5.0
PLACEMENT = "home.banner"
CATALOGUE = """
governance: {approvals: 1, people: [{id: bench, name: Bench, roles: [owner, publisher, approver]}]}
attributes:
  - {id: views, owner: bench, type: int, edge: true, source: {events: [Product Viewed], function: count}}
blocks:
  - {id: generic, owner: bench, type: text, value: Welcome}
  - {id: seen, owner: bench, type: text, attribute: profile.views, prefix: "seen "}
placements:
  - {id: home.banner, owner: bench, channel: web, purpose: personalization, deadline: 1s, slots: {text: text},
     fallback: {text: generic}}
offers:
  - {id: seen, owner: bench, treatments: [{id: seen-web, placement: home.banner, blocks: {text: seen}}]}
"""


class Visitor:
    """HTTP to one edge over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def post(self, path: str, body: object) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {SITE_KEY}", "Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body), headers)
        reply = self._connection.getresponse()
        document: dict[str, Any] = json.loads(reply.read())
        assert reply.status == 200, document
        return document

    def text(self, person: str) -> object:
        answer = self.post("/v1/decide", {"anonymous_id": person, "placements": [PLACEMENT]})
        return answer["decision"]["placements"][PLACEMENT]["blocks"]["text"]["value"]

    def close(self) -> None:
        self._connection.close()


def test_an_event_is_known_to_the_other_edge(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path
) -> None:
    hub = BenchHub(tmp_path / "hub")
    with contextlib.ExitStack() as stack:
        stack.callback(hub.stop)
        hub.start()
        hub.publish({"sync.yaml": CATALOGUE})
        ports = [
            stack.enter_context(edge(hub.edge_settings(tmp_path / name, name), workers=2, core=None))
            for name in ("eu", "us")
        ]
        wait_until(lambda: ready(hub), 60, "the edges did not take the bundle")
        here, there = (stack.enter_context(contextlib.closing(Visitor(port))) for port in ports)
        people = [str(uuid.UUID(int=number, version=4)) for number in range(PEOPLE)]
        for person in people:
            consent = {"anonymous_id": person, "purpose": "personalization", "state": "granted"}
            here.post("/v1/consent", {**consent, "text_version": "1", "source": "benchmark"})
        waits_ms = benchmark.pedantic(lambda: send_and_see(here, there, people), rounds=1)
    ranked = sorted(waits_ms)
    notes = {
        "p50_ms": round(ranked[len(ranked) // 2], 2),
        "max_ms": round(ranked[-1], 2),
        "events": EVENTS,
        "fdatasync_ms": round(fdatasync_ms(), 3),
    }
    p99 = ranked[int(0.99 * len(ranked))]
    figure = Figure("sync.event_to_other_edge_p99_ms", "ms", "lower", [p99], goal=200, gate=200, notes=notes)
    benchmark.extra_info.update(figure.row())
    hold(results.add(figure))


def ready(hub: BenchHub) -> bool:
    edges = hub.fleet().edges
    return len(edges) == 2 and all(each.connected and each.bundle_revision == 1 for each in edges)


def send_and_see(here: Visitor, there: Visitor, people: list[str]) -> list[float]:
    """One event at a time: milliseconds from sending it here until a decision there shows it."""
    draw = random.Random(2)
    seen = dict.fromkeys(people, 0)
    waits = []
    for _ in range(EVENTS):
        person = draw.choice(people)
        seen[person] += 1
        began = time.perf_counter()
        message = {"type": "track", "event": "Product Viewed", "anonymousId": person}
        here.post("/v1/events", {"events": [message]})
        awaited = f"seen {seen[person]}"
        while there.text(person) != awaited:
            assert time.perf_counter() - began < SEEN_SECONDS_MAX, "the other edge never knew"
            time.sleep(POLL_SECONDS)
        waits.append((time.perf_counter() - began) * 1e3)
    return waits
