"""Journeys on a real store: who enters, waits, goes on, leaves, and what is sent on the way."""

import asyncio

import msgspec
import pytest

from hub.store.engine import Store
from tests.hub.asyncs import run_async
from tests.hub.delivery.catalogue import changed
from tests.hub.delivery.ground import DAY_MS, HOUR_MS, DeliveryGround, delivery_ground
from tests.hub.events import consent, event


async def left_a_cart(ground: DeliveryGround, who: str = "ada") -> None:
    await ground.join(who)
    await ground.happens("Product Added", who, shop="web")
    await ground.settle()


@run_async
async def test_a_cart_that_is_left_brings_one_message_after_its_wait(store: Store) -> None:
    async with delivery_ground(store) as ground:
        await left_a_cart(ground)
        (inside,) = await ground.instances("ada")
        assert (inside.state, inside.due_at_ms) == ("active", ground.now_ms + HOUR_MS)
        assert await ground.messages() == []
        ground.pass_time(HOUR_MS)
        await ground.settle()
        await ground.settle()
        message = await ground.message()
        assert (message.state, message.origin, message.placement) == ("queued", "cart", "mail.main")
        (inside,) = await ground.instances("ada")
        assert (inside.state, inside.waits_for) == ("waiting", "Checkout Started")


@pytest.mark.parametrize(("shop", "enters"), [("web", True), ("app", True), ("till", False), (True, False)])
@run_async
async def test_a_trigger_asks_for_its_properties(sqlite: Store, shop: object, enters: bool) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        await ground.happens("Product Added", "ada", shop=shop)
        await ground.settle()
        assert bool(await ground.instances("ada")) == enters


@run_async
async def test_the_condition_is_asked_at_the_entry(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        await ground.happens("Product Added", "ada", shop="web")
        await ground.happens("Order Completed", "ada")  # which empties the cart before anybody looks
        await ground.settle()
        assert await ground.instances("ada") == []


@run_async
async def test_an_event_that_is_waited_for_goes_its_own_way(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        ground.pass_time(HOUR_MS)
        await ground.settle()
        await ground.happens("Checkout Started", "ada")
        await ground.settle()
        (ended,) = await ground.instances("ada")
        assert (ended.state, ended.ended_reason) == ("ended", "completed")
        assert len(await ground.messages()) == 1


@run_async
async def test_an_event_that_does_not_come_in_time_goes_the_other_way(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        ground.pass_time(HOUR_MS)
        await ground.settle()
        ground.pass_time(2 * DAY_MS)
        await ground.settle()
        assert len({message.message_id for message in await ground.messages()}) == 2


@run_async
async def test_an_exit_by_event_ends_and_cancels(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        ground.pass_time(HOUR_MS)
        await ground.settle()
        await ground.happens("Order Completed", "ada")
        await ground.settle()
        (ended,) = await ground.instances("ada")
        message = await ground.message()
        assert (ended.ended_reason, message.state, message.reason) == ("exited", "cancelled", "exited")


@run_async
async def test_an_exit_stops_the_last_message_of_a_journey_that_is_over(sqlite: Store) -> None:
    files = changed(
        "  - id: welcome\n    owner: ada\n",
        "  - id: welcome\n    owner: ada\n    exits: [{event: Order Completed}]\n",
    )
    async with delivery_ground(sqlite) as ground:
        await ground.publish(files)
        await ground.join("ada")
        await ground.happens("Signed Up", "ada")
        await ground.settle()
        (over,) = await ground.instances("ada")
        assert over.ended_reason == "completed"
        await ground.happens("Order Completed", "ada")
        await ground.settle()
        assert (await ground.message()).state == "cancelled"


@run_async
async def test_an_exit_by_condition_is_looked_at_with_every_signal_and_step(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        await ground.join("ada", banned=True)
        ground.pass_time(HOUR_MS)
        await ground.settle()
        (ended,) = await ground.instances("ada")
        assert (ended.ended_reason, await ground.messages()) == ("exited", [])


@run_async
async def test_a_branch_takes_the_first_way_that_is_true(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        await ground.join("ben")
        await ground.happens("Order Completed", "ben")
        await ground.happens("sign_up", "ada")  # an alias of the trigger
        await ground.happens("Signed Up", "ben")
        await ground.settle()
        assert [one.source_id for one in await ground.messages()] == [ground.key("ada")]


@run_async
async def test_reentry_waits_its_span_and_never_two_at_a_time(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        await ground.happens("Product Added", "ada", shop="web")
        await ground.settle()
        assert len(await ground.instances("ada")) == 1, "inside already"
        await ground.happens("Order Completed", "ada")
        ground.pass_time(7 * DAY_MS - 1)
        await ground.happens("Product Added", "ada", shop="web")
        await ground.settle()
        assert len(await ground.instances("ada")) == 1, "too soon"
        ground.pass_time(1)
        await ground.happens("Product Added", "ada", shop="web")
        await ground.settle()
        assert sorted(one.entry for one in await ground.instances("ada")) == [1, 2]


@run_async
async def test_a_journey_without_reentry_is_entered_once(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        for _ in range(3):
            await ground.happens("Signed Up", "ada")
            await ground.settle()
            ground.pass_time(100 * DAY_MS)
        assert len(await ground.instances("ada")) == 1


@run_async
async def test_people_inside_finish_the_version_they_entered(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground, "ada")
        (before,) = await ground.instances("ada")
        await ground.publish(
            changed("- {id: remind, send: {placement: mail.main, template: plain}}\n      ", "")
        )
        await left_a_cart(ground, "ben")
        (after,) = await ground.instances("ben")
        assert before.version != after.version
        ground.pass_time(HOUR_MS)
        await ground.settle()
        assert [one.source_id for one in await ground.messages()] == [ground.key("ada")]


@run_async
async def test_what_people_inside_wait_for_is_heard_after_a_restart(sqlite: Store) -> None:
    """The newest catalogue does not mention the event any more, the hub that starts has it from the store."""
    async with delivery_ground(sqlite) as ground:
        await left_a_cart(ground)
        ground.pass_time(HOUR_MS)
        await ground.settle()
        files = changed(
            "{event: Checkout Started, at_most: 2d, then: thanks, otherwise: again}",
            "{event: Cart Viewed, at_most: 1d}",
        )
        await ground.publish(files)
    async with delivery_ground(sqlite) as again:
        again.data.now_ms = ground.now_ms
        again.data.sequence, again.data.position = ground.data.sequence, ground.data.position
        await again.publish(files)
        assert {"Checkout Started", "Cart Viewed"} <= again.delivery.engines.interest().keys()
        await again.happens("Checkout Started", "ada")
        await again.settle()
        (ended,) = await again.instances("ada")
        assert ended.ended_reason == "completed"


@run_async
async def test_a_change_elsewhere_is_no_new_version(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        first = set(ground.delivery.engines.active.versions)
        await ground.publish(changed("value: Welcome", "value: Hello"))
        assert set(ground.delivery.engines.active.versions) == first
        await ground.publish(changed("at_most: 2d", "at_most: 3d"))
        assert len(set(ground.delivery.engines.active.versions) & first) == 1


@run_async
async def test_who_has_no_address_gets_no_message_and_it_is_said(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.data.apply(
            consent("id:7", purpose="analytics", at_ms=ground.now_ms),
            event("Signed Up", "id:7", at_ms=ground.now_ms),
        )
        await ground.settle()
        message = await ground.message()
        assert (message.state, message.reason) == ("refused", "no_address")


@run_async
async def test_history_that_is_imported_starts_no_journey(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await ground.join("ada")
        old = event("Signed Up", "email:ada@mail.example", at_ms=ground.now_ms - 2 * DAY_MS)
        await ground.data.apply(msgspec.structs.replace(old, received_ms=ground.now_ms))
        await ground.settle()
        assert await ground.instances("ada") == []


@run_async
async def test_two_hubs_on_one_store_do_nothing_twice(store: Store) -> None:
    """Each step of one hub between the other's reading and writing."""
    async with delivery_ground(store) as one, delivery_ground(store) as other:
        other.data.now_ms = one.now_ms
        for number in range(30):
            await one.join(f"p{number}")
            await one.happens("Product Added", f"p{number}", shop="web")
        await both(one, other)
        for ground in (one, other):
            ground.pass_time(HOUR_MS)
        await both(one, other)
        messages = await one.messages()
        assert len(messages) == len({message.source_id for message in messages}) == 30


async def both(one: DeliveryGround, other: DeliveryGround) -> None:
    await asyncio.gather(one.settle(), other.settle())
    await asyncio.gather(one.settle(), other.settle())
