"""Building Segment-spec messages, one JSON object a line: the form that `onevoice events import` reads."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

#: Products in one message; longer orders go on in `Order Updated` messages, for an event has a size limit.
PRODUCTS_PER_MESSAGE_MAX = 150

Message = dict[str, Any]
Person = Mapping[str, str]

_encoder = msgspec.json.Encoder()


def track(name: str, message_id: str, at: str, person: Person, properties: Mapping[str, Any]) -> Message:
    """A `track` message. `at` is RFC 3339 in UTC; `person` holds `userId`, `anonymousId` or both."""
    return {
        "type": "track",
        "event": name,
        "messageId": message_id,
        "timestamp": at,
        **person,
        "properties": dict(properties),
    }


def identify(message_id: str, at: str, person: Person, traits: Mapping[str, Any]) -> Message:
    return {"type": "identify", "messageId": message_id, "timestamp": at, **person, "traits": dict(traits)}


def consent(message_id: str, at: str, person: Person, change: Mapping[str, str]) -> Message:
    """A consent change: `change` holds purpose, state, text_version and source. Only a server may send it."""
    return {"type": "consent", "messageId": message_id, "timestamp": at, **person, **change}


def order(
    message_id: str,
    at: str,
    person: Person,
    properties: Mapping[str, Any],
    products: list[Message],
) -> Iterator[Message]:
    """`Order Completed` with the first products and the line count; the rest follows as `Order Updated`."""
    first, rest = products[:PRODUCTS_PER_MESSAGE_MAX], products[PRODUCTS_PER_MESSAGE_MAX:]
    whole = {**properties, "line_count": len(products), "products": first}
    yield track("Order Completed", message_id, at, person, whole)
    for part, start in enumerate(range(0, len(rest), PRODUCTS_PER_MESSAGE_MAX), start=2):
        lines = rest[start : start + PRODUCTS_PER_MESSAGE_MAX]
        more = {"order_id": properties["order_id"], "part": part, "products": lines}
        yield track("Order Updated", f"{message_id}:{part}", at, person, more)


def write(path: Path, messages: Iterable[Message]) -> int:
    """Write the messages and return how many there were. A half-written file never replaces a whole one."""
    partial = path.with_name(path.name + ".partial")
    count = 0
    with partial.open("wb", buffering=1 << 20) as file:
        for message in messages:
            file.write(_encoder.encode(message))
            file.write(b"\n")
            count += 1
    partial.replace(path)
    return count
