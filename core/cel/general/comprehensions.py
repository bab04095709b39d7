"""The macros: `all exists exists_one filter map`, their forms with two variables, and `cel.bind`.

Each builds code from the code of its parts. `all` and `exists` absorb errors as && and || do; the others
do not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from core.cel.general.run import Code, Run
from core.cel.general.values import Map, Value, no_overload
from core.errors import EvaluationError

ONE_VARIABLE: Final = {
    "all": (2,),
    "exists": (2,),
    "exists_one": (2,),
    "existsOne": (2,),
    "filter": (2,),
    "map": (2, 3),
}
TWO_VARIABLES: Final = {
    "all": (3,),
    "exists": (3,),
    "exists_one": (3,),
    "existsOne": (3,),
    "transformList": (3, 4),
    "transformMap": (3, 4),
    "transformMapEntry": (3, 4),
}


@dataclass(slots=True, frozen=True)
class Loop:
    """Going over a list or map: its code, where its variables are kept, and the work of one round.

    With one slot it holds the entry or key; with two index and entry, or key and value.
    """

    source: Code
    slots: tuple[int, ...]
    work: int

    def rounds(self, run: Run) -> Iterator[Value]:
        """Set the variables for each entry in turn; yields the key or entry."""
        group = self.source(run)
        if type(group) is list:
            pairs: Iterator[tuple[Value, Value]] = iter(enumerate(group))
            single = 1
        elif type(group) is Map:
            pairs, single = group.items(), 0
        else:
            raise no_overload("a macro", group)
        for pair in pairs:
            run.spend(self.work)
            if len(self.slots) == 1:
                run.locals[self.slots[0]] = pair[single]
            else:
                run.locals[self.slots[0]], run.locals[self.slots[1]] = pair
            yield pair[single] if len(self.slots) == 1 else pair[0]


def holds(predicate: Code, run: Run) -> bool:
    """The outcome of a predicate, which must be a bool."""
    outcome = predicate(run)
    if type(outcome) is not bool:
        raise no_overload("a predicate", outcome)
    return outcome


def quantifier(loop: Loop, predicate: Code, decisive: bool) -> Code:
    """`all` (false decides) and `exists` (true decides)."""

    def code(run: Run) -> Value:
        failure: EvaluationError | None = None
        for _ in loop.rounds(run):
            try:
                if holds(predicate, run) is decisive:
                    return decisive
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return code


def exactly_one(loop: Loop, predicate: Code) -> Code:
    """`exists_one`."""
    return lambda run: sum([holds(predicate, run) for _ in loop.rounds(run)]) == 1


def filtered(loop: Loop, predicate: Code) -> Code:
    """`filter`: the entries of a list, or the keys of a map, that the predicate holds for."""
    return lambda run: [entry for entry in loop.rounds(run) if holds(predicate, run)]


def mapped(loop: Loop, predicate: Code | None, transform: Code) -> Code:
    """`map` and `transformList`."""
    return lambda run: [
        transform(run) for _ in loop.rounds(run) if predicate is None or holds(predicate, run)
    ]


def mapped_values(loop: Loop, predicate: Code | None, transform: Code) -> Code:
    """`transformMap`: the same keys (or indexes) with other values."""
    return lambda run: Map(
        [(key, transform(run)) for key in loop.rounds(run) if predicate is None or holds(predicate, run)]
    )


def mapped_entries(loop: Loop, predicate: Code | None, transform: Code) -> Code:
    """`transformMapEntry`: other entries, each given as a map."""

    def code(run: Run) -> Value:
        entries: list[tuple[Value, Value]] = []
        for _ in loop.rounds(run):
            if predicate is None or holds(predicate, run):
                made = transform(run)
                if type(made) is not Map:
                    raise no_overload("`transformMapEntry`", made)
                entries += made.items()
        return Map(entries)

    return code


def bound(slot: int, value: Code, body: Code) -> Code:
    """`cel.bind(name, value, body)`."""

    def code(run: Run) -> Value:
        run.locals[slot] = value(run)
        return body(run)

    return code


Transform = Callable[[Loop, Code | None, Code], Code]
TRANSFORMS: Final[dict[str, Transform]] = {
    "map": mapped,
    "transformList": mapped,
    "transformMap": mapped_values,
    "transformMapEntry": mapped_entries,
}


def comprehension(name: str, loop: Loop, parts: list[Code]) -> Code:
    """The code of a macro; `parts` are its arguments after the variables."""
    if name in TRANSFORMS:
        return TRANSFORMS[name](loop, parts[0] if len(parts) == 2 else None, parts[-1])
    if name == "filter":
        return filtered(loop, parts[0])
    if name in ("all", "exists"):
        return quantifier(loop, parts[0], name == "exists")
    return exactly_one(loop, parts[0])
