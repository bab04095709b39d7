"""What an operator says of identity: two profiles are one person, or one profile is two.

Either is a fact about pairs of identifiers, kept with the links that events made; membership follows from all
of them. A split holds: no log-in brings together again what was taken apart, only an operator does.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from core.identifiers import STRENGTH
from hub.data.changes import Changes, ChangeSet
from hub.data.identity_notes import IdentityNotes
from hub.data.people import People, SourceState
from hub.data.regrouping import COMPONENT_MAX, Component, Regrouping
from hub.data.resolution import MERGED, SPLIT, Link, Pair, Union, pair_of
from hub.data.view import BundleView
from hub.errors import LimitError, NotFoundError, PreconditionError
from hub.store import audit, identity_history
from hub.store.engine import Connection

MERGE_ACTION: Final = "profile.merge"
SPLIT_ACTION: Final = "profile.split"
#: A source with a cut: whatever links it from now on is looked at together with everything it is linked with.
ALWAYS_WORKED_OUT: Final = 1 << 62


class Outcome(NamedTuple):
    """Two profiles, and the change-log number that an edge must have reached to know of it."""

    profile_id: bytes  # that stays
    other_profile_id: bytes  # that is gone after a merge, or stands on its own after a split
    sequence: int


class Merging:
    """Merges and splits, each one transaction of the writer's thread."""

    def __init__(
        self,
        changes: Changes,
        people: People,
        view: Callable[[], BundleView],
        caught_up: Callable[[], Awaitable[None]],
    ) -> None:
        """`people`: the writer's own; `caught_up` waits until the events that are in the log are applied."""
        self._changes = changes
        self._people = people
        self._view = view
        self._caught_up = caught_up

    async def merge(self, one: bytes, other: bytes, who: str) -> Outcome:
        """Make one profile of those of two identifiers.

        Raises
        ------
        NotFoundError
            One of them has no profile.
        PreconditionError
            They are one already.
        LimitError
            Together they would be more than a profile may hold.
        """
        await self._caught_up()
        orders = [(one, other)]
        return (await self._changes.write(merge_all, self._people, self._view(), orders, who))[0]

    async def split(self, order: "SplitOrder", who: str) -> Outcome:
        """Take an identifier out of a person's profile, or undo one of its merges; by default the last one.

        Raises
        ------
        NotFoundError
            No such person, no such identifier of hers, no such merge of hers.
        PreconditionError
            There is nothing to take apart.
        """
        await self._caught_up()
        return (await self._changes.write(split_all, self._people, self._view(), [order], who))[0]


class SplitOrder(NamedTuple):
    """`source`: to be taken out; else `number`: of the merge to be undone; else the last one."""

    person: bytes
    source: bytes | None = None
    number: int = 0


def merge_all(
    connection: Connection,
    changes: ChangeSet,
    people: People,
    view: BundleView,
    orders: Iterable[Pair],
    who: str,
) -> list[Outcome]:
    """Merge the profiles of each pair of identifiers, in one transaction."""
    orders = list(orders)
    work = _Work(connection, changes, people, who)
    work.load(key for pair in orders for key in pair)
    outcomes = [work.merge(one, other) for one, other in orders]
    return work.save(view, outcomes)


def split_all(
    connection: Connection,
    changes: ChangeSet,
    people: People,
    view: BundleView,
    orders: Iterable[SplitOrder],
    who: str,
) -> list[Outcome]:
    """Carry out splits in one transaction."""
    orders = list(orders)
    work = _Work(connection, changes, people, who)
    work.load(order.person for order in orders)
    outcomes = [work.split(order) for order in orders]
    return work.save(view, outcomes)


class _Work:
    """One transaction of merges and splits."""

    def __init__(self, connection: Connection, changes: ChangeSet, people: People, who: str) -> None:
        self._connection = connection
        self._changes = changes
        self._people = people
        self._who = who
        self._notes = IdentityNotes(changes.now_ms, who=who)
        self._regrouping = Regrouping(connection, people, self._notes)
        self._entries: list[audit.Entry] = []
        people.begin(changes.state.sequence)

    def load(self, keys: Iterable[bytes]) -> None:
        """Bring in people and their links with few statements."""
        keys = list(keys)
        self._people.load(self._connection, keys)
        found = [source for source in map(self._people.source, keys) if source is not None]
        held = {key for source in found for key in source.person.sources}
        self._people.links.touching(self._connection, held, COMPONENT_MAX)

    def save(self, view: BundleView, outcomes: list[Outcome]) -> list[Outcome]:
        self._people.save(self._connection, self._changes, view)
        self._notes.save(self._connection)
        audit.add_entries(self._connection, self._entries)
        self._people.saved(self._changes.last)
        return [outcome._replace(sequence=self._changes.last) for outcome in outcomes]

    def merge(self, one: bytes, other: bytes) -> Outcome:
        first, second = self._source(one, "$.person"), self._source(other, "$.other")
        ids = [first.person.profile_id, second.person.profile_id]
        if ids[0] == ids[1]:
            raise PreconditionError(expected="two profiles", got="two identifiers of one", path="$.other")
        pair = pair_of((first.kind, one), (second.kind, other))
        self._decide([pair], MERGED, self._make_way(first, second))
        if not self._regrouping.settle(pair) or first.person is not second.person:
            expected = "a profile within the limits of identifiers and bytes"
            raise LimitError(expected=expected, got="more than that together", path="$.other")
        stays = first.person.profile_id
        gone = ids[1] if stays == ids[0] else ids[0]
        self._audit(MERGE_ACTION, stays, before=gone)
        return Outcome(stays, gone, 0)

    def split(self, order: SplitOrder) -> Outcome:
        own = self._source(order.person, "$.person")
        before = own.person.profile_id
        component = self._regrouping.component([order.person])
        if order.source is not None:
            self._source(order.source, "$.source", own)
            cuts = self._cuts_around(component, own, order.source)
            ends = cuts[0]
        else:
            union = self._union_of(component, own, order.number)
            cuts = _cuts_between(component, union, self._people)
            ends = union.step.stronger, union.step.weaker
        self._decide(cuts, SPLIT, self._changes.now_ms)
        if not self._regrouping.settle([order.person]):
            raise LimitError(expected="records within their limit", got="a larger one", path="$.person")
        # What is cut is never together again, so these are two.
        stays, other = (self._source(key, "$.person").person.profile_id for key in ends)
        if other == before:
            stays, other = other, stays
        self._audit(SPLIT_ACTION, stays, after=other)
        return Outcome(stays, other, 0)

    def _source(self, key: bytes, path: str, among: SourceState | None = None) -> SourceState:
        self._people.load(self._connection, [key])
        found = self._people.source(key)
        if found is None:
            raise NotFoundError(expected="a person with a profile", got="none", path=path)
        if among is not None and found.person is not among.person:
            raise NotFoundError(expected="an identifier of the person", got="another one's", path=path)
        return found

    def _union_of(self, component: Component, own: SourceState, number: int) -> Union:
        """The merge to be undone, as it stands in the order of all that was seen."""
        held = own.person.sources.keys()
        unions = [one for one in self._regrouping.resolve(component).unions if one.winning <= held]
        if not number:
            if not unions:
                expected, got = "a profile of two or more that were merged or joined", "one that never was"
                raise PreconditionError(expected=expected, got=got, path="$.person")
            return unions[-1]
        line = identity_history.by_id(self._connection, number)
        if line is None or line.operation not in (identity_history.MERGED, identity_history.JOINED):
            raise NotFoundError(expected="the number of a merge", got="another number", path="$.merge")
        ends = {line.source_id, line.other_source_id}
        for union in unions:
            if ends & union.winning and ends & union.losing:
                return union
        raise NotFoundError(expected="a merge of the person that stands", got="another one", path="$.merge")

    def _cuts_around(self, component: Component, own: SourceState, key: bytes) -> list[Pair]:
        """Pairs that hold an identifier in its profile, and those that could bring it back."""
        held = own.person.sources
        if len(held) == 1:
            expected = "a profile of two or more identifiers"
            raise PreconditionError(expected=expected, got="the only identifier", path="$.source")
        anchor = own.source_id
        if anchor == key:
            anchor = min((STRENGTH[one.kind], one.source_id) for one in held.values() if one is not own)[1]
        # Who is hers without the identifier stays; what she has only through it goes with it.
        rest = component._replace(links=[link for link in component.links if key not in link.pair])
        staying = next(group for group in self._regrouping.resolve(rest).groups if anchor in group.sources)
        linked = {end for link in component.links if key in link.pair for end in link.pair}
        others = (staying.sources & linked) | staying.known.keys() | {anchor}
        return [self._pair(key, other) for other in sorted(others - {key})]

    def _pair(self, one: bytes, other: bytes) -> Pair:
        return _pair(self._people, one, other)

    def _make_way(self, first: SourceState, second: SourceState) -> int:
        """Lift what keeps two profiles apart, for the newest word counts; return a time after all of theirs,
        whatever the nodes' clocks say.
        """
        one, other = first.person.sources.keys(), second.person.sources.keys()
        at_ms = self._changes.now_ms
        for link in self._people.links.within(self._connection, [*one, *other]):
            at_ms = max(at_ms, link.seen_ms + 1, link.decided_ms + 1)
            if link.decision == SPLIT and (link.stronger in one) != (link.weaker in one):
                self._people.links.put(link._replace(decision="", decided_ms=self._changes.now_ms))
        return at_ms

    def _decide(self, pairs: Sequence[Pair], decision: str, at_ms: int) -> None:
        # Two identifiers of which one has no links are no pair yet.
        linked = [pair for pair in pairs if all(self._source(key, "$.person").linked_ms for key in pair)]
        self._people.links.load(self._connection, linked)
        mark = ALWAYS_WORKED_OUT if decision == SPLIT else at_ms
        for pair in pairs:
            link = self._people.links.get(pair) or Link(*pair)
            decided_ms = max(at_ms, link.decided_ms + 1)
            self._people.links.put(link._replace(decision=decision, decided_ms=decided_ms))
            for key in pair:
                source = self._source(key, "$.person")
                source.linked_ms = max(source.linked_ms, mark)
                self._people.change(source)

    def _audit(self, action: str, subject: bytes, *, before: bytes = b"", after: bytes = b"") -> None:
        entry = audit.Entry(self._changes.now_ms, self._who, action, subject.hex(), before.hex(), after.hex())
        self._entries.append(entry)


def _cuts_between(component: Component, union: Union, people: People) -> list[Pair]:
    """Pairs that hold two sides together, and those that say for good that they are not one person."""
    sides = union.winning, union.losing
    cuts = {link.pair for link in component.links if _crosses(link, *sides)}
    ends = {union.step.stronger, union.step.weaker}
    anchors = [_known(people, side) | (side & ends) for side in sides]
    return sorted(cuts | {_pair(people, one, other) for one in anchors[0] for other in anchors[1]})


def _crosses(link: Link, one: frozenset[bytes], other: frozenset[bytes]) -> bool:
    return (link.stronger in one and link.weaker in other) or (link.stronger in other and link.weaker in one)


def _known(people: People, keys: Iterable[bytes]) -> set[bytes]:
    found = (people.source(key) for key in keys)
    return {source.source_id for source in found if source is not None and source.is_known}


def _pair(people: People, one: bytes, other: bytes) -> Pair:
    first, second = people.source(one), people.source(other)
    assert first is not None
    assert second is not None
    return pair_of((first.kind, one), (second.kind, other))
