"""Exposure tokens: what proves an assignment, and what a client merely says."""

from typing import Any, Final

import pytest

from core.exposures import TOKEN_LENGTH_MAX, exposure_token, take_exposure
from core.identifiers import hash_identifier
from core.intake import take_in

KEY: Final = b"k" * 32
ANON: Final = "6f1d4b4e-1111-4222-8333-000000000001"
ME: Final = hash_identifier(KEY, "anon", ANON)
SHE: Final = hash_identifier(KEY, "email", "ada@example.com")
ASSIGNED: Final = [("x", "b", 3), ("plain", "control", None)]
NAMED: Final = [{"id": "x", "variant": "b", "sticky_version": 3}, {"id": "plain", "variant": "control"}]
TOKEN: Final = exposure_token(KEY, ME, "d-1", "home", ASSIGNED)
CLAIM: Final = [{"id": "x", "variant": "a", "sticky_version": 3}]
STRIPPED: Final = [{"id": "x", "variant": "a"}]


def taken(properties: dict[str, Any], *, trusted: bool = False, **fields: Any) -> Any:
    """The experiments of the event that intake makes of a client's impression."""
    message = {
        "type": "track",
        "event": "Impression",
        "anonymousId": ANON,
        "properties": properties,
        **fields,
    }
    event = take_in(
        message,
        kind=None,
        identifier_key=KEY,
        trusted=trusted,
        user=None,
        received_ms=1_795_000_000_000,
        node="eu",
        seal=None,
        new_id=lambda: "m",
    )
    return event.properties


def test_a_token_says_what_its_person_was_assigned_whatever_she_says() -> None:
    assert taken({"offer": "o", "exposure": TOKEN, "experiments": CLAIM}) == {
        "offer": "o",
        "experiments": NAMED,
    }
    assert taken({"exposure": TOKEN}, trusted=True) == {"experiments": NAMED}


def test_without_a_token_a_claim_loses_the_version_that_would_have_it_stored() -> None:
    assert taken({"experiments": CLAIM}) == {"experiments": STRIPPED}
    assert taken({"experiments": CLAIM}, trusted=True) == {"experiments": CLAIM}
    for odd in (None, 7, "x", {"id": "x"}, [None, 7, ["x"]]):
        assert taken({"experiments": odd}) == {"experiments": odd}


@pytest.mark.parametrize("position", range(0, len(TOKEN), 7))
def test_a_changed_token_proves_nothing(position: int) -> None:
    other = "A" if TOKEN[position] != "A" else "B"
    changed = TOKEN[:position] + other + TOKEN[position + 1 :]
    assert taken({"exposure": changed, "experiments": CLAIM}) == {
        "exposure": changed,
        "experiments": STRIPPED,
    }


@pytest.mark.parametrize(
    "token",
    [
        exposure_token(KEY, SHE, "d-1", "home", ASSIGNED),
        exposure_token(b"j" * 32, ME, "d-1", "home", ASSIGNED),
        "",
        "AAAA",
        TOKEN[:-4],
        TOKEN.rstrip("=") + "A",
        "é",
        "A" * (TOKEN_LENGTH_MAX + 4),
        7,
        None,
        [TOKEN],
    ],
    ids=["of another person", "of another fleet", "empty", "short", "cut", "long", "text", "huge", *"123"],
)
def test_what_is_no_token_of_hers_stays_a_property(token: object) -> None:
    """A shop for cameras may well have a property of this name."""
    assert taken({"exposure": token}) == {"exposure": token}
    assert taken({"exposure": token}, trusted=True) == {"exposure": token}


def test_a_claimed_identifier_does_not_open_the_token_of_its_owner() -> None:
    token = exposure_token(KEY, hash_identifier(KEY, "id", "ada"), "d-1", "home", ASSIGNED)
    assert taken({"exposure": token}, userId="ada") == {"exposure": token}
    assert taken({"exposure": token}, trusted=True, userId="ada") == {"experiments": NAMED}


def test_a_token_is_made_for_one_decision() -> None:
    tokens = {
        exposure_token(KEY, person, decision, placement, assigned)
        for person in (ME, SHE)
        for decision in ("d-1", "d-2")
        for placement in ("home", "banner")
        for assigned in (ASSIGNED, ASSIGNED[:1])
    }
    assert len(tokens) == 16
    properties: dict[str, Any] = {"exposure": TOKEN}
    take_exposure(properties, KEY, [SHE, ME], trusted=False)
    assert properties == {"experiments": NAMED}


def test_the_largest_token_is_taken() -> None:
    """64 experiments of one placement, with ids as long as they may be."""
    most = [(f"{number:02d}".ljust(80, "x"), "v" * 80, 1_000_000) for number in range(64)]
    token = exposure_token(KEY, ME, "d" * 64, "p" * 80, most)
    assert len(token) < TOKEN_LENGTH_MAX
    assert len(taken({"exposure": token})["experiments"]) == 64
