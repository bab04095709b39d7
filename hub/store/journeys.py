"""Journey instances: one row for each time that somebody is in a journey; and what else journeys remember."""

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    String,
    Table,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import chunks, insert_new, insert_tuples, update_tuples, upsert

ACTIVE: Final = "active"  # goes on at `due_at_ms`
WAITING: Final = "waiting"  # for an event, until `due_at_ms`
ENDED: Final = "ended"

instances: Final = Table(
    "journey_instances",
    metadata,
    Column("instance_id", Key, primary_key=True),
    Column("journey_id", String(80), nullable=False),
    Column("version", String(32), nullable=False),
    # The source whose event made her enter. The person is whoever has that source now.
    Column("source_id", Key, nullable=False, index=True),
    Column("entry", Integer, nullable=False),
    # Index into the steps of that version.
    Column("step", Integer, nullable=False),
    # Steps taken so far: tells two visits of one step apart.
    Column("visit", Integer, nullable=False),
    Column("state", String(8), nullable=False),
    # Null once it has ended, so the index holds only who is inside.
    Column("due_at_ms", Millis, index=True),
    # The event it waits for, by canonical name; empty else.
    Column("waits_for", String(128), nullable=False),
    Column("entered_at_ms", Millis, nullable=False),
    Column("ended_at_ms", Millis, index=True),
    Column("ended_reason", String(32), nullable=False),
    Column("lease_owner", String(100), nullable=False),
    Column("lease_until_ms", Millis, nullable=False),
)

#: How often and when last a source entered a journey: outlives the instances, which are forgotten in time.
entries: Final = Table(
    "journey_entries",
    metadata,
    Column("source_id", Key, primary_key=True),
    Column("journey_id", String(80), primary_key=True),
    Column("entries", Integer, nullable=False),
    Column("last_at_ms", Millis, nullable=False),
)

#: For each version ever active, one revision whose content holds it.
versions: Final = Table(
    "journey_versions",
    metadata,
    Column("version", String(32), primary_key=True),
    Column("journey_id", String(80), nullable=False),
    Column("revision", BigInteger, nullable=False),
)


class Instance(NamedTuple):
    """A row of the table."""

    instance_id: bytes
    journey_id: str
    version: str
    source_id: bytes
    entry: int
    step: int
    visit: int
    state: str
    due_at_ms: int | None
    waits_for: str
    entered_at_ms: int
    ended_at_ms: int | None = None
    ended_reason: str = ""
    lease_owner: str = ""
    lease_until_ms: int = 0


class Entered(NamedTuple):
    """How often and when last a source entered a journey."""

    source_id: bytes
    journey_id: str
    entries: int
    last_at_ms: int


_CHANGING: Final = (
    "step",
    "visit",
    "state",
    "due_at_ms",
    "waits_for",
    "ended_at_ms",
    "ended_reason",
    "lease_owner",
    "lease_until_ms",
)
_DUE: Final = (
    select(instances.c.instance_id)
    .where(instances.c.due_at_ms <= bindparam("now"), instances.c.lease_until_ms <= bindparam("now"))
    .order_by(instances.c.due_at_ms)
    .limit(bindparam("count"))
)
_CLAIM: Final = (
    update(instances)
    .where(instances.c.instance_id.in_(bindparam("keys", expanding=True)))
    .values(lease_owner=bindparam("owner"), lease_until_ms=bindparam("until"))
)
_BY_ID: Final = select(instances).where(instances.c.instance_id.in_(bindparam("keys", expanding=True)))
_INSIDE: Final = select(instances).where(
    instances.c.source_id.in_(bindparam("keys", expanding=True)), instances.c.state != ENDED
)
_ENTERED: Final = select(entries).where(entries.c.source_id.in_(bindparam("keys", expanding=True)))
_SAVED: Final = attrgetter(*_CHANGING, "instance_id")


def claim(connection: Connection, *, now_ms: int, until_ms: int, owner: str, count: int) -> list[Instance]:
    """Lease up to `count` instances that are due and nobody's, the longest due first."""
    keys = [row[0] for row in connection.execute(_DUE, {"now": now_ms, "count": count})]
    for chunk in chunks(keys):
        connection.execute(_CLAIM, {"keys": chunk, "owner": owner, "until": until_ms})
    return list(by_id(connection, keys))


def by_id(connection: Connection, keys: Iterable[bytes]) -> Iterator[Instance]:
    """The instances that exist among `keys`, in no order."""
    for chunk in chunks(keys):
        for row in connection.execute(_BY_ID, {"keys": chunk}):
            yield Instance(*row)


def leased(connection: Connection, keys: Iterable[bytes], owner: str, until_ms: int) -> set[bytes]:
    """Which of the instances still are under this very lease: nothing else has touched them since."""
    found: set[bytes] = set()
    held = select(instances.c.instance_id).where(
        instances.c.instance_id.in_(bindparam("keys", expanding=True)),
        instances.c.lease_owner == owner,
        instances.c.lease_until_ms == until_ms,
    )
    for chunk in chunks(keys):
        found.update(row[0] for row in connection.execute(held, {"keys": chunk}))
    return found


def inside(connection: Connection, source_ids: Iterable[bytes]) -> Iterator[Instance]:
    """Instances of the sources that have not ended."""
    for chunk in chunks(source_ids):
        for row in connection.execute(_INSIDE, {"keys": chunk}):
            yield Instance(*row)


def of_sources(connection: Connection, source_ids: Iterable[bytes]) -> list[Instance]:
    """Every instance of a person, newest entry first."""
    statement = (
        select(instances)
        .where(instances.c.source_id.in_(list(source_ids)))
        .order_by(instances.c.entered_at_ms.desc(), instances.c.instance_id)
    )
    return [Instance(*row) for row in connection.execute(statement)]


def entered(connection: Connection, source_ids: Iterable[bytes]) -> Iterator[Entered]:
    """What is remembered of earlier entries."""
    for chunk in chunks(source_ids):
        for row in connection.execute(_ENTERED, {"keys": chunk}):
            yield Entered(*row)


def enter(connection: Connection, rows: Sequence[Instance]) -> None:
    """Add instances with their entries; one that is there already stays as it is."""
    insert_tuples(connection, instances, rows)
    remembered = [Entered(row.source_id, row.journey_id, row.entry, row.entered_at_ms) for row in rows]
    upsert(connection, entries, [row._asdict() for row in remembered], ("entries", "last_at_ms"))


def save(connection: Connection, rows: Sequence[Instance]) -> None:
    """Write where instances stand now."""
    update_tuples(connection, instances, _CHANGING, [_SAVED(row) for row in rows])


def release(connection: Connection, owner_prefix: str) -> None:
    """Give up every lease of an owner that is gone."""
    of_owner = instances.c.lease_owner.startswith(owner_prefix, autoescape=True)
    connection.execute(
        update(instances)
        .where(of_owner, instances.c.lease_until_ms > 0)
        .values(lease_owner="", lease_until_ms=0)
    )


def count_due(connection: Connection, now_ms: int) -> int:
    """How many should have gone on by now."""
    statement = select(func.count()).select_from(instances).where(instances.c.due_at_ms <= now_ms)
    return int(connection.execute(statement).scalar_one())


def count_inside(connection: Connection) -> int:
    """How many have not ended."""
    statement = select(func.count()).select_from(instances).where(instances.c.due_at_ms.is_not(None))
    return int(connection.execute(statement).scalar_one())


def remember_versions(connection: Connection, rows: Iterable[tuple[str, str, int]]) -> None:
    """(version, journey id, revision), of those that are new."""
    named = [{"version": row[0], "journey_id": row[1], "revision": row[2]} for row in rows]
    insert_new(connection, versions, named)


def revision_of(connection: Connection, version: str) -> int | None:
    """A revision that holds the version."""
    return connection.execute(select(versions.c.revision).where(versions.c.version == version)).scalar()


def versions_inside(connection: Connection) -> list[str]:
    """Versions that somebody is inside of."""
    statement = select(instances.c.version).where(instances.c.due_at_ms.is_not(None)).distinct()
    return [row[0] for row in connection.execute(statement)]


def prune(connection: Connection, *, before_ms: int, rows_at_once: int) -> int:
    """Forget some of the instances that ended before a time; return how many."""
    keys = (
        select(instances.c.instance_id)
        .where(instances.c.ended_at_ms < before_ms)
        .order_by(instances.c.ended_at_ms)
        .limit(rows_at_once)
    )
    return connection.execute(delete(instances).where(instances.c.instance_id.in_(keys))).rowcount


def remove(connection: Connection, source_ids: Iterable[bytes]) -> None:
    """Forget a person's."""
    keys = list(source_ids)
    connection.execute(delete(instances).where(instances.c.source_id.in_(keys)))
    connection.execute(delete(entries).where(entries.c.source_id.in_(keys)))
