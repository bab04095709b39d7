"""Engines that delivery reads conditions and decides with: the active one, and those of versions that people
are still inside of. All of them belong to delivery's one thread.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import structlog

from core.bundle import Journey, Occurrence
from core.decide import Engine
from hub.data.signals import Interest
from hub.delivery.versions import journey_version
from hub.errors import PreconditionError
from hub.store import journeys, revisions
from hub.store.engine import Connection, Store

#: Revisions kept loaded beside the active one.
OLD_ENGINES_MAX: Final = 8
log = structlog.get_logger(__name__)


class Versioned(NamedTuple):
    """A journey as one version of it has it, and the engine that its rules are in."""

    version: str
    journey: Journey
    engine: Engine


class Loaded:
    """One bundle with its journeys by id and by version."""

    def __init__(self, content: bytes, revision: int) -> None:
        self.engine = Engine(content, revision)
        self.revision = revision
        self.document = self.engine.document
        outbound = self.document.outbound
        self.templates = {template.id: template for template in outbound.templates}
        self.placements = {placement.id: placement for placement in self.document.placements}
        self.offers = {offer.id for offer in self.document.offers}
        named = [(journey_version(self.document, journey), journey) for journey in outbound.journeys]
        self.versions = {version: Versioned(version, journey, self.engine) for version, journey in named}
        self.triggers = triggers_of(self.versions.values())


def triggers_of(versioned: Iterable[Versioned]) -> Mapping[str, list[Versioned]]:
    """Journeys by the event that makes people enter them."""
    found: dict[str, list[Versioned]] = {}
    for one in versioned:
        found.setdefault(one.journey.trigger.event, []).append(one)
    return found


class Engines:
    """The active bundle and a bounded cache of older ones, found by journey version."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._active: Loaded | None = None
        self._old: OrderedDict[int, Loaded] = OrderedDict()
        self._inside: dict[str, Versioned] = {}  # of the older bundles that are loaded
        self._heard: dict[str, Interest] = {}  # by version of older bundles, loaded or not
        self._remembered = 0
        self._interest: Interest = {}

    @property
    def ready(self) -> bool:
        """Whether a catalogue was published."""
        return self._active is not None

    @property
    def stale(self) -> bool:
        """Whether the active revision's versions are not in the store yet."""
        return self._active is not None and self._remembered != self._active.revision

    @property
    def active(self) -> Loaded:
        """The active bundle. Raises PreconditionError before the first publication."""
        if self._active is None:
            raise PreconditionError(expected="a published catalogue", got="none", path="$")
        return self._active

    def interest(self) -> Interest:
        """What the active journeys, and those that people are inside of, want to hear of; from any thread."""
        return self._interest

    def activate(self, loaded: Loaded) -> None:
        """Make a bundle the active one; what the one before wanted to hear of, people inside still do."""
        self._active = loaded
        self._interest = _joined(self._interest, interest_of(loaded.versions.values()))

    async def refresh(self) -> None:
        """Remember a new revision's versions, and load those that people are inside of.

        The versions are in the store before anybody enters by them.
        """
        active = self._active
        if active is not None and self._remembered != active.revision:
            rows = [(one.version, one.journey.id, active.revision) for one in active.versions.values()]
            await self._store.write(lambda connection: journeys.remember_versions(connection, rows))
            self._remembered = active.revision
        inside = await self._store.read(journeys.versions_inside)
        await self.load(version for version in inside if version not in self._heard)
        self._heard = {version: self._heard[version] for version in inside if version in self._heard}
        if active is self._active:
            own = interest_of(active.versions.values()) if active is not None else {}
            self._interest = _joined(own, *self._heard.values())

    async def load(self, versions: Iterable[str]) -> None:
        """Have these versions at hand, from the revisions that hold them."""
        wanted = set(versions)
        held = self._active.versions if self._active is not None else {}
        missing = wanted - held.keys() - self._inside.keys()
        for version in sorted(missing):
            await self._load(version)

    def find(self, version: str) -> Versioned | None:
        """A version that was loaded."""
        if self._active is not None and version in self._active.versions:
            return self._active.versions[version]
        return self._inside.get(version)

    async def _load(self, version: str) -> None:
        if version in self._inside:
            return
        found = await self._store.read(lambda connection: _content_of(connection, version))
        if found is None:
            log.error("journey version without a revision", version=version)
            return
        revision, content = found
        loaded = self._old.get(revision)
        if loaded is None:
            loaded = await asyncio.to_thread(Loaded, content, revision)
        self._old[revision] = loaded
        self._inside.update(loaded.versions)
        self._heard[version] = interest_of([loaded.versions[version]])
        while len(self._old) > OLD_ENGINES_MAX:
            _, gone = self._old.popitem(last=False)
            for version_gone in gone.versions:
                self._inside.pop(version_gone, None)


def interest_of(versioned: Iterable[Versioned]) -> dict[str, frozenset[str]]:
    """The events that journeys mention, and the paths that they look at."""
    found: dict[str, frozenset[str]] = {}
    for one in versioned:
        for occurrence in occurrences(one.journey):
            paths = found.get(occurrence.event, frozenset())
            found[occurrence.event] = paths | frozenset(occurrence.where)
    return found


def occurrences(journey: Journey) -> list[Occurrence]:
    """Every event that a journey mentions."""
    listed = [journey.trigger, *(one.occurrence for one in journey.exits)]
    listed += [step.occurrence for step in journey.steps]
    return [one for one in listed if one is not None]


def _joined(*interests: Interest) -> Interest:
    found: dict[str, frozenset[str]] = {}
    for interest in interests:
        for name, paths in interest.items():
            found[name] = found.get(name, frozenset()) | paths
    return found


def _content_of(connection: Connection, version: str) -> tuple[int, bytes] | None:
    number = journeys.revision_of(connection, version)
    revision = revisions.get_revision(connection, number) if number is not None else None
    held = revisions.get_submission(connection, revision.content_hash) if revision is not None else None
    return None if revision is None or held is None else (revision.revision, held.content)
