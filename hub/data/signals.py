"""The port by which others say which events they want to hear of; ingestion keeps those as signals.

Ingestion knows nobody behind it: it asks for the names, and writes signals in its own transaction.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from core.events import Event
from hub.store.signals import NewSignal

#: Canonical event name -> paths of the values that conditions on it look at.
Interest = Mapping[str, frozenset[str]]
InterestSource = Callable[[], Interest]

TRAITS_PREFIX: Final = "traits."
#: Nobody waits for what an imported history tells: it fills profiles and starts nothing.
SIGNAL_AGE_MS_MAX: Final = 86_400_000
TEXT_LENGTH_MAX: Final = 512


def no_interest() -> Interest:
    """Of somebody who wants to hear of nothing."""
    return {}


def signal_of(event: Event, name: str, source_id: bytes, interest: Interest) -> NewSignal | None:
    """The signal of an applied event by its canonical name, if somebody is interested in it."""
    paths = interest.get(name)
    if paths is None or event.received_ms - event.at_ms > SIGNAL_AGE_MS_MAX:
        return None
    values = {path: value for path in paths if (value := _plain(event, path)) is not None}
    return NewSignal(source_id, name, event.at_ms, values)


def _plain(event: Event, path: str) -> bool | int | float | str | None:
    """The plain value at a dotted path of the properties, or of the traits behind `traits.`."""
    found: Any = event.traits if path.startswith(TRAITS_PREFIX) else event.properties
    for name in path.removeprefix(TRAITS_PREFIX).split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(name)
    if isinstance(found, str):
        return found if len(found) <= TEXT_LENGTH_MAX else None
    return found if isinstance(found, bool | int | float) else None
