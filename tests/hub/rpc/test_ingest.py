"""Events, consents and people over gRPC, and what each answers to malformed requests."""

import json
from typing import Any
from uuid import uuid4

import grpc
import msgspec
import pytest

from hub.cli.errors import from_rpc
from onevoice.v1 import consents_pb2, governance_pb2, ingest_pb2, profiles_pb2
from tests.hub.running import RunningHub, status_of, until

GRANTED = consents_pb2.CONSENT_STATE_GRANTED


def message(person: str) -> dict[str, Any]:
    return {"userId": person, "messageId": str(uuid4())}


def track(person: str, name: str, **properties: Any) -> dict[str, Any]:
    return {**message(person), "type": "track", "event": name, "properties": properties}


def send(running: RunningHub, *messages: dict[str, Any] | bytes) -> ingest_pb2.EventsResponse:
    bodies = [one if isinstance(one, bytes) else msgspec.json.encode(one) for one in messages]
    with running.client("server") as hub:
        return hub.ingest.Events(ingest_pb2.EventsRequest(messages=bodies), timeout=30)


def grant(running: RunningHub, person: str, purpose: str = "personalization", **fields: Any) -> int:
    request = consents_pb2.RecordRequest(
        **{
            "person": person,
            "purpose": purpose,
            "state": GRANTED,
            "text_version": "v1",
            "source": "test",
            **fields,
        }
    )
    with running.client("server") as hub:
        return int(hub.consents.Record(request, timeout=20).effective_at_ms)


def profile(running: RunningHub, person: str) -> dict[str, Any]:
    with running.client("server") as hub:
        answer = hub.profiles.Get(profiles_pb2.GetRequest(person=person), timeout=20)
    found: dict[str, Any] = json.loads(answer.profile)
    return found


def has(running: RunningHub, person: str, name: str, value: Any) -> bool:
    try:
        return bool(profile(running, person)["attributes"].get(name) == value)
    except grpc.RpcError:
        return False


def test_events_become_a_profile_and_the_same_ones_again_are_duplicates(running: RunningHub) -> None:
    person = str(uuid4())
    grant(running, f"id:{person}")
    events = [track(person, "Product Viewed", category="shoes", price=number) for number in range(1, 4)]
    answer = send(running, *events, track(person, "Order Completed", revenue=20))
    assert (answer.accepted, answer.duplicates, list(answer.rejected)) == (4, 0, [])
    until(lambda: has(running, f"id:{person}", "orders", 1), "the order in the profile")
    shown = profile(running, f"id:{person}")
    assert shown["attributes"]["lowest_price"] == 1.0
    assert shown["attributes"]["revenue_90d"] == 20.0
    assert shown["identifiers"][0]["type"] == "id"
    assert shown["identifiers"][0]["value"] == person
    again = send(running, *events, track(person, "Product Viewed", category="boots", price=9))
    assert (again.accepted, again.duplicates) == (1, 3)
    until(lambda: has(running, f"id:{person}", "highest_price", 9.0), "the later view")


def test_an_event_twice_in_a_call_is_one(running: RunningHub) -> None:
    event = track(str(uuid4()), "Order Completed", revenue=1)
    answer = send(running, event, event)
    assert (answer.accepted, answer.duplicates) == (1, 1)


def test_what_is_malformed_is_rejected_by_index_and_the_rest_is_taken(running: RunningHub) -> None:
    person = str(uuid4())
    answer = send(
        running,
        track(person, "Order Completed", revenue=1),
        b"{not json",
        b"[1, 2]",
        {"type": "track", "userId": person},
        {"type": "track", "event": "x"},
        {"type": "dance", "event": "x", "userId": person},
        {"type": "track", "event": "x", "userId": {"email": "ada@example.com"}},
        {"type": "track", "event": "x", "userId": person, "properties": [1]},
        track(person, "Product Viewed", text="x" * 40_000),
        b'"' + b"x" * 70_000 + b'"',
        track(person, "Order Completed", revenue=2),
    )
    assert answer.accepted == 2
    found = [(one.index, one.path) for one in answer.rejected]
    assert found == [
        (1, "$"),
        (2, "$"),
        (3, "$.event"),
        (4, "$.anonymousId"),
        (5, "$.type"),
        (6, "$.userId"),
        (7, "$.properties"),
        (8, "$.properties"),
        (9, "$"),
    ]
    assert not any("ada" in one.got for one in answer.rejected)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_call_has_one_to_a_thousand_messages(running: RunningHub, count: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        send(running, *[b"{}"] * count)
    assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT


def test_events_of_unknown_names_are_kept_aside_and_shown_and_released_in_vain(running: RunningHub) -> None:
    name = f"Unheard Of {uuid4()}"
    send(running, track(str(uuid4()), name))

    def kept() -> list[ingest_pb2.QuarantinedEvent]:
        with running.client() as hub:
            answer = hub.ingest.Quarantine(ingest_pb2.QuarantineRequest(count=1000), timeout=20)
            return [event for event in answer.events if event.name == name]

    until(lambda: len(kept()) == 1, "the event in quarantine")
    assert kept()[0].reason == "unknown_name"
    with running.client() as hub:
        answer = hub.ingest.Release(ingest_pb2.ReleaseRequest(reason="unknown_name"), timeout=30)
        assert answer.released == 0
        with pytest.raises(grpc.RpcError) as caught:
            hub.ingest.Release(ingest_pb2.ReleaseRequest(reason="no_such"), timeout=30)
        assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as caught:
            hub.ingest.Quarantine(ingest_pb2.QuarantineRequest(count=1001), timeout=20)
        assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
    assert len(kept()) == 1


def test_consents_have_a_history_and_take_effect_at_the_earlier_time(running: RunningHub) -> None:
    person = f"email:{uuid4()}@example.com"
    assert grant(running, person, at_ms=1_700_000_000_000) == 1_700_000_000_000
    withdrawn = grant(running, person, state=consents_pb2.CONSENT_STATE_WITHDRAWN, at_ms=1_700_000_000_000)
    assert withdrawn > 1_700_000_000_000
    with running.client("server") as hub:
        answer = hub.consents.History(consents_pb2.HistoryRequest(person=person), timeout=20)
    found = [(change.purpose, change.state, change.effective_at_ms) for change in answer.changes]
    assert found == [
        ("personalization", GRANTED, 1_700_000_000_000),
        ("personalization", consents_pb2.CONSENT_STATE_WITHDRAWN, withdrawn),
    ]
    assert {change.node for change in answer.changes} == {"hub"}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"person": "ada@example.com"}, "$.person"),
        ({"person": ""}, "$.person"),
        ({"purpose": ""}, "$.purpose"),
        ({"purpose": "Not A Purpose"}, "$.purpose"),
        ({"state": consents_pb2.CONSENT_STATE_UNSPECIFIED}, "$.state"),
        ({"state": 77}, "$.state"),
        ({"text_version": ""}, "$.text_version"),
        ({"text_version": "x" * 200}, "$.text_version"),
        ({"source": ""}, "$.source"),
        ({"at_ms": -5}, "$.at_ms"),
        ({"at_ms": 2**60}, "$.at_ms"),
    ],
)
def test_a_malformed_consent_is_an_invalid_argument(
    running: RunningHub, fields: dict[str, Any], path: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        grant(running, **{"person": "id:x", **fields})
    assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
    error = from_rpc(caught.value, "")
    assert error.detail["path"] == path
    assert "ada" not in str(error)


@pytest.mark.parametrize("method", ["Get", "Decisions", "Export", "Erase"])
@pytest.mark.parametrize("person", ["", "ada@example.com", "name:ada", "email:", f"id:{'x' * 300}"])
def test_a_malformed_person_is_an_invalid_argument(running: RunningHub, method: str, person: str) -> None:
    kinds = {
        "Get": profiles_pb2.GetRequest,
        "Decisions": profiles_pb2.PersonDecisionsRequest,
        "Export": profiles_pb2.ExportRequest,
        "Erase": profiles_pb2.EraseRequest,
    }
    with pytest.raises(grpc.RpcError) as caught, running.client("server") as hub:
        getattr(hub.profiles, method)(kinds[method](person=person), timeout=20)
    assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
    assert "ada" not in str(from_rpc(caught.value, ""))


def test_who_is_unknown_is_not_found_and_can_be_erased_anyway(running: RunningHub) -> None:
    person = f"id:{uuid4()}"
    with running.client("server") as hub:
        for call, request in (
            (hub.profiles.Get, profiles_pb2.GetRequest(person=person)),
            (hub.profiles.Export, profiles_pb2.ExportRequest(person=person)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=20)
            assert status_of(caught.value) is grpc.StatusCode.NOT_FOUND
        hub.profiles.Erase(profiles_pb2.EraseRequest(person=person), timeout=20)
        rows = hub.profiles.Decisions(profiles_pb2.PersonDecisionsRequest(person=person), timeout=20)
        assert list(rows.decisions) == []


def test_export_holds_everything_erase_removes_it_and_both_are_in_the_audit_record(
    running: RunningHub,
) -> None:
    person = str(uuid4())
    grant(running, f"id:{person}")
    traits = {"email": f"{person}@example.com", "first_name": "Ada"}
    send(running, track(person, "Product Viewed"), {**message(person), "type": "identify", "traits": traits})
    until(lambda: has(running, f"id:{person}", "first_name", "Ada"), "the trait in the profile")
    with running.client("server") as hub:
        answer = hub.profiles.Export(
            profiles_pb2.ExportRequest(person=f"email:{person}@example.com"), timeout=20
        )
        document = json.loads(answer.document)
        assert {one["type"] for one in document["profile"]["identifiers"]} == {"id", "email"}
        assert document["consents"][0]["purpose"] == "personalization"
        erased = hub.profiles.Erase(profiles_pb2.EraseRequest(person=f"id:{person}"), timeout=20)
        assert erased.sequence > 0
        for kind in (f"id:{person}", f"email:{person}@example.com"):
            with pytest.raises(grpc.RpcError) as caught:
                hub.profiles.Get(profiles_pb2.GetRequest(person=kind), timeout=20)
            assert status_of(caught.value) is grpc.StatusCode.NOT_FOUND
    with running.client() as hub:
        entries = hub.governance.Audit(governance_pb2.AuditRequest(count=50), timeout=20).entries
    subject = document["profile"]["id"]
    found = [(entry.who, entry.action) for entry in entries if entry.subject == subject]
    assert found == [("key:server", "profile.erase"), ("key:server", "profile.export")]
    assert person not in str(entries)


@pytest.mark.parametrize("count", [-1, 1001])
def test_a_page_has_a_limit(running: RunningHub, count: int) -> None:
    with running.client() as hub:
        for call, request in (
            (hub.governance.Audit, governance_pb2.AuditRequest(count=count)),
            (hub.profiles.Decisions, profiles_pb2.PersonDecisionsRequest(person="id:x", count=count)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call(request, timeout=20)
            assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
