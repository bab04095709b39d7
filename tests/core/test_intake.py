"""Intake: what event a message becomes, what is verified and what claimed, and each refusal."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from core.errors import EventError
from core.events import Event, decode_event, encode_event
from core.identifiers import hash_identifier
from core.intake import take_in, take_in_consent
from core.journal import BODY_BYTES_MAX
from core.sealing import SealError, seal, unseal

KEY = b"k" * 32
RECEIVED_MS = 1_795_000_000_000
ANON = "6F1D4B4E-1111-4222-8333-000000000001"
PRIVATE = X25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC = PRIVATE.public_key().public_bytes_raw()


def taken(
    message: Any, kind: str | None = None, trusted: bool = False, user: tuple[str, str] | None = None
) -> Event:
    return take_in(
        message,
        kind=kind,
        identifier_key=KEY,
        trusted=trusted,
        user=user,
        received_ms=RECEIVED_MS,
        node="eu",
        seal=lambda plain: seal(PUBLIC, plain),
        new_id=lambda: "made-here",
    )


def consent(**fields: Any) -> Event:
    message = {
        "anonymous_id": ANON,
        "purpose": "personalization",
        "state": "granted",
        "text_version": "2026-11",
        "source": "banner",
        **fields,
    }
    message = {name: value for name, value in message.items() if value is not ...}
    return take_in_consent(
        message, identifier_key=KEY, user=None, received_ms=RECEIVED_MS, node="eu", new_id=lambda: "made-here"
    )


def digest(kind: str, value: str) -> bytes:
    return hash_identifier(KEY, kind, value)


def whose(event: Event) -> list[tuple[str, bytes, bool]]:
    return [(one.kind, one.hash, one.verified) for one in event.identifiers]


def test_a_track_keeps_its_properties_and_hashes_its_device() -> None:
    event = taken(
        {
            "type": "track",
            "event": "Product Viewed",
            "anonymousId": ANON,
            "properties": {"price": 3.5},
            "messageId": "m1",
        }
    )
    assert (event.kind, event.name, event.message_id, event.node) == ("track", "Product Viewed", "m1", "eu")
    assert event.properties == {"price": 3.5}
    assert whose(event) == [("anon", digest("anon", ANON.lower()), True)]
    assert event.at_ms == event.received_ms == RECEIVED_MS
    assert decode_event(encode_event(event)) == event


IDENTIFY = {
    "type": "identify",
    "anonymousId": ANON,
    "userId": "C-7",
    "traits": {
        "email": " Ada@Example.com",
        "phone": "+49 30 1",
        "firstName": "Ada",
        "address": {"city": "Bonn"},
    },
}


@pytest.mark.parametrize("trusted", [True, False])
def test_identify_is_verified_by_a_server_key_and_a_claim_without(trusted: bool) -> None:
    event = taken(IDENTIFY, trusted=trusted)
    anon = ("anon", digest("anon", ANON.lower()), True)
    known = [
        ("id", digest("id", "C-7"), trusted),
        ("email", digest("email", "ada@example.com"), trusted),
        ("phone", digest("phone", "+49301"), trusted),
    ]
    assert whose(event) == ([*known, anon] if trusted else [anon, *known])


def test_a_user_token_verifies_its_own_person_only() -> None:
    event = taken(IDENTIFY, user=("email", "ada@example.com"))
    verified = {kind for kind, _, proved in whose(event) if proved}
    assert verified == {"email", "anon"}
    assert [kind for kind, _, _ in whose(event)].count("email") == 1


def test_raw_identifiers_are_only_in_the_sealed_part() -> None:
    order = {
        "type": "track",
        "event": "Order Completed",
        "anonymousId": ANON,
        "properties": {"email": "ada@example.com"},
    }
    for event, raw in (
        (taken(IDENTIFY), ("ada@example.com", "Bonn", "C-7", "+49")),
        (taken(order), ("ada@example.com",)),
    ):
        body = encode_event(event).lower()
        assert not any(text.lower().encode() in body for text in raw)
    opened = json.loads(unseal(PRIVATE.private_bytes_raw(), taken(IDENTIFY).sealed))
    assert opened == {
        "email": " Ada@Example.com",
        "phone": "+49 30 1",
        "address": {"city": "Bonn"},
        "userId": "C-7",
    }
    assert taken(IDENTIFY).traits == {"firstName": "Ada"}


def test_sealed_bytes_open_with_the_hubs_key_only() -> None:
    sealed = seal(PUBLIC, b"text")
    assert unseal(PRIVATE.private_bytes_raw(), sealed) == b"text"
    for key, data in ((b"\x08" * 32, sealed), (PRIVATE.private_bytes_raw(), sealed[:-1]), (b"", sealed)):
        with pytest.raises(SealError):
            unseal(key, data)
    with pytest.raises(SealError):
        seal(PUBLIC, b"x" * 20_000)


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({}, RECEIVED_MS),
        ({"timestamp": "2020-01-01T00:00:00Z"}, 1_577_836_800_000),
        ({"timestamp": "2020-01-01T01:00:00.250+01:00"}, 1_577_836_800_250),
        ({"timestamp": "2020-01-01T00:00:00"}, 1_577_836_800_000),
        ({"timestamp": "2099-01-01T00:00:00Z"}, RECEIVED_MS),
        # The client's clock is years off; it sent three seconds after the event.
        ({"timestamp": "2001-01-01T00:00:00Z", "sentAt": "2001-01-01T00:00:03Z"}, RECEIVED_MS - 3000),
        ({"originalTimestamp": "2099-01-01T00:00:00Z", "sentAt": "2099-01-01T00:00:01Z"}, RECEIVED_MS - 1000),
        ({"timestamp": "2001-01-01T00:00:03Z", "sentAt": "2001-01-01T00:00:00Z"}, RECEIVED_MS),
        ({"sentAt": "2001-01-01T00:00:00Z"}, RECEIVED_MS),
    ],
)
def test_the_clients_clock_is_corrected_and_never_ahead(fields: dict[str, str], at_ms: int) -> None:
    assert taken({"type": "track", "event": "X", "anonymousId": ANON, **fields}).at_ms == at_ms


@pytest.mark.parametrize(
    ("message", "name", "properties"),
    [
        (
            {"type": "page", "name": "Home", "properties": {"url": "/"}},
            "Page Viewed",
            {"url": "/", "name": "Home"},
        ),
        ({"type": "screen", "category": "Shop"}, "Screen Viewed", {"category": "Shop"}),
        ({"type": "group", "groupId": "g"}, "Group", {"groupId": "g"}),
        ({"type": "alias", "userId": "C-7", "previousId": "old"}, "Alias", {}),
        ({"type": "identify"}, "Identify", {}),
    ],
)
def test_each_kind_has_its_name_and_properties(
    message: dict[str, Any], name: str, properties: dict[str, Any]
) -> None:
    event = taken({"anonymousId": ANON, **message})
    assert (event.name, event.properties, event.message_id) == (name, properties, "made-here")


def test_an_alias_from_a_site_is_a_claim() -> None:
    message = {"type": "alias", "userId": "C-7", "previousId": "old"}
    assert [one.verified for one in taken(message).identifiers] == [False, False]
    assert [one.verified for one in taken(message, trusted=True).identifiers] == [True, True]


TRACK = {"type": "track", "event": "X", "anonymousId": ANON}
DEEP: list[Any] = []
for _ in range(2000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("message", "path", "got"),
    [
        ([], "$", "a list"),
        ({}, "$.type", "nothing"),
        ({**TRACK, "type": "purchase"}, "$.type", "another string of 8 characters"),
        ({**TRACK, "type": 3}, "$.type", "an integer"),
        ({"type": "track", "anonymousId": ANON}, "$.event", "nothing"),
        ({**TRACK, "event": ""}, "$.event", "another string of 0 characters"),
        ({**TRACK, "event": "x" * 129}, "$.event", "another string of 129 characters"),
        ({"type": "track", "event": "X"}, "$.anonymousId", "neither"),
        ({**TRACK, "anonymousId": " "}, "$.anonymousId", "another string of 1 characters"),
        ({**TRACK, "anonymousId": True}, "$.anonymousId", "a boolean"),
        ({**TRACK, "userId": {}}, "$.userId", "an object"),
        ({**TRACK, "userId": "u" * 257}, "$.userId", "another string of 257 characters"),
        ({**TRACK, "properties": []}, "$.properties", "a list"),
        ({**TRACK, "properties": {"a": "x" * 40_000}}, "$.properties", "40006 bytes"),
        ({**TRACK, "properties": {"a": 2**80}}, "$.properties", "other values"),
        ({**TRACK, "properties": {"a": DEEP}}, "$.properties", "other values"),
        ({**TRACK, "properties": {"email": "x" * 3000}}, "$.properties.email", "3003 bytes"),
        ({**TRACK, "messageId": ""}, "$.messageId", "another string of 0 characters"),
        ({**TRACK, "messageId": 5}, "$.messageId", "an integer"),
        ({**TRACK, "timestamp": "yesterday"}, "$.timestamp", "another string"),
        ({**TRACK, "timestamp": 17}, "$.timestamp", "an integer"),
        ({**TRACK, "timestamp": "1969-12-31T00:00:00Z"}, "$.timestamp", "an earlier time"),
        ({**TRACK, "timestamp": "2" * 50}, "$.timestamp", "another string of 50 characters"),
        ({**TRACK, "timestamp": "2020-01-01", "sentAt": False}, "$.sentAt", "a boolean"),
        ({**TRACK, "type": "alias"}, "$.userId", "nothing"),
        ({**TRACK, "type": "alias", "userId": "u"}, "$.previousId", "nothing"),
        ({**TRACK, "type": "group"}, "$.groupId", "nothing"),
        ({**TRACK, "type": "page", "name": 3}, "$.name", "an integer"),
        ({**TRACK, "type": "identify", "traits": "x"}, "$.traits", "another string of 1 characters"),
        ({**TRACK, "type": "identify", "traits": {"a": "x" * 17_000}}, "$.traits", "17006 bytes"),
        ({**TRACK, "type": "identify", "traits": {"email": []}}, "$.traits.email", "a list"),
        ({**TRACK, "type": "identify", "traits": {"phone": 1.5}}, "$.traits.phone", "a number"),
        (
            {**TRACK, "type": "identify", "traits": {"email": "e" * 300}},
            "$.traits.email",
            "another string of 300 characters",
        ),
        ({**TRACK, "type": "identify", "traits": {"address": "a" * 3000}}, "$.traits.address", "3003 bytes"),
    ],
)
def test_a_bad_message_is_refused_with_its_place(message: Any, path: str, got: str) -> None:
    with pytest.raises(EventError) as caught:
        taken(message)
    assert (caught.value.path, caught.value.got) == (path, got)
    assert caught.value.expected


def test_the_routes_kind_may_not_be_contradicted() -> None:
    assert taken({"event": "X", "anonymousId": ANON}, kind="track").kind == "track"
    with pytest.raises(EventError, match="expected track"):
        taken({**TRACK, "type": "page"}, kind="track")


def test_the_largest_message_fits_a_journal_record() -> None:
    traits = {"a": "x" * 13_500, "email": "é" * 250, "phone": "1" * 250, "address": "é" * 1000}
    event = taken(
        {
            **TRACK,
            "type": "identify",
            "traits": traits,
            "properties": {"p": "x" * 32_000},
            "userId": "u" * 256,
        }
    )
    assert 45_000 < len(encode_event(event)) < BODY_BYTES_MAX


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({}, RECEIVED_MS),
        ({"timestamp": "2020-01-01T00:00:00Z"}, 1_577_836_800_000),
        ({"timestamp": "2099-01-01T00:00:00Z"}, RECEIVED_MS),
        ({"timestamp": "2020-01-01T00:00:00Z", "state": "withdrawn"}, RECEIVED_MS),
        ({"timestamp": "2020-01-01T00:00:00Z", "state": "denied"}, RECEIVED_MS),
    ],
)
def test_grants_date_back_and_withdrawals_do_not(fields: dict[str, str], at_ms: int) -> None:
    event = consent(**fields)
    assert event.kind == "consent"
    assert event.at_ms == at_ms
    assert event.consent is not None
    assert event.consent.purpose == "personalization"
    assert whose(event) == [("anon", digest("anon", ANON.lower()), True)]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"anonymous_id": ...}, "$.anonymous_id"),
        ({"anonymous_id": 3.5}, "$.anonymous_id"),
        ({"purpose": ...}, "$.purpose"),
        ({"purpose": "Personal Data"}, "$.purpose"),
        ({"purpose": "p" * 65}, "$.purpose"),
        ({"state": "maybe"}, "$.state"),
        ({"state": True}, "$.state"),
        ({"text_version": ...}, "$.text_version"),
        ({"text_version": ""}, "$.text_version"),
        ({"source": "s" * 129}, "$.source"),
        ({"timestamp": "soon"}, "$.timestamp"),
    ],
)
def test_a_bad_consent_is_refused_with_its_place(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(EventError) as caught:
        consent(**fields)
    assert caught.value.path == path
