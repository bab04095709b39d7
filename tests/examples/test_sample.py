"""The sample shop is the same for the same seed, plausible, and plainly labelled."""

from datetime import UTC, date, datetime

import pytest

from examples.segment import Message
from examples.shop import sample
from examples.shop.accounts import SAMPLE_ACCOUNTS

UNTIL = date(2026, 11, 23)
CUSTOMERS = 400


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    return list(sample.generate(CUSTOMERS, UNTIL))


def test_same_seed_gives_the_same_messages(messages: list[Message]) -> None:
    assert list(sample.generate(CUSTOMERS, UNTIL)) == messages
    assert list(sample.generate(CUSTOMERS, UNTIL, seed=1)) != messages


def test_more_customers_leave_the_first_ones_as_they_are(messages: list[Message]) -> None:
    assert list(sample.generate(CUSTOMERS // 2, UNTIL)) == [
        message for message in messages if int(message["messageId"].split(":")[1]) <= CUSTOMERS // 2
    ]


def test_messages_are_labelled_unique_and_within_the_year(messages: list[Message]) -> None:
    ids = [message["messageId"] for message in messages]
    assert len(set(ids)) == len(ids)
    assert all(message_id.startswith("sample:") for message_id in ids)
    times = [datetime.fromisoformat(message["timestamp"]) for message in messages]
    assert min(times) >= datetime(2025, 11, 23, tzinfo=UTC)
    assert max(times) <= datetime(2026, 11, 23, tzinfo=UTC)


def test_behaviour_is_only_there_with_consent(messages: list[Message]) -> None:
    allowed = {
        message["userId"]
        for message in messages
        if message["type"] == "consent"
        and message["purpose"] in ("analytics", "personalization")
        and message["state"] == "granted"
    }
    viewers = {message["userId"] for message in messages if message.get("event") == "Product Viewed"}
    everybody = {message["userId"] for message in messages}
    assert viewers <= allowed
    assert allowed < everybody


def test_ten_thousand_customers_make_about_two_hundred_thousand_messages(messages: list[Message]) -> None:
    assert 15 <= len(messages) / CUSTOMERS <= 30


def test_people_of_the_log_in_page_have_the_histories_it_promises(messages: list[Message]) -> None:
    emails = {m["traits"]["email"]: m["userId"] for m in messages if m["type"] == "identify"}
    ada, ben, carla, dev = (emails[address] for address, _, _ in SAMPLE_ACCOUNTS)

    def events(person: str) -> list[str]:
        return [m["event"] for m in messages if m["userId"] == person and m["type"] == "track"]

    assert events(ada).count("Order Completed") >= 3
    assert "Order Completed" not in events(ben)
    assert events(carla).count("Ticket Opened") > events(carla).count("Ticket Closed")
    assert any(m["userId"] == dev and m.get("state") == "withdrawn" for m in messages)
