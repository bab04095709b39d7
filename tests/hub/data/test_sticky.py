"""What people were shown, through log-ins and splits: sticky assignments, holdouts, and who is crossed."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from core.assignment import Experiments
from core.bundle import Experiment, Holdout, Variant
from core.events import Event
from core.hashing import bucket
from hub.data.profiles import ProfileData
from hub.data.view import view_of
from hub.store.engine import Store
from tests.hub import events
from tests.hub.asyncs import run_async
from tests.hub.bundles import small_document
from tests.hub.conftest import opened, url_of
from tests.hub.data.harness import Ground, ground
from tests.hub.events import NOW_MS, person

VARIANTS: Final = [Variant("a", 500_000, None, {}), Variant("b", 1_000_000, None, {})]
STICKY: Final = Experiment("x", "x", "", 0, 1_000_000, 1_000_000, -1, [], VARIANTS, sticky=True)
#: One for everything, one for each programme; a quarter of all units in each.
HOLDOUTS: Final = [Holdout(f"h{n}", f"hold-{n}", 250_000, [], [0] if n % 2 else []) for n in range(40)]
DOCUMENT: Final = msgspec.structs.replace(small_document(), experiments=[STICKY], holdouts=[])
TABLE: Final = Experiments([STICKY], [], {})


def shown(variant: str, *who: str, at_ms: int, version: int = 0) -> Event:
    entry = {"id": "x", "variant": variant, "sticky_version": version}
    return events.event("Impression", *who, at_ms=at_ms, message_id=f"{who}-{at_ms}", experiments=[entry])


def log_in(known: str, device: str, at_ms: int) -> Event:
    return events.event(
        "Identify", known, device, kind="identify", at_ms=at_ms, message_id=f"{known}-{at_ms}"
    )


def granted(who: str) -> Event:
    return events.consent(who, at_ms=NOW_MS)


async def assigned(g: Ground, who: str) -> str:
    profile = await g.profile(who)
    assert profile is not None
    found = TABLE.variant(0, profile.unit_key, profile.record)
    assert found is not None
    return VARIANTS[found].id


async def crossed(g: Ground, who: str) -> list[list[str]]:
    data = ProfileData(g.store, g.changes, lambda: g.now_ms)
    told = await data.get(person(who).hash, g.view.document)
    return [one["experiments"] for one in told["crossed"]]


def by_hash(who: str) -> str:
    return VARIANTS[bucket("x", person(who).hash) // 500_000].id


def other(variant: str) -> str:
    return "b" if variant == "a" else "a"


#: A device and a customer whom their keys assign otherwise.
DEVICE: Final = "anon:a"
CUSTOMER: Final = next(f"id:{n}" for n in itertools.count() if by_hash(f"id:{n}") != by_hash(DEVICE))


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    with opened(url_of("sqlite", tmp_path)) as made:
        yield made


async def begun(g: Ground, *sent: Event) -> None:
    g.view = view_of(DOCUMENT)
    await g.apply(*sent)


@run_async
async def test_a_customer_keeps_what_she_was_shown_and_a_split_gives_each_her_own(store: Store) -> None:
    """Her device was shown the other variant, earlier: who she is counts before when it was."""
    hers, devices = other(by_hash(CUSTOMER)), other(by_hash(DEVICE))
    assert hers != devices
    facts = [
        granted(DEVICE),
        granted(CUSTOMER),
        shown(devices, DEVICE, at_ms=NOW_MS + 1),
        shown(hers, CUSTOMER, at_ms=NOW_MS + 2),
        log_in(CUSTOMER, DEVICE, NOW_MS + 3),
    ]
    async with ground(store) as g:
        await begun(g, *facts)
        for who in (CUSTOMER, DEVICE):
            assert await assigned(g, who) == hers
            assert await crossed(g, who) == [["x"]]
        await g.apply(shown(hers, CUSTOMER, DEVICE, at_ms=NOW_MS + 4))
        await g.split(CUSTOMER)
        assert (await assigned(g, CUSTOMER), await assigned(g, DEVICE)) == (hers, devices)


@run_async
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_order_of_arrival_does_not_matter(sqlite: Store, order: tuple[int, ...]) -> None:
    hers = other(by_hash(CUSTOMER))
    facts = [
        shown(other(hers), DEVICE, at_ms=NOW_MS + 1),
        shown(hers, CUSTOMER, at_ms=NOW_MS + 2),
        shown(other(hers), CUSTOMER, at_ms=NOW_MS + 3),
    ]
    async with ground(sqlite) as g:
        await begun(g, granted(DEVICE), granted(CUSTOMER))
        for number in order:
            await g.apply(facts[number])
        await g.apply(log_in(CUSTOMER, DEVICE, NOW_MS + 4))
        assert await assigned(g, CUSTOMER) == hers


@run_async
async def test_a_new_customer_keeps_what_her_device_was_shown(sqlite: Store) -> None:
    async with ground(sqlite) as g:
        devices = other(by_hash(DEVICE))
        await begun(g, granted(DEVICE), shown(devices, DEVICE, at_ms=NOW_MS + 1))
        await g.apply(log_in(CUSTOMER, DEVICE, NOW_MS + 2))
        assert await assigned(g, CUSTOMER) == devices
        assert await crossed(g, CUSTOMER) == []
        # The tab that was open before the log-in tells late what it had shown, now as hers.
        await g.apply(shown(by_hash(DEVICE), CUSTOMER, DEVICE, at_ms=NOW_MS + 3))
        assert await assigned(g, CUSTOMER) == devices


@run_async
async def test_who_was_shown_one_variant_only_is_not_crossed(sqlite: Store) -> None:
    """The device's key has lost and hers assigns otherwise; but she saw one variant and goes on seeing it."""
    async with ground(sqlite) as g:
        devices = by_hash(DEVICE)
        await begun(g, granted(DEVICE), granted(CUSTOMER), shown(devices, DEVICE, at_ms=NOW_MS + 1))
        await g.apply(log_in(CUSTOMER, DEVICE, NOW_MS + 2))
        assert await assigned(g, CUSTOMER) == devices != by_hash(CUSTOMER)
        assert await crossed(g, CUSTOMER) == [[]]


@run_async
async def test_without_consent_nothing_is_kept(sqlite: Store) -> None:
    async with ground(sqlite) as g:
        await begun(
            g, events.consent(DEVICE, state="denied"), shown(other(by_hash(DEVICE)), DEVICE, at_ms=NOW_MS)
        )
        assert await assigned(g, DEVICE) == by_hash(DEVICE)


@run_async
async def test_holdouts_survive_a_log_in(store: Store) -> None:
    """Global ones and those of a programme alike: the key decides, and the rule says whose it is."""
    table = Experiments([STICKY], HOLDOUTS, {})

    async def membership(g: Ground, who: str) -> list[bool]:
        profile = await g.profile(who)
        assert profile is not None
        return [table.is_held_out(number, profile.unit_key) for number in range(len(HOLDOUTS))]

    async with ground(store) as g:
        await begun(g, granted(DEVICE), granted(CUSTOMER), granted("anon:new"))
        before: dict[str, Any] = {who: await membership(g, who) for who in (DEVICE, CUSTOMER, "anon:new")}
        assert before[DEVICE] != before[CUSTOMER]
        await g.apply(log_in(CUSTOMER, DEVICE, NOW_MS + 1), log_in("id:new", "anon:new", NOW_MS + 1))
        assert await membership(g, DEVICE) == await membership(g, CUSTOMER) == before[CUSTOMER]
        assert await membership(g, "id:new") == before["anon:new"], "who becomes known keeps her device's"
        await g.split(CUSTOMER)
        assert [await membership(g, who) for who in (DEVICE, CUSTOMER)] == [before[DEVICE], before[CUSTOMER]]
