"""The short way and the ordinary way of a decision: the same answers, whatever the bytes and however they
come.
"""

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.fleet import OPERATOR, SITE, Edge, anon

BODY = json.dumps(
    {"anonymous_id": anon(5), "placements": ["home.hero"], "at": 1_795_000_000_000, "decision_id": "x"}
)
REFUSED = [
    b"{",
    b"[]",
    b"{}",
    b'{"placements":["home.hero"]}',
    b'{"placements":["no"],"anonymous_id":"%s"}' % anon(5).encode(),
]


class Line:
    """One connection, spoken by hand."""

    def __init__(self, edge: Edge) -> None:
        host, port = edge.base.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), 20)
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers without the date, and body of the next answer."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        length = int(headers["content-length"])
        self._buffer = rest
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        headers.pop("date")
        return int(status.split()[1]), headers, body

    def _more(self) -> None:
        part = self.socket.recv(65536)
        assert part, "the edge hung up"
        self._buffer += part

    def is_open(self) -> bool:
        self.socket.settimeout(0.05)
        try:
            return self.socket.recv(1) != b""
        except TimeoutError:
            return True

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def line(edge: Edge) -> Iterator[Line]:
    made = Line(edge)
    yield made
    made.close()


def request(body: bytes, *headers: str, path: str = "/v1/decide", key: str = OPERATOR) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *headers]
    if not any(header.startswith("Transfer-Encoding") for header in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def without_time(body: bytes) -> bytes:
    return re.sub(rb'"took_us":\d+', b'"took_us":0', body)


WAYS = [
    ("Content-Type: application/json",),
    ("Content-Type: text/plain;charset=UTF-8",),
    ("Origin: https://shop.example",),
    ("Origin: https://evil.example",),
    ("Content-Type: application/xml",),
]


@pytest.mark.parametrize("headers", WAYS)
@pytest.mark.parametrize("body", [BODY.encode(), *REFUSED])
def test_both_ways_give_the_same_answer(
    edge: Edge, line: Line, headers: tuple[str, ...], body: bytes
) -> None:
    line.send(request(body, *headers))
    short = line.answer()
    line.send(request(body, *headers, "Connection: close"))
    ordinary = line.answer()
    assert ordinary[1].pop("connection") == "close"
    chunked = Line(edge)
    encoded = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    chunked.send(request(encoded, *headers, "Transfer-Encoding: chunked"))
    assert short[0] == ordinary[0]
    assert short[1] | {"content-length": ""} == ordinary[1] | {"content-length": ""}
    assert without_time(short[2]) == without_time(ordinary[2]) == without_time(chunked.answer()[2])
    chunked.close()


def test_a_connection_carries_many_requests_of_both_ways(edge: Edge, line: Line) -> None:
    for number in range(50):
        line.send(request(BODY.encode()) if number % 3 else request(BODY.encode(), path="/v1/decide?x=1"))
        status, _, body = line.answer()
        assert status == 200
        assert json.loads(body)["decision"]["id"] == "x"


def test_pipelined_requests_are_answered_in_order(edge: Edge, line: Line) -> None:
    bodies = [json.dumps({**json.loads(BODY), "decision_id": str(number)}).encode() for number in range(40)]
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for position, body in enumerate(bodies):
        line.send(request(body, path="/v1/decide?a" if position % 5 == 4 else "/v1/decide"))
        if position % 7 == 0:
            line.send(health)
    for position, body in enumerate(bodies):
        assert json.loads(line.answer()[2])["decision"]["id"] == json.loads(body)["decision_id"]
        if position % 7 == 0:
            assert json.loads(line.answer()[2]) == {"status": "ok"}


def test_a_request_may_come_byte_by_byte(edge: Edge, line: Line) -> None:
    for byte in request(BODY.encode()):
        line.send(bytes([byte]))
    assert line.answer()[0] == 200
    line.send(request(BODY.encode()))
    assert line.answer()[0] == 200


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        b"POST /v1/decide HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n12345",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_bytes_that_are_no_request_end_the_connection(edge: Edge, line: Line, data: bytes) -> None:
    line.send(data)
    status, headers, _ = line.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert not line.is_open()


def test_expect_100_is_answered_before_the_body(edge: Edge, line: Line) -> None:
    whole = request(BODY.encode(), "Expect: 100-continue")
    line.send(whole[: -len(BODY)])
    assert line.socket.recv(1024).startswith(b"HTTP/1.1 100")
    line.send(BODY.encode())
    assert line.answer()[0] == 200


def test_an_old_client_is_answered_and_hung_up(edge: Edge, line: Line) -> None:
    line.send(request(BODY.encode()).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert line.answer()[0] == 200
    assert not line.is_open()


def test_a_client_that_leaves_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    edge = Edge(tmp_path, workers=1, extra={"ONEVOICE_IN_FLIGHT_MAX": "4"})
    edge.seed()
    edge.start()
    try:
        for _ in range(20):
            line = Line(edge)
            line.send(request(BODY.encode(), key=SITE)[:-10])
            line.close()
        edge.until(lambda: edge.decide(5)["placements"]["home.hero"]["reason"] == "no_consent")
        started = time.monotonic()
        assert edge.stop() == 0
        assert time.monotonic() - started < 10
    finally:
        edge.kill()
