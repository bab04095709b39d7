"""OFREP: placements as feature flags (OpenFeature Remote Evaluation Protocol 0.2).

A flag is a placement; its value is what was chosen, `{"offer", "treatment", "blocks"}`. `targetingKey` is
the anonymous id.
"""

import asyncio
import hashlib
import time
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.bundle import ANSWERED_AT_EDGE
from core.decide import Engine
from edge.http.access import Keyring
from edge.http.body import Patience
from edge.http.decide import BODY_BYTES_MAX, NO_BODY, PLACEMENTS_MAX, DecideBody, Decider
from edge.http.replies import HttpError, encode

FLAG_LENGTH_MAX: Final = 128
_INVALID: Final = "INVALID_CONTEXT"


class OfrepBody(msgspec.Struct):
    """The body of an evaluation."""

    context: Annotated[dict[str, Any], msgspec.Meta(max_length=64)] = {}


class OfrepError(Exception):
    """An answer in OFREP's own error shape."""

    def __init__(self, status: int, code: str, details: str, key: str | None) -> None:
        super().__init__(details)
        self.status = status
        self.content = {"errorCode": code, "errorDetails": details}
        if key is not None:
            self.content = {"key": key, **self.content}


class OfrepRoutes:
    """Handlers: decode, decide, encode."""

    def __init__(self, decider: Decider, keyring: Keyring, patience: Patience) -> None:
        self._patience = patience
        self._decider = decider
        self._keyring = keyring
        self._decode = msgspec.json.Decoder(OfrepBody).decode

    def routes(self) -> list[Route]:
        """Both of them."""
        return [
            Route("/ofrep/v1/evaluate/flags", self.evaluate_all, methods=["POST"]),
            Route("/ofrep/v1/evaluate/flags/{key:path}", self.evaluate_one, methods=["POST"]),
        ]

    async def evaluate_one(self, request: Request) -> Response:
        """One placement."""
        key = request.path_params["key"]
        try:
            engine = self._decider.engine
            context = await self._context(request, key)
            if not 0 < len(key) <= FLAG_LENGTH_MAX:
                raise OfrepError(404, "FLAG_NOT_FOUND", "no such placement", key[:FLAG_LENGTH_MAX])
            flags = self._evaluate(request, engine, context, [key], key)
            if flags[0].get("errorCode"):
                return _reply(404, flags[0])
            return _reply(200, flags[0])
        except OfrepError as error:
            return _reply(error.status, error.content)

    async def evaluate_all(self, request: Request) -> Response:
        """Every placement that edges answer."""
        try:
            engine = self._decider.engine
            context = await self._context(request, None)
            found = engine.document.placements
            names = [one.id for one in found if one.answered_at == ANSWERED_AT_EDGE]
            flags = []
            for start in range(0, len(names), PLACEMENTS_MAX):
                asked = names[start : start + PLACEMENTS_MAX]
                flags += self._evaluate(request, engine, context, asked, None)
                await asyncio.sleep(0)  # other requests come between
        except OfrepError as error:
            return _reply(error.status, error.content)
        body = encode({"flags": flags})
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        return Response(
            body, media_type="application/json", headers={"etag": tag, "cache-control": "no-store"}
        )

    async def _context(self, request: Request, key: str | None) -> dict[str, Any]:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        request.scope["onevoice.role"] = self._keyring.role(headers, request.scope["query_string"])
        raw = await self._patience.read_body(request.receive, headers, BODY_BYTES_MAX)
        try:
            context = self._decode(raw).context
        except NO_BODY as error:
            code = _INVALID if isinstance(error, msgspec.ValidationError) else "PARSE_ERROR"
            raise OfrepError(400, code, "expected an object with a context", key) from error
        if not context.get("targetingKey"):
            raise OfrepError(400, "TARGETING_KEY_MISSING", "expected context.targetingKey", key)
        return context

    def _evaluate(
        self, request: Request, engine: Engine, context: dict[str, Any], names: list[str], key: str | None
    ) -> list[dict[str, Any]]:
        started_ns = time.perf_counter_ns()
        anonymous_id = context["targetingKey"]
        if not isinstance(anonymous_id, str):
            raise OfrepError(400, _INVALID, "expected a string as targetingKey", key)
        facts = {name: value for name, value in context.items() if name != "targetingKey"}
        body = DecideBody(placements=names, anonymous_id=anonymous_id, context=facts)
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        try:
            question = self._decider.question(
                body, request.scope["onevoice.role"], headers, request.scope.get("client")
            )
        except HttpError as error:
            raise OfrepError(error.status, _INVALID, str(error), key) from error
        decision = self._decider.decide(engine, question, started_ns).decision
        placements = msgspec.json.decode(decision.body)["placements"]
        return [_flag(name, placements[name], engine) for name in names]


def _flag(name: str, answer: dict[str, Any], engine: Engine) -> dict[str, Any]:
    if answer["reason"] == "unknown_placement":
        return {"key": name, "errorCode": "FLAG_NOT_FOUND", "errorDetails": "no such placement"}
    metadata = {"reason": answer["reason"], "ai": answer["ai"], "revision": engine.revision}
    return {
        "key": name,
        "reason": _reason(answer),
        "variant": answer["treatment"] or "fallback",
        "value": {"offer": answer["offer"], "treatment": answer["treatment"], "blocks": answer["blocks"]},
        "metadata": metadata,
    }


def _reason(answer: dict[str, Any]) -> str:
    """OpenFeature's word for how a value came about; ours is in the metadata."""
    if answer["reason"] == "error":
        return "ERROR"
    if answer["fallback"]:
        return "DEFAULT"
    return "SPLIT" if answer["experiments"] else "TARGETING_MATCH"


def _reply(status: int, content: Any) -> Response:
    headers = {"cache-control": "no-store"}
    return Response(encode(content), status_code=status, media_type="application/json", headers=headers)
