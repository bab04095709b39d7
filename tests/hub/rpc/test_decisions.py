"""Decisions over gRPC: the answers, time travel, whose they are, and every malformed question."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import msgspec
import pytest

from core.decide import Engine
from core.identifiers import hash_identifier
from core.request import Request
from hub.cli.client import HubClient
from hub.decisioning.context import complete
from hub.keys import open_keys
from hub.store import profiles, sources
from hub.store.engine import Store, sqlite_url
from onevoice.v1 import consents_pb2, decisions_pb2, profiles_pb2
from tests.hub.catalogues import changed
from tests.hub.running import RunningHub, status_of

HERO = ["home.hero"]
PLACEMENTS = ["home.hero", "home.banner", "home.notice"]


def decide(running: RunningHub, role: str = "operator", **fields: Any) -> decisions_pb2.DecideResponse:
    context = fields.pop("context", None)
    request = decisions_pb2.DecideRequest(**{"placements": HERO, **fields})
    if context is not None:
        request.context.update(context)
    with running.client(role) as hub:
        return hub.decisions.Decide(request, timeout=20)


def decide_batch(
    running: RunningHub, *requests: decisions_pb2.DecideRequest
) -> decisions_pb2.DecideBatchResponse:
    with running.client() as hub:
        return hub.decisions.DecideBatch(decisions_pb2.DecideBatchRequest(requests=requests), timeout=30)


def consented(running: RunningHub, person: str) -> None:
    request = consents_pb2.RecordRequest(
        person=person,
        purpose="personalization",
        state=consents_pb2.CONSENT_STATE_GRANTED,
        text_version="v1",
        source="test",
    )
    with running.client("server") as hub:
        hub.consents.Record(request, timeout=20)


def logged(running: RunningHub, person: str) -> list[dict[str, Any]]:
    with running.client("server") as hub:
        answer = hub.profiles.Decisions(profiles_pb2.PersonDecisionsRequest(person=person), timeout=20)
    return [json.loads(row) for row in answer.decisions]


def unheld(running: RunningHub) -> str:
    """A person whom no holdout of the small catalogue holds back."""
    while True:
        person = f"id:{uuid4()}"
        answer = decide(running, profile=person, placements=["home.notice"])
        if json.loads(answer.decision)["placements"]["home.notice"]["reason"] != "holdout":
            return person


def test_a_consent_changes_the_next_decision_and_a_withdrawal_the_one_after(running: RunningHub) -> None:
    person = unheld(running)
    before = json.loads(decide(running, profile=person).decision)
    assert before["placements"]["home.hero"]["reason"] == "no_profile"
    assert before["profile"]["starter"] is True
    consented(running, person)
    after = json.loads(decide(running, profile=person, placements=["home.banner"]).decision)
    assert after["placements"]["home.banner"]["reason"] in ("ok", "not_eligible")
    request = consents_pb2.RecordRequest(
        person=person,
        purpose="personalization",
        state=consents_pb2.CONSENT_STATE_WITHDRAWN,
        text_version="v1",
        source="test",
    )
    with running.client("server") as hub:
        hub.consents.Record(request, timeout=20)
    gone = json.loads(decide(running, profile=person, placements=["home.banner"]).decision)
    assert gone["placements"]["home.banner"]["reason"] == "no_consent"


def test_the_bytes_equal_those_of_the_core_on_the_edges_record(running: RunningHub) -> None:
    person = unheld(running)
    consented(running, person)
    at_ms = time.time_ns() // 1_000_000
    context = {"device": "mobile", "country": "DE", "url": "https://shop.example/a?utm_source=mail"}
    answer = decide(
        running,
        profile=person,
        placements=PLACEMENTS,
        context=context,
        trace=True,
        at_ms=at_ms,
        decision_id="the-same-id",
    )
    keys = open_keys(running.settings)
    digest = hash_identifier(keys.identifier, "id", person.removeprefix("id:"))
    store = Store(sqlite_url(running.settings.data_dir / "state.db"))
    try:
        with store.reading() as connection:
            profile_id = sources.profile_ids(connection, [digest])[digest]
            record = next(profiles.by_id(connection, [profile_id])).edge_record
    finally:
        store.close()
    decided = json.loads(answer.decision)
    request = Request("the-same-id", tuple(PLACEMENTS), complete(context), digest, True, True)
    engine = Engine(active_content(running), decided["bundle"]["revision"])
    assert engine.decide(record, (), request, at_ms).body == answer.decision
    assert (
        decided["now"]
        == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000)) + f".{at_ms % 1000:03d}Z"
    )


def active_content(running: RunningHub) -> bytes:
    store = Store(sqlite_url(running.settings.data_dir / "state.db"))
    try:
        from hub.store import revisions

        with store.reading() as connection:
            last = revisions.last_revision(connection)
            assert last is not None
            submission = revisions.get_submission(connection, last.content_hash)
            assert submission is not None
            return submission.content
    finally:
        store.close()


def test_a_placement_of_the_hub_is_answered_too(running: RunningHub) -> None:
    answer = json.loads(decide(running, profile="id:x", placements=["email.hero", "home.notice"]).decision)
    assert answer["placements"]["email.hero"]["reason"] == "no_profile"
    assert list(answer["placements"]) == ["email.hero", "home.notice"]


def test_an_unknown_placement_beside_a_known_one_has_its_own_reason(running: RunningHub) -> None:
    answer = json.loads(decide(running, profile="id:x", placements=["home.notice", "no.such"]).decision)
    assert answer["placements"]["no.such"] == {
        "offer": None,
        "treatment": None,
        "blocks": {},
        "fallback": True,
        "reason": "unknown_placement",
        "ai": False,
        "experiments": [],
    }


def test_a_batch_is_answered_in_order_with_the_answers_of_single_calls(running: RunningHub) -> None:
    person = unheld(running)
    consented(running, person)
    at_ms = time.time_ns() // 1_000_000
    requests = [
        decisions_pb2.DecideRequest(
            profile=person if index % 2 else "id:nobody",
            placements=["home.banner"],
            at_ms=at_ms,
            decision_id=f"batch-{index}",
        )
        for index in range(250)
    ]
    batch = decide_batch(running, *requests)
    with running.client() as hub:
        for index in (0, 1, 249):
            single = hub.decisions.Decide(requests[index], timeout=20)
            assert single.decision == batch.responses[index].decision
    assert [json.loads(one.decision)["id"] for one in batch.responses] == [f"batch-{n}" for n in range(250)]


def test_a_decision_can_be_looked_up_by_its_person(running: RunningHub) -> None:
    person = unheld(running)
    assert logged(running, person) == []
    consented(running, person)
    made = json.loads(decide(running, profile=person, placements=["home.banner", "home.hero"]).decision)
    row = logged(running, person)[0]
    assert row["decision_id"] == made["id"]
    assert (row["node"], row["revision"], row["content_hash"]) == ("hub", 1, made["bundle"]["hash"])
    assert row["sequence"] == made["profile"]["sequence"] > 0
    banner = row["placements"][0]
    answer = made["placements"]["home.banner"]
    assert banner["placement"] == "home.banner"
    assert (banner["offer"], banner["reason"]) == (answer["offer"], answer["reason"])
    assert banner["consent"]["purpose"] == "personalization"
    assert banner["consent"]["state"] == "granted"
    assert {
        "offer": "cart-reminder",
        "reason": "not_eligible",
        "cause": "cart-reminder",
        "step": "3a",
    } in banner["refused"]


def test_nothing_is_logged_of_somebody_who_never_said_anything_about_consent(running: RunningHub) -> None:
    anonymous = str(uuid4())
    decide(running, anonymous_id=anonymous)
    assert logged(running, f"anon:{anonymous}") == []


@pytest.mark.parametrize(
    ("fields", "path", "expected"),
    [
        ({"profile": "id:x", "placements": []}, "$.placements", "1 to 64 placements"),
        ({"profile": "id:x", "placements": HERO * 65}, "$.placements", "1 to 64 placements"),
        ({"profile": "id:x", "placements": [""]}, "$.placements[0]", "1 to 128 characters"),
        ({"profile": "id:x", "placements": ["a" * 129]}, "$.placements[0]", "1 to 128 characters"),
        ({}, "$", "anonymous_id, user_token or profile"),
        ({"profile": "ada@example.com"}, "$.profile", "type:value"),
        ({"profile": "name:ada"}, "$.profile", "type:value"),
        ({"profile": "email:"}, "$.profile", "1 to 256 characters"),
        ({"anonymous_id": "ada"}, "$.anonymous_id", "a UUID"),
        ({"profile": "id:x", "context": {f"c{n}": 1 for n in range(65)}}, "$.context", "at most 64 fields"),
        ({"profile": "id:x", "context": {"x": float("nan")}}, "$.context", "finite numbers"),
        ({"profile": "id:x", "at_ms": -1}, "$.at_ms", "ms since 1970"),
        ({"profile": "id:x", "at_ms": 2**62}, "$.at_ms", "ms since 1970"),
        ({"profile": "id:x", "decision_id": "a b"}, "$.decision_id", "an id of the form"),
        ({"profile": "id:x", "decision_id": "a" * 65}, "$.decision_id", "an id of the form"),
    ],
)
def test_a_malformed_question_is_an_invalid_argument(
    running: RunningHub, fields: dict[str, Any], path: str, expected: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        decide(running, **fields)
    assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT
    detail = detail_of(caught.value)
    assert detail["path"] == path
    assert expected in detail["expected"]
    assert "ada" not in detail["message"]


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30", "x" * 5000])
def test_a_user_token_that_is_none_is_unauthenticated(running: RunningHub, token: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        decide(running, user_token=token)
    assert status_of(caught.value) is grpc.StatusCode.UNAUTHENTICATED
    assert detail_of(caught.value)["code"] == "user_token"


def test_no_known_placement_is_not_found(running: RunningHub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        decide(running, profile="id:x", placements=["no.such"])
    assert status_of(caught.value) is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        decide_batch(
            running,
            decisions_pb2.DecideRequest(profile="id:x", placements=HERO),
            decisions_pb2.DecideRequest(profile="id:x", placements=["no.such"]),
        )
    assert detail_of(caught.value)["path"] == "$.requests[1].placements"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_requests(running: RunningHub, count: int) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        decide_batch(running, *[decisions_pb2.DecideRequest(profile="id:x", placements=HERO)] * count)
    assert status_of(caught.value) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_fault_in_a_batch_names_its_request(running: RunningHub) -> None:
    good = decisions_pb2.DecideRequest(profile="id:x", placements=HERO)
    with pytest.raises(grpc.RpcError) as caught:
        decide_batch(running, good, decisions_pb2.DecideRequest())
    assert detail_of(caught.value)["path"] == "$.requests[1].placements"


def test_time_travel_is_for_operators(running: RunningHub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        decide(running, "server", profile="id:x", at_ms=1)
    assert status_of(caught.value) is grpc.StatusCode.PERMISSION_DENIED


def test_without_a_catalogue_and_without_time_travel_a_hub_says_so(tmp_path_factory: Any) -> None:
    with RunningHub(tmp_path_factory.mktemp("bare"), allow_time_travel=False) as bare:
        with pytest.raises(grpc.RpcError) as caught:
            decide(bare, profile="id:x")
        assert status_of(caught.value) is grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.RpcError) as caught:
            decide(bare, profile="id:x", at_ms=5)
        assert status_of(caught.value) is grpc.StatusCode.FAILED_PRECONDITION
        assert detail_of(caught.value)["path"] == "$.at_ms"


def detail_of(error: grpc.RpcError) -> dict[str, Any]:
    from hub.cli.errors import from_rpc

    return dict(from_rpc(error, "").detail)


def test_two_clients_ask_at_once(running: RunningHub) -> None:
    def ask(hub: HubClient, name: str) -> Any:
        request = decisions_pb2.DecideRequest(profile=name, placements=["home.notice"])
        return hub.decisions.Decide.future(request, timeout=20)

    with running.client("server") as one, running.client("operator") as two:
        calls = [ask(hub, f"id:{index}") for index in range(20) for hub in (one, two)]
        answers = [msgspec.json.decode(call.result().decision) for call in calls]
    assert len({answer["id"] for answer in answers}) == 40


def test_a_whole_number_in_the_context_is_an_int_where_the_catalogue_says_so(tmp_path: Path) -> None:
    declared = "  - {id: items, owner: ada, type: int, source: context}\n"
    files = changed("attributes.yaml", "attributes:\n", f"attributes:\n{declared}")
    offer = "  - id: free-returns\n    owner: ada\n"
    files = changed("offers.yaml", offer, f"{offer}    eligibility: context.items > 3\n", files)
    with RunningHub(tmp_path) as hub:
        hub.publish(files)
        person = unheld(hub)
        reasons = []
        for items in (4, 3, 4.5):
            answer = decide(hub, profile=person, placements=["home.notice"], context={"items": items})
            reasons.append(json.loads(answer.decision)["placements"]["home.notice"]["reason"])
        assert reasons == ["ok", "not_eligible", "not_eligible"]


def test_a_large_batch_says_what_each_request_says_alone(running: RunningHub) -> None:
    people = [unheld(running) for _ in range(3)]
    for person in people[:2]:
        consented(running, person)
    requests = []
    for number in range(120):
        request = decisions_pb2.DecideRequest(
            placements=[("home.hero",), ("home.banner", "home.hero"), ("home.notice", "nowhere")][number % 3],
            profile=people[number % 3],
            decision_id=f"00000000-0000-4000-8000-{number:012d}",
            at_ms=1_790_000_000_000,
        )
        request.context.update({"device": "mobile"} if number % 2 else {"country": "DE"})
        requests.append(request)
    with running.client("operator") as hub:
        alone = [hub.decisions.Decide(request, timeout=20).decision for request in requests]
        batch = hub.decisions.DecideBatch(decisions_pb2.DecideBatchRequest(requests=requests), timeout=30)
    assert [response.decision for response in batch.responses] == alone
    assert len(set(alone)) == len(requests)
