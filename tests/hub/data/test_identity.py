"""Who an event belongs to: verified identifiers make and join profiles, claims never do."""

import itertools
from functools import partial
from typing import Any

import pytest

from core.events import Event, Identifier
from hub.store import identity_history, sources
from hub.store.engine import Connection, Store
from tests.hub import events
from tests.hub.asyncs import run_async
from tests.hub.data.harness import Ground, ground
from tests.hub.events import NOW_MS, person

_times = itertools.count(NOW_MS)


def event(name: str, *who: str | Identifier, **fields: Any) -> Event:
    """An event, later than every one made before it."""
    return events.event(name, *who, **{"at_ms": next(_times), **fields})


def consent(*who: str, **fields: Any) -> Event:
    return events.consent(*who, **{"at_ms": next(_times), **fields})


def log_in(*who: str, **traits: object) -> Event:
    return event("Identify", *who, kind="identify", traits=dict(traits))


async def profile_of(g: Ground, who: str) -> bytes | None:
    profile = await g.profile(who)
    return None if profile is None else profile.profile_id


async def history(g: Ground, operation: str) -> list[identity_history.IdentityChange]:
    profile_ids = {await profile_of(g, who) for who in ("anon:a", "anon:b", "id:1", "id:2")} - {None}
    found: list[identity_history.IdentityChange] = []
    for profile_id in profile_ids:
        assert profile_id is not None
        found += await g.store.read(partial(_history, profile_id))
    return [change for change in dict.fromkeys(found) if change.operation == operation]


def _history(profile_id: bytes, connection: Connection) -> list[identity_history.IdentityChange]:
    keys = [row.source_id for row in sources.of_profiles(connection, [profile_id])]
    return identity_history.of_profile(connection, profile_id, keys)


@run_async
async def test_a_log_in_gives_the_anonymous_profile_its_person_and_keeps_its_unit_key(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Product Viewed", "anon:a"))
        before = await profile_of(g, "anon:a")
        assert not (await g.header("anon:a")).known
        await g.apply(log_in("id:1", "anon:a", city="Rome"))
        assert await profile_of(g, "id:1") == before
        header = await g.header("id:1")
        assert header.known
        assert header.unit_key == person("anon:a").hash
        assert await g.attributes("id:1") == await g.attributes("anon:a")
        assert (await g.attributes("id:1"))["city"] == "Rome"


@run_async
async def test_events_after_a_log_in_belong_to_the_strongest_identifier_and_count(
    store: Store,
) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Product Viewed", "anon:a"), log_in("id:1", "anon:a"))
        await g.apply(event("Product Viewed", "id:1", "anon:a"), event("Product Viewed", "anon:a"))
        assert (await g.attributes("id:1"))["views_30d"] == 3
        profile_id = await profile_of(g, "id:1")
        assert profile_id is not None
        rows = await store.read(lambda c: list(sources.of_profiles(c, [profile_id])))
        assert {row.kind for row in rows if row.state} == {"anon", "id"}


@run_async
async def test_a_new_device_joins_the_person_who_logs_in_on_it(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1"), log_in("id:1", "anon:b"))
        assert await profile_of(g, "anon:b") == await profile_of(g, "id:1")
        assert (await g.header("anon:b")).unit_key == person("id:1").hash


@run_async
async def test_a_log_in_by_one_event_inherits_the_devices_unit_key(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1", "anon:a"))
        assert (await g.header("id:1")).unit_key == person("anon:a").hash


@run_async
async def test_two_known_people_on_one_device_are_never_one_profile(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1", "anon:a"), log_in("id:2", "anon:a"))
        assert await profile_of(g, "id:2") != await profile_of(g, "id:1")
        assert await profile_of(g, "anon:a") == await profile_of(g, "id:1")
        assert (await g.header("id:2")).unit_key == person("id:2").hash
        (noted,) = await history(g, identity_history.KEPT_APART)
        assert noted.source_id == person("id:2").hash


@run_async
async def test_two_profiles_that_meet_at_a_log_in_become_the_known_one(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Product Viewed", "anon:a", brand="x"))
        await g.apply(log_in("id:1", city="Rome"), consent("id:1", purpose="email"))
        known, anonymous = await profile_of(g, "id:1"), await profile_of(g, "anon:a")
        assert known != anonymous
        await g.apply(log_in("id:1", "anon:a"))
        assert await profile_of(g, "anon:a") == await profile_of(g, "id:1") == known
        header = await g.header("anon:a")
        assert (header.unit_key, header.known) == (person("id:1").hash, True)
        assert await g.attributes("id:1") == {**(await g.attributes("id:1")), "views_30d": 1, "city": "Rome"}
        (noted,) = await history(g, identity_history.MERGED)
        assert (noted.source_id, noted.other_source_id) == (person("anon:a").hash, person("id:1").hash)
        assert (noted.profile_id, noted.other_profile_id) == (known, anonymous)


@run_async
async def test_a_claim_is_recorded_and_joins_nothing(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1", city="Rome"), consent("anon:a"))
        claimed = person("id:1", verified=False)
        await g.apply(event("Identify", "anon:a", claimed, kind="identify"))
        assert await profile_of(g, "anon:a") != await profile_of(g, "id:1")
        assert "city" not in await g.attributes("anon:a")
        assert not (await g.header("anon:a")).known
        (noted,) = await history(g, identity_history.CLAIMED)
        assert (noted.source_id, noted.other_source_id) == (person("anon:a").hash, claimed.hash)


@run_async
async def test_a_customer_number_joins_the_address_it_comes_with(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("email:a@x"), log_in("id:1", "email:a@x"))
        assert await profile_of(g, "id:1") == await profile_of(g, "email:a@x")


@run_async
async def test_a_second_customer_number_on_one_address_is_somebody_else(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(log_in("id:1", "email:a@x"), log_in("id:2", "email:a@x"))
        assert await profile_of(g, "id:2") != await profile_of(g, "id:1")
        assert await profile_of(g, "email:a@x") == await profile_of(g, "id:1")


@run_async
async def test_dropped_behaviour_of_a_person_makes_and_joins_nothing(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(event("Product Viewed", "id:1", "anon:a"))
        assert await profile_of(g, "id:1") is None
        assert await profile_of(g, "anon:a") is None


@run_async
async def test_consent_given_on_a_device_lets_behaviour_through_at_the_log_in(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Product Viewed", "id:1", "anon:a"))
        assert await profile_of(g, "id:1") == await profile_of(g, "anon:a")
        assert (await g.attributes("id:1"))["views_30d"] == 1


@pytest.mark.parametrize("batches", [1, 3])
@run_async
async def test_identity_does_not_depend_on_where_batches_end(store: Store, batches: int) -> None:
    sent = [consent("anon:a"), log_in("id:1", "anon:a"), event("Product Viewed", "id:1", "anon:b")]
    size = len(sent) // batches
    async with ground(store) as g:
        for start in range(0, len(sent), size):
            await g.apply(*sent[start : start + size])
        assert len({await profile_of(g, who) for who in ("anon:a", "id:1", "anon:b")}) == 1


@run_async
async def test_a_person_has_a_bounded_number_of_devices(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.data.identity.SOURCES_MAX", 3)
    async with ground(store) as g:
        await g.apply(*(log_in("id:1", f"anon:{n}") for n in range(6)))
        profile_id = await profile_of(g, "id:1")
        assert profile_id is not None
        assert len(list(await g.store.read(lambda c: list(sources.of_profiles(c, [profile_id]))))) == 3
        await g.apply(log_in("id:9", "anon:0"))
        assert await profile_of(g, "id:9") != profile_id
