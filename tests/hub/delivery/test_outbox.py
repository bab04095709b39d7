"""The outbox at work: every end of a hand-off, retries, rates, and what a dead owner leaves behind."""

import asyncio
from typing import Any

import pytest

from core.events import Event
from hub.delivery import doubts
from hub.delivery.options import DeliveryOptions
from hub.delivery.outbox import Rate
from hub.delivery.outcomes import take_over, wait_before
from hub.delivery.ports import Outcome
from hub.errors import NotFoundError, PreconditionError
from hub.store import audit, outbox, suppressions
from hub.store.engine import Store
from hub.store.outbox import Message
from tests.hub.asyncs import run_async, until
from tests.hub.delivery.ground import DAY_MS, HOUR_MS, DeliveryGround, delivery_ground

SECOND_MS = 1_000


async def one_message(ground: DeliveryGround) -> None:
    await ground.join("ada")
    await ground.give_cart_messages("ada", 1)


@run_async
async def test_a_deferred_message_waits_longer_each_time_until_it_is_given_up(sqlite: Store) -> None:
    options = DeliveryOptions(attempts_max=4)
    async with delivery_ground(sqlite, options=options) as ground:
        await one_message(ground)
        waits = []
        for _ in range(3):
            ground.sender.answers = [Outcome("deferred", 451, "4.7.1")]
            await ground.hand_over()
            message = await ground.message()
            assert (message.state, message.reason, message.detail) == ("queued", "deferred", "451 4.7.1")
            waits.append(message.not_before_ms - ground.now_ms)
            ground.data.now_ms = message.not_before_ms - 1
            await ground.hand_over()
            assert (await ground.message()).attempts == message.attempts, "not a moment earlier"
            ground.pass_time(1)
        assert waits[0] < waits[1] < waits[2]
        ground.sender.answers = [Outcome("deferred", 451)]
        await ground.hand_over()
        assert await ground.ends() == [("failed", "given_up")]


@run_async
async def test_a_message_that_is_too_old_is_given_up(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.pass_time(2 * DAY_MS)
        ground.sender.answers = [Outcome("deferred")]
        await ground.hand_over()
        assert await ground.ends() == [("failed", "given_up")]


def test_waits_double_up_to_a_limit_and_are_spread() -> None:
    options = DeliveryOptions(retry_first_ms=1000, retry_max_ms=60_000)

    def wait(attempts: int, number: int = 1) -> int:
        row = Message(f"{number:032x}", None, "", b"", "", "", "", "", 0, 0, attempts=attempts)
        return wait_before(row, options)

    assert 750 <= wait(1) <= 1250
    assert 3000 <= wait(3) <= 5000
    assert 45_000 <= wait(500) <= 75_000
    assert len({wait(3, number) for number in range(20)}) > 10


@pytest.mark.parametrize("suppress", [False, True])
@run_async
async def test_a_refusal_for_good_fails_and_may_suppress(sqlite: Store, suppress: bool) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.sender.answers = [Outcome("failed", 550, "5.1.1", suppress=suppress)]
        await ground.hand_over()
        assert await ground.ends() == [("failed", "rejected")]
        found = await sqlite.read(lambda c: suppressions.of(c, [ground.key("ada")], "email"))
        assert found == ({ground.key("ada"): "bounce"} if suppress else {})


@run_async
async def test_a_damaged_record_stops_one_message_and_no_other(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        for number, who in enumerate(("ada", "ben", "eve")):
            await ground.join(who)
            await ground.happens("Signed Up", who)
            await ground.give_cart_messages(who, 1, first=number)
        await ground.damage("ben")
        await ground.settle()
        await ground.hand_over()
        ends = {(one.source_id, one.state, one.reason) for one in await ground.messages()}
        assert ends == {
            (ground.key("ada"), "sent", ""),
            (ground.key("ben"), "refused", "error"),
            (ground.key("eve"), "sent", ""),
        }


@run_async
async def test_a_fault_before_the_hand_off_lets_the_messages_go(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)

        async def fail() -> None:
            raise RuntimeError

        ground.between_events = fail
        with pytest.raises(RuntimeError):
            await ground.hand_over()
        assert await ground.ends() == [("queued", "")]
        await ground.hand_over()
        assert await ground.ends() == [("sent", "")]


@run_async
async def test_silence_is_a_doubt_that_nothing_resends(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.sender.answers = [Outcome("in_doubt")]
        for _ in range(3):
            await ground.hand_over()
            ground.pass_time(DAY_MS)
        assert len(ground.sender.sent) == 1
        assert await ground.ends() == [("in_doubt", "no_answer")]


@run_async
async def test_a_sender_that_raises_leaves_a_doubt(sqlite: Store) -> None:
    class Raising:
        async def send(self, message: Any) -> Outcome:
            raise RuntimeError("who knows")

        async def close(self) -> None:
            return

    async with delivery_ground(sqlite, senders={"email": Raising()}) as ground:
        await one_message(ground)
        await ground.hand_over()
        assert await ground.ends() == [("in_doubt", "no_answer")]


@pytest.mark.parametrize(("resolution", "state"), [("sent", "sent"), ("resend", "queued")])
@run_async
async def test_a_person_resolves_a_doubt(sqlite: Store, resolution: doubts.Resolution, state: str) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.sender.answers = [Outcome("in_doubt")]
        await ground.hand_over()
        (first,) = ground.sender.sent
        name = (await ground.message()).message_id
        await sqlite.write(lambda c: doubts.resolve(c, name, resolution, "ada", ground.now_ms))
        assert (await ground.message()).state == state
        (entry,) = await sqlite.read(lambda c: audit.list_entries(c, 9))
        assert (entry.who, entry.subject, entry.before, entry.after) == ("ada", name, "in_doubt", state)
        with pytest.raises(PreconditionError):
            await sqlite.write(lambda c: doubts.resolve(c, name, resolution, "ada", ground.now_ms))
        with pytest.raises(NotFoundError):
            await sqlite.write(lambda c: doubts.resolve(c, "e" * 32, resolution, "ada", ground.now_ms))
        await ground.hand_over()
        assert {one.message_id for one in ground.sender.sent} == {first.message_id}
        assert len(ground.sender.sent) == (2 if resolution == "resend" else 1)


@run_async
async def test_what_a_dead_owner_was_handing_over_is_in_doubt_and_what_it_held_goes_again(
    store: Store,
) -> None:
    async with delivery_ground(store) as ground:
        await one_message(ground)
        await ground.join("ben")
        await ground.give_cart_messages("ben", 1, first=5)
        ground.sender.gate = asyncio.Event()  # never opened: the process dies inside
        await ground.delivery.outbox.start()
        await until(lambda: _all_in(ground, "handing_over", 2), "messages being handed over")
        await ground.join("eve")

        def claimed(connection: Any) -> None:
            row = Message("f" * 32, None, "x", ground.key("eve"), "email", "mail.main", "plain", "", 0, 0)
            held = row._replace(state="claimed", lease_owner="hub/hub/dead", lease_until_ms=1 << 50)
            outbox.add(connection, [held])

        await store.write(claimed)
        now_ms = ground.now_ms
        found = await store.write(lambda c: take_over(c, "hub/hub/", "hub/hub/new", now_ms))
        assert found == 2
        assert sorted(await ground.ends()) == [
            ("in_doubt", "owner_gone"),
            ("in_doubt", "owner_gone"),
            ("queued", ""),
        ]
        # It was only slow: what it learns is still the truth, and nobody has to look it up.
        ground.sender.gate.set()
        await until(lambda: _all_in(ground, "sent", 3), "the slow owner's outcomes")


async def _all_in(ground: DeliveryGround, state: str, count: int) -> bool:
    return len(await ground.messages(state)) == count


@run_async
async def test_a_lease_that_ran_out_is_taken_over_by_any_hub(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)

        def claim(connection: Any) -> None:
            outbox.claim(
                connection,
                channel="email",
                provider="",
                now_ms=ground.now_ms,
                until_ms=ground.now_ms + 10,
                owner="hub/elsewhere/1",
                count=9,
            )

        await sqlite.write(claim)
        await sqlite.write(lambda c: take_over(c, "hub/hub/", "hub/hub/1", ground.now_ms + 9))
        assert await ground.ends() == [("claimed", "")]
        await sqlite.write(lambda c: take_over(c, "hub/hub/", "hub/hub/1", ground.now_ms + 10))
        assert await ground.ends() == [("queued", "")]


@run_async
async def test_an_impression_survives_a_kill_between_outcome_and_log(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.hold_impressions = True
        await ground.hand_over()
        assert (await ground.message()).impression == outbox.TO_LOG
        # Logged, but killed before the mark: the next run logs it again, and it counts once.
        sent: list[Event] = []

        async def accept(events: Any) -> None:
            sent.extend(events)
            await ground.data.apply(*events)
            if len(sent) == 1:
                raise ConnectionError

        ground.delivery.outbox.accept = accept
        with pytest.raises(ConnectionError):
            await ground.delivery.outbox.log_impressions()
        await ground.delivery.outbox.log_impressions()
        assert [one.message_id for one in sent] == [f"sent-{0:032x}"] * 2
        record = await ground.data.record("email:ada@mail.example")
        assert record is not None
        assert ground.impressions(record)[0]["count"] == 1
        assert (await ground.message()).impression is None


@run_async
async def test_the_outbox_runs_by_itself_and_stops_with_its_messages_settled(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        for number in range(30):
            await ground.join(f"p{number}")
            await ground.give_cart_messages(f"p{number}", 1, first=number)
        await ground.delivery.start()
        await until(lambda: _all_in(ground, "sent", 30), "thirty messages")
        await ground.delivery.stop()
        assert ground.sender.closed
        assert len({one.message_id for one in ground.sender.sent}) == 30


@run_async
async def test_a_queue_that_stops_moving_shows(sqlite: Store) -> None:
    async with delivery_ground(sqlite) as ground:
        await one_message(ground)
        ground.pass_time(HOUR_MS)
        figures = await ground.figures()
        assert (figures["outbox.oldest_due_seconds"], figures["outbox.queued"]) == (3600, 1)
        await ground.hand_over()
        figures = await ground.figures()
        assert (figures["outbox.oldest_due_seconds"], figures["outbox.sent"]) == (0, 1)


def test_a_rate_gives_so_many_a_second_and_saves_up_one() -> None:
    now = 0.0
    rate = Rate(10, lambda: now)
    assert rate.grant(100) == 10
    assert rate.grant(100) == 0
    now = 0.55
    assert rate.grant(3) == 3
    assert rate.grant(100) == 2
    rate.give_back(2)
    assert rate.grant(100) == 2
    now = 100.0
    assert rate.grant(100) == 10


@run_async
async def test_a_rate_below_one_a_second_lets_one_go_after_its_time() -> None:
    rate = Rate(50)
    assert await rate.take(100) == 50
    assert await rate.take(100) >= 1
