"""The converters turn every row of the public data sets into messages, and lose none."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

import pytest

from examples import complete_journey, online_retail
from examples.segment import Message
from tests.shared import shared_data


def named(messages: Iterable[Message], event: str) -> list[Message]:
    return [message for message in messages if message.get("event") == event]


def lines(messages: Iterable[Message]) -> int:
    return sum(len(message["properties"].get("products", [])) for message in messages)


@pytest.fixture(scope="module")
def journey() -> list[Message]:
    return list(complete_journey.convert(shared_data("complete_journey")))


@pytest.fixture(scope="module")
def retail() -> list[Message]:
    return list(online_retail.convert(shared_data("online_retail")))


def test_journey_orders_hold_every_line(journey: list[Message]) -> None:
    orders = named(journey, "Order Completed")
    assert lines(orders) == 75_000
    assert sum(order["properties"]["line_count"] for order in orders) == 75_000
    assert len({order["userId"] for order in orders}) == 2_377


def test_journey_campaigns_and_coupons_are_complete(journey: list[Message]) -> None:
    addressed = named(journey, "Campaign Addressed")
    redeemed = named(journey, "Coupon Redeemed")
    assert len(addressed) == 6_589
    assert len({message["userId"] for message in addressed}) == 1_559
    assert len({message["properties"]["campaign_id"] for message in addressed}) == 27
    assert len(redeemed) == 2_102
    assert len({message["userId"] for message in redeemed}) == 410
    assert sum(message["type"] == "identify" for message in journey) == 801


def test_journey_consents_are_labelled_as_assumed(journey: list[Message]) -> None:
    consents = [message for message in journey if message["type"] == "consent"]
    people = {message["userId"] for message in journey}
    assert {message["userId"] for message in consents} == people
    assert {message["source"] for message in consents} == {complete_journey.CONSENT_SOURCE}


def test_retail_messages_hold_every_row(retail: list[Message]) -> None:
    counted = sum(message["properties"].get("line_count", 0) for message in retail)
    anonymous = sum(
        message["properties"].get("line_count", 0) for message in retail if "userId" not in message
    )
    assert counted == 525_461
    assert anonymous == 107_927
    assert lines(retail) == 525_461 - 3  # the adjustments of bad debts are no products


def test_retail_invoices_customers_and_money_match(retail: list[Message]) -> None:
    assert len({message["properties"]["order_id"] for message in retail}) == 28_816
    assert len({message["userId"] for message in retail if "userId" in message}) == 4_383
    total = Decimal(0)
    for message in retail:
        revenue = Decimal(str(message["properties"].get("revenue", 0)))
        total += -revenue if message["event"] == "Order Cancelled" else revenue
    assert total == Decimal("9539484.634")


def test_retail_cancellations_and_adjustments_are_told_apart(retail: list[Message]) -> None:
    kinds = Counter(message["properties"]["order_id"][0] for message in named(retail, "Order Cancelled"))
    assert kinds == {"C": 4_592}
    adjusted = [m for m in named(retail, "Order Updated") if "adjustment" in m["properties"]]
    assert sorted(m["properties"]["order_id"] for m in adjusted) == ["A506401", "A516228", "A528059"]


@pytest.mark.parametrize("messages", ["journey", "retail"])
def test_message_ids_are_unique_and_repeatable(messages: str, request: pytest.FixtureRequest) -> None:
    converted: list[Message] = request.getfixturevalue(messages)
    assert len({message["messageId"] for message in converted}) == len(converted)
    again = complete_journey.convert if messages == "journey" else online_retail.convert
    folder = shared_data("complete_journey" if messages == "journey" else "online_retail")
    assert next(iter(again(folder))) == converted[0]
