"""One evaluation under way: what names mean, and how much work is left."""

from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Final

from core.cel.general.values import Value
from core.errors import ExhaustedError

#: Operations, list entries looked at and characters made by one evaluation.
WORK_MAX: Final = 2_000_000

#: The time zone of a name such as Europe/Berlin, None if there is none. The core reads no files of its own.
Zones = Callable[[str], tzinfo | None]


def no_zones(name: str) -> tzinfo | None:
    """For evaluations without a time-zone database: UTC and offsets such as +02:00 still work."""
    return None


class Run:
    """The state that the parts of a program share while it runs."""

    __slots__ = ("locals", "variables", "work_left", "zones")

    def __init__(self, variables: Mapping[str, Value], slots: int, zones: Zones) -> None:
        self.variables = variables
        self.locals: list[Value] = [None] * slots
        self.zones = zones
        self.work_left = WORK_MAX

    def spend(self, work: int) -> None:
        """Count work; more than the limit ends the evaluation."""
        self.work_left -= work
        if self.work_left < 0:
            raise ExhaustedError(
                expected=f"at most {WORK_MAX} steps of work", got="an expression that needs more"
            )


#: A compiled part of an expression. Raises EvaluationError, which && and || may absorb.
Code = Callable[[Run], Value]
