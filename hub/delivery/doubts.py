"""Messages in doubt: listed, and resolved by a person, who has looked where the message is."""

from typing import Final, Literal

from hub.errors import NotFoundError, PreconditionError
from hub.store import audit, outbox
from hub.store.engine import Connection
from hub.store.outbox import IN_DOUBT, QUEUED, SENT, TO_LOG, Message

RESOLVED: Final = "resolved"
ACTION: Final = "outbox.resolve"

Resolution = Literal["sent", "resend"]


def resolve(
    connection: Connection, message_id: str, resolution: Resolution, user: str, now_ms: int
) -> Message:
    """Say what became of a message in doubt. Raises NotFoundError or PreconditionError.

    `sent`: it arrived, so it counts as an impression. `resend`: it did not; it goes through every check
    again, under its old Message-ID.
    """
    row = next(outbox.by_id(connection, [message_id]), None)
    if row is None:
        raise NotFoundError(expected="a message of the outbox", got="none", path="$.message_id")
    if row.state != IN_DOUBT:
        raise PreconditionError(expected="a message in doubt", got=row.state, path="$.message_id")
    resolved = row._replace(reason=RESOLVED, changed_at_ms=now_ms, lease_owner="", lease_until_ms=0)
    if resolution == "sent":
        resolved = resolved._replace(state=SENT, impression=TO_LOG)
    else:
        resolved = resolved._replace(state=QUEUED, not_before_ms=now_ms)
    outbox.save(connection, [resolved])
    entry = audit.Entry(now_ms, user, ACTION, message_id, IN_DOUBT, resolved.state)
    audit.add_entry(connection, entry)
    return resolved
