"""Events for tests, as an edge would have made them."""

import itertools
from typing import Any

from core.events import Consent, Event, Identifier
from core.identifiers import hash_identifier
from tests.hub.keys import IDENTIFIER_KEY

NOW_MS = 1_764_000_000_000
_numbers = itertools.count()


def person(text: str, *, verified: bool = True) -> Identifier:
    """`anon:a`, `id:42`, ... as an identifier."""
    kind, _, value = text.partition(":")
    return Identifier(kind, hash_identifier(IDENTIFIER_KEY, kind, value), verified)


def event(
    name: str,
    *who: str | Identifier,
    kind: str = "track",
    at_ms: int = NOW_MS,
    message_id: str = "",
    traits: dict[str, Any] | None = None,
    sealed: bytes = b"",
    **properties: Any,
) -> Event:
    """One event of one or several identifiers, verified unless given as Identifier."""
    return Event(
        message_id=message_id or f"m{next(_numbers)}",
        kind=kind,
        name=name,
        at_ms=at_ms,
        received_ms=at_ms,
        identifiers=tuple(one if isinstance(one, Identifier) else person(one) for one in who),
        properties=properties,
        traits=traits or {},
        sealed=sealed,
        node="eu",
    )


def consent(
    *who: str, purpose: str = "personalization", state: str = "granted", at_ms: int = NOW_MS
) -> Event:
    """A consent change."""
    return Event(
        message_id=f"c{next(_numbers)}",
        kind="consent",
        name="Consent Changed",
        at_ms=at_ms,
        received_ms=at_ms,
        identifiers=tuple(person(one) for one in who),
        consent=Consent(purpose, state, "v1", "banner"),
        node="eu",
    )
