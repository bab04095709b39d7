"""Decisions: the same question as on every channel."""

import time
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.json_format import Error as JsonFormatError
from google.protobuf.json_format import MessageToDict

from core.answers import Decision
from hub.decisioning.asking import Desk, Question
from hub.decisioning.deciding import Decider
from hub.errors import InvalidError
from hub.metrics import Metrics
from hub.rpc.auth import caller, overloaded
from hub.rpc.interceptor import Context
from onevoice.v1 import decisions_pb2, decisions_pb2_grpc

BATCH_MAX: Final = 1_000


class Decisions(decisions_pb2_grpc.DecisionsServicer):
    """Decode, decide, encode."""

    def __init__(self, desk: Desk, decider: Decider, metrics: Metrics, node: str) -> None:
        self._desk = desk
        self._decider = decider
        self._metrics = metrics
        self._node = node

    async def Decide(
        self, request: decisions_pb2.DecideRequest, context: Context
    ) -> decisions_pb2.DecideResponse:
        """Answer one request."""
        return (await self._decide([request], ["$"]))[0]

    async def DecideBatch(
        self, request: decisions_pb2.DecideBatchRequest, context: Context
    ) -> decisions_pb2.DecideBatchResponse:
        """Answer up to a thousand, in order; one that is malformed refuses them all."""
        if not 0 < len(request.requests) <= BATCH_MAX:
            expected = f"1 to {BATCH_MAX} requests"
            raise InvalidError(expected=expected, got=f"{len(request.requests)}", path="$.requests")
        paths = [f"$.requests[{index}]" for index in range(len(request.requests))]
        return decisions_pb2.DecideBatchResponse(responses=await self._decide(request.requests, paths))

    async def _decide(
        self, requests: Sequence[decisions_pb2.DecideRequest], paths: list[str]
    ) -> list[decisions_pb2.DecideResponse]:
        started = time.perf_counter_ns()
        role, moment_ms = caller.get(), self._desk.now_ms()
        asked = [
            self._desk.take(_question(request, path), role, path, moment_ms)
            for request, path in zip(requests, paths, strict=True)
        ]
        made = await self._decider.decide(asked, overloaded=overloaded.get())
        took_us = (time.perf_counter_ns() - started) // 1_000
        return [self._response(decision, took_us) for decision in made]

    def _response(self, decision: Decision, took_us: int) -> decisions_pb2.DecideResponse:
        self._metrics.decided(decision.reasons)
        return decisions_pb2.DecideResponse(decision=decision.body, node=self._node, took_us=took_us)


def _question(request: decisions_pb2.DecideRequest, path: str) -> Question:
    return Question(
        placements=tuple(request.placements),
        anonymous_id=request.anonymous_id,
        user_token=request.user_token,
        profile=request.profile,
        context=_plain(request, path),
        trace=request.trace,
        at_ms=request.at_ms,
        decision_id=request.decision_id,
    )


def _plain(request: decisions_pb2.DecideRequest, path: str) -> dict[str, Any]:
    try:
        return MessageToDict(request.context)
    except (JsonFormatError, ValueError) as error:
        expected = "finite numbers and values that are set"
        raise InvalidError(expected=expected, got="other values", path=f"{path}.context") from error
