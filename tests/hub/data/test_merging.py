"""Merges and splits by operators: one person or two, and nothing lost either way."""

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from core.events import Event
from core.frame import PUT_IDENTIFIER, PUT_RECORD
from hub.data.changes import compacted
from hub.errors import LimitError, NotFoundError, PreconditionError
from hub.store import audit, crossings, identity_history, sources
from hub.store.engine import Store, sqlite_url
from tests.hub import events
from tests.hub.asyncs import run_async
from tests.hub.conftest import opened
from tests.hub.data.harness import Ground, ground, normal
from tests.hub.events import NOW_MS, person

_times = itertools.count(NOW_MS)


class Held(NamedTuple):
    """What a profile is, but for its id."""

    record: bytes
    unit_key: bytes
    created_at_ms: int
    known: bool


def view(*who: str, **properties: Any) -> Event:
    return events.event("Product Viewed", *who, at_ms=next(_times), **properties)


def order(*who: str, revenue: float = 5) -> Event:
    return events.event("Order Completed", *who, at_ms=next(_times), revenue=revenue)


def log_in(*who: str, **traits: object) -> Event:
    return events.event("Identify", *who, kind="identify", at_ms=next(_times), traits=dict(traits))


def consent(*who: str, **fields: Any) -> Event:
    return events.consent(*who, **{"at_ms": next(_times), **fields})


async def held(g: Ground, who: str) -> Held:
    profile = await g.profile(who)
    assert profile is not None
    return Held(normal(profile.record), profile.unit_key, profile.created_at_ms, profile.known)


async def profile_of(g: Ground, who: str) -> bytes:
    profile = await g.profile(who)
    assert profile is not None
    return profile.profile_id


async def sources_of(g: Ground, who: str) -> set[bytes]:
    profile_id = await profile_of(g, who)
    rows = await g.store.read(lambda c: list(sources.of_profiles(c, [profile_id])))
    return {row.source_id for row in rows}


async def told(g: Ground, who: str) -> list[identity_history.IdentityChange]:
    profile_id, keys = await profile_of(g, who), await sources_of(g, who)
    return await g.store.read(lambda c: identity_history.of_profile(c, profile_id, keys))


def together(*who: str) -> set[bytes]:
    return {person(one).hash for one in who}


def without_link(sent: list[Event], one: str, other: str) -> list[Event]:
    """The same events as they would be, had two identifiers never been shown together.

    What shows both belongs to the source of `one`, the stronger, either way.
    """
    return [_without(event, other) if shows(event, one) else event for event in sent]


def shows(event: Event, who: str) -> bool:
    return person(who).hash in {identifier.hash for identifier in event.identifiers}


def _without(event: Event, who: str) -> Event:
    kept = tuple(one for one in event.identifiers if one.hash != person(who).hash)
    return msgspec.structs.replace(event, identifiers=kept)


@run_async
async def test_a_split_gives_both_what_they_would_have_had_with_later_events(
    store: Store, tmp_path: Path
) -> None:
    before = [
        consent("anon:a"),
        view("anon:a", brand="x"),
        consent("id:1"),
        consent("id:1", purpose="email"),
        order("id:1"),
        log_in("id:1", "anon:a", city="Rome"),
        view("id:1", "anon:a", brand="y"),
        consent("anon:a", purpose="email", state="withdrawn"),
    ]
    after = [
        view("anon:a", brand="z"),
        order("id:1"),
        view("id:1", "anon:a", brand="w"),
        log_in("id:1", "anon:c"),
    ]
    async with ground(store) as g:
        await g.apply(*before)
        assert await sources_of(g, "id:1") == together("id:1", "anon:a")
        outcome = await g.split("id:1")
        await g.apply(*after)
        assert await sources_of(g, "id:1") == together("id:1", "anon:c")
        assert await sources_of(g, "anon:a") == together("anon:a")
        assert outcome.profile_id == await profile_of(g, "id:1")
        assert outcome.other_profile_id == await profile_of(g, "anon:a")
        found = [await held(g, who) for who in ("id:1", "anon:a")]
        await g.check_digest()
    with opened(sqlite_url(tmp_path / "apart.db")) as other:
        async with ground(other) as apart:
            await apart.apply(*without_link([*before, *after], "id:1", "anon:a"))
            assert [await held(apart, who) for who in ("id:1", "anon:a")] == found


@run_async
async def test_a_split_undoes_the_log_in_that_made_a_visitor_known(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), view("anon:a", brand="x"))
        visitor = await held(g, "anon:a"), await profile_of(g, "anon:a")
        await g.apply(log_in("id:1", "anon:a", city="Rome"))
        await g.split("anon:a")
        assert (await held(g, "anon:a"), await profile_of(g, "anon:a")) == visitor
        alone = await held(g, "id:1")
        assert (alone.unit_key, alone.known) == (person("id:1").hash, True)
        assert (await g.attributes("id:1"))["city"] == "Rome"
        await g.check_digest()


@run_async
async def test_what_was_split_is_not_merged_by_a_log_in_again_only_by_an_operator(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), consent("id:1"), log_in("id:1", "anon:a"))
        await g.split("id:1")
        # The pair that was taken apart, and a new one that would lead around it.
        await g.apply(log_in("id:1", "anon:a"), log_in("email:e", "id:1"), log_in("email:e", "anon:a"))
        assert await sources_of(g, "anon:a") == together("anon:a")
        assert await sources_of(g, "id:1") == together("id:1", "email:e")
        apart = [line for line in await told(g, "anon:a") if line.operation == identity_history.KEPT_APART]
        assert [line.source_id for line in apart] == [person("email:e").hash]
        await g.merge("anon:a", "email:e")
        assert await sources_of(g, "anon:a") == together("id:1", "email:e", "anon:a")
        # From then on it holds, whatever comes late.
        await g.apply(events.event("Identify", "id:1", "anon:a", kind="identify", at_ms=NOW_MS - 5))
        assert await sources_of(g, "anon:a") == together("id:1", "email:e", "anon:a")
        await g.check_digest()


@run_async
async def test_an_operator_makes_one_profile_of_two_known_people_and_two_again(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(order("email:old"), order("id:1"), consent("id:1"), log_in("id:1", "anon:b"))
        before = [await held(g, who) for who in ("email:old", "id:1")]
        ids = [await profile_of(g, who) for who in ("email:old", "id:1")]
        edges_know = g.changes.latest
        outcome = await g.merge("anon:b", "email:old")
        assert (outcome.profile_id, outcome.other_profile_id) == (ids[0], ids[1]), "the older one stays"
        assert (await held(g, "id:1")).unit_key == person("email:old").hash
        assert (await g.attributes("anon:b"))["orders"] == 2
        commits = g.changes.since(edges_know)
        assert commits is not None
        entries = compacted(commits)
        assert entries[PUT_RECORD, ids[1]] is None
        assert {
            key for (kind, key), value in entries.items() if (kind, value) == (PUT_IDENTIFIER, ids[0])
        } == (together("id:1", "anon:b"))
        await g.check_digest()
        assert (await g.split("id:1")).profile_id == ids[0]
        assert [await held(g, who) for who in ("email:old", "id:1")] == before
        assert [await profile_of(g, who) for who in ("email:old", "id:1")] == ids
        await g.check_digest()
        entry = (await g.store.read(lambda c: audit.list_entries(c, 9)))[0]
        assert (entry.who, entry.action, entry.subject) == ("key:operator", "profile.split", ids[0].hex())
        assert entry.after == ids[1].hex()


@run_async
async def test_one_merge_of_several_is_undone_by_its_number(store: Store) -> None:
    async with ground(store) as g:
        for who in ("anon:a", "anon:b", "id:1"):
            await g.apply(consent(who), view(who, brand=who))
        await g.apply(log_in("id:1", "anon:a"), log_in("id:1", "anon:b"))
        lines = [line for line in await told(g, "id:1") if line.operation == identity_history.MERGED]
        assert [line.source_id for line in lines] == [person("anon:a").hash, person("anon:b").hash]
        await g.split("anon:b", number=lines[0].id)
        assert await sources_of(g, "id:1") == together("id:1", "anon:b")
        assert await sources_of(g, "anon:a") == together("anon:a")
        with pytest.raises(NotFoundError, match="a merge of the person that stands"):
            await g.split("id:1", number=lines[0].id)
        with pytest.raises(NotFoundError, match="the number of a merge"):
            await g.split("id:1", number=9_999)


@run_async
async def test_one_identifier_is_taken_out_with_what_hangs_on_it(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(order("email:e"), log_in("email:e", "anon:a"), order("anon:a", "device:d"))
        await g.apply(log_in("id:1", "email:e", "anon:a"), log_in("id:1", "anon:b"))
        assert await sources_of(g, "id:1") == together("id:1", "email:e", "anon:a", "device:d", "anon:b")
        await g.split("id:1", source="anon:a")
        assert await sources_of(g, "id:1") == together("id:1", "email:e", "anon:b")
        assert await sources_of(g, "anon:a") == together("anon:a", "device:d")
        await g.split("email:e", source="email:e")
        assert await sources_of(g, "id:1") == together("id:1", "anon:b")
        assert await sources_of(g, "email:e") == together("email:e")
        await g.check_digest()


@run_async
async def test_a_device_given_up_goes_to_who_logged_in_next(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1", "anon:a"), log_in("id:2", "anon:a"), order("anon:a"))
        assert await sources_of(g, "anon:a") == together("id:1", "anon:a")
        await g.split("id:1", source="anon:a")
        assert await sources_of(g, "id:1") == together("id:1")
        assert await sources_of(g, "id:2") == together("id:2", "anon:a")
        assert (await g.attributes("id:2"))["orders"] == 1


@run_async
async def test_what_cannot_be_merged_or_split_is_refused_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ground(store) as g:
        await g.apply(order("id:1"), order("id:2"), log_in("id:3", "anon:a"))
        latest = g.changes.latest
        for ends in (("id:1", "id:9"), ("id:9", "id:1")):
            with pytest.raises(NotFoundError, match="a person with a profile"):
                await g.merge(*ends)
        with pytest.raises(PreconditionError, match="two profiles"):
            await g.merge("id:3", "anon:a")
        for who, options in (("id:1", {}), ("id:1", {"source": "id:1"})):
            with pytest.raises(PreconditionError, match="a profile of two or more"):
                await g.split(who, **options)
        with pytest.raises(NotFoundError, match="an identifier of the person"):
            await g.split("id:3", source="id:1")
        monkeypatch.setattr("hub.data.resolution.SOURCES_MAX", 2)
        with pytest.raises(LimitError, match="within the limits"):
            await g.merge("id:1", "id:3")
        monkeypatch.undo()
        assert g.changes.latest == latest
        assert await sources_of(g, "id:1") == together("id:1")
        # What was refused has left nothing in memory either.
        await g.merge("id:1", "id:3")
        assert await sources_of(g, "id:1") == together("id:1", "id:3", "anon:a")


@run_async
async def test_a_key_that_lost_is_a_crossing_and_ends_with_the_merge(store: Store) -> None:
    keys = [person("anon:a").hash, person("id:1").hash]

    async def found(g: Ground) -> list[crossings.Crossing]:
        return await g.store.read(lambda c: crossings.of_sources(c, keys))

    async with ground(store) as g:
        await g.apply(log_in("id:2", "anon:b"))
        await g.apply(consent("anon:a"), order("id:1"))
        assert await found(g) == []
        login = log_in("id:1", "anon:a")
        await g.apply(login)
        assert await found(g) == [(keys[0], keys[1], login.received_ms, None)]
        g.now_ms += 1
        await g.split("id:1")
        assert await found(g) == [(keys[0], keys[1], login.received_ms, g.now_ms)]
        assert await store.read(lambda c: crossings.of_sources(c, [person("id:2").hash])) == []


@run_async
async def test_a_device_that_a_crowd_logs_in_on_does_not_stop_a_split(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ground(store) as g:
        await g.apply(*(log_in(f"id:{number}", "anon:till") for number in range(8)))
        monkeypatch.setattr("hub.data.regrouping.COMPONENT_MAX", 3)
        await g.split("id:0")
        assert await sources_of(g, "id:0") == together("id:0")
        assert await sources_of(g, "anon:till") == together("anon:till"), "who came next is not looked up"
        # Late news is settled among the profiles at hand.
        await g.apply(events.event("Order Completed", "id:5", "anon:new", at_ms=NOW_MS - 9))
        assert await sources_of(g, "id:5") == together("id:5", "anon:new")
        await g.check_digest()
