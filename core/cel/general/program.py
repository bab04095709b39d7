"""A compiled expression, ready to be evaluated any number of times."""

from collections.abc import Mapping
from dataclasses import dataclass

from core.cel.general.run import Code, Run, Zones, no_zones
from core.cel.general.values import Value
from core.errors import EvaluationError, ExhaustedError


@dataclass(slots=True, frozen=True)
class Program:
    """Code, and how many places it needs for the variables of its macros."""

    code: Code
    slots: int

    def evaluate(self, variables: Mapping[str, Value], zones: Zones = no_zones) -> Value:
        """The value for these variables, by their full name.

        Raises
        ------
        EvaluationError
            CEL's error: a missing key, no such overload, a number out of its range.
        ExhaustedError
            It would take more than `run.WORK_MAX` steps, or compares values that are nested too deep.
        """
        try:
            return self.code(Run(variables, self.slots, zones))
        except RecursionError as error:
            raise ExhaustedError(
                expected="values nested less deep", got="lists in lists without end"
            ) from error
        except UnicodeError as error:
            raise EvaluationError("a text that is no Unicode") from error
