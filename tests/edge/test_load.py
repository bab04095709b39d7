"""Too busy, too late, too slow: the fallback with its reason, or a plain refusal."""

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from core.decide import Engine
from edge.http import body as body_module
from edge.http.body import ClientGoneError, Patience
from edge.http.replies import HttpError
from edge.load import Load
from tests.edge.fleet import SITE, Edge, anon

MILLISECOND = 1_000_000


def test_a_request_beyond_the_limit_or_the_deadline_is_not_decided(engine: Engine) -> None:
    load = Load(2)
    placements = ("home.hero", "nowhere")
    assert load.judge(79 * MILLISECOND, engine, placements) is None
    assert load.judge(81 * MILLISECOND, engine, placements) == "deadline"
    assert load.judge(81 * MILLISECOND, engine, ("nowhere",)) is None
    load.lag_ns = 81 * MILLISECOND
    assert load.judge(0, engine, placements) == "overload"
    load.lag_ns = 0
    for _ in range(3):
        load.enter()
    assert load.judge(0, engine, placements) == "overload"
    load.leave()
    assert load.judge(0, engine, placements) is None


def test_the_delay_of_the_event_loop_is_seen() -> None:
    async def measure() -> tuple[int, int]:
        load = Load(1)
        load.start()
        await asyncio.sleep(0.06)
        before = load.lag_ns
        time.sleep(0.2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        after = load.lag_ns
        load.stop()
        return before, after

    before, after = asyncio.run(measure())
    assert after > 100 * MILLISECOND
    assert after > before


class Unfinished:
    """A decision request whose body has not come yet."""

    def __init__(self, edge: Edge) -> None:
        host, port = edge.base.removeprefix("http://").split(":")
        self._body = json.dumps({"anonymous_id": anon(5), "placements": ["home.hero"]}).encode()
        self._connection = socket.create_connection((host, int(port)), 20)
        lines = [
            "Host: x",
            "Connection: close",
            f"Authorization: Bearer {SITE}",
            f"Content-Length: {len(self._body)}",
        ]
        head = "\r\n".join(["POST /v1/decide HTTP/1.1", *lines, "", ""])
        self._connection.sendall(head.encode() + self._body[:5])

    def finish(self) -> Any:
        self._connection.sendall(self._body[5:])
        answer = b""
        while part := self._connection.recv(65536):
            answer += part
        self.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])["decision"]["placements"]["home.hero"]

    def close(self) -> None:
        self._connection.close()


def test_a_busy_or_late_worker_answers_with_the_fallback(tmp_path: Path) -> None:
    edge = Edge(tmp_path, workers=1, extra={"ONEVOICE_IN_FLIGHT_MAX": "2"})
    edge.seed()
    edge.start()
    try:
        waiting = [Unfinished(edge) for _ in range(2)]
        edge.until(lambda: edge.decide(5)["placements"]["home.hero"]["reason"] == "overload")
        hero = edge.decide(5)["placements"]["home.hero"]
        assert (hero["fallback"], hero["blocks"]["headline"]["block"]) == (True, "hero-generic")
        waiting.pop().close()
        edge.until(lambda: edge.decide(5)["placements"]["home.hero"]["reason"] == "no_consent")
        began = time.monotonic()
        edge.until(lambda: time.monotonic() - began > 0.1 and edge.answers("/healthz"))
        late = waiting.pop().finish()
        assert (late["reason"], late["fallback"]) == ("deadline", True)
        figures = edge.get("/metrics").body
        assert b"onevoice_edge_deadlines_missed_total 1.0" in figures
        assert b'onevoice_edge_decisions_total{reason="deadline"} 1.0' in figures
    finally:
        edge.kill()


def test_a_body_that_does_not_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "BODY_SECONDS_MAX", 0.05)
    monkeypatch.setattr(body_module, "TICK_SECONDS", 0.01)

    async def wait() -> bytes:
        patience = Patience()
        patience.start()
        never = asyncio.Event()

        async def receive() -> Any:
            await never.wait()

        try:
            return await patience.read_body(receive, {}, 100)
        finally:
            patience.stop()

    with pytest.raises(HttpError) as caught:
        asyncio.run(wait())
    assert (caught.value.status, caught.value.code) == (400, "too_slow")


def test_a_client_that_hangs_up_ends_the_request() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGoneError):
        asyncio.run(Patience().read_body(receive, {}, 100))
