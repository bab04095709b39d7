"""She logs in: what she did as a visitor is hers on every edge, under the key that the rule gives her."""

import json
import uuid
from typing import Any

import pytest

from core.assignment import Experiments
from core.bundle import BundleDocument, decode_bundle
from core.compiler import compile_catalogue
from core.identifiers import hash_identifier
from examples.shop.accounts import Accounts
from examples.shop.products import PRODUCTS
from examples.shop.system import SITE
from hub.decisioning.authoring import read_catalogue
from tests.story.harness import Fleet, someone, until

STRIP = "home.recommendations-strip"
CART = {**PRODUCTS["fjell"].as_event(), "quantity": 1, "value": 189.0}


@pytest.fixture(scope="module")
def document(fleet: Fleet) -> BundleDocument:
    files = {path.name: path.read_text("utf-8") for path in fleet.catalogue.glob("*.yaml")}
    content, _ = compile_catalogue(read_catalogue(files), [])
    return decode_bundle(content)


def variant_by(document: BundleDocument, key: bytes) -> str | None:
    """What a key assigns in the strip's experiment; None: nothing, or it is held out."""
    assignments = Experiments(document.experiments, document.holdouts, {})
    found = assignments.variant(0, key)
    held_out = any(assignments.is_held_out(number, key) for number in range(len(document.holdouts)))
    return None if found is None or held_out else document.experiments[0].variants[found].id


def key_of(fleet: Fleet, kind: str, value: str) -> bytes:
    secret = bytes.fromhex((fleet.folder / "hub" / "keys" / "identifier.key").read_text().strip())
    return hash_identifier(secret, kind, value)


def visitor_with(fleet: Fleet, document: BundleDocument, variant: str) -> str:
    """A visitor who has put something into her cart, and whose device assigns a variant."""
    while True:
        visitor = str(uuid.uuid4())
        if variant_by(document, key_of(fleet, "anon", visitor)) == variant:
            break
    fleet.consent("eu", visitor, "granted")
    fleet.track("eu", visitor, "Product Added", CART)
    return visitor


def customer_with(fleet: Fleet, document: BundleDocument, variant: str) -> str:
    """A customer of whom the hub knows, and whose own key assigns a variant."""
    while True:
        email = f"{uuid.uuid4()}@example.com"
        if variant_by(document, key_of(fleet, "email", email)) == variant:
            break
    fleet.onevoice("consent", "set", f"email:{email}", "personalization", "granted")
    return email


def log_in(fleet: Fleet, edge: str, visitor: str, email: str) -> str:
    """Log in at an edge; the token."""
    token = Accounts(fleet.folder / "keys" / "user-token.pem", SITE).user_token(email)
    message = {"type": "identify", "messageId": str(uuid.uuid4()), "anonymousId": visitor}
    assert fleet.post(edge, "/v1/events", {"events": [message], "user_token": token})["accepted"] == 1
    return token


def shown(fleet: Fleet, edge: str, **who: str) -> tuple[bool, str | None]:
    """Whether a decision knows of a cart, and the strip's variant."""
    body = {**who, "placements": ["cart.banner", STRIP], "context": {}}
    placements: dict[str, Any] = fleet.post(edge, "/v1/decide", body)["decision"]["placements"]
    variants = [one["variant"] for one in placements[STRIP]["experiments"] if one["id"] == "strip-headline"]
    return placements["cart.banner"]["reason"] == "ok", variants[0] if variants else None


def shown_profile(fleet: Fleet, person: str) -> dict[str, Any]:
    done = fleet.system.command.run("profile", "show", person, "--json")
    found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def test_a_known_customers_key_wins_on_both_edges_and_a_split_gives_each_her_own(
    fleet: Fleet, document: BundleDocument
) -> None:
    visitor = visitor_with(fleet, document, "control")
    email = customer_with(fleet, document, "picked")
    assert shown(fleet, "eu", anonymous_id=visitor) == (True, "control")
    until(lambda: shown(fleet, "us", anonymous_id=visitor) == (True, "control"))
    token = log_in(fleet, "eu", visitor, email)
    for edge in fleet.edges:
        for who in ({"anonymous_id": visitor, "user_token": token}, {"user_token": token}):
            until(lambda edge=edge, who=who: shown(fleet, edge, **who) == (True, "picked"))  # type: ignore[misc]
        until(lambda edge=edge: shown(fleet, edge, anonymous_id=visitor) == (True, "picked"))  # type: ignore[misc]
    (crossing,) = shown_profile(fleet, f"email:{email}")["crossed"]
    assert crossing["experiments"] == ["strip-headline"]

    fleet.onevoice("profile", "split", f"email:{email}")
    for edge in fleet.edges:
        until(lambda edge=edge: shown(fleet, edge, anonymous_id=visitor) == (True, "control"))  # type: ignore[misc]
        until(lambda edge=edge: shown(fleet, edge, user_token=token) == (False, "picked"))  # type: ignore[misc]
    log_in(fleet, "us", visitor, email)
    fleet.track("us", visitor, "Product Added", CART)
    until(lambda: shown_profile(fleet, f"anon:{visitor}")["attributes"]["cart_items"] == 2)
    assert shown(fleet, "us", user_token=token) == (False, "picked"), "a split holds"


def test_a_new_customer_keeps_what_her_device_was_assigned(fleet: Fleet, document: BundleDocument) -> None:
    visitor, email = visitor_with(fleet, document, "control"), f"{uuid.uuid4()}@example.com"
    token = log_in(fleet, "eu", visitor, email)
    both = {"anonymous_id": visitor, "user_token": token}
    assert shown(fleet, "eu", **both) == (True, "control"), "at once, whatever has come from the hub"
    for edge in fleet.edges:
        until(lambda edge=edge: shown(fleet, edge, user_token=token) == (True, "control"))  # type: ignore[misc]
    assert shown_profile(fleet, f"email:{email}")["crossed"] == []


def test_a_second_customer_on_the_device_is_kept_apart(fleet: Fleet) -> None:
    visitor = someone(fleet)
    fleet.track("eu", visitor, "Product Added", CART)
    first, second = (f"{uuid.uuid4()}@example.com" for _ in range(2))
    log_in(fleet, "eu", visitor, first)
    until(lambda: shown_profile(fleet, f"email:{first}"))
    token = log_in(fleet, "us", visitor, second)
    for edge in fleet.edges:
        assert shown(fleet, edge, anonymous_id=visitor, user_token=token)[0] is False
    until(lambda: shown_profile(fleet, f"email:{second}"))
    entries = fleet.onevoice("profile", "history", f"email:{second}")["entries"]
    assert [entry["what"] for entry in entries] == ["created", "kept_apart"]
    assert shown(fleet, "eu", anonymous_id=visitor)[0] is True
