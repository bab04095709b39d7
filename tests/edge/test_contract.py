"""The edge against its own description: generated requests get described answers, and never a 5xx."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge.http.openapi import document
from tests.edge.fleet import SITE, Edge, anon

CASES = 60
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
CALM = settings(
    max_examples=CASES,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)


@pytest.mark.parametrize("path", sorted(path for path, item in document()["paths"].items() if "post" in item))
def test_described_requests_get_described_answers(edge: Edge, path: str) -> None:
    operation = SCHEMA[path]["POST"]

    @CALM
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        described = set(document()["paths"][path]["post"]["responses"])
        body = json.dumps(case.body).encode()
        reply = edge.post(path.replace("{key}", "home.hero"), body)
        assert str(reply.status) in described, (reply.status, reply.body, body)
        assert reply.status < 500
        assert isinstance(reply.json, dict)

    ask()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "anonymous_id", "placements", "context", "user_token", "profile", "trace", "at", "decision_id", "events",
    "batch", "purpose", "state", "text_version", "source", "timestamp", "type", "event", "anonymousId",
    "properties", "traits", "userId", "messageId", "sentAt", "targetingKey",
)  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=8) | ANYTHING


@pytest.mark.parametrize(
    "path", ["/v1/decide", "/v1/events", "/v1/consent", "/v1/identify", "/ofrep/v1/evaluate/flags"]
)
def test_any_json_gets_an_answer(edge: Edge, path: str) -> None:
    @CALM
    @given(body=BODIES, wrap=st.booleans())
    def ask(body: Any, wrap: bool) -> None:
        if wrap and isinstance(body, dict):
            body = {"placements": ["home.hero"], "anonymous_id": anon(3), "events": [body], **body}
        reply = edge.post(path, json.dumps(body).encode(), SITE)
        assert reply.status in (200, 400, 401, 403, 404), (reply.status, reply.body)

    ask()
