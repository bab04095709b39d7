"""One micro-batch on a real store: what becomes of each kind of event."""

import json

import msgspec
import pytest

from core.events import Event, Identifier
from core.identifiers import hash_identifier
from core.journal import pack_record
from core.record import RECORD_BYTES_MAX
from core.sealing import seal
from hub.data.people import People
from hub.store import consents, sources
from hub.store.engine import Store
from tests.hub.asyncs import run_async
from tests.hub.data.harness import ground, normal, records_of
from tests.hub.events import NOW_MS, consent, event, person
from tests.hub.keys import IDENTIFIER_KEY, SEALING_KEY


@run_async
async def test_behaviour_without_consent_is_dropped_and_counted(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(event("Product Viewed", "anon:a", brand="x"))
        assert await g.record("anon:a") is None
        assert await g.counts() == {"events.dropped_no_consent": 1}


@pytest.mark.parametrize("name", ["Order Completed", "Ticket Opened"])
@run_async
async def test_a_fact_is_kept_without_consent(store: Store, name: str) -> None:
    async with ground(store) as g:
        await g.apply(event(name, "anon:a", revenue=5))
        assert await g.record("anon:a") is not None
        assert (await g.counts())["events.ingested"] == 1


@run_async
async def test_consent_lets_the_events_behind_it_shape_the_profile(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(
            event("Product Viewed", "anon:a", brand="before"),
            consent("anon:a"),
            event("PDP_Visit", "anon:a", brand="after"),
            consent("anon:a", state="withdrawn", at_ms=NOW_MS + 5),
            event("Product Viewed", "anon:a", at_ms=NOW_MS + 9, brand="late"),
        )
        found = await g.attributes("anon:a")
        assert (found["views_30d"], found["brands"]) == (1, ["after"])
        assert (await g.counts())["events.dropped_no_consent"] == 2


@run_async
async def test_consent_changes_are_kept_as_received(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), consent("anon:a", purpose="email", state="denied", at_ms=NOW_MS + 1))
        history = await store.read(lambda c: consents.history(c, [person("anon:a").hash]))
        assert [(change.purpose, change.state, change.effective_at_ms) for change in history] == [
            ("personalization", "granted", NOW_MS),
            ("email", "denied", NOW_MS + 1),
        ]
        assert (history[0].text_version, history[0].source, history[0].node) == ("v1", "banner", "eu")


@run_async
async def test_the_same_message_again_changes_nothing(store: Store) -> None:
    async with ground(store) as g:
        view = event("Product Viewed", "anon:a", message_id="one", brand="x")
        await g.apply(consent("anon:a"), view, view)
        before = await g.record("anon:a")
        await g.apply(view)
        assert await g.record("anon:a") == before
        assert (await g.attributes("anon:a"))["views_30d"] == 1
        assert (await g.counts())["events.duplicates"] == 2


@run_async
async def test_a_message_sent_again_after_a_log_in_is_the_same_message(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Product Viewed", "anon:a", message_id="one"))
        await g.apply(event("Product Viewed", "id:1", "anon:a", message_id="one"))
        assert (await g.counts())["events.duplicates"] == 1


@run_async
async def test_equal_message_ids_of_two_people_are_two_messages(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), consent("anon:b"))
        await g.apply(*(event("Product Viewed", who, message_id="one") for who in ("anon:a", "anon:b")))
        assert (await g.attributes("anon:b"))["views_30d"] == 1
        assert "events.duplicates" not in await g.counts()


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (event("Unheard Of", "anon:a"), "unknown_name"),
        (consent("anon:a", purpose="telepathy"), "unknown_purpose"),
        (event("Identify", person("id:1", verified=False), kind="identify"), "nobody"),
        (event("Product Viewed", Identifier("passport", b"x" * 16, True)), "malformed"),
        (event("Product Viewed", Identifier("anon", b"short", True)), "malformed"),
        (event("Product Viewed", "anon:a", kind="consent"), "malformed"),
    ],
)
@run_async
async def test_an_event_that_fits_nowhere_is_kept_aside(store: Store, made: Event, reason: str) -> None:
    async with ground(store) as g:
        await g.apply(made)
        (kept,) = await g.kept_aside()
        assert (kept.reason, kept.name, kept.edge_id) == (reason, made.name, "eu")
        assert msgspec.msgpack.decode(kept.body)[0] == made.message_id
        assert await g.counts() == {"events.quarantined": 1}
        assert g.changes.latest == 1, "its journal's position moves all the same"


@run_async
async def test_foreign_and_damaged_bytes_are_kept_aside_whole(store: Store) -> None:
    async with ground(store) as g:
        good = records_of([consent("anon:a")])
        torn = records_of([consent("anon:b")])[:-3]
        await g.apply_messages([g.message(pack_record(b"\xc1 no event") + good + torn)])
        kept = {row.reason: row.body for row in await g.kept_aside()}
        assert kept == {"undecodable": b"\xc1 no event", "damaged": torn}
        assert await g.record("anon:a") is not None


@run_async
async def test_an_event_that_would_burst_the_record_is_kept_aside(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"))
        big = [event("Product Viewed", "anon:a", brand=f"{n:04d}" + "x" * 1020) for n in range(63)]
        await g.apply(*big)
        record = await g.record("anon:a")
        assert record is not None
        assert len(record) <= RECORD_BYTES_MAX
        kept = await g.kept_aside()
        assert {row.reason for row in kept} == {"too_large"}
        views = (await g.attributes("anon:a"))["views_30d"]
        assert views == 63 - len(kept)


@run_async
async def test_a_batch_again_is_passed_over_by_position_and_by_number(store: Store) -> None:
    async with ground(store) as g:
        message = g.message(records_of([consent("anon:a"), event("Product Viewed", "anon:a")]))
        await g.apply_messages([message])
        record, latest = await g.record("anon:a"), g.changes.latest
        await g.apply_messages([message])
        assert g.changes.latest == latest
        # The same piece of journal under a new number, as after a lost acknowledgement.
        await g.apply_messages([g.message(message.batch.records, first=0)])
        assert await g.record("anon:a") == record
        assert g.changes.latest == latest, "a position that does not move is no change"


@run_async
async def test_a_batch_that_overlaps_gives_only_its_new_part(store: Store) -> None:
    async with ground(store) as g:
        first = records_of([consent("anon:a"), event("Product Viewed", "anon:a")])
        await g.apply_messages([g.message(first)])
        more = records_of([event("Product Viewed", "anon:a")])
        await g.apply_messages([g.message(first + more, first=0)])
        assert (await g.attributes("anon:a"))["views_30d"] == 2
        assert "events.duplicates" not in await g.counts(), "the position alone tells"


@run_async
async def test_a_gap_in_a_journal_is_counted_and_what_is_there_applies(store: Store) -> None:
    async with ground(store) as g:
        await g.apply_messages([g.message(records_of([consent("anon:a")]), first=500)])
        assert await g.record("anon:a") is not None
        assert (await g.counts())["journal.gaps"] == 1


@run_async
async def test_a_transaction_that_fails_leaves_nothing_in_memory(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"))
        message = g.message(records_of([event("Product Viewed", "anon:a")]))

        def fail(connection: object, changes: object) -> None:
            g.ingestor.apply(connection, changes, g.view, [message])  # type: ignore[arg-type]
            raise RuntimeError("power")

        with pytest.raises(RuntimeError, match="power"):
            await g.changes.write(fail)
        await g.apply_messages([message])
        assert (await g.attributes("anon:a"))["views_30d"] == 1


@run_async
async def test_a_small_cache_gives_the_same_records_as_a_large_one(store: Store) -> None:
    events = [consent(f"anon:{n}") for n in range(9)]
    events += [event("Product Viewed", f"anon:{n % 9}", brand=str(n)) for n in range(90)]
    async with ground(store, people=People(limit=1)) as small:
        for start in range(0, len(events), 7):
            await small.apply(*events[start : start + 7])
        for n in range(9):
            assert (await small.attributes(f"anon:{n}"))["views_30d"] == 10


@run_async
async def test_sealed_values_are_believed_only_where_they_hash_to_the_identifier(store: Store) -> None:
    public = SEALING_KEY.public_key().public_bytes_raw()
    sealed = seal(public, json.dumps({"email": " Ada@Example.com", "userId": 42, "phone": "+1 555"}).encode())
    email = Identifier("email", hash_identifier(IDENTIFIER_KEY, "email", "ada@example.com"), True)
    async with ground(store) as g:
        await g.apply(
            event("Identify", "id:42", email, person("phone:+999"), kind="identify", sealed=sealed),
            event("Identify", "id:7", kind="identify", sealed=b"not sealed to this hub"),
        )
        keys = [person("id:42").hash, email.hash, person("phone:+999").hash, person("id:7").hash]
        found = await store.read(lambda c: {row.source_id: row.value for row in sources.by_id(c, keys)})
        assert [found[key] for key in keys] == ["42", "ada@example.com", None, None]


@run_async
async def test_equal_events_in_other_batches_give_equal_bytes(store: Store) -> None:
    events = [consent("anon:a"), *(event("Product Viewed", "anon:a", brand=str(n)) for n in range(20))]
    async with ground(store) as g:
        await g.apply(*events)
        renamed = [msgspec.structs.replace(one, identifiers=(person("anon:b"),)) for one in events]
        for one in renamed:
            await g.apply(one)
        first, second = await g.record("anon:a"), await g.record("anon:b")
        assert first is not None
        assert second is not None
        assert normal(first)[64:] == normal(second)[64:]
