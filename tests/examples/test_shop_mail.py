"""What the example's cart mail says to whom, and who gets none: decided by its catalogue, at the hub."""

import itertools
from collections.abc import Sequence

import msgspec
import pytest

from core.authoring.text import duration_ms
from core.bundle import STEP_SEND
from core.compiler import compile_catalogue
from core.decide import Engine, Request
from core.events import Consent, Event, Identifier
from core.fold import fold_overlay
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import files_of
from tests.shared import ROOT

NOW = 1_795_455_809_000
MINUTE = 60_000
ADA = (Identifier("email", bytes(32), True),)
UNIT_KEY = bytes(range(16))
CUP = {"name": "Kopp enamel cup", "category": "camp-kitchen", "quantity": 1, "value": 12.0}
TENT = {"name": "To two-person tent", "category": "tents", "quantity": 1, "value": 429.0}

_numbers = itertools.count()


@pytest.fixture(scope="module")
def engine() -> Engine:
    files = files_of(ROOT / "examples" / "shop" / "catalogue")
    return Engine(compile_catalogue(read_catalogue(files), [])[0], 1)


def happened(name: str, minutes_ago: int = 5, /, **properties: object) -> Event:
    at_ms = NOW - minutes_ago * MINUTE
    return Event(f"m-{next(_numbers)}", "track", name, at_ms, at_ms, ADA, properties)


def consented(purpose: str, state: str = "granted", minutes_ago: int = 9) -> Event:
    at_ms = NOW - minutes_ago * MINUTE
    change = Consent(purpose, state, "1", "test")
    return Event(f"m-{next(_numbers)}", "consent", "Consent", at_ms, at_ms, ADA, consent=change)


def known(**traits: str) -> Event:
    at_ms = NOW - 8 * MINUTE
    return Event(f"m-{next(_numbers)}", "identify", "Identify", at_ms, at_ms, ADA, {}, traits)


def shown(offer: str, channel: str, times: int) -> list[Event]:
    return [happened("Impression", 30 + at, offer=offer, channel=channel) for at in range(times)]


def record_of(engine: Engine, events: Sequence[Event]) -> bytes:
    packed = fold_overlay(
        None, events, engine.fold_plan, unit_key=UNIT_KEY, now_ms=NOW, layout_id=engine.document.layout_id
    )
    assert packed is not None
    return bytes(packed)


def cart_mail(engine: Engine, *events: Event) -> dict[str, object]:
    """The mail to somebody who allowed mails and behaviour, and did this."""
    allowed = [consented("personalization"), consented("email")]
    request = Request("d", ("email.cart",), {}, UNIT_KEY, named=True)
    decision = engine.decide(record_of(engine, [*allowed, *events]), (), request, NOW, at_edge=False)
    found: dict[str, object] = msgspec.json.decode(decision.body)["placements"]["email.cart"]
    return found


def words(mail: dict[str, object]) -> dict[str, object]:
    blocks = mail["blocks"]
    assert isinstance(blocks, dict)
    return {slot: block["value"] for slot, block in blocks.items()}


def test_a_small_cart_is_brought_for_free(engine: Engine) -> None:
    mail = cart_mail(engine, known(first_name="Ada"), happened("Product Added", **CUP))
    assert (mail["reason"], mail["offer"]) == ("ok", "cart-mail-delivery")
    assert words(mail) == {
        "subject": "Your cart is waiting, and its delivery is free",
        "headline": "Still thinking it over, Ada?",
        "text": "We have kept this for you: Kopp enamel cup. If you order now, we bring it to you for free.",
        "image": "/static/mail/camp-kitchen.png",
        "link": "/cart",
        "cta": "Back to my cart",
    }


def test_a_large_cart_is_only_remembered(engine: Engine) -> None:
    mail = cart_mail(engine, happened("Product Added", **TENT))
    assert (mail["reason"], mail["offer"]) == ("ok", "cart-mail")
    assert words(mail)["headline"] == "Still thinking it over, you?"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([consented("email", "withdrawn", 1)], "no_consent"),
        ([happened("Ticket Opened")], "open_ticket"),
        ([happened("Ticket Opened", 4), happened("Ticket Closed", 3)], "ok"),
        ([happened("Order Completed", 1)], "not_eligible"),
        ([happened("Product Removed", 1, **CUP)], "not_eligible"),
        (shown("sock-bundle", "web", 2), "ok"),
        (shown("sock-bundle", "web", 3), "capped"),
        ([*shown("sock-bundle", "web", 2), *shown("cart-mail", "email", 1)], "capped"),
        (shown("cart-mail-delivery", "email", 3), "capped"),
    ],
    ids=[
        "withdrawn", "ticket", "ticket closed", "ordered", "emptied",
        "two nudges on pages", "three nudges on pages", "nudges on pages and in mails", "three mails",
    ],
)  # fmt: skip
def test_who_gets_no_mail_and_why(engine: Engine, events: list[Event], reason: str) -> None:
    assert cart_mail(engine, happened("Product Added", **CUP), *events)["reason"] == reason


def test_mails_use_up_the_nudges_of_pages(engine: Engine) -> None:
    events = [consented("personalization"), happened("Product Added", **CUP), *shown("cart-mail", "email", 3)]
    request = Request("d", ("cart.banner",), {}, UNIT_KEY)
    decision = engine.decide(record_of(engine, events), (), request, NOW)
    answer = msgspec.json.decode(decision.body)["placements"]["cart.banner"]
    assert answer["offer"] == "free-delivery-missing"


def test_journey_conditions_are_matched_on_the_whole_record(engine: Engine) -> None:
    rules = [rule.id for rule in engine.document.rules]

    def matched(*events: Event) -> set[str]:
        record = record_of(engine, [consented("personalization"), *events])
        return {name for name in (rules[at] for at in engine.match(record, {}, NOW)) if "journey:" in name}

    begin, end, regular = (f"journey:cart-abandonment:{part}" for part in ("when", "exit:1", "who:0"))
    orders = [happened("Order Completed", 1440 + at) for at in range(3)]
    assert matched(happened("Product Added", **CUP)) == {begin}
    assert matched() == {end}
    assert matched(*orders, happened("Product Added", **CUP)) == {begin, regular}


def test_the_example_takes_seconds_where_the_catalogue_says_hours(engine: Engine) -> None:
    [journey] = engine.document.outbound.journeys
    assert engine.document.outbound.time_scale == 1440
    longest = sum(step.duration_ms for step in journey.steps)
    assert longest < duration_ms("2m")
    assert [step.id for step in journey.steps if step.kind == STEP_SEND] == ["remind"]
