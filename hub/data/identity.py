"""Deterministic identity: which profile an event belongs to, and what its identifiers say of each other.

An event belongs to the source of its strongest verified identifier. Two verified identifiers in one event are
a link: it makes one profile of theirs, unless that would make one profile of two known people. Links in the
order of their times are judged as they come; anything else is worked out anew (`regrouping`), so that the
order of arrival does not matter.
"""

from collections.abc import Iterable, Sequence

from core.events import Event, Identifier
from core.fold import FoldPlan, State
from core.identifiers import STRENGTH
from core.record import RECORD_BYTES_MAX
from hub.data.identity_notes import IdentityNotes
from hub.data.people import People, Person, SourceState
from hub.data.regrouping import Regrouping
from hub.data.resolution import SOURCES_MAX, Group, Link, Pair, Seen, may_unite, ranked, step_of
from hub.store import identity_history
from hub.store.engine import Connection


def verified_of(event: Event) -> list[Identifier]:
    """The event's verified identifiers, strongest first."""
    verified = [identifier for identifier in event.identifiers if identifier.verified]
    if len(verified) > 1:
        verified.sort(key=lambda identifier: (STRENGTH[identifier.kind], identifier.hash))
    return verified


class Identity:
    """Who is who, over one transaction."""

    def __init__(self, connection: Connection, people: People, notes: IdentityNotes) -> None:
        self._connection = connection
        self._people = people
        self._notes = notes

    def load(self, shown: Iterable[Sequence[Identifier]]) -> None:
        """Bring in the people whom events show, and the links that these show again."""
        keys: set[bytes] = set()
        pairs: set[Pair] = set()
        for strongest, *others in shown:
            keys.add(strongest.hash)
            for identifier in others:
                keys.add(identifier.hash)
                pairs.add((strongest.hash, identifier.hash))
        self._people.load(self._connection, keys)
        self._people.links.load(self._connection, pairs)

    def allows_behaviour(self, plan: FoldPlan, verified: Sequence[Identifier], at_ms: int) -> bool:
        """Whether the person who the event makes of its identifiers lets behaviour shape her profile."""
        own = self._people.source(verified[0].hash)
        if own is not None and len(verified) == 1:
            return own.person.merged.allows_behaviour(plan, at_ms)
        persons = self._together(verified)
        if not persons:
            return False
        state = persons[0].merged
        if len(persons) > 1:
            state = state.copy()
            for person in persons[1:]:
                state.merge(person.merged)
        return state.allows_behaviour(plan, at_ms)

    def settle(self, event: Event, verified: Sequence[Identifier]) -> SourceState:
        """Take in what the event says of its identifiers; return the source that it belongs to."""
        own = self._people.source(verified[0].hash)
        if own is not None and len(event.identifiers) == 1 and event.received_ms >= own.first_ms:
            return own  # nothing new of anybody: most events
        notes, mark = self._notes, len(self._notes.rows)
        notes.message_id = event.message_id
        made, late = self._show(event, verified)
        fresh = self._fresh(event, verified) if len(verified) > 1 else []
        if late or fresh:
            self._link(fresh, late, {identifier.hash for identifier in verified}, event.received_ms)
        founded = [source for source in made if source.person.unit_key == source.source_id]
        told = notes.rows[mark:]
        del notes.rows[mark:]
        for source in founded:
            notes.add(identity_history.CREATED, source.source_id, source.person.profile_id)
        notes.rows += told
        own = self._people.source(verified[0].hash)
        assert own is not None
        if len(verified) != len(event.identifiers):
            self._claims(event, own)
        return own

    def _together(self, verified: Sequence[Identifier]) -> list[Person]:
        """The profiles that the event is about, as one."""
        strongest = verified[0]
        own = self._people.source(strongest.hash)
        persons = [] if own is None else [own.person]
        group: Group | None = None
        for identifier in verified[1:]:
            source = self._people.source(identifier.hash)
            if source is None or source.person in persons:
                continue
            if self._people.links.get((strongest.hash, identifier.hash)) is not None:
                continue  # judged before: they are apart for a reason
            if group is None:
                alone = Group.alone(strongest.hash, Seen(strongest.kind, 0))
                group = alone if own is None else own.person.group()
            other = source.person.group()
            step = step_of(Link(strongest.hash, identifier.hash), identifier.kind)
            if may_unite(step, strongest.kind, group, other):
                persons.append(source.person)
                group.sources |= other.sources
                group.known.update(other.known)
        return persons

    def _show(self, event: Event, verified: Sequence[Identifier]) -> tuple[list[SourceState], bool]:
        """(new sources, whether an identifier with links was seen earlier than known)."""
        made, late = [], False
        for identifier in verified:
            source = self._people.source(identifier.hash)
            if source is None:
                if identifier is not verified[0] and self._is_full(verified[0]):
                    # A person of a thousand devices is none: the device stays without a profile.
                    continue
                made.append(
                    self._people.create(
                        identifier.hash, identifier.kind, event.received_ms, self._notes.now_ms
                    )
                )
            elif event.received_ms < source.first_ms:
                late |= self._seen_earlier(source, event.received_ms)
        return made, late

    def _is_full(self, strongest: Identifier) -> bool:
        own = self._people.source(strongest.hash)
        return own is not None and len(own.person.sources) >= SOURCES_MAX

    def _seen_earlier(self, source: SourceState, at_ms: int) -> bool:
        source.first_ms = at_ms
        self._people.change(source)
        if source.linked_ms:
            return True
        self._people.name(source.person, source.source_id, at_ms)
        return False

    def _fresh(self, event: Event, verified: Sequence[Identifier]) -> list[tuple[Link, bool]]:
        """Links that were not seen before, or not as early; whether each is new."""
        strongest, fresh = verified[0].hash, []
        at = (event.received_ms, event.at_ms)
        for identifier in verified[1:]:
            if identifier.hash == strongest or self._people.source(identifier.hash) is None:
                continue
            known = self._people.links.get((strongest, identifier.hash))
            if known is None:
                fresh.append((Link(strongest, identifier.hash, *at), True))
            elif not known.seen_ms or at < (known.seen_ms, known.said_ms):
                fresh.append((known._replace(seen_ms=at[0], said_ms=at[1]), False))
        return fresh

    def _link(self, fresh: Sequence[tuple[Link, bool]], late: bool, shown: set[bytes], at_ms: int) -> None:
        """Take in links; in the order of their times they are judged one by one, without a look at others."""
        sources = [source for source in map(self._people.source, shown) if source is not None]
        persons = {id(source.person): source.person for source in sources}.values()
        in_order = not late and all(new for _, new in fresh)
        in_order = in_order and all(person.linked_ms < at_ms for person in persons)
        for link, _ in fresh:
            self._people.links.put(link)
            for key in link.pair:
                self._mark(key, at_ms)
        if not in_order:
            self._work_out(shown, [link for link, _ in fresh])
            return
        kinds = {source.source_id: source.kind for source in sources}
        for _, link in sorted((step_of(link, kinds[link.weaker]), link) for link, _ in fresh):
            self._judge(link)

    def _mark(self, key: bytes, at_ms: int) -> None:
        source = self._people.source(key)
        assert source is not None
        if source.linked_ms < at_ms:
            source.linked_ms = at_ms
            self._people.change(source)

    def _judge(self, link: Link) -> None:
        stronger, weaker = self._people.source(link.stronger), self._people.source(link.weaker)
        assert stronger is not None
        assert weaker is not None
        one, other = stronger.person, weaker.person
        if one is other:
            return
        group, step = one.group(), step_of(link, weaker.kind)
        if not may_unite(step, stronger.kind, group, other.group()) or not _fit(one, other):
            self._apart(link)
            return
        winner, _ = ranked(group, other.group(), link.seen_ms, forced=False)
        gains, gives = (one, other) if winner is group else (other, one)
        losing = gives.group()
        crossed = losing.first_ms < link.seen_ms
        if crossed:
            self._notes.cross(losing.leader, winner.leader, link.seen_ms)
        losing_end = link.stronger if gives is one else link.weaker
        self._notes.united(step, losing_end, gains.profile_id, gives.profile_id, crossed=crossed)
        self._people.unite(gains, gives, self._notes.now_ms)

    def _work_out(self, shown: set[bytes], fresh: Sequence[Link]) -> None:
        Regrouping(self._connection, self._people, self._notes).settle(shown)
        for link in fresh:
            self._apart(link)

    def _apart(self, link: Link) -> None:
        """Note that two identifiers met and are not one profile, if so it is."""
        stronger, weaker = self._people.source(link.stronger), self._people.source(link.weaker)
        assert stronger is not None
        assert weaker is not None
        one, other = stronger.person.profile_id, weaker.person.profile_id
        if one != other:
            self._notes.add(identity_history.KEPT_APART, link.stronger, one, link.weaker, other)

    def _claims(self, event: Event, own: SourceState) -> None:
        for identifier in event.identifiers:
            if not identifier.verified and identifier.hash not in own.person.sources:
                self._notes.add(
                    identity_history.CLAIMED, own.source_id, own.person.profile_id, identifier.hash
                )


def _fit(one: Person, other: Person) -> bool:
    if one.merged.size + other.merged.size <= RECORD_BYTES_MAX:
        return True
    state: State = one.merged.copy()
    state.merge(other.merged)
    return state.size <= RECORD_BYTES_MAX
