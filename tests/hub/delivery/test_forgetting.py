"""What of journeys and messages a person is told, what her erasure leaves, and what time takes away."""

from pathlib import Path

from hub.data.event_log import EventLog
from hub.data.maintenance import Maintenance, Retention
from hub.data.profiles import ProfileData
from hub.store import engagements, journeys, outbox, signals, suppressions
from hub.store.engagements import OPEN, Engagement
from hub.store.engine import Connection, Store
from tests.hub.asyncs import run_async
from tests.hub.delivery.ground import DAY_MS, HOUR_MS, DeliveryGround, delivery_ground


async def with_history(ground: DeliveryGround, who: str) -> str:
    """A person with a journey, a message, an open of it, and an unsubscribe; the message's id."""
    await ground.join(who)
    await ground.happens("Product Added", who, shop="web")
    await ground.settle()
    ground.pass_time(HOUR_MS)
    await ground.settle()
    await ground.hand_over()
    (message,) = [one for one in await ground.messages() if one.source_id == ground.key(who)]
    seen = Engagement(message.message_id, OPEN, ground.now_ms, False, "")
    await ground.store.write(lambda c: engagements.add_once(c, seen))
    await ground.suppress(who)
    return message.message_id


def held(connection: Connection, key: bytes, message_id: str) -> tuple[int, ...]:
    """Rows of a person: signals, instances, entries, messages, engagements."""
    return (
        len(list(signals.of_sources(connection, [key], 0))),
        len(journeys.of_sources(connection, [key])),
        len(list(journeys.entered(connection, [key]))),
        len(outbox.of_person(connection, [key], 9)),
        len(engagements.of_messages(connection, [message_id])),
    )


@run_async
async def test_an_export_tells_of_journeys_messages_and_suppressions(store: Store) -> None:
    async with delivery_ground(store) as ground:
        await with_history(ground, "ada")
        data = ProfileData(store, ground.data.changes, lambda: ground.now_ms)
        told = await data.export(ground.key("ada"), ground.data.view.document, lambda row: row.decision_id)
        (journey,), (message,), (stop,) = told["journeys"], told["messages"], told["suppressions"]
        assert (journey["journey"], journey["state"]) == ("cart", "waiting")
        assert (message["state"], message["channel"], message["placement"]) == ("sent", "email", "mail.main")
        assert (stop["channel"], stop["reason"], stop["source"]) == ("email", "unsubscribe", "one-click")


@run_async
async def test_an_erasure_leaves_nothing_but_the_stop_itself(store: Store) -> None:
    async with delivery_ground(store) as ground:
        erased, kept = await with_history(ground, "ada"), await with_history(ground, "ben")
        await ground.erase("ada")
        assert await store.read(lambda c: held(c, ground.key("ada"), erased)) == (0, 0, 0, 0, 0)
        assert min(await store.read(lambda c: held(c, ground.key("ben"), kept))) == 1
        (stop,) = await store.read(lambda c: suppressions.of_person(c, [ground.key("ada")]))
        assert (stop.reason, stop.source) == ("unsubscribe", "")
        # She comes back by an import: the stop still holds.
        await ground.join("ada")
        await ground.give_cart_messages("ada", 1, first=77)
        await ground.hand_over()
        assert ("refused", "suppressed") in await ground.ends()


@run_async
async def test_time_takes_what_is_over_and_leaves_what_is_not(store: Store, tmp_path: Path) -> None:
    async with delivery_ground(store) as ground:
        message_id = await with_history(ground, "ada")
        await ground.give_cart_messages("ada", 1, first=77)
        log = EventLog(tmp_path / "log", "")
        retention = Retention(signal_days=7, message_days=30)
        maintenance = Maintenance(store, log, lambda: ground.now_ms, retention)

        async def left() -> tuple[int, ...]:
            while await store.write(maintenance.prune_outbound):
                pass
            return await store.read(lambda c: held(c, ground.key("ada"), message_id))

        assert await left() == (1, 1, 1, 2, 1)
        ground.pass_time(8 * DAY_MS)
        await ground.settle()
        assert (await left())[0] == 0, "signals that were acted on"
        ground.pass_time(31 * DAY_MS)
        assert await left() == (0, 0, 1, 2, 0), "the journey is over; messages that wait are kept"
        assert {one.state for one in await ground.messages()} == {"queued"}
        (entered,) = await store.read(lambda c: list(journeys.entered(c, [ground.key("ada")])))
        assert entered.entries == 1, "who was inside once is known for the re-entry rule"
