"""What becomes of a message after its hand-off, and of those that nobody holds any more. Pure, but for the
writing of it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from hub.delivery.options import DeliveryOptions
from hub.delivery.ports import Outcome
from hub.store import outbox, suppressions
from hub.store.engine import Connection
from hub.store.outbox import (
    CLAIMED,
    FAILED,
    HANDING_OVER,
    IN_DOUBT,
    QUEUED,
    SENT,
    TO_LOG,
    Message,
)
from hub.store.suppressions import BOUNCE, Suppression

#: Reasons of messages.
DEFERRED: Final = "deferred"
REJECTED: Final = "rejected"
GIVEN_UP: Final = "given_up"
NO_ANSWER: Final = "no_answer"
OWNER_GONE: Final = "owner_gone"
NOT_REPORTED: Final = "not_reported"
JITTER: Final = 0.25
DOUBLINGS_MAX: Final = 20


def after(message: Message, outcome: Outcome, options: DeliveryOptions, now_ms: int) -> Message:
    """The message as an outcome leaves it."""
    detail = " ".join(part for part in (str(outcome.code or ""), outcome.status, outcome.detail) if part)
    freed = message._replace(
        detail=detail[: outbox.DETAIL_LENGTH_MAX], changed_at_ms=now_ms, lease_owner="", lease_until_ms=0
    )
    match outcome.kind:
        case "sent":
            return freed._replace(state=SENT, reason="", impression=TO_LOG)
        case "failed":
            return freed._replace(state=FAILED, reason=REJECTED)
        case "in_doubt":
            return freed._replace(state=IN_DOUBT, reason=NO_ANSWER)
        case _:
            return _deferred(freed, options, now_ms)


def _deferred(message: Message, options: DeliveryOptions, now_ms: int) -> Message:
    """Not yet: again later, unless it has been tried for too long."""
    age_ms = now_ms - message.created_at_ms
    if message.attempts >= options.attempts_max or age_ms >= options.age_max_ms:
        return message._replace(state=FAILED, reason=GIVEN_UP)
    wait_ms = wait_before(message, options)
    return message._replace(state=QUEUED, reason=DEFERRED, not_before_ms=now_ms + wait_ms)


def wait_before(message: Message, options: DeliveryOptions) -> int:
    """How long (ms) until the next attempt: doubled each time, capped, spread by a quarter either way.

    The spread comes from message and attempt, so that it needs no chance of its own.
    """
    doubled = options.retry_first_ms * 2 ** min(max(message.attempts - 1, 0), DOUBLINGS_MAX)
    seed = hashlib.sha256(f"{message.message_id} {message.attempts}".encode()).digest()
    spread = int.from_bytes(seed[:4]) / 2**32 * 2 - 1
    wait_ms: float = min(doubled, options.retry_max_ms) * (1 + JITTER * spread)
    return round(wait_ms)


def write_outcomes(
    connection: Connection,
    outcomes: Mapping[str, Outcome],
    owner: str,
    options: DeliveryOptions,
    now_ms: int,
) -> list[Message]:
    """Write how hand-offs ended, of the messages that still are this owner's; returns them.

    A message that was given for in doubt meanwhile is so no longer: its owner was slow, not dead.
    """
    written = []
    stops = []
    for row in outbox.by_id(connection, outcomes):
        outcome = outcomes[row.message_id]
        if row.lease_owner != owner or row.state not in (HANDING_OVER, IN_DOUBT):
            continue
        written.append(after(row, outcome, options, now_ms))
        if outcome.suppress:
            source = f"{outcome.code} {outcome.status}".strip()
            stops.append(Suppression(row.source_id, row.channel, BOUNCE, now_ms, source))
    outbox.save(connection, written)
    suppressions.add(connection, stops)
    return written


def take_over(connection: Connection, owner_prefix: str, own: str, now_ms: int) -> int:
    """Decide on the messages of owners that are gone: what was not handed over yet is queued again, what
    was being handed over is in doubt. Returns how many are.
    """
    left = outbox.left_by(connection, owner_prefix, own, now_ms)
    outbox.save(connection, [_left(row, now_ms) for row in left])
    return sum(row.state == HANDING_OVER for row in left)


def _left(message: Message, now_ms: int) -> Message:
    if message.state == CLAIMED:
        return message._replace(state=QUEUED, changed_at_ms=now_ms, lease_owner="", lease_until_ms=0)
    # The owner stays written there: should it live after all, its outcome still counts.
    reason = NOT_REPORTED if message.provider else OWNER_GONE
    return message._replace(state=IN_DOUBT, reason=reason, changed_at_ms=now_ms, lease_until_ms=0)


def release(connection: Connection, message_ids: Iterable[str], owner: str, now_ms: int) -> None:
    """Queue again what an owner claimed and cannot go on with."""
    rows = [row for row in outbox.by_id(connection, message_ids) if row.state == CLAIMED]
    outbox.save(connection, [_left(row, now_ms) for row in rows if row.lease_owner == owner])


def stop_open(
    connection: Connection, source_ids: Iterable[bytes], channel: str, reason: str, now_ms: int
) -> int:
    """Cancel what is queued for addresses on a channel; how many messages."""
    stopped = [
        row._replace(
            state=outbox.CANCELLED, reason=reason, changed_at_ms=now_ms, lease_owner="", lease_until_ms=0
        )
        for row in outbox.open_to(connection, source_ids, channel)
    ]
    outbox.save(connection, stopped)
    return len(stopped)
