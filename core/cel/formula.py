"""Three-valued formulas in negation normal form, between the typed expression and the tables.

`&&`, `||` and `!` over errors are Kleene's logic, which keeps De Morgan's laws, so negation moves down to
the tests. A choice (`?:`) does not: it is an error if its condition is, whatever its results are; it stays
a node of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from core import bundle
from core.cel import ranges
from core.cel.tables import FALSE, TRUE, Planes, TableBuilder, Test


@dataclass(slots=True, frozen=True, eq=False)
class Formula:
    pass


@dataclass(slots=True, frozen=True, eq=False)
class Fixed(Formula):
    """True, false, or None: an error."""

    value: bool | None


@dataclass(slots=True, frozen=True, eq=False)
class Leaf(Formula):
    test: Test
    negated: bool = False


@dataclass(slots=True, frozen=True, eq=False)
class Join(Formula):
    """AND or OR (`core.bundle.NODE_AND`, `NODE_OR`)."""

    op: int
    terms: tuple[Formula, ...]


@dataclass(slots=True, frozen=True, eq=False)
class Choice(Formula):
    condition: Formula
    yes: Formula
    no: Formula


@dataclass(slots=True, frozen=True, eq=False)
class Shared(Formula):
    """A segment: its nodes are referred to, not copied."""

    formula: Formula
    negated: bool = False


ERROR: Final = Fixed(None)


def fixed(value: bool) -> Fixed:
    return Fixed(value)


def join(op: int, terms: Sequence[Formula]) -> Formula:
    """AND or OR: flattened, constants absorbed, tests of one attribute merged where the errors stay the
    same."""
    absorbing = op == bundle.NODE_OR
    flat: list[Formula] = []
    for term in terms:
        flat += term.terms if isinstance(term, Join) and term.op == op else [term]
    values = {term.value for term in flat if isinstance(term, Fixed)}
    if absorbing in values:
        return Fixed(absorbing)
    kept = _merge(op, [term for term in flat if not isinstance(term, Fixed)])
    if None in values:
        kept.append(ERROR)
    if not kept:
        return Fixed(not absorbing)
    return kept[0] if len(kept) == 1 else Join(op, tuple(kept))


def choose(condition: Formula, yes: Formula, no: Formula) -> Formula:
    if isinstance(condition, Fixed):
        return ERROR if condition.value is None else yes if condition.value else no
    return Choice(condition, yes, no)


def share(formula: Formula, negated: bool) -> Formula:
    """A segment's formula inside another one; a constant goes in as it is."""
    if isinstance(formula, Fixed):
        return ERROR if formula.value is None else Fixed(formula.value != negated)
    return Shared(formula, negated)


def _merge(op: int, terms: list[Formula]) -> list[Formula]:
    """Join the tests of one attribute. All of them are errors together (when it is missing), so nothing
    else changes."""
    groups: dict[tuple[object, ...], list[Leaf]] = {}
    merged: list[Formula] = []
    for term in terms:
        if isinstance(term, Leaf):
            apart = _MERGERS.get(term.test.op) is None
            key = (term.test.order(),) if apart else (term.test.op, term.test.attribute)
            groups.setdefault((*key, term.negated), []).append(term)
        else:
            merged.append(term)
    leaves: list[Formula] = []
    for leaves_of_one in groups.values():
        first = leaves_of_one[0]
        merge = _MERGERS.get(first.test.op)
        if merge is None or len(leaves_of_one) == 1:
            leaves.append(first)
            continue
        # `!a && !b` is `!(a || b)`: what is joined under the negation is the dual.
        widen = (op == bundle.NODE_OR) != first.negated
        leaves += [Leaf(test, first.negated) for test in merge([leaf.test for leaf in leaves_of_one], widen)]
    return leaves + merged


def _merge_ranges(tests: list[Test], widen: bool) -> list[Test]:
    found = [(test.low, test.high) for test in tests]
    if widen:
        found = ranges.union(found)
    else:
        low, high = max(low for low, _ in found), min(high for _, high in found)
        found = [(low, high) if low <= high else ranges.EMPTY]
    return [tests[0]._replace(low=low, high=high) for low, high in found]


def _merge_strings(tests: list[Test], widen: bool) -> list[Test]:
    sets = [set(test.strings) for test in tests]
    joined = set.union(*sets) if widen else set.intersection(*sets)
    return [tests[0]._replace(strings=tuple(sorted(joined)))] if joined else tests


def _merge_any(tests: list[Test], widen: bool) -> list[Test]:
    return _merge_strings(tests, widen) if widen else tests


_MERGERS: Final[dict[int, Callable[[list[Test], bool], list[Test]]]] = {
    bundle.OP_RANGE: _merge_ranges,
    bundle.OP_STRING_IN: _merge_strings,
    bundle.OP_ANY_IN: _merge_any,
}


class Planner:
    """Brings formulas into the tables, each one once."""

    def __init__(self, builder: TableBuilder) -> None:
        self._builder = builder
        self._known: dict[
            int, tuple[Formula, Planes]
        ] = {}  # by identity; the formula is kept so that its id stays its own

    def planes(self, formula: Formula) -> Planes:
        found = self._known.get(id(formula))
        if found is None:
            found = self._known[id(formula)] = (formula, self._planes(formula))
        return found[1]

    def _planes(self, formula: Formula) -> Planes:
        match formula:
            case Leaf(test=test, negated=negated):
                literal = self._builder.literal(test)
                return (literal + 1, literal) if negated else (literal, literal + 1)
            case Fixed(value=value):
                return {True: (TRUE, FALSE), False: (FALSE, TRUE), None: (FALSE, FALSE)}[value]
            case Join():
                return self._joined(formula)
            case Choice():
                return self._chosen(formula)
            case Shared(formula=inner, negated=negated):
                true, false = self.planes(inner)
                self._builder.keep_whole(true)
                self._builder.keep_whole(false)
                return (false, true) if negated else (true, false)
        raise AssertionError(formula)

    def _joined(self, formula: Join) -> Planes:
        planes = [self.planes(term) for term in formula.terms]
        true, false = (true for true, _ in planes), (false for _, false in planes)
        if formula.op == bundle.NODE_AND:
            return self._builder.conjunction(true), self._builder.disjunction(false)
        return self._builder.disjunction(true), self._builder.conjunction(false)

    def _chosen(self, formula: Choice) -> Planes:
        holds, fails = self.planes(formula.condition)
        yes, no = self.planes(formula.yes), self.planes(formula.no)
        both = [
            self._builder.disjunction(
                (
                    self._builder.conjunction((holds, yes[plane])),
                    self._builder.conjunction((fails, no[plane])),
                )
            )
            for plane in (0, 1)
        ]
        return both[0], both[1]
