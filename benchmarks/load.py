"""A load generator for HTTP/1.1 over loopback: closed loop for throughput, open loop for latency from the
intended send time.

Runs in a process of its own (`python -m benchmarks.load`) so that its cost never shares the server's
interpreter.
Requests are whole byte strings drawn uniformly; answers are framed by Content-Length, which every server
here sends.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One connection with at most one request in flight."""

    def __init__(self, on_answer: Callable[["Client", bytes], None]) -> None:
        self.on_answer = on_answer
        self.buffer = b""
        self.intended = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class, not a subclass

    def send(self, request: bytes) -> None:
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        start = head.find(b"content-length:") + 15
        stop = head.find(b"\r\n", start)
        length = int(head[start : stop if stop > 0 else head_end])
        if len(self.buffer) < head_end + 4 + length:
            return
        answer, self.buffer = self.buffer, b""
        self.on_answer(self, answer)


async def closed(
    host: str, port: int, requests: Callable[[], bytes], connections: int, seconds: float
) -> dict[str, float]:
    """As many requests as the server answers, `connections` in flight: requests/s and the share of
    fallbacks.
    """
    loop = asyncio.get_running_loop()
    statuses: Counter[bytes] = Counter()
    fallbacks = 0
    deadline = 0.0
    done = loop.create_future()
    open_count = connections

    def answered(client: Client, answer: bytes) -> None:
        nonlocal fallbacks, open_count
        statuses[answer[9:12]] += 1
        fallbacks += b'"fallback":true' in answer
        if time.perf_counter() < deadline:
            client.send(requests())
            return
        open_count -= 1
        if not open_count and not done.done():
            done.set_result(None)

    clients = [
        (await loop.create_connection(lambda: Client(answered), host, port))[1] for _ in range(connections)
    ]

    def stay_awake() -> None:
        """A client that sleeps makes each answer pay for waking it, on virtual machines dearly."""
        if not done.done():
            loop.call_soon(stay_awake)

    stay_awake()
    start = time.perf_counter()
    deadline = start + seconds
    for client in clients:
        client.send(requests())
    await asyncio.wait_for(done, seconds + 30)
    elapsed = time.perf_counter() - start
    total = sum(statuses.values())
    for client in clients:
        client.transport.close()
    return {"rate": total / elapsed, "n": total, "ok": statuses[b"200"], "fallbacks": fallbacks}


async def opened(
    host: str, port: int, requests: Callable[[], bytes], connections: int, rate: float, count: int
) -> dict[str, float | list[float]]:
    """`count` requests at `rate` per second; latency is counted from each one's intended send time,
    queueing included.
    """
    loop = asyncio.get_running_loop()
    latencies = array("d")
    statuses: Counter[bytes] = Counter()
    fallbacks = 0
    idle: deque[Client] = deque()
    waiting: deque[float] = deque()
    done = loop.create_future()

    def dispatch(client: Client, intended: float) -> None:
        client.intended = intended
        client.send(requests())

    def answered(client: Client, answer: bytes) -> None:
        nonlocal fallbacks
        latencies.append(time.perf_counter() - client.intended)
        statuses[answer[9:12]] += 1
        fallbacks += b'"fallback":true' in answer
        if waiting:
            dispatch(client, waiting.popleft())
        else:
            idle.append(client)
        if len(latencies) == count and not done.done():
            done.set_result(None)

    idle.extend(
        [(await loop.create_connection(lambda: Client(answered), host, port))[1] for _ in range(connections)]
    )
    start = time.perf_counter()
    sent = 0
    while sent < count:
        due = min(count, int((time.perf_counter() - start) * rate) + 1)
        while sent < due:
            intended = start + sent / rate
            if idle:
                dispatch(idle.popleft(), intended)
            else:
                waiting.append(intended)
            sent += 1
        await asyncio.sleep(0.0005)
    await asyncio.wait_for(done, 60)
    ranked = sorted(latencies)

    def at(share: float) -> float:
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1e3

    return {
        "n": count,
        "ok": statuses[b"200"],
        "fallbacks": fallbacks,
        "rate": count / (time.perf_counter() - start),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "max_ms": ranked[-1] * 1e3,
    }


def post(path: str, body: bytes, key: str) -> bytes:
    """A whole POST request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def drawer(template: str, key: str, population: int, seed: int) -> Callable[[], bytes]:
    """Requests drawn uniformly: `{index:012x}` in the template becomes one of `population` numbers, fresh
    for each request.
    """
    draw = random.Random(seed).randrange
    before, after = template.split("@INDEX@")
    length = len(before) + 12 + len(after)
    head, tail = post("/v1/decide", b"x" * length, key)[:-length] + before.encode(), after.encode()
    return lambda: b"%s%012x%s" % (head, draw(population), tail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--key", default="")
    parser.add_argument("--template", required=True, help="body with @INDEX@ where 12 hex digits go")
    parser.add_argument("--population", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float, default=0.0, help="open loop at this rate; 0: closed loop")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    requests = drawer(options.template, options.key, options.population, options.seed)
    if options.rate:
        run = opened(options.host, options.port, requests, options.connections, options.rate, options.count)
    else:
        run = closed(options.host, options.port, requests, options.connections, options.seconds)
    json.dump(uvloop.run(run), sys.stdout)


if __name__ == "__main__":
    main()
