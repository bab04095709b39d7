"""What stops a message at its hand-off: each with its reason recorded, none by the sender's grace."""

from typing import Any

import msgspec
import pytest

from core.record import describe
from hub.delivery.ports import Outcome
from hub.errors import ContentError
from hub.store import outbox, suppressions
from hub.store.engine import Store
from hub.store.suppressions import UNSUBSCRIBE, Suppression
from tests.hub.asyncs import run_async
from tests.hub.delivery.catalogue import FILES, changed, experimenting, held_out, quiet, without_journey
from tests.hub.delivery.ground import DAY_MS, HOUR_MS, DeliveryGround, delivery_ground


async def queued(ground: DeliveryGround, who: str = "ada") -> None:
    """A person who left a cart, and her reminder in the outbox."""
    await ground.join(who, first_name="Ada")
    await ground.happens("Product Added", who, shop="web")
    await ground.settle()
    ground.pass_time(HOUR_MS)
    await ground.settle()
    (message,) = [one for one in await ground.messages() if one.source_id == ground.key(who)]
    assert message.state == "queued"


async def stopped(ground: DeliveryGround) -> tuple[str, str]:
    """State and reason after the hand-off; nothing may have been sent."""
    await ground.hand_over()
    message = await ground.message()
    assert ground.sender.sent == []
    return message.state, message.reason


@run_async
async def test_the_right_message_goes_once_and_is_an_impression(store: Store) -> None:
    async with delivery_ground(store) as ground:
        await queued(ground)
        await ground.hand_over()
        await ground.hand_over()
        (letter,) = ground.sender.sent
        message = await ground.message()
        assert letter.message_id == message.message_id
        content = msgspec.json.decode(letter.content)
        assert content["to"] == "ada@mail.example"
        assert content["blocks"]["text"]["value"] == "Your cart waits, Ada"
        assert (message.state, message.offer, message.attempts) == ("sent", "cart", 1)
        record = await ground.data.record("email:ada@mail.example")
        assert record is not None
        shown = ground.impressions(record)
        assert [(one["offer"], one["channel"], one["count"]) for one in shown] == [("cart", "email", 1)]
        assert (await ground.message()).impression is None, "folded, so caps find it in the record"
        assert await ground.decided("ada") == 1


@run_async
async def test_a_message_that_went_binds_her_to_its_variant(store: Store) -> None:
    """Each weight in turn has nearly everybody: what the first message showed is what the next one shows."""
    async with delivery_ground(store) as ground:
        await ground.publish(experimenting(1_000_000, 1))
        await queued(ground)
        await ground.publish(experimenting(1, 1_000_000))
        await ground.hand_over()
        await ground.publish(experimenting(1_000_000, 1))
        await ground.give_cart_messages("ada", 1)
        await ground.hand_over()
        shown = [msgspec.json.decode(one.experiments) for one in await ground.messages("sent")]
        assert shown == [[{"id": "text", "variant": "v1", "sticky_version": 0}]] * 2
        record = await ground.data.record("email:ada@mail.example")
        assert record is not None
        held: Any = describe(record, ground.data.view.document, ground.now_ms)["assignments"]
        assert [(one["experiment"], one["variant"]) for one in held] == [("text", "v1")]


@run_async
async def test_messages_in_the_air_bind_her_too(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.publish(experimenting(1, 1_000_000))
        ground.hold_impressions = True
        await queued(ground)
        await ground.hand_over()
        await ground.publish(experimenting(1_000_000, 1))
        await ground.give_cart_messages("ada", 1)
        await ground.hand_over()
        shown = [msgspec.json.decode(one.experiments)[0]["variant"] for one in await ground.messages("sent")]
        assert shown == ["v1", "v1"]


@run_async
async def test_who_has_bought_gets_nothing(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.happens("Order Completed", "ada")
        # The journey has not heard of it yet; the hand-off looks itself.
        assert await stopped(ground) == ("cancelled", "exited")


@run_async
async def test_an_exit_by_condition_is_looked_at_once_more(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.join("ada", banned=True)
        assert await stopped(ground) == ("cancelled", "exited")


@run_async
async def test_a_withdrawn_consent_stops_it(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.withdraws("ada")
        assert await stopped(ground) == ("refused", "no_consent")


@run_async
async def test_the_consent_of_the_channel_counts_beside_that_of_the_placement(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.publish(
            changed("channel: email, purpose: email", "channel: email, purpose: personalization")
        )
        await ground.join("ada", consents=("ads", "analytics"))
        await ground.happens("Signed Up", "ada")
        await ground.settle()
        assert await stopped(ground) == ("refused", "no_consent")


@run_async
async def test_a_service_message_needs_no_consent_but_respects_a_suppression(sqlite: Store) -> None:
    files = changed("hello, send: {placement: mail.main", "hello, send: {placement: mail.service")
    treatment = "      - {id: cart-service, placement: mail.service, blocks: {text: hello}}\n"
    text = files["shop.yaml"].replace("    treatments:\n", "    treatments:\n" + treatment)
    async with delivery_ground(sqlite) as ground:
        await ground.publish({"shop.yaml": text})
        for who in ("ada", "ben"):
            await ground.join(who, consents=("analytics",))
            await ground.happens("Signed Up", who)
        await ground.suppress("ben")
        await ground.settle()
        await ground.hand_over()
        assert [one.recipient for one in ground.sender.sent] == ["ada@mail.example"]


@run_async
async def test_a_suppressed_address_gets_nothing(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.suppress("ada")
        assert await stopped(ground) == ("refused", "suppressed")


@run_async
async def test_an_open_support_ticket_silences_it(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.happens("Ticket Opened", "ada")
        assert await stopped(ground) == ("refused", "open_ticket")
        assert await ground.decided("ada") == 1, "a refusal is a decision"


@run_async
async def test_a_person_in_the_holdout_gets_nothing(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.publish(held_out())
        assert await stopped(ground) == ("refused", "holdout")


@run_async
async def test_a_holdout_of_a_journey_stops_its_messages_and_no_others(sqlite: Store) -> None:
    """Both journeys use one placement: a holdout of the other one stops nothing."""
    async with delivery_ground(sqlite) as ground:
        await ground.publish(without_journey("cart"))
        await queued(ground)
        assert await stopped(ground) == ("refused", "holdout")
        await ground.happens("Signed Up", "ada")
        await ground.settle()
        await ground.hand_over()
        assert sorted(await ground.ends()) == [("refused", "holdout"), ("sent", "")]


@run_async
async def test_a_cap_counts_pages_and_messages_together(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        for number in range(2):
            await ground.happens(
                "Impression", "ada", placement="home", offer="cart", channel="web", decision_id=f"d{number}"
            )
        assert await stopped(ground) == ("refused", "capped")


@run_async
async def test_messages_that_are_in_the_air_count_against_the_cap(sqlite: Store) -> None:
    """Nothing of them is folded yet, and of three one batch sends two."""
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        await ground.give_cart_messages("ada", 3)
        ground.hold_impressions = True
        await ground.hand_over()
        assert sorted(await ground.ends()) == [("refused", "capped"), ("sent", ""), ("sent", "")]
        await ground.give_cart_messages("ada", 1, first=7)
        await ground.hand_over()
        assert len(ground.sender.sent) == 2


@run_async
async def test_a_message_in_doubt_counts_as_one_that_arrived(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        await ground.give_cart_messages("ada", 3)
        ground.sender.answers = [Outcome("in_doubt")] * 2
        await ground.hand_over()
        assert sorted(await ground.ends()) == [
            ("in_doubt", "no_answer"),
            ("in_doubt", "no_answer"),
            ("refused", "capped"),
        ]


@run_async
async def test_caps_hold_for_who_lets_no_behaviour_be_stored(sqlite: Store) -> None:
    """Her impressions are dropped by ingestion; the outbox itself remembers."""
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada", consents=("email",))
        for number in range(3):
            await ground.give_cart_messages("ada", 1, first=number)
            await ground.hand_over()
            ground.pass_time(60_000)
        assert len(ground.sender.sent) == 2
        ground.pass_time(DAY_MS)
        await ground.give_cart_messages("ada", 1, first=9)
        await ground.hand_over()
        assert len(ground.sender.sent) == 3


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("Europe/Berlin", 8), ("America/New_York", 14), (None, 9), ("Not/A_Zone", 9), ("../etc/passwd", 9)],
)
@run_async
async def test_quiet_hours_of_her_own_zone_put_it_off(sqlite: Store, zone: str | None, hours: int) -> None:
    # 2025-11-24 16:00 UTC and one hour: 18:00 in Berlin, 12:00 in New York, 17:00 in London.
    async with delivery_ground(sqlite) as ground:
        start, end = ("11:00", "02:00")
        await ground.publish(quiet(start, end, "Europe/London"))
        await queued(ground)
        if zone is not None:
            await ground.join("ada", time_zone=zone)
        assert await stopped(ground) == ("queued", "quiet_hours")
        message = await ground.message()
        assert message.not_before_ms - ground.now_ms == hours * HOUR_MS
        assert message.attempts == 0
        ground.data.now_ms = message.not_before_ms
        await ground.hand_over()
        assert len(ground.sender.sent) == 1


@run_async
async def test_an_unsubscribe_between_decision_and_hand_off_wins(store: Store) -> None:
    """The message is decided and composed already when the answer to the unsubscribe goes out."""
    async with delivery_ground(store) as ground:
        await queued(ground)
        row = Suppression(ground.key("ada"), "email", UNSUBSCRIBE, ground.now_ms, "one-click")
        ground.between = lambda connection: suppressions.add(connection, [row])
        assert await stopped(ground) == ("refused", "suppressed")


@run_async
async def test_a_withdrawal_between_decision_and_hand_off_wins(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        ground.between_events = lambda: ground.withdraws("ada")
        assert await stopped(ground) == ("refused", "no_consent")


@run_async
async def test_an_order_between_decision_and_hand_off_wins(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        ground.between_events = lambda: ground.happens("Order Completed", "ada")
        assert await stopped(ground) == ("cancelled", "exited")


@run_async
async def test_a_cancelled_message_in_hand_is_let_go(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)

        async def exit_and_hear() -> None:
            await ground.happens("Order Completed", "ada")
            await ground.settle()

        ground.between_events = exit_and_hear
        assert await stopped(ground) == ("cancelled", "exited")


@run_async
async def test_a_placement_or_template_that_is_gone_refuses_its_messages(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.publish({"shop.yaml": FILES["shop.yaml"].replace("plain", "other")})
        assert await stopped(ground) == ("refused", "no_content")


@run_async
async def test_an_erased_person_gets_nothing(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        await ground.erase("ada")
        await ground.hand_over()
        assert (ground.sender.sent, await ground.messages()) == ([], [])


@run_async
async def test_what_the_composer_cannot_render_is_refused(sqlite: Store) -> None:
    class Broken:
        def compose(self, message: Any) -> Any:
            raise ContentError(expected="a template", got="none")

    async with delivery_ground(sqlite) as ground:
        await queued(ground)
        ground.composers["email"] = Broken()
        assert await stopped(ground) == ("refused", "no_content")


@run_async
async def test_states_that_are_listed_are_all_there_are(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        assert set(await ground.figures()) >= {f"outbox.{state}" for state in outbox.STATES}
