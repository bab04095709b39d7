"""An outside e-mail system over gRPC: decides, claims, reports; the same reasons and caps hold for it."""

import json
from collections import Counter
from collections.abc import Iterator

import grpc
import pytest

from hub.cli.client import HubClient
from onevoice.v1 import catalogue_pb2, consents_pb2, ingest_pb2, outbound_pb2, profiles_pb2
from tests.hub.delivery.catalogue import FILES
from tests.hub.running import KEYS, RunningHub, lines, source_files, status_of, until

PEOPLE = 1_000
SYSTEM = "post"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub without a sender of its own, and a thousand people of whom every tenth consents to nothing."""
    with RunningHub(tmp_path_factory.mktemp("outside")) as hub:
        hub.publish(FILES)
        with hub.client("server") as client:
            messages = [message for number in range(PEOPLE) for message in person(number)]
            for start in range(0, len(messages), 500):
                request = ingest_pb2.EventsRequest(messages=lines(messages[start : start + 500]))
                client.ingest.Events(request, timeout=60)
        until(lambda: hub.profiles() == PEOPLE, "a thousand profiles")
        yield hub


def person(number: int) -> Iterator[dict[str, object]]:
    who = f"c-{number}"
    if number % 10:
        yield consent(who, "email")
        yield consent(who, "analytics")
    yield {
        "type": "identify",
        "userId": who,
        "messageId": f"i-{number}",
        "traits": {"email": address(number), "first_name": f"N{number}"},
    }
    if number % 10 == 1:
        yield {"type": "track", "userId": who, "event": "Ticket Opened", "messageId": f"t-{number}"}


def consent(who: str, purpose: str) -> dict[str, object]:
    return {
        "type": "consent",
        "userId": who,
        "purpose": purpose,
        "state": "granted",
        "text_version": "v1",
        "source": "test",
        "messageId": f"{purpose}-{who}",
    }


def address(number: int) -> str:
    return f"n{number}@mail.example"


def decide(
    client: HubClient, people: list[str], campaign: str = "autumn", placement: str = "mail.main"
) -> list[outbound_pb2.OutboundMessage]:
    request = outbound_pb2.OutboundDecideRequest(
        system=SYSTEM, campaign=campaign, placement=placement, people=people
    )
    return list(client.outbound.Decide(request, timeout=60).messages)


def claim(client: HubClient, ids: list[str], **other: object) -> list[outbound_pb2.OutboundMessage]:
    request = outbound_pb2.OutboundClaimRequest(system=SYSTEM, message_ids=ids, **other)  # type: ignore[arg-type]
    return list(client.outbound.Claim(request, timeout=60).messages)


def report(client: HubClient, ids: list[str], outcome: int, system: str = SYSTEM) -> list[str]:
    request = outbound_pb2.OutboundReportRequest(
        system=system,
        reports=[outbound_pb2.OutboundReport(message_id=one, outcome=outcome) for one in ids],  # type: ignore[arg-type]
    )
    return list(client.outbound.Report(request, timeout=60).faults)


def state(client: HubClient, message_id: str, who: str) -> tuple[str, str]:
    request = profiles_pb2.PersonDecisionsRequest(person=who, count=1000)
    rows = [json.loads(row) for row in client.profiles.Decisions(request, timeout=30).messages]
    (found,) = [row for row in rows if row["message_id"] == message_id]
    return found["state"], found["reason"]


def test_a_system_decides_a_thousand_claims_and_reports(outside: RunningHub) -> None:
    with outside.client("server") as client:
        people = [f"id:c-{number}" for number in range(PEOPLE)]
        decided = decide(client, people)
        assert Counter((one.state, one.reason) for one in decided) == {
            ("queued", ""): 800,
            ("refused", "no_consent"): 100,
            ("refused", "open_ticket"): 100,
        }
        may = [one for one in decided if one.state == "queued"]
        answer = json.loads(may[0].decision)["placements"]["mail.main"]
        assert answer["blocks"]["text"]["value"] == "Your cart waits, N2"
        assert not any(one.address for one in decided)

        again = decide(client, [f"email:{address(number)}" for number in range(PEOPLE)])
        assert [one.message_id for one in again] == [one.message_id for one in decided]

        ids = [one.message_id for one in may]
        claimed = claim(client, ids, include_address=True)
        assert {one.state for one in claimed} == {"handing_over"}
        assert claimed[0].address == address(2)
        assert {one.state for one in claim(client, ids)} == {"handing_over"}, "told, and not given twice"
        assert not any(one.decision for one in claim(client, ids))

        assert set(report(client, ids, outbound_pb2.OUTBOUND_OUTCOME_SENT)) == {""}
        assert set(report(client, ids, outbound_pb2.OUTBOUND_OUTCOME_DELIVERED)) == {""}
        assert set(report(client, ids, outbound_pb2.OUTBOUND_OUTCOME_DELIVERED)) == {""}
        assert state(client, ids[0], "id:c-2") == ("sent", "delivered")

        with outside.client() as operator:
            request = outbound_pb2.OutboundListRequest(states=["sent"], count=1)
            assert operator.outbound.List(request, timeout=30).counts["sent"] == 800


def test_its_messages_count_against_the_caps_of_every_channel(outside: RunningHub) -> None:
    with outside.client("server") as client:
        for campaign in ("first", "second"):
            ids = [one.message_id for one in decide(client, ["id:c-999"], campaign)]
            if claim(client, ids)[0].state == "handing_over":
                report(client, ids, outbound_pb2.OUTBOUND_OUTCOME_SENT)
        (third,) = decide(client, ["id:c-999"], "third")
        assert (third.state, third.reason) == ("refused", "capped")


def test_a_claim_checks_once_more(outside: RunningHub) -> None:
    with outside.client("server") as client:
        (one,) = decide(client, ["id:c-12"], "late")
        request = consents_pb2.RecordRequest(
            person="id:c-12",
            purpose="email",
            state=consents_pb2.CONSENT_STATE_WITHDRAWN,
            text_version="v1",
            source="test",
        )
        client.consents.Record(request, timeout=30)
        (claimed,) = claim(client, [one.message_id])
        assert (claimed.state, claimed.reason, claimed.decision) == ("refused", "no_consent", b"")


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(22, outbound_pb2.OUTBOUND_OUTCOME_BOUNCED), (23, outbound_pb2.OUTBOUND_OUTCOME_COMPLAINED)],
)
def test_bounces_and_complaints_suppress(outside: RunningHub, number: int, outcome: int) -> None:
    with outside.client("server") as client:
        (one,) = decide(client, [f"id:c-{number}"], "bounce")
        claim(client, [one.message_id])
        assert report(client, [one.message_id], outcome) == [""]
        (next_one,) = decide(client, [f"id:c-{number}"], "after")
        assert (next_one.state, next_one.reason) == ("refused", "suppressed")


def test_a_deferred_message_is_queued_again_for_later(outside: RunningHub) -> None:
    with outside.client("server") as client:
        (one,) = decide(client, ["id:c-32"], "deferred")
        claim(client, [one.message_id])
        report(client, [one.message_id], outbound_pb2.OUTBOUND_OUTCOME_DEFERRED)
        (again,) = claim(client, [one.message_id])
        assert (again.state, again.reason) == ("queued", "deferred")
        assert again.not_before_ms > again.changed_at_ms


def test_opens_and_clicks_come_back_as_events(outside: RunningHub) -> None:
    with outside.client("server") as client:
        (one,) = decide(client, ["id:c-42"], "opened")
        claim(client, [one.message_id])
        report(client, [one.message_id], outbound_pb2.OUTBOUND_OUTCOME_OPENED)
        assert state(client, one.message_id, "id:c-42")[0] == "sent"


def test_nobody_claims_or_reports_what_is_not_theirs(outside: RunningHub) -> None:
    with outside.client("server") as client:
        (one,) = decide(client, ["id:c-52"], "mine")
        request = outbound_pb2.OutboundClaimRequest(system="other", message_ids=[one.message_id, "0" * 32])
        stranger, unknown = client.outbound.Claim(request, timeout=30).messages
        assert (stranger.state, stranger.reason) == ("", "not_yours")
        assert (unknown.state, unknown.reason) == ("", "unknown_message")
        sent = outbound_pb2.OUTBOUND_OUTCOME_SENT
        assert report(client, [one.message_id, "0" * 32], sent, "other") == ["not_yours", "unknown_message"]


def test_people_who_are_not_known_are_told_apart(outside: RunningHub) -> None:
    with outside.client("server") as client:
        stranger, no_phone = (
            decide(client, ["email:who@mail.example"], "unknown")[0],
            decide(client, ["id:c-62"], "unknown", "text.main")[0],
        )
        assert (stranger.state, stranger.reason) == ("refused", "no_profile")
        assert (no_phone.state, no_phone.reason) == ("refused", "no_address")


def test_messages_of_a_journey_on_a_channel_without_a_sender_can_be_claimed(outside: RunningHub) -> None:
    """The hub has no SMTP server here, so its journeys' e-mails are for whoever has one."""
    with outside.client("server") as client:
        event = {"type": "track", "userId": "c-72", "event": "Signed Up", "messageId": "up-72"}
        client.ingest.Events(ingest_pb2.EventsRequest(messages=lines([event])), timeout=30)
        found: list[outbound_pb2.OutboundMessage] = []

        def due() -> bool:
            request = outbound_pb2.OutboundClaimRequest(system=SYSTEM, channel="email", count=1000)
            given = client.outbound.Claim(request, timeout=30).messages
            found.extend(one for one in given if one.origin == "welcome")
            return bool(found)

        until(due, "the journey's message")
        assert (found[0].state, found[0].template, found[0].system) == ("handing_over", "plain", SYSTEM)


def test_a_doubt_is_settled_by_an_operator_and_audited(outside: RunningHub) -> None:
    with outside.client("server") as client, outside.client() as operator:
        (one,) = decide(client, ["id:c-82"], "doubt")
        resolve = outbound_pb2.OutboundResolveRequest(
            message_id=one.message_id, resolution=outbound_pb2.OUTBOUND_RESOLUTION_SENT, user="ada"
        )
        with pytest.raises(grpc.RpcError) as early:
            operator.outbound.Resolve(resolve, timeout=30)
        assert status_of(early.value) is grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.RpcError) as refused:
            client.outbound.Resolve(resolve, timeout=30)
        assert status_of(refused.value) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"system": "", "campaign": "c", "placement": "mail.main", "people": ["id:1"]}, "$.system"),
        ({"system": "a/b", "campaign": "c", "placement": "mail.main", "people": ["id:1"]}, "$.system"),
        ({"system": "p", "campaign": "", "placement": "mail.main", "people": ["id:1"]}, "$.campaign"),
        ({"system": "p", "campaign": "c", "placement": "nowhere", "people": ["id:1"]}, "$.placement"),
        ({"system": "p", "campaign": "c", "placement": "home", "people": ["id:1"]}, "$.placement"),
        (
            {"system": "p", "campaign": "c", "placement": "mail.main", "template": "x", "people": ["id:1"]},
            "$.template",
        ),
        ({"system": "p", "campaign": "c", "placement": "mail.main", "people": []}, "$.people"),
        ({"system": "p", "campaign": "c", "placement": "mail.main", "people": ["id:1"] * 1001}, "$.people"),
        ({"system": "p", "campaign": "c", "placement": "mail.main", "people": ["id:1", "x"]}, "$.people[1]"),
    ],
)
def test_malformed_batches_are_refused_whole(
    outside: RunningHub, request_: dict[str, object], path: str
) -> None:
    with outside.client("server") as client, pytest.raises(grpc.RpcError) as refused:
        client.outbound.Decide(outbound_pb2.OutboundDecideRequest(**request_), timeout=30)  # type: ignore[arg-type]
    assert path in str(refused.value)


def test_every_key_but_server_and_operator_is_refused(outside: RunningHub) -> None:
    assert KEYS
    with outside.client("site") as client, pytest.raises(grpc.RpcError) as refused:
        decide(client, ["id:c-1"])
    assert status_of(refused.value) is grpc.StatusCode.PERMISSION_DENIED


def test_the_catalogue_of_these_tests_is_without_fault(outside: RunningHub) -> None:
    with outside.client() as client:
        request = catalogue_pb2.ValidateRequest(files=source_files(FILES))
        assert not client.catalogue.Validate(request, timeout=30).faults
