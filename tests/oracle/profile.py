"""What an expression sees: the person at `now`, the request's context, and segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle import fold
from tests.oracle.catalogue import Attribute, Catalogue
from tests.oracle.evaluate import Error, Timestamp, Value, evaluate


@dataclass(frozen=True)
class Profile:
    """A person as stored: her events, and what does not come from events.

    `scores`: attribute -> (value, scored at ms, time to live ms).
    """

    events: Sequence[fold.Event]
    unit_key: bytes
    sequence: int = 0
    packed_at_ms: int = 0
    scores: Mapping[str, tuple[float, int, int]] = field(default_factory=dict)


class View:
    """The environment of expressions. What neither person nor request holds is its default, or missing."""

    def __init__(
        self,
        catalogue: Catalogue,
        events: Sequence[fold.Event],
        scores: Mapping[str, tuple[float, int, int]],
        context: Mapping[str, Any],
        now_ms: int,
    ) -> None:
        self.catalogue = catalogue
        self.events = events
        self.scores = scores
        self.context = context
        self.now_ms = now_ms

    def read(self, scope: str, name: str) -> Value:
        if scope == "segment":
            return evaluate(self.catalogue.segments[name], self)
        attribute = self.catalogue.attributes[scope, name]
        value = self._held(attribute, scope, name)
        if value is None:
            value = _default(attribute)
        if isinstance(
            value, list
        ):  # a strings attribute has no order of its own: it is seen in that of its texts
            return sorted(value)
        return Error(f"{scope}.{name} is missing") if value is None else value

    def has(self, scope: str, name: str) -> bool:
        return self._held(self.catalogue.attributes[scope, name], scope, name) is not None

    def _held(self, attribute: Attribute, scope: str, name: str) -> Any:
        """The value that record or context itself holds."""
        if scope == "context":
            return context_value(self.context.get(name), attribute.type)
        if attribute.source == "score":
            value, scored_at_ms, ttl_ms = self.scores.get(name, (None, 0, 0))
            return value if self.now_ms < scored_at_ms + ttl_ms else None
        assert isinstance(attribute.source, fold.Source)
        return fold.attribute_value(attribute.source, attribute.type, self.events, self.now_ms)


def context_value(value: Any, kind: str) -> Any:
    """A context value; of a wrong type it counts as missing."""
    if kind == "strings":
        return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None
    return fold.plain_value(value, kind)


def _default(attribute: Attribute) -> Any:
    if attribute.type == "timestamp" and attribute.default is not None:
        return Timestamp(attribute.default)
    return attribute.default
