"""What the hub tells of a person, hands over and erases."""

import msgspec
import pytest

from core.bundle import Experiment, Holdout, Variant
from core.hashing import bucket
from core.record import read_header
from hub.data.changes import compacted, unsigned
from hub.data.profiles import ProfileData, moment
from hub.errors import NotFoundError
from hub.store import crossings, decisions, identity_links, log_state
from hub.store.decisions import LoggedDecision
from hub.store.engine import Store
from tests.hub.asyncs import run_async
from tests.hub.bundles import small_document
from tests.hub.data.harness import Ground, ground
from tests.hub.events import NOW_MS, consent, event, person

ADA, ANON = person("id:ada").hash, person("anon:a").hash


def show(row: LoggedDecision) -> object:
    return msgspec.msgpack.decode(row.row)


async def ada(g: Ground) -> ProfileData:
    await g.apply(
        consent("anon:a"),
        event("Product Viewed", "anon:a", brand="x"),
        event("Identify", "id:ada", "anon:a", kind="identify", traits={"city": "Rome"}),
        event("Unheard Of", "id:ada", "anon:a"),
        consent("anon:b"),
    )
    rows = [
        {"person_key": key, "at_ms": NOW_MS, "decision_id": key.hex(), "node": "eu", "row": b"\x91\x01"}
        for key in (ANON, ADA, person("anon:b").hash)
    ]
    await g.store.write(lambda connection: decisions.add(connection, rows))
    return ProfileData(g.store, g.changes, lambda: g.now_ms)


@run_async
async def test_a_profile_is_told_by_any_of_its_identifiers(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        told = await data.get(ANON, small_document())
        assert told == await data.get(ADA, small_document())
        assert told["attributes"] == {"views_30d": 1, "brands": ["x"], "city": "Rome"}
        assert told["consents"]["personalization"]["state"] == "granted"
        assert [(one["type"], one["value"]) for one in told["identifiers"]] == [("id", None), ("anon", None)]
        assert told["known"] is True
        assert told["packed_at"] == "2025-11-24T16:00:00.000Z"
        assert msgspec.json.decode(msgspec.json.encode(told)) == told


@run_async
async def test_an_export_holds_everything(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        held = await data.export(ADA, small_document(), show)
        assert [change["purpose"] for change in held["consents"]] == ["personalization"]
        assert [change["operation"] for change in held["identity"]] == ["created", "joined"]
        assert held["decisions"] == [[1], [1]]
        assert [kept["event"]["name"] for kept in held["kept_aside"]] == ["Unheard Of"]
        assert held["profile"] == await data.get(ADA, small_document())


@run_async
async def test_an_erased_person_is_gone_everywhere_and_edges_hear_of_it(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        before = g.changes.latest
        profile = await g.profile("id:ada")
        assert profile is not None
        sequence = await data.erase(ANON)
        assert sequence == g.changes.latest > before
        commits = g.changes.since(before)
        assert commits is not None
        entries = compacted(commits)
        assert {key for _, key in entries} == {profile.profile_id, ADA, ANON}
        assert set(entries.values()) == {None}
        for key in (ADA, ANON):
            with pytest.raises(NotFoundError):
                await data.get(key, small_document())
        assert await store.read(lambda c: decisions.of_person(c, [ADA, ANON, profile.profile_id], 9)) == []
        assert await g.kept_aside() == []
        assert await g.record("anon:b") is not None, "nobody else is touched"


@run_async
async def test_an_erased_person_who_comes_back_begins_anew(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        await data.erase(ADA)
        await g.apply(consent("anon:a"), event("Product Viewed", "anon:a", brand="y"))
        assert (await g.attributes("anon:a"))["brands"] == ["y"]
        assert not (await g.header("anon:a")).known


@run_async
async def test_erasing_somebody_without_a_profile_removes_her_decisions(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        key = person("anon:nobody").hash
        row = {"person_key": key, "at_ms": 1, "decision_id": "d", "node": "eu", "row": b"\x90"}
        await store.write(lambda c: decisions.add(c, [row]))
        assert await data.erase(key) == g.changes.latest
        assert await store.read(lambda c: decisions.of_person(c, [key], 9)) == []


@run_async
async def test_the_digest_in_the_store_is_that_of_what_edges_hold(store: Store) -> None:
    async with ground(store) as g:
        data = await ada(g)
        await g.apply(event("Product Viewed", "id:ada", "anon:a"))
        await data.erase(person("anon:b").hash)
        await g.check_digest()
        state = await store.read(log_state.read)
        assert g.changes.digests[state.sequence] == (unsigned(state.digest), state.digest_entries)


@run_async
async def test_a_record_carries_its_own_change_number(store: Store) -> None:
    async with ground(store) as g:
        await ada(g)
        profile = await g.profile("id:ada")
        assert profile is not None
        assert read_header(profile.record).sequence == profile.sequence
        assert read_header(profile.edge_record).sequence == profile.sequence <= g.changes.latest


@run_async
async def test_a_profile_tells_the_experiments_and_holdouts_its_losing_keys_assign_otherwise(
    store: Store,
) -> None:
    variants = [Variant("control", 500_000, None, {}), Variant("new", 1_000_000, None, {})]
    experiments = [
        Experiment(f"e{n}", f"salt {n}", "", 0, 1_000_000, 1_000_000, -1, [], variants) for n in range(20)
    ]
    holdouts = [Holdout(f"h{n}", f"hold {n}", 500_000, []) for n in range(20)]
    document = msgspec.structs.replace(small_document(), experiments=experiments, holdouts=holdouts)
    async with ground(store) as g:
        data = await ada(g)
        assert (await data.get(ADA, document))["crossed"] == [], "who became known by a log-in keeps her key"
        later = NOW_MS + 5
        await g.apply(event("Identify", "id:ada", "anon:b", kind="identify", at_ms=later))
        (found,) = (await data.get(ADA, document))["crossed"]
        keys = ANON, person("anon:b").hash
        assert found["experiments"] == [
            one.id for one in experiments if _half(one.salt, keys[0]) != _half(one.salt, keys[1])
        ]
        assert found["holdouts"] == [
            one.id for one in holdouts if _half(one.salt, keys[0]) != _half(one.salt, keys[1])
        ]
        assert 0 < len(found["experiments"]) < 20
        assert (found["unit_key"], found["at"], found["ended"]) == (keys[1].hex(), moment(later), None)
        await data.erase(ADA)
        assert await store.read(lambda c: crossings.of_sources(c, keys)) == []
        assert list(await store.read(lambda c: list(identity_links.touching(c, keys, 9)))) == []


def _half(salt: str, key: bytes) -> bool:
    return bucket(salt, key) < 500_000
