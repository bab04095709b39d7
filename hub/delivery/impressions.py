"""A message that was handed over is an impression of its channel, and an exposure to its variants: caps and
sticky assignments see e-mails and pages alike.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from core.events import IMPRESSION, Event, Identifier
from hub.data.ingestor import event_key
from hub.delivery.recipients import ADDRESS_KINDS
from hub.store import event_ids
from hub.store.engine import Connection
from hub.store.outbox import Message

MESSAGE_ID_PREFIX: Final = "sent-"


def impression_of(message: Message, node: str) -> Event | None:
    """The event of a message, the same each time that it is made; None on a channel without addresses.

    What is still in the air counts as if it had arrived.
    """
    kind = ADDRESS_KINDS.get(message.channel)
    if kind is None:
        return None
    return Event(
        message_id=f"{MESSAGE_ID_PREFIX}{message.message_id}",
        kind="track",
        name=IMPRESSION,
        at_ms=message.handed_over_at_ms,
        received_ms=message.handed_over_at_ms,
        # The hub itself found this address, so nobody only claims it.
        identifiers=(Identifier(kind, message.source_id, True),),
        properties={
            "placement": message.placement,
            "offer": message.offer,
            "treatment": message.treatment,
            "channel": message.channel,
            "decision_id": message.decision_id,
            **_shown_variants(message),
        },
        node=node,
    )


def packed_variants(experiments: Sequence[Mapping[str, Any]]) -> str:
    """The experiments of an answer as a message keeps them."""
    return msgspec.json.encode(experiments).decode() if experiments else ""


def _shown_variants(message: Message) -> dict[str, Any]:
    return {"experiments": msgspec.json.decode(message.experiments)} if message.experiments else {}


def folded(connection: Connection, messages: Iterable[Message]) -> set[str]:
    """Ids of the messages whose impression ingestion has applied, or has dropped for lack of consent."""
    keys = {message.message_id: key for message in messages if (key := key_of(message)) is not None}
    known: Collection[bytes] = event_ids.known(connection, keys.values())
    return {message_id for message_id, key in keys.items() if key in known}


def key_of(message: Message) -> bytes | None:
    """Under which key ingestion knows the impression."""
    event = impression_of(message, "")
    return event_key(event, event.identifiers) if event is not None else None
