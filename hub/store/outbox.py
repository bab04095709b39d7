"""The outbox: each message from the moment it was decided on to its end (docs/decisions/0006).

Writing is serial on every engine, so a state that a write transaction has read cannot change under it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from sqlalchemy import (
    Column,
    Integer,
    SmallInteger,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import chunks, insert_tuples, update_tuples

QUEUED: Final = "queued"
CLAIMED: Final = "claimed"
HANDING_OVER: Final = "handing_over"
SENT: Final = "sent"
FAILED: Final = "failed"
IN_DOUBT: Final = "in_doubt"
REFUSED: Final = "refused"
CANCELLED: Final = "cancelled"
STATES: Final = (QUEUED, CLAIMED, HANDING_OVER, SENT, FAILED, IN_DOUBT, REFUSED, CANCELLED)
#: States that nothing leaves any more.
FINISHED: Final = (SENT, FAILED, REFUSED, CANCELLED)

MESSAGE_ID_LENGTH: Final = 32
DETAIL_LENGTH_MAX: Final = 200

#: `impression`: not in the log yet; in the log, not in the profile yet. Null: nothing to do about it.
TO_LOG, LOGGED = 0, 1

outbox: Final = Table(
    "outbox",
    metadata,
    # 32 hex digits, what stands before the @ of the Message-ID.
    Column("message_id", String(MESSAGE_ID_LENGTH), primary_key=True),
    # Null for a message that no journey sends.
    Column("instance_id", Key, index=True),
    # The journey or the campaign.
    Column("origin", String(80), nullable=False),
    # The address's identifier hash; where the person has no address, that of the source which entered.
    Column("source_id", Key, nullable=False, index=True),
    Column("channel", String(80), nullable=False),
    Column("placement", String(80), nullable=False),
    Column("template", String(80), nullable=False),
    # Who hands it over: empty for the hub's own sender, else the outside system's name.
    Column("provider", String(80), nullable=False),
    Column("created_at_ms", Millis, nullable=False),
    Column("not_before_ms", Millis, nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("reason", String(32), nullable=False),
    # A code or a class, never the provider's text, which may repeat an address.
    Column("detail", String(DETAIL_LENGTH_MAX), nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("offer", String(80), nullable=False),
    Column("treatment", String(80), nullable=False),
    Column("handed_over_at_ms", Millis, nullable=False),
    Column("changed_at_ms", Millis, nullable=False, index=True),
    Column("impression", SmallInteger, index=True),
    Column("lease_owner", String(100), nullable=False),
    Column("lease_until_ms", Millis, nullable=False),
    # JSON: the variants that she was assigned, as the decision gave them; empty: none.
    Column("experiments", Text, nullable=False, server_default=""),
)


class Message(NamedTuple):
    """A row of the table."""

    message_id: str
    instance_id: bytes | None
    origin: str
    source_id: bytes
    channel: str
    placement: str
    template: str
    provider: str
    created_at_ms: int
    not_before_ms: int
    state: str = QUEUED
    attempts: int = 0
    reason: str = ""
    detail: str = ""
    decision_id: str = ""
    offer: str = ""
    treatment: str = ""
    handed_over_at_ms: int = 0
    changed_at_ms: int = 0
    impression: int | None = None
    lease_owner: str = ""
    lease_until_ms: int = 0
    experiments: str = ""


_CHANGING: Final = (
    "source_id",
    "provider",
    "not_before_ms",
    "state",
    "attempts",
    "reason",
    "detail",
    "decision_id",
    "offer",
    "treatment",
    "handed_over_at_ms",
    "changed_at_ms",
    "impression",
    "lease_owner",
    "lease_until_ms",
    "experiments",
)
_BY_ID: Final = select(outbox).where(outbox.c.message_id.in_(bindparam("keys", expanding=True)))
_SAVED: Final = attrgetter(*_CHANGING, "message_id")
_DUE: Final = (
    select(outbox)
    .where(
        outbox.c.state == QUEUED,
        outbox.c.not_before_ms <= bindparam("now"),
        outbox.c.channel == bindparam("of_channel"),
        outbox.c.provider == bindparam("of_provider"),
    )
    .order_by(outbox.c.not_before_ms, outbox.c.message_id)
    .limit(bindparam("count"))
)
#: What caps must count although no profile holds it yet.
_PENDING: Final = select(outbox).where(
    outbox.c.source_id.in_(bindparam("keys", expanding=True)),
    outbox.c.impression.is_not(None) | outbox.c.state.in_((HANDING_OVER, IN_DOUBT)),
)
_SENT_SINCE: Final = select(outbox).where(
    outbox.c.source_id.in_(bindparam("keys", expanding=True)),
    outbox.c.state.in_((SENT, HANDING_OVER, IN_DOUBT)),
    outbox.c.handed_over_at_ms >= bindparam("since"),
)
_TO_LOG: Final = (
    select(outbox)
    .where(outbox.c.impression == bindparam("stage"), outbox.c.message_id > bindparam("after"))
    .order_by(outbox.c.message_id)
    .limit(bindparam("count"))
)


def add(connection: Connection, rows: Sequence[Message]) -> None:
    """Put messages in; one that is there already stays as it is."""
    insert_tuples(connection, outbox, rows)


def by_id(connection: Connection, keys: Iterable[str]) -> Iterator[Message]:
    """The messages that exist among `keys`, in no order."""
    for chunk in chunks(keys):
        for row in connection.execute(_BY_ID, {"keys": chunk}):
            yield Message(*row)


def save(connection: Connection, rows: Sequence[Message]) -> None:
    """Write how messages stand now."""
    update_tuples(connection, outbox, _CHANGING, [_SAVED(row) for row in rows])


def claim(
    connection: Connection,
    *,
    channel: str,
    provider: str,
    now_ms: int,
    until_ms: int,
    owner: str,
    count: int,
) -> list[Message]:
    """Lease up to `count` messages of a channel that are due, the longest due first."""
    asked = {"now": now_ms, "of_channel": channel, "of_provider": provider, "count": count}
    rows = [Message(*row) for row in connection.execute(_DUE, asked)]
    return take(connection, rows, until_ms=until_ms, owner=owner)


def take(connection: Connection, rows: Iterable[Message], *, until_ms: int, owner: str) -> list[Message]:
    """Lease messages that were read queued in this transaction."""
    claimed = [row._replace(state=CLAIMED, lease_owner=owner, lease_until_ms=until_ms) for row in rows]
    save(connection, claimed)
    return claimed


def pending(connection: Connection, source_ids: Iterable[bytes]) -> Iterator[Message]:
    """Messages that were or may have been handed over and that no profile holds yet."""
    for chunk in chunks(source_ids):
        for row in connection.execute(_PENDING, {"keys": chunk}):
            yield Message(*row)


def sent_since(connection: Connection, source_ids: Iterable[bytes], since_ms: int) -> Iterator[Message]:
    """Messages that were or may have been handed over since a time."""
    for chunk in chunks(source_ids):
        for row in connection.execute(_SENT_SINCE, {"keys": chunk, "since": since_ms}):
            yield Message(*row)


def impressions(connection: Connection, stage: int, after: str, count: int) -> list[Message]:
    """A page of sent messages whose impression is TO_LOG or LOGGED, ids above `after`."""
    rows = connection.execute(_TO_LOG, {"stage": stage, "after": after, "count": count})
    return [Message(*row) for row in rows]


def set_impression(connection: Connection, message_ids: Iterable[str], stage: int | None) -> None:
    """Move the impressions of messages on."""
    for chunk in chunks(message_ids):
        of_these = outbox.c.message_id.in_(chunk)
        connection.execute(update(outbox).where(of_these).values(impression=stage))


def not_handed_over(connection: Connection, instance_ids: Iterable[bytes]) -> Iterator[Message]:
    """Messages of journey instances that can still be stopped."""
    for chunk in chunks(instance_ids):
        statement = select(outbox).where(
            outbox.c.instance_id.in_(chunk), outbox.c.state.in_((QUEUED, CLAIMED))
        )
        for row in connection.execute(statement):
            yield Message(*row)


def stoppable(connection: Connection, source_ids: Iterable[bytes]) -> Iterator[Message]:
    """Messages to a person's addresses that can still be stopped, on every channel."""
    for chunk in chunks(source_ids):
        statement = select(outbox).where(outbox.c.source_id.in_(chunk), outbox.c.state.in_((QUEUED, CLAIMED)))
        for row in connection.execute(statement):
            yield Message(*row)


def open_to(connection: Connection, source_ids: Iterable[bytes], channel: str) -> list[Message]:
    """Messages to an address that can still be stopped."""
    statement = select(outbox).where(
        outbox.c.source_id.in_(list(source_ids)),
        outbox.c.channel == channel,
        outbox.c.state.in_((QUEUED, CLAIMED)),
    )
    return [Message(*row) for row in connection.execute(statement)]


def of_person(connection: Connection, source_ids: Iterable[bytes], count: int) -> list[Message]:
    """The newest `count` messages to a person's addresses, newest change first."""
    statement = (
        select(outbox)
        .where(outbox.c.source_id.in_(list(source_ids)))
        .order_by(outbox.c.changed_at_ms.desc(), outbox.c.message_id)
        .limit(count)
    )
    return [Message(*row) for row in connection.execute(statement)]


def listed(
    connection: Connection, *, states: Sequence[str], channel: str = "", due_ms: int = 0, count: int
) -> list[Message]:
    """Messages in some states, the longest unchanged first; `due_ms`: only those due by then."""
    statement = select(outbox).where(outbox.c.state.in_(list(states)))
    if channel:
        statement = statement.where(outbox.c.channel == channel)
    if due_ms:
        statement = statement.where(outbox.c.not_before_ms <= due_ms)
    statement = statement.order_by(outbox.c.changed_at_ms, outbox.c.message_id).limit(count)
    return [Message(*row) for row in connection.execute(statement)]


def left_by(connection: Connection, owner_prefix: str, own: str, now_ms: int) -> list[Message]:
    """Messages in the hands of owners that are gone: earlier runs of this node, and leases that ran out."""
    gone = outbox.c.lease_owner.startswith(owner_prefix, autoescape=True) & (outbox.c.lease_owner != own)
    statement = select(outbox).where(
        outbox.c.state.in_((CLAIMED, HANDING_OVER)), gone | (outbox.c.lease_until_ms <= now_ms)
    )
    return [Message(*row) for row in connection.execute(statement)]


def extend(connection: Connection, message_ids: Iterable[str], owner: str, until_ms: int) -> None:
    """Renew an owner's leases on the messages that it has in hand."""
    held = (outbox.c.lease_owner == owner) & outbox.c.state.in_((CLAIMED, HANDING_OVER))
    for chunk in chunks(message_ids):
        statement = update(outbox).where(outbox.c.message_id.in_(chunk), held)
        connection.execute(statement.values(lease_until_ms=until_ms))


def counts(connection: Connection) -> dict[str, int]:
    """How many messages, by state."""
    rows = connection.execute(select(outbox.c.state, func.count()).group_by(outbox.c.state))
    return {row[0]: row[1] for row in rows}


def oldest_due_ms(connection: Connection, now_ms: int) -> Mapping[str, int]:
    """By channel: since when its longest due message should have been handed over."""
    statement = (
        select(outbox.c.channel, func.min(outbox.c.not_before_ms))
        .where(outbox.c.state.in_((QUEUED, CLAIMED)), outbox.c.not_before_ms <= now_ms)
        .group_by(outbox.c.channel)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def prune(connection: Connection, *, before_ms: int, rows_at_once: int) -> int:
    """Forget some of the finished messages that last changed before a time; return how many."""
    keys = (
        select(outbox.c.message_id)
        .where(
            outbox.c.changed_at_ms < before_ms, outbox.c.state.in_(FINISHED), outbox.c.impression.is_(None)
        )
        .order_by(outbox.c.changed_at_ms)
        .limit(rows_at_once)
    )
    return connection.execute(delete(outbox).where(outbox.c.message_id.in_(keys))).rowcount


def remove(connection: Connection, source_ids: Iterable[bytes], instance_ids: Iterable[bytes] = ()) -> None:
    """Forget a person's."""
    mine = outbox.c.source_id.in_(list(source_ids)) | outbox.c.instance_id.in_(list(instance_ids))
    connection.execute(delete(outbox).where(mine))
