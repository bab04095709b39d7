"""The OpenAPI description of an edge: bodies from the types that decode them; a test compares paths and
routes.
"""

from typing import Any, Final

import msgspec

from core.intake import CONSENT_STATES, KINDS
from core.reasons import REASONS
from edge.http.decide import DecideBody
from edge.http.events import BatchBody, EventsBody
from edge.http.ofrep import OfrepBody

VERSION: Final = "1"
_ERROR: Final = {"$ref": "#/components/schemas/Error"}
_TEXT: Final = {"type": "string"}
_STATUS_TEXT: Final = {
    400: "malformed",
    401: "no known key, or a user token that cannot be accepted",
    403: "a key without this right",
    404: "nothing of this name",
    405: "another method",
    413: "too large",
    415: "not JSON",
    429: "too many at once; try again",
    503: "not now; try again",
}


def document() -> dict[str, Any]:
    """The whole description."""
    _, schemas = msgspec.json.schema_components(
        (DecideBody, EventsBody, BatchBody, OfrepBody), ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Onevoice edge",
            "version": VERSION,
            "description": "Decisions near the visitor, and what visitors do.",
        },
        "paths": _paths(),
        "components": {"schemas": {**schemas, **_schemas()}, "securitySchemes": _security()},
        "security": [{"bearer": []}],
    }


def _paths() -> dict[str, Any]:
    page_key: list[dict[str, list[str]]] = [{"bearer": []}, {"page": []}]
    paths = {
        "/v1/decide": _post("Decide what placements show", "DecideBody", "Decided", (404,)),
        "/v1/events": _post("Take events in", "EventsBody", "Taken", (429,), page_key),
        "/v1/batch": _post(
            "Take events in, as Segment's libraries send them", "BatchBody", "Taken", (429,), page_key
        ),
        "/v1/consent": _post("Keep a consent change", "ConsentBody", "Consented", (429,), page_key),
        "/ofrep/v1/evaluate/flags": _ofrep("Evaluate every placement", "FlagsEvaluated", ()),
        "/ofrep/v1/evaluate/flags/{key}": _ofrep("Evaluate one placement", "FlagEvaluated", (404,)),
        "/v1/client.js": _get("The browser library", "text/javascript"),
        "/openapi.json": _get("This description", "application/json"),
        "/healthz": _get("Whether the worker runs", "application/json"),
        "/readyz": _get("Whether this edge can decide", "application/json", (503,)),
        "/metrics": _get("Figures for Prometheus", "text/plain"),
    }
    for kind in KINDS:
        paths[f"/v1/{kind}"] = _post(f"Segment's {kind} call", "Message", "Taken", (429,), page_key)
    key = {"name": "key", "in": "path", "required": True, "schema": _TEXT}
    paths["/ofrep/v1/evaluate/flags/{key}"]["parameters"] = [key]
    return paths


def _post(
    summary: str, body: str, answer: str, statuses: tuple[int, ...], security: Any = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}},
        },
        "responses": {
            "200": _answer(answer),
            **{str(status): _refusal(status) for status in (400, 401, 403, 413, 415, 503, *statuses)},
        },
    }
    if security is not None:
        operation["security"] = security
    return {"post": operation}


def _ofrep(summary: str, answer: str, statuses: tuple[int, ...]) -> dict[str, Any]:
    item = _post(summary, "OfrepBody", answer, ())
    shape = {"$ref": "#/components/schemas/OfrepError"}
    for status in (400, 403, *statuses):
        content = {"application/json": {"schema": shape}}
        item["post"]["responses"][str(status)] = {"description": _STATUS_TEXT[status], "content": content}
    return item


def _get(summary: str, media_type: str, statuses: tuple[int, ...] = ()) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "there it is", "content": {media_type: {}}}}
    responses.update({str(status): {"description": _STATUS_TEXT[status]} for status in statuses})
    return {"get": {"summary": summary, "security": [], "responses": responses}}


def _answer(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": "done", "content": {"application/json": {"schema": schema}}}


def _refusal(status: int) -> dict[str, Any]:
    return {"description": _STATUS_TEXT[status], "content": {"application/json": {"schema": _ERROR}}}


def _security() -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer"},
        "page": {
            "type": "apiKey",
            "in": "query",
            "name": "key",
            "description": "site keys only, for beacons",
        },
    }


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _schemas() -> dict[str, Any]:
    number, flag = {"type": "integer"}, {"type": "boolean"}
    nullable = {"type": ["string", "null"]}
    block = _object(("block", "value"), block=_TEXT, value={})
    blocks = {"type": "object", "additionalProperties": block}
    # The version: of sticky experiments alone.
    experiment = _object(("id", "variant"), id=_TEXT, variant=_TEXT, sticky_version=number)
    placement = _object(
        ("offer", "treatment", "blocks", "fallback", "reason", "ai", "experiments"),
        offer=nullable,
        treatment=nullable,
        blocks=blocks,
        fallback=flag,
        reason={"type": "string", "enum": list(REASONS)},
        ai=flag,
        experiments={"type": "array", "items": experiment},
    )
    decision = _object(
        ("id", "now", "bundle", "profile", "placements"),
        id=_TEXT,
        now={"type": "string", "format": "date-time"},
        bundle=_object(("revision", "hash"), revision=number, hash=_TEXT),
        profile=_object(
            ("sequence", "age_ms", "stale", "starter"),
            sequence=number,
            age_ms=number,
            stale=flag,
            starter=flag,
        ),
        placements={"type": "object", "additionalProperties": placement},
        trace={"type": "array"},
    )
    rejected = _object(
        ("index", "path", "expected", "got"), index=number, path=_TEXT, expected=_TEXT, got=_TEXT
    )
    error = dict.fromkeys(("code", "message", "path", "expected", "got"), _TEXT)
    flag_value = _object(("offer", "treatment", "blocks"), offer=nullable, treatment=nullable, blocks=blocks)
    evaluated = _object(
        ("key",), key=_TEXT, reason=_TEXT, variant=_TEXT, value=flag_value, metadata={"type": "object"}
    )
    return {
        "Error": _object(("error",), error=_object(tuple(error), **error)),
        "OfrepError": _object(("errorCode",), key=_TEXT, errorCode=_TEXT, errorDetails=_TEXT),
        "Decided": _object(
            ("decision", "node", "took_us"),
            decision=decision,
            node=_TEXT,
            took_us=number,
            # By placement, where sticky experiments assigned: send it back as the property `exposure`.
            exposures={"type": "object", "additionalProperties": _TEXT},
        ),
        "Taken": _object(
            ("accepted", "duplicates", "rejected"),
            accepted=number,
            duplicates=number,
            dropped=number,
            rejected={"type": "array", "items": rejected},
        ),
        "Message": {"type": "object", "description": "a message of Segment's specification"},
        "ConsentBody": _object(
            ("purpose", "state", "text_version", "source"),
            anonymous_id=_TEXT,
            user_token=_TEXT,
            purpose=_TEXT,
            state={"type": "string", "enum": list(CONSENT_STATES)},
            text_version=_TEXT,
            source=_TEXT,
            timestamp={"type": "string", "format": "date-time"},
            message_id=_TEXT,
        ),
        "Consented": _object(("effective_at",), effective_at={"type": "string", "format": "date-time"}),
        "FlagEvaluated": evaluated,
        "FlagsEvaluated": _object(("flags",), flags={"type": "array", "items": evaluated}),
    }
