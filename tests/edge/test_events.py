"""Events and consents over HTTP: what is kept, dropped, rejected, known already."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.events import Event, decode_event
from core.journal import iter_records
from core.sealing import unseal
from edge.journal.segments import list_segments, read_records
from tests.edge.fleet import SEALING_KEY, SERVER, SITE, Edge, anon, digest
from tests.edge.test_decide import user_token

Visitor = Callable[[], int]


def journaled(edge: Edge) -> Iterator[Event]:
    """Every event on this edge's disk."""
    for folder in sorted(path for path in edge.folder.journals.iterdir() if path.is_dir()):
        segments = list_segments(folder)
        data, position = b"", segments[0].base
        while part := read_records(folder, position, segments[-1].end, 1 << 20):
            data += part
            position += len(part)
        yield from (decode_event(body) for _, body in iter_records(data))


def of(edge: Edge, number: int) -> list[Event]:
    """The events of one visitor on disk, in the order in which they came."""
    mine = digest("anon", anon(number))
    found = [event for event in journaled(edge) if any(one.hash == mine for one in event.identifiers)]
    return sorted(found, key=lambda event: event.received_ms)


def message(number: int, event: str = "Product Viewed", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "anonymousId": anon(number), **fields}


def test_an_answered_event_is_on_disk(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    reply = edge.post("/v1/events", {"events": [message(number, properties={"price": 3}), message(number)]})
    assert (reply.status, reply.json) == (200, {"accepted": 2, "duplicates": 0, "rejected": []})
    consent, first, second = of(edge, number)
    assert consent.consent is not None
    assert (consent.consent.state, consent.consent.text_version, consent.node) == ("granted", "v1", "eu")
    assert (first.name, first.properties, second.properties) == ("Product Viewed", {"price": 3}, {})


def test_without_consent_behaviour_leaves_no_trace_and_orders_stay(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    events = [message(number), message(number, "Order Completed"), message(number, "PDP_Visit")]
    reply = edge.post("/v1/events", {"events": events})
    assert reply.json == {"accepted": 3, "duplicates": 0, "rejected": [], "dropped": 2}
    assert [event.name for event in of(edge, number)] == ["Order Completed"]
    edge.consent(number, "withdrawn")
    edge.consent(number, purpose="email")
    assert edge.track(number, "Product Viewed").json["dropped"] == 1
    edge.consent(number, purpose="analytics")
    assert "dropped" not in edge.track(number, "Product Viewed").json


def test_a_message_counts_once_whoever_sends_it_again(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    same = message(number, messageId=f"same-{number}")
    assert edge.post("/v1/events", {"events": [same, same]}).json["duplicates"] == 1
    for _ in range(5):
        assert edge.post("/v1/track", same).json == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert len(of(edge, number)) == 2


def test_a_dropped_message_may_come_again_after_consent(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    same = message(number, messageId=f"later-{number}")
    assert edge.post("/v1/track", same).json["dropped"] == 1
    edge.consent(number)
    assert edge.post("/v1/track", same).json == {"accepted": 1, "duplicates": 0, "rejected": []}


def test_bad_messages_are_named_and_good_ones_kept(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    events = [message(number), {"type": "purchase"}, 7, message(number, properties=[]), message(number)]
    reply = edge.post("/v1/events", {"events": events})
    assert (reply.status, reply.json["accepted"]) == (200, 2)
    assert [(one["index"], one["path"]) for one in reply.json["rejected"]] == [
        (1, "$.type"),
        (2, "$"),
        (3, "$.properties"),
    ]
    assert all(one["expected"] and one["got"] for one in reply.json["rejected"])


def test_identifier_traits_are_sealed_before_the_disk(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    identify = {
        "anonymousId": anon(number),
        "userId": "C-9",
        "traits": {"email": "Dora@example.com", "vip": True},
    }
    assert (
        edge.post("/v1/identify", {**identify, "user_token": user_token("email:dora@example.com")}).status
        == 200
    )
    (event,) = [event for event in of(edge, number) if event.kind == "identify"]
    assert event.traits == {"vip": True}
    assert b"Dora@example.com" in unseal(SEALING_KEY.private_bytes_raw(), event.sealed)
    verified = {one.kind for one in event.identifiers if one.verified}
    assert verified == {"email", "anon"}, "the user id is only claimed"
    for folder in edge.folder.journals.iterdir():
        for segment in list_segments(folder):
            assert b"ora@example" not in segment.path.read_bytes()


def test_a_claim_unlocks_nobody(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    claim = {"anonymousId": anon(number), "userId": "x", "traits": {"email": "ada@example.com"}}
    edge.post("/v1/identify", claim)
    edge.post("/v1/alias", {"userId": "x", "previousId": anon(number), "anonymousId": anon(number)})
    assert edge.decide(number, "home.banner")["profile"]["sequence"] == 0
    event = of(edge, number)[1]
    assert {one.kind: one.verified for one in event.identifiers} == {
        "anon": True,
        "email": False,
        "id": False,
    }


def test_a_server_key_verifies_what_it_says(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    edge.post("/v1/identify", {"anonymousId": anon(number), "userId": f"C-{number}"}, SERVER)
    asked = {"placements": ["home.banner"], "profile": f"id:C-{number}"}
    assert edge.post("/v1/decide", asked, SERVER).json["decision"]["profile"]["starter"] is False


@pytest.mark.parametrize("state", ["granted", "denied", "withdrawn"])
def test_a_consent_answers_when_it_takes_effect(edge: Edge, visitor: Visitor, state: str) -> None:
    number = visitor()
    before_ms = time.time_ns() // 1_000_000
    reply = edge.consent(number, state, timestamp="2020-01-01T00:00:00Z")
    (event,) = of(edge, number)
    if state == "granted":
        assert reply.json == {"effective_at": "2020-01-01T00:00:00.000Z"}
    else:
        assert event.at_ms >= before_ms
    assert event.consent is not None
    assert event.consent.state == state


def test_a_person_may_consent_by_token_alone(edge: Edge) -> None:
    body = {"purpose": "ads", "state": "granted", "text_version": "v1", "source": "account"}
    token = user_token("email:erna@example.com")
    assert edge.post("/v1/consent", {**body, "user_token": token}).status == 200
    asked = {"placements": ["home.hero"], "user_token": token}
    assert (
        edge.post("/v1/decide", asked).json["decision"]["placements"]["home.hero"]["reason"] == "no_consent"
    )
    assert edge.post("/v1/consent", {**body, "purpose": "personalization", "user_token": token}).status == 200
    assert (
        edge.post("/v1/decide", asked).json["decision"]["placements"]["home.hero"]["reason"] != "no_consent"
    )


CONSENT = {
    "anonymous_id": anon(9),
    "purpose": "email",
    "state": "granted",
    "text_version": "v",
    "source": "s",
}


@pytest.mark.parametrize(
    ("path", "body", "status", "where"),
    [
        ("/v1/consent", {**CONSENT, "anonymous_id": None}, 400, "$.anonymous_id"),
        ("/v1/consent", {**CONSENT, "purpose": "world-peace"}, 400, "$.purpose"),
        ("/v1/consent", {**CONSENT, "purpose": "World Peace"}, 400, "$.purpose"),
        ("/v1/consent", {**CONSENT, "purpose": ["email"]}, 400, "$.purpose"),
        ("/v1/consent", {**CONSENT, "state": "yes"}, 400, "$.state"),
        ("/v1/consent", {**CONSENT, "text_version": ""}, 400, "$.text_version"),
        ("/v1/consent", {**CONSENT, "source": 5}, 400, "$.source"),
        ("/v1/consent", {**CONSENT, "timestamp": "then"}, 400, "$.timestamp"),
        ("/v1/consent", {**CONSENT, "message_id": "m" * 129}, 400, "$.message_id"),
        ("/v1/consent", {**CONSENT, "user_token": "a.b.c"}, 401, "$.user_token"),
        ("/v1/consent", {**CONSENT, "user_token": 5}, 400, "$.user_token"),
        ("/v1/events", {}, 400, "$.events"),
        ("/v1/events", {"events": {}}, 400, "$.events"),
        ("/v1/events", {"events": [{}] * 1001}, 400, "$.events"),
        ("/v1/events", {"events": [], "user_token": "a.b.c"}, 401, "$.user_token"),
        ("/v1/batch", {"events": []}, 400, "$.batch"),
        ("/v1/track", {"anonymousId": anon(9)}, 400, "$.event"),
        ("/v1/track", {"event": "X"}, 400, "$.anonymousId"),
        ("/v1/track", {"event": "X", "anonymousId": anon(9), "type": "page"}, 400, "$.type"),
        ("/v1/group", {"anonymousId": anon(9)}, 400, "$.groupId"),
        ("/v1/alias", {"anonymousId": anon(9)}, 400, "$.userId"),
        ("/v1/identify", {"anonymousId": anon(9), "traits": 5}, 400, "$.traits"),
    ],
)
def test_a_malformed_body_is_refused_with_its_place(
    edge: Edge, path: str, body: Any, status: int, where: str
) -> None:
    reply = edge.post(path, body)
    assert (reply.status, reply.error["path"]) == (status, where)
    assert reply.error["expected"]


def test_the_batch_route_is_segments_own(edge: Edge, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    page = {
        "type": "page",
        "anonymousId": anon(number),
        "name": "Home",
        "context": {"library": {"name": "x"}},
    }
    reply = edge.post("/v1/batch", {"batch": [page], "sentAt": "2026-11-23T00:00:00Z", "writeKey": SITE})
    assert reply.json["accepted"] == 1
    assert of(edge, number)[1].properties == {"name": "Home"}
