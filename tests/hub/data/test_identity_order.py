"""Order of arrival does not matter: the same events in any order and any batches give the same profiles."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.events import Event
from core.fold import State
from core.hashing import xxh64
from core.identifiers import KNOWN_TYPES, STRENGTH
from hub.data.view import view_of
from hub.errors import HubError
from hub.store import profiles, sources, tables
from hub.store.engine import Connection, Store, sqlite_url
from tests.hub import events
from tests.hub.bundles import small_document
from tests.hub.conftest import opened
from tests.hub.data.harness import Ground, ground, normal
from tests.hub.events import NOW_MS, person
from tests.properties.profiles import examples

KNOWN = ["id:1", "id:2", "email:1", "email:2", "phone:1", "loyalty:1"]
DEVICES = ["anon:a", "anon:b", "anon:c", "device:d"]
#: Devices that allowed behaviour before anything else arrives; the rest sends what passes always.
ALLOWED = DEVICES[:2]
PLAN = view_of(small_document()).plan
NAMES = {person(who).hash: who for who in (*KNOWN, *DEVICES)}


class Profile(NamedTuple):
    """A profile as it must be, whatever the order."""

    sources: frozenset[str]
    unit_key: str
    created_at_ms: int
    known: bool
    record: int  # its hash, without what depends on when it was packed


class Order(NamedTuple):
    """What an operator says: `other` is merged, or taken out, or (None) the last merge is undone."""

    merge: bool
    who: str
    other: str | None


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with opened(sqlite_url(tmp_path_factory.mktemp("order") / "state.db")) as store:
        yield store


@st.composite
def sent(draw: st.DrawFn, first_ms: int, label: str) -> list[Event]:
    """Events of a few people on a few devices, at times that are sometimes equal."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        at_ms = first_ms + draw(st.integers(0, 9))
        fields: dict[str, Any] = {"at_ms": at_ms, "message_id": f"{label}{number}"}
        known = draw(st.lists(st.sampled_from(KNOWN), max_size=2, unique=True))
        devices = draw(st.lists(st.sampled_from(DEVICES), max_size=2, unique=True))
        match draw(st.sampled_from(["log-in", "log-in", "order", "view", "consent"])):
            case "log-in" if known:
                traits = {"city": draw(st.sampled_from(["Rome", "Oslo", "Kyiv"]))}
                found.append(
                    events.event("Identify", *known, *devices, kind="identify", traits=traits, **fields)
                )
            case "view":
                device = draw(st.sampled_from(ALLOWED))
                found.append(events.event("Product Viewed", device, brand=f"b{number}", **fields))
            case "consent" if known or devices:
                state = draw(st.sampled_from(["granted", "denied", "withdrawn"]))
                one = events.consent(*(known or devices)[:1], purpose="email", state=state, at_ms=at_ms)
                found.append(msgspec.structs.replace(one, message_id=fields["message_id"]))
            case "order" if known or devices:
                found.append(events.event("Order Completed", *known, *devices, revenue=number, **fields))
    return found


@st.composite
def shuffled(draw: st.DrawFn, count: int) -> list[list[int]]:
    """An order of so many events, cut into batches."""
    order = draw(st.permutations(range(count)))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=3)))
    return [list(order[start:end]) for start, end in zip([0, *cuts], [*cuts, count], strict=True)]


def orders() -> st.SearchStrategy[list[Order]]:
    everyone = st.sampled_from([*KNOWN, *DEVICES])
    one = st.builds(Order, st.booleans(), everyone, st.one_of(st.none(), everyone))
    return st.lists(one, min_size=1, max_size=3)


@given(st.data())
@examples(80)
def test_profiles_follow_from_the_events_alone(sqlite: Store, data: st.DataObject) -> None:
    found = data.draw(sent(NOW_MS, "m"))
    batches = data.draw(shuffled(len(found)))

    async def run() -> list[Profile]:
        async with emptied(sqlite) as g:
            await arrive(g, found, batches)
            await g.check_digest()
            return await standing(g)

    assert asyncio.run(run()) == expected(found)


@given(st.data())
@examples(40)
def test_what_operators_said_holds_in_every_order(sqlite: Store, data: st.DataObject) -> None:
    before, after = data.draw(sent(NOW_MS, "m")), data.draw(sent(NOW_MS + 100, "n"))
    said = data.draw(orders())
    ways = [
        ([list(range(len(before)))], [list(range(len(after)))]),
        (data.draw(shuffled(len(before))), data.draw(shuffled(len(after)))),
    ]

    async def run(way: tuple[list[list[int]], list[list[int]]]) -> tuple[list[str], list[Profile]]:
        async with emptied(sqlite) as g:
            await arrive(g, before, way[0])
            refusals = []
            for number, order in enumerate(said):
                g.now_ms = NOW_MS + 50 + number
                refusals.append(await obey(g, order))
            await arrive(g, after, way[1])
            await g.check_digest()
            return refusals, await standing(g)

    first, second = [asyncio.run(run(way)) for way in ways]
    assert first == second


def emptied(store: Store) -> Any:
    def empty(connection: Connection) -> None:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())

    with store.writing() as connection:
        empty(connection)
    return ground(store)


async def arrive(g: Ground, found: Sequence[Event], batches: Sequence[Sequence[int]]) -> None:
    if g.position == 0:
        await g.apply(*(allowed(who) for who in ALLOWED))
    for batch in batches:
        await g.apply(*(found[index] for index in batch))


def allowed(who: str) -> Event:
    made = events.consent(who, at_ms=NOW_MS - 1)
    return msgspec.structs.replace(made, message_id=f"allowed {who}")


async def obey(g: Ground, order: Order) -> str:
    try:
        if order.merge:
            await g.merge(order.who, order.other or "id:1")
        else:
            await g.split(order.who, source=order.other)
    except HubError as error:
        return str(error)
    return ""


async def standing(g: Ground) -> list[Profile]:
    """The profiles in the store."""

    def read(connection: Connection) -> list[Profile]:
        found = []
        for row in profiles.page(connection, b"", 999):
            keys = frozenset(
                NAMES[one.source_id] for one in sources.of_profiles(connection, [row.profile_id])
            )
            record = xxh64(normal(row.record))
            found.append(Profile(keys, NAMES[row.unit_key], row.created_at_ms, row.known, record))
        return sorted(found, key=lambda profile: sorted(profile.sources))

    found = await g.store.read(read)
    assert await g.store.read(sources.count) == sum(len(profile.sources) for profile in found)
    return found


# The rules once more, as plain as can be, from the whole of the events.


def expected(found: Sequence[Event]) -> list[Profile]:
    """The profiles that the events should give: links in the order of their times, from the first on."""
    everything = [*(allowed(who) for who in ALLOWED), *found]
    first: dict[str, int] = {}
    links: dict[tuple[str, str], int] = {}
    for event in everything:
        shown = sorted((NAMES[one.hash] for one in event.identifiers), key=strength)
        for who in shown:
            first[who] = min(first.get(who, event.received_ms), event.received_ms)
        for other in shown[1:]:
            links[shown[0], other] = min(links.get((shown[0], other), event.received_ms), event.received_ms)
    groups = [({who}, who) for who in first]  # members, and whose key it is
    for (one, other), at_ms in sorted(links.items(), key=lambda link: place(*link[0], link[1])):
        a, b = (next(group for group in groups if who in group[0]) for who in (one, other))
        if a is b or not are_one_person(a[0], b[0], one, other):
            continue
        groups = [group for group in groups if group not in (a, b)]
        groups.append((a[0] | b[0], key_of(a, b, first, at_ms)))
    return sorted(
        (profile(group, first, everything) for group in groups), key=lambda one: sorted(one.sources)
    )


def strength(who: str) -> tuple[int, bytes]:
    return STRENGTH[kind(who)], person(who).hash


def place(one: str, other: str, at_ms: int) -> tuple[int, bool, bytes, bytes]:
    return at_ms, kind(other) not in KNOWN_TYPES, person(one).hash, person(other).hash


def kind(who: str) -> str:
    return who.partition(":")[0]


def known(members: set[str]) -> list[str]:
    return [kind(who) for who in members if kind(who) in KNOWN_TYPES]


def are_one_person(a: set[str], b: set[str], one: str, other: str) -> bool:
    if not known(a) or not known(b):
        return True
    if kind(other) not in KNOWN_TYPES or kind(one) in known(b):
        return False
    return not any(unique in known(a) and unique in known(b) for unique in ("id", "loyalty"))


def key_of(a: tuple[set[str], str], b: tuple[set[str], str], first: dict[str, int], at_ms: int) -> str:
    if bool(known(a[0])) != bool(known(b[0])):
        person_of, visitor = (a, b) if known(a[0]) else (b, a)
        existed = min(first[who] for who in person_of[0]) < at_ms
        return person_of[1] if existed else visitor[1]
    return min(a[1], b[1], key=lambda who: (first[who], person(who).hash))


def profile(group: tuple[set[str], str], first: dict[str, int], everything: Sequence[Event]) -> Profile:
    members, key = group
    state = State()
    for event in everything:
        strongest = min((NAMES[one.hash] for one in event.identifiers), key=strength)
        if strongest in members:
            state.apply(PLAN, event, behaviour=True)
    is_known = bool(known(members))
    record = state.pack(layout_id=0, sequence=0, packed_at_ms=0, unit_key=person(key).hash, known=is_known)
    return Profile(frozenset(members), key, first[key], is_known, xxh64(record))
