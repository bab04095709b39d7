"""The event as every part of the system carries it: journal body, JetStream message part, and input of
the fold.
"""

from typing import Any, Final

import msgspec

NAME_LENGTH_MAX: Final = 128
MESSAGE_ID_LENGTH_MAX: Final = 128
PROPERTIES_BYTES_MAX: Final = 32 * 1024

#: Event names with a meaning inside the system; all others only feed declared attributes.
IMPRESSION: Final = "Impression"  # properties: placement, offer, treatment, channel, decision_id, experiments
#: The fallback was displayed where experiments took part: an exposure without an offer. Properties:
#: placement, channel, decision_id, experiments.
EXPOSURE: Final = "Exposure"
#: Events that say which variants were perceived: `experiments`, as the decision gave them.
EXPOSURES: Final[frozenset[str]] = frozenset({IMPRESSION, EXPOSURE})
#: Facts that a shop must keep whatever the consent: they pass without a behavioural purpose.
ALWAYS_KEPT: Final[frozenset[str]] = frozenset(
    {
        "Order Completed",
        "Order Updated",
        "Order Refunded",
        "Order Cancelled",
        "Ticket Opened",
        "Ticket Closed",
    }
)


class Identifier(msgspec.Struct, frozen=True, array_like=True):
    """A typed identifier hash; verified: proved by a server key or user token (device ids prove only
    themselves and are verified as such).
    """

    kind: str
    hash: bytes  # 16 bytes, core.identifiers.hash_identifier
    verified: bool


class Consent(msgspec.Struct, frozen=True, array_like=True):
    """A consent change: purpose, state granted|denied|withdrawn, the text version shown and where."""

    purpose: str
    state: str
    text_version: str
    source: str


class Event(msgspec.Struct, frozen=True, array_like=True):
    """An immutable, timestamped fact about one person, taken in by a node.

    `at_ms` is the effective time: for a grant the smaller of client time and receipt, for a denial or
    withdrawal the receipt, for any
    other event the client's time unless later than receipt. `sealed` holds identifier traits sealed to
    the hub's public key (HPKE), or nothing.
    """

    message_id: str
    kind: str  # track identify page screen group alias consent
    name: str  # "Product Viewed"; for page and screen "Page Viewed"/"Screen Viewed"; for identify "Identify"
    at_ms: int
    received_ms: int
    identifiers: tuple[Identifier, ...]
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    consent: Consent | None = None
    sealed: bytes = b""
    node: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """MessagePack bytes of one event."""
    return _encoder.encode(event)


def decode_event(body: bytes) -> Event:
    """The event of a journal body. Raises msgspec.MsgspecError or UnicodeDecodeError on foreign bytes."""
    return _decoder.decode(body)
