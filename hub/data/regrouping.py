"""Membership worked out anew where the order of arrival was not the order of events, or an operator decided.

Everything that the identifiers are linked with, directly or by others, is gone through again from its first
link on, and what comes out otherwise than it stands is moved.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from core.fold import State
from core.record import RECORD_BYTES_MAX
from hub.data.identity_notes import IdentityNotes
from hub.data.people import People
from hub.data.resolution import Group, Link, Resolution, Seen, resolve
from hub.store import identity_history
from hub.store.engine import Connection

#: Identifiers that are looked at together. A device that thousands log in on links all of them: beyond this
#: only the profiles at hand are worked out anew, and who came first elsewhere stays first.
COMPONENT_MAX: Final = 2_000


class Component(NamedTuple):
    """Identifiers, all loaded, and the links between them."""

    sources: set[bytes]
    links: list[Link]


class Regrouping:
    """Works out components of one transaction anew."""

    def __init__(self, connection: Connection, people: People, notes: IdentityNotes) -> None:
        self._connection = connection
        self._people = people
        self._notes = notes

    def component(self, seeds: Iterable[bytes]) -> Component:
        """Everything that belongs to or is linked with the seeds."""
        members: set[bytes] = set()
        links: dict[tuple[bytes, bytes], Link] = {}
        frontier = start = self._with_profiles(seeds)
        while frontier:
            members |= frontier
            linked = [key for key in frontier if self._is_linked(key)]
            for link in self._people.links.touching(self._connection, linked, COMPONENT_MAX + 1):
                links[link.pair] = link
            if len(members) > COMPONENT_MAX or len(links) > COMPONENT_MAX:
                return Component(start, self._people.links.within(self._connection, start))
            frontier = self._with_profiles({end for pair in links for end in pair} - members) - members
        return Component(members, list(links.values()))

    def resolve(self, component: Component) -> Resolution:
        """The profiles that a component should be."""
        found = ((key, self._people.source(key)) for key in component.sources)
        seen = {key: Seen(source.kind, source.first_ms) for key, source in found if source is not None}
        return resolve(seen, component.links)

    def settle(self, seeds: Iterable[bytes]) -> bool:
        """Bring profiles to what they should be; False, and nothing changed, if a record would not fit."""
        resolution = self.resolve(self.component(seeds))
        changed = [group for group in resolution.groups if not self._people.is_grouped(group)]
        if not all(self._fits(group) for group in changed):
            return False
        before = {key: self._profile_id(key) for group in changed for key in group.sources}
        keys = {self._profile_id(group.leader): group.leader for group in changed}
        self._people.regroup(changed, self._notes.now_ms)
        self._tell(before, keys, resolution)
        self._tell_crossings(before.keys(), resolution)
        return True

    def _with_profiles(self, keys: Iterable[bytes]) -> set[bytes]:
        """The identifiers with all the others of their profiles, loaded."""
        keys = list(keys)
        self._people.load(self._connection, keys)
        found = (self._people.source(key) for key in keys)
        return {one for source in found if source is not None for one in source.person.sources}

    def _is_linked(self, key: bytes) -> bool:
        source = self._people.source(key)
        return source is not None and source.linked_ms != 0

    def _profile_id(self, key: bytes) -> bytes:
        source = self._people.source(key)
        assert source is not None
        return source.person.profile_id

    def _fits(self, group: Group) -> bool:
        sources = [source for source in map(self._people.source, group.sources) if source is not None]
        if sum(source.state.size for source in sources) <= RECORD_BYTES_MAX:
            return True
        state = State()
        for source in sources:
            state.merge(source.state)
        return state.size <= RECORD_BYTES_MAX

    def _tell(self, before: dict[bytes, bytes], keys: dict[bytes, bytes], resolution: Resolution) -> None:
        """Note what has moved, once for each pair of profiles."""
        staying = {self._profile_id(key) for key in before}
        made = set(before.values())
        moves = sorted({(old, self._profile_id(key)) for key, old in before.items()})
        for old, new in moves:
            if old == new:
                continue
            key = min(key for key, was in before.items() if was == old and self._profile_id(key) == new)
            union = next((one for one in resolution.unions if key in one.losing | one.winning), None)
            if new not in made:
                self._notes.add(identity_history.SPLIT, key, old, None, new)
            elif old in staying or union is None:
                self._notes.add(identity_history.MOVED, key, new, None, old)
            else:
                losing_end = union.step.stronger if union.step.stronger in union.losing else union.step.weaker
                self._notes.united(union.step, losing_end, new, old, crossed=union.crossed)

    def _tell_crossings(self, keys: Iterable[bytes], resolution: Resolution) -> None:
        keys = set(keys)
        for key in keys:
            self._notes.settle(key)
        for union in resolution.unions:
            if union.crossed and union.loser in keys:
                self._notes.cross(union.loser, union.winner, union.step.at_ms)
