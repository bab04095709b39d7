"""What every method answers to a wrong key, role, size or form, and without a deadline."""

import asyncio
import json
from typing import Any

import grpc
import pytest

from hub.cli.client import HubAddress, HubClient
from hub.decisioning.asking import Desk
from hub.decisioning.bundles import ActiveBundle
from hub.decisioning.deciding import Decider
from hub.decisioning.publishing import Publisher
from hub.errors import ConflictError, UnavailableError
from hub.metrics import Metrics
from hub.rpc.auth import Keyring
from hub.rpc.decisions import Decisions
from hub.rpc.interceptor import Gate
from hub.rpc.methods import METHODS
from hub.rpc.status import DETAIL_KEY
from hub.store.engine import Store
from onevoice.v1 import (
    common_pb2,
    consents_pb2,
    decisions_pb2,
    decisions_pb2_grpc,
    fleet_pb2,
    fleet_pb2_grpc,
)
from tests.hub.asyncs import run_async
from tests.hub.catalogues import central
from tests.hub.keys import IDENTIFIER_KEY, SIGNING_KEY
from tests.hub.running import KEYS, RunningHub

UNARY = sorted(name for name in METHODS if not name.endswith("/Stream"))
#: No field of any message: a group's end without its begin.
FOREIGN = b"\x0c\xff\xff"


def call(
    running: RunningHub,
    method: str,
    body: bytes = b"",
    *metadata: tuple[str, str],
    timeout: float | None = 20,
) -> bytes:
    """One call with raw bytes and the given metadata."""
    with grpc.insecure_channel(running.target) as channel:
        send = channel.unary_unary(method, lambda data: data, lambda data: data)
        answer: bytes = send(body, metadata=metadata, timeout=timeout)
        return answer


def refusal(running: RunningHub, method: str, body: bytes, *metadata: tuple[str, str]) -> tuple[Any, Any]:
    """Status and detail of a call that must be refused."""
    with pytest.raises(grpc.RpcError) as caught:
        call(running, method, body, *metadata)
    error = caught.value
    assert isinstance(error, grpc.Call)
    details = [value for key, value in error.trailing_metadata() or () if key == DETAIL_KEY]
    detail = common_pb2.ErrorDetail.FromString(details[0]) if details else None
    return error.code(), detail


def bearer(role: str) -> tuple[str, str]:
    return ("authorization", f"Bearer {KEYS[role]}")


def allowed(method: str) -> str:
    return sorted(METHODS[method].roles)[0]


@pytest.mark.parametrize("method", UNARY)
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer not-a-key-of-this-hub"),),
        (("authorization", f"Basic {KEYS['operator']}"),),
        (("authorization", KEYS["operator"]),),
        (("authorization", "Bearer "),),
        (("authorization", f"Bearer {KEYS['operator']}"), ("authorization", f"Bearer {KEYS['operator']}")),
    ],
    ids=["none", "unknown", "scheme", "bare", "empty", "twice"],
)
def test_a_call_without_a_known_key_is_unauthenticated(
    running: RunningHub, method: str, metadata: tuple[tuple[str, str], ...]
) -> None:
    status, detail = refusal(running, method, b"", *metadata)
    assert status is grpc.StatusCode.UNAUTHENTICATED
    assert (detail.code, detail.path) == ("unauthenticated", "metadata.authorization")
    assert not any(key in detail.message for key in KEYS.values())


@pytest.mark.parametrize("method", UNARY)
def test_roles_that_may_not_call_a_method_are_refused(running: RunningHub, method: str) -> None:
    for role in KEYS.keys() - METHODS[method].roles:
        status, detail = refusal(running, method, b"", bearer(role))
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert detail.code == "forbidden"
        assert detail.got == f"role {role}"


@pytest.mark.parametrize("method", UNARY)
def test_foreign_bytes_are_an_invalid_argument(running: RunningHub, method: str) -> None:
    status, detail = refusal(running, method, FOREIGN, bearer(allowed(method)))
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert (detail.code, detail.got) == ("invalid", "other bytes")


@pytest.mark.parametrize("method", [name for name in UNARY if METHODS[name].request_bytes_max <= 2**24])
def test_an_oversized_message_is_refused(running: RunningHub, method: str) -> None:
    body = bytes(METHODS[method].request_bytes_max + 1)
    status, detail = refusal(running, method, body, bearer(allowed(method)))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert detail.code == "too_large"


def test_the_stream_is_for_edges_only(running: RunningHub) -> None:
    with grpc.insecure_channel(running.target) as channel:
        stream = channel.stream_stream("/onevoice.v1.Sync/Stream", lambda data: data, lambda data: data)
        for metadata, expected in (
            ((), grpc.StatusCode.UNAUTHENTICATED),
            ((bearer("operator"),), grpc.StatusCode.PERMISSION_DENIED),
            ((bearer("edge"),), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                next(stream(iter([FOREIGN]), metadata=metadata, timeout=10))
            assert caught.value.code() is expected  # type: ignore[attr-defined]


def test_what_does_not_exist_is_unimplemented(running: RunningHub) -> None:
    for method in ("/onevoice.v1.Decisions/Nothing", "/onevoice.v1.Nothing/Decide"):
        status, _ = refusal(running, method, b"", bearer("operator"))
        assert status is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_without_a_deadline_is_answered(running: RunningHub) -> None:
    body = call(running, "/onevoice.v1.Fleet/Status", b"", bearer("operator"), timeout=None)
    assert fleet_pb2.StatusResponse.FromString(body).hub.bundle_revision == 1


def test_health_and_reflection_are_open(running: RunningHub) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    with grpc.insecure_channel(running.target) as channel:
        for service in ("", "onevoice.v1.Decisions", "onevoice.v1.Sync"):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        found = set(ProtoReflectionDescriptorDatabase(channel).get_services())
    assert {name.split("/")[1] for name in METHODS} <= found


class Slow(fleet_pb2_grpc.FleetServicer):
    """Answers when it is told to, or raises what it is told to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.came = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def Status(self, request: fleet_pb2.StatusRequest, context: Any) -> fleet_pb2.StatusResponse:
        self.came.release()
        if self.error is not None:
            raise self.error
        await self.go.wait()
        return fleet_pb2.StatusResponse()


async def gated(slow: Slow, metrics: Metrics) -> tuple[grpc.aio.Server, int]:
    gate = Gate(Keyring({"operator": (KEYS["operator"],)}), metrics, concurrency=2)
    server = grpc.aio.server(interceptors=[gate])
    fleet_pb2_grpc.add_FleetServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


@run_async
async def test_more_calls_than_may_be_in_work_are_refused_and_the_others_answered() -> None:
    slow, metrics = Slow(), Metrics()
    server, port = await gated(slow, metrics)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = fleet_pb2_grpc.FleetStub(channel)
        calls = [stub.Status(fleet_pb2.StatusRequest(), metadata=[bearer("operator")]) for _ in range(2)]
        for _ in calls:
            await slow.came.acquire()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Status(fleet_pb2.StatusRequest(), metadata=[bearer("operator")], timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        slow.go.set()
        await asyncio.gather(*calls)
        await stub.Status(fleet_pb2.StatusRequest(), metadata=[bearer("operator")], timeout=10)
    await server.stop(0)
    assert b'onevoice_hub_rpc_total{method="/onevoice.v1.Fleet/Status",status="OK"} 3.0' in metrics.render()
    assert b'status="RESOURCE_EXHAUSTED"} 1.0' in metrics.render()


@run_async
async def test_a_decision_is_the_fallback_where_the_hub_is_full(store: Store) -> None:
    def unlogged(*_: Any) -> None:
        raise AssertionError("a fallback is nobody's decision")

    decider = Decider(store, unlogged)
    publisher = Publisher(store, SIGNING_KEY, ActiveBundle(), [decider.prepare], lambda: 1_795_000_000_000)
    await publisher.publish(central(), "ben")
    desk = Desk(IDENTIFIER_KEY, [], "shop", lambda: 1_795_000_000_000, allow_time_travel=False)
    slow, metrics = Slow(), Metrics()
    gate = Gate(Keyring({"operator": (KEYS["operator"],)}), metrics, concurrency=1)
    server = grpc.aio.server(interceptors=[gate])
    fleet_pb2_grpc.add_FleetServicer_to_server(slow, server)
    decisions_pb2_grpc.add_DecisionsServicer_to_server(Decisions(desk, decider, metrics, "hub"), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    question = decisions_pb2.DecideRequest(profile="id:1", placements=["home.hero"])
    batch = decisions_pb2.DecideBatchRequest(requests=[question])
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        fleet, decisions = fleet_pb2_grpc.FleetStub(channel), decisions_pb2_grpc.DecisionsStub(channel)
        options: dict[str, Any] = {"metadata": [bearer("operator")], "timeout": 10}
        held = fleet.Status(fleet_pb2.StatusRequest(), **options)
        await slow.came.acquire()
        full = await decisions.Decide(question, **options)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decisions.DecideBatch(batch, **options)
        slow.go.set()
        await held
        free = await decisions.Decide(question, **options)
    await server.stop(0)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    reasons = [json.loads(one.decision)["placements"]["home.hero"]["reason"] for one in (full, free)]
    assert reasons[0] == "overload"
    assert reasons[1] != "overload"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConflictError(expected="a", got="b"), grpc.StatusCode.ABORTED, "conflict"),
        (UnavailableError(), grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (TimeoutError(), grpc.StatusCode.DEADLINE_EXCEEDED, "deadline"),
        (KeyError("email:ada@example.com"), grpc.StatusCode.INTERNAL, "internal"),
    ],
)
def test_an_error_becomes_its_status_and_one_of_ours_tells_nothing(
    error: Exception, status: grpc.StatusCode, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @run_async
    async def check() -> None:
        slow = Slow()
        slow.error = error
        server, port = await gated(slow, Metrics())
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = fleet_pb2_grpc.FleetStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Status(fleet_pb2.StatusRequest(), metadata=[bearer("operator")], timeout=10)
        await server.stop(0)
        assert caught.value.code() is status
        details = dict(caught.value.trailing_metadata() or ())
        assert common_pb2.ErrorDetail.FromString(details[DETAIL_KEY]).code == code
        assert "ada" not in str(caught.value)

    check()
    printed = capsys.readouterr()
    assert "ada" not in printed.out + printed.err


def test_text_that_is_not_utf8_is_an_invalid_argument(running: RunningHub) -> None:
    body = b"\x0a\x03\xff\xfe\xfd"
    status, _ = refusal(running, "/onevoice.v1.Profiles/Get", body, bearer("server"))
    assert status is grpc.StatusCode.INVALID_ARGUMENT


def test_another_key_of_the_same_role_works(running: RunningHub) -> None:
    keyring = Keyring({"server": ("first-key-of-two", "second-key-of-two"), "edge": ("third-key-of-all",)})
    assert [keyring.role_of(key) for key in ("second-key-of-two", "third-key-of-all", "x")] == [
        "server",
        "edge",
        None,
    ]
    with HubClient(HubAddress(running.target, KEYS["server"])) as hub:
        request = consents_pb2.HistoryRequest(person="id:nobody")
        assert list(hub.consents.History(request, timeout=10).changes) == []
