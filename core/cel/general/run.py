"""One evaluation under way: what names mean, and how much work is left."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any, Final

from core.cel.general.values import Value
from core.errors import EvaluationError, ExhaustedError

#: Operations, list entries looked at and characters made or searched by one evaluation, for `onevoice eval`.
WORK_MAX: Final = 2_000_000
#: The same for a condition of a catalogue: a few milliseconds at most.
CONDITION_WORK_MAX: Final = 10_000

#: The time zone of a name such as Europe/Berlin, None if there is none. The core reads no files of its own.
Zones = Callable[[str], tzinfo | None]


def no_zones(name: str) -> tzinfo | None:
    """For evaluations without a time-zone database: UTC and offsets such as +02:00 still work."""
    return None


class Run:
    """The state that the parts of a program share while it runs.

    `variables` by name; in a catalogue's expression by an attribute's index, or one of `now` and what it
    holds itself (`core.generals`).
    """

    __slots__ = ("kept", "locals", "variables", "work_left", "work_max", "zones")

    def __init__(
        self,
        variables: Mapping[Any, Value],
        slots: int,
        zones: Zones,
        *,
        work_max: int = WORK_MAX,
    ) -> None:
        self.variables = variables
        self.locals: list[Value] = [None] * slots
        self.kept: dict[int, tuple[Value, EvaluationError | None]] = {}
        self.zones = zones
        self.work_left = self.work_max = work_max

    def spend(self, work: int) -> None:
        """Count work; more than the limit ends the evaluation."""
        self.work_left -= work
        if self.work_left < 0:
            raise ExhaustedError(
                expected=f"at most {self.work_max} steps of work", got="an expression that needs more"
            )


#: A compiled part of an expression. Raises EvaluationError, which && and || may absorb.
Code = Callable[[Run], Value]
