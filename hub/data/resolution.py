"""Which identifiers are one person: a function of what was seen and decided, whatever arrived first.

Links are gone through in the order of their times, not of their arrival; each makes one profile of two unless
that would make one of two known people. So the same facts give the same profiles in every order
(docs/decisions/0007-identity.md). Nothing here reads or writes anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core.identifiers import KNOWN_TYPES, STRENGTH

#: Identifiers of one profile.
SOURCES_MAX: Final = 1_000
#: A person has one of each: a second one is somebody else.
UNIQUE_KINDS: Final = frozenset({"id", "loyalty"})

MERGED: Final = "merged"
SPLIT: Final = "split"

Pair = tuple[bytes, bytes]


class Link(NamedTuple):
    """Two identifiers that were seen in one event, or that an operator has decided about."""

    stronger: bytes
    weaker: bytes
    seen_ms: int = 0  # first receipt of an event that showed both as verified; 0: never
    said_ms: int = 0  # that event's own time; orders what was received at once
    decision: str = ""  # the newest word of an operator: MERGED, SPLIT, or none
    decided_ms: int = 0

    @property
    def pair(self) -> Pair:
        return self.stronger, self.weaker


class Seen(NamedTuple):
    """An identifier: its type, and the first receipt of an event that showed it as verified."""

    kind: str
    first_ms: int


class Step(NamedTuple):
    """One link at its place in time."""

    at_ms: int
    said_ms: int
    through_device: bool
    stronger: bytes
    weaker: bytes
    forced: bool


@dataclass(slots=True)
class Group:
    """Identifiers of one person: `leader` is the one whose hash is the unit key, and whose profile it is."""

    leader: bytes
    created_ms: int
    first_ms: int
    sources: set[bytes]
    known: dict[bytes, str] = field(default_factory=dict)  # known identifiers, with their types

    @staticmethod
    def alone(source_id: bytes, seen: Seen) -> "Group":
        """The group of one identifier."""
        known = {source_id: seen.kind} if seen.kind in KNOWN_TYPES else {}
        return Group(source_id, seen.first_ms, seen.first_ms, {source_id}, known)


class Union(NamedTuple):
    """Two groups that became one."""

    step: Step
    winner: bytes  # their leaders
    loser: bytes
    winning: frozenset[bytes]  # their identifiers until then
    losing: frozenset[bytes]
    crossed: bool  # the loser was somebody before, and may have been assigned by her own key


class Resolution(NamedTuple):
    """The profiles that the facts give, and how they came about."""

    groups: list[Group]
    unions: list[Union]


def pair_of(one: tuple[str, bytes], other: tuple[str, bytes]) -> Pair:
    """The two hashes, the stronger identifier's first."""
    first, second = sorted((one, other), key=lambda end: (STRENGTH[end[0]], end[1]))
    return first[1], second[1]


def step_of(link: Link, weaker_kind: str) -> Step:
    """The place of a link that was seen."""
    return Step(
        link.seen_ms, link.said_ms, weaker_kind not in KNOWN_TYPES, link.stronger, link.weaker, forced=False
    )


def may_unite(step: Step, stronger_kind: str, stronger: Group, weaker: Group) -> bool:
    """Whether a link makes one person of the groups of its two ends. Cuts are looked at elsewhere."""
    if len(stronger.sources) + len(weaker.sources) > SOURCES_MAX:
        return False
    if step.forced or not stronger.known or not weaker.known:
        return True
    if step.through_device:
        # Devices are shared: a device never makes one of two known people.
        return False
    kinds, others = set(stronger.known.values()), set(weaker.known.values())
    # The weaker identifier may be a family's address, and its person another of the stronger one's kind.
    return stronger_kind not in others and not kinds & others & UNIQUE_KINDS


def ranked(one: Group, other: Group, at_ms: int, *, forced: bool) -> tuple[Group, Group]:
    """(winner, loser): whose unit key, creation and profile a union has.

    The known one's; yet who became known only by this very log-in keeps the key of the device that she was
    assigned by. Two of a sort: the older creation, then the smaller identifier hash.
    """
    if bool(one.known) != bool(other.known):
        known, anonymous = (one, other) if one.known else (other, one)
        is_new = known.first_ms >= at_ms and not forced
        return (anonymous, known) if is_new else (known, anonymous)
    first, second = sorted((one, other), key=lambda group: (group.created_ms, group.leader))
    return first, second


def resolve(seen: Mapping[bytes, Seen], links: Iterable[Link]) -> Resolution:
    """Make profiles of identifiers and the links between them.

    Parameters
    ----------
    seen : every identifier that a link names.
    links : each pair once, in any order.

    Complexity: links times the sources of the smaller group.
    """
    groups = {source_id: Group.alone(source_id, one) for source_id, one in seen.items()}
    links = list(links)
    cuts = _cuts(links)
    unions = []
    for step in sorted(_steps(seen, links)):
        one, other = groups[step.stronger], groups[step.weaker]
        if one is other or not may_unite(step, seen[step.stronger].kind, one, other):
            continue
        if not step.forced and _are_cut(one, other, cuts):
            continue
        unions.append(_unite(groups, one, other, step))
    return Resolution(list({id(group): group for group in groups.values()}.values()), unions)


def _steps(seen: Mapping[bytes, Seen], links: Iterable[Link]) -> Iterable[Step]:
    for link in links:
        if link.seen_ms and link.decision != SPLIT:
            yield step_of(link, seen[link.weaker].kind)
        if link.decision == MERGED:
            yield Step(link.decided_ms, 0, False, link.stronger, link.weaker, forced=True)


def _cuts(links: Iterable[Link]) -> dict[bytes, set[bytes]]:
    """Who may not come together with whom again: what an operator has taken apart."""
    cuts: dict[bytes, set[bytes]] = {}
    for link in links:
        if link.decision == SPLIT:
            cuts.setdefault(link.stronger, set()).add(link.weaker)
            cuts.setdefault(link.weaker, set()).add(link.stronger)
    return cuts


def _are_cut(one: Group, other: Group, cuts: Mapping[bytes, set[bytes]]) -> bool:
    if not cuts:
        return False
    small, large = sorted((one, other), key=lambda group: len(group.sources))
    return any(not large.sources.isdisjoint(cuts.get(source_id, ())) for source_id in small.sources)


def _unite(groups: dict[bytes, Group], one: Group, other: Group, step: Step) -> Union:
    winner, loser = ranked(one, other, step.at_ms, forced=step.forced)
    union = Union(
        step,
        winner.leader,
        loser.leader,
        frozenset(winner.sources),
        frozenset(loser.sources),
        loser.first_ms < step.at_ms,
    )
    # The larger one takes in the smaller, whichever of them gives its name.
    large, small = (one, other) if len(one.sources) >= len(other.sources) else (other, one)
    large.leader, large.created_ms = winner.leader, winner.created_ms
    large.first_ms = min(one.first_ms, other.first_ms)
    large.known.update(small.known)
    for source_id in small.sources:
        groups[source_id] = large
    large.sources |= small.sources
    return union
