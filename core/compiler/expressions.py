"""Every expression of a catalogue: parsed, checked, lowered into one set of tables, named as a rule."""

from collections.abc import Callable
from dataclasses import dataclass

from core import bundle
from core.authoring import Path
from core.authoring.types import Journey, Segment
from core.cel import ast
from core.cel.checker import check, references
from core.cel.environment import Environment, ExpressionFault
from core.cel.lowering import Lowering
from core.cel.parser import parse
from core.cel.tables import FALSE, TRUE, Planes, TableBuilder
from core.cel.typed import Typed, attributes_of
from core.compiler.attributes import Attributes
from core.compiler.generals import GeneralPart, GeneralParts
from core.compiler.work import OpenNames, Work
from core.errors import ExpressionError

#: Which planes of a rule decide; the other one only explains.
MATCHES = (True, False)
BLOCKS = (False, True)
BOTH = (True, True)
#: Nothing that a decision reads: only `match` and the trace do.
COLD = (False, False)


@dataclass(slots=True, frozen=True)
class _Named:
    """A rule before the tables are laid out."""

    path: Path
    text: str
    planes: Planes
    attributes: list[int]
    hot: tuple[bool, bool]


@dataclass(slots=True, frozen=True)
class Rules:
    """The laid-out rules: bundle objects in id order, the index by id, and where each was written."""

    items: list[bundle.Rule]
    index: dict[str, int]
    paths: list[Path]
    tables: bundle.Tables
    attribute_names: list[str]
    generals: list[GeneralPart]


class Expressions:
    """Compiles expressions as they come; `finish` lays out what they need."""

    def __init__(self, work: Work, attributes: Attributes) -> None:
        self._work = work
        self._attribute_names = [item.name for item in attributes.items]
        names: dict[str, tuple[int, int] | None] = {
            item.name: (at, item.type) for at, item in enumerate(attributes.items)
        }
        names.update(dict.fromkeys(attributes.malformed))
        self._environment = Environment(OpenNames(names) if work.unnamed["attributes"] else names)
        self._builder = TableBuilder()
        self._lowering = Lowering(self._builder)
        self._generals = GeneralParts(work)
        self._parsed: dict[str, ast.Node | ExpressionFault] = {}
        self._checked: dict[str, tuple[Typed | None, list[ExpressionFault]]] = {}
        self._rules: dict[str, _Named] = {}

    def add(self, rule: str, path: Path, text: str, hot: tuple[bool, bool]) -> None:
        """Compile one expression under a rule's id."""
        typed, faults = self._check(text)
        self._add_typed(rule, path, text, hot, typed, faults)
        if typed is not None:
            self._generals.add(path, typed, _named_by(self._parse(text)), decides=hot != COLD)

    def add_constant(self, rule: str, path: Path) -> None:
        """A rule that always holds, where the catalogue says nothing."""
        self._rules[rule] = _Named(path, "true", (TRUE, FALSE), [], MATCHES)

    def add_segments(self) -> None:
        """Compile the segments, those first that others name."""
        segments = dict.fromkeys(self._work.objects["segments"])
        self._environment.segments = OpenNames(segments) if self._work.unnamed["segments"] else segments
        for segment in _in_order(self._work, self._parse):
            path = (*self._work.paths["segments"][segment.id], "when")
            typed, faults = self._check(segment.when)
            self._environment.segments[segment.id] = typed
            tree = self._parse(segment.when)
            if isinstance(tree, ast.Node):
                self._environment.segment_trees[segment.id] = tree
            if typed is not None:
                self._generals.add_segment(segment.id, path, typed, _named_by(tree))
            self._add_typed(f"segment:{segment.id}", path, segment.when, MATCHES, typed, faults)

    def _add_typed(
        self,
        rule: str,
        path: Path,
        text: str,
        hot: tuple[bool, bool],
        typed: Typed | None,
        faults: list[ExpressionFault],
    ) -> None:
        for fault in faults:
            self._work.faults.add_inside(path, fault.line, fault.column, fault.expected, fault.got)
        if typed is None:
            return
        try:
            planes = self._lowering.planes(typed)
        except ExpressionError as error:
            self._work.faults.add(path, error.expected, error.got)
            return
        self._rules[rule] = _Named(path, text, planes, attributes_of(typed), hot)

    def _check(self, text: str) -> tuple[Typed | None, list[ExpressionFault]]:
        found = self._checked.get(text)
        if found is None:
            parsed = self._parse(text)
            found = (
                (None, [parsed]) if isinstance(parsed, ExpressionFault) else check(parsed, self._environment)
            )
            self._checked[text] = found
        return found

    def _parse(self, text: str) -> ast.Node | ExpressionFault:
        found = self._parsed.get(text)
        if found is None:
            try:
                found = parse(text)
            except ExpressionError as error:
                found = ExpressionFault(error.line, error.column, error.expected, error.got)
            self._parsed[text] = found
        return found

    def finish(self) -> Rules:
        """Lay out the tables; rules in id order."""
        hot: list[int] = []
        cold: list[int] = []
        for rule in self._rules.values():
            for ref, is_hot in zip(rule.planes, rule.hot, strict=True):
                (hot if is_hot else cold).append(ref)
        tables, final = self._builder.finish(hot, cold)
        names = sorted(self._rules)
        items = [
            bundle.Rule(name, final[rule.planes[0]], final[rule.planes[1]], rule.attributes, rule.text)
            for name, rule in ((name, self._rules[name]) for name in names)
        ]
        paths = [self._rules[name].path for name in names]
        index = {name: at for at, name in enumerate(names)}
        return Rules(items, index, paths, tables, self._attribute_names, self._generals.finish())


def compile_expressions(work: Work, attributes: Attributes) -> Rules:
    """Every expression of the catalogue."""
    expressions = Expressions(work, attributes)
    expressions.add_segments()
    for path, offer in work.ordered("offers"):
        if offer.eligibility is not None:
            expressions.add(f"eligibility:{offer.id}", (*path, "eligibility"), offer.eligibility, MATCHES)
        for at, weight in enumerate(offer.weights):
            expressions.add(f"weight:{offer.id}:{at}", (*path, "weights", at, "when"), weight.when, MATCHES)
    for path, rule in work.ordered("rules"):
        expressions.add(f"{rule.kind}:{rule.id}", (*path, "when"), rule.when, BLOCKS)
    for path, cap in work.ordered("caps"):
        if cap.when is not None:
            expressions.add(f"cap:{cap.id}", (*path, "when"), cap.when, BOTH)
    for path, experiment in work.ordered("experiments"):
        where = (*path, "eligibility")
        if experiment.eligibility is None:
            expressions.add_constant(f"experiment:{experiment.id}", where)
        else:
            expressions.add(f"experiment:{experiment.id}", where, experiment.eligibility, MATCHES)
    for path, journey in work.ordered("journeys"):
        _add_journey(expressions, path, journey)
    return expressions.finish()


def _add_journey(expressions: Expressions, path: Path, journey: Journey) -> None:
    """The conditions of a journey, which matches a person when they are definitely true."""
    name = f"journey:{journey.id}"
    if journey.when is not None:
        expressions.add(f"{name}:when", (*path, "when"), journey.when, COLD)
    for at, one in enumerate(journey.exits):
        if one.when is not None:
            expressions.add(f"{name}:exit:{at}", (*path, "exits", at, "when"), one.when, COLD)
    for number, step in enumerate(journey.steps):
        for at, branch in enumerate(step.branch):
            where = (*path, "steps", number, "branch", at, "when")
            expressions.add(f"{name}:{step.id}:{at}", where, branch.when, COLD)


def _in_order(work: Work, parse_text: Callable[[str], ast.Node | ExpressionFault]) -> list[Segment]:
    """Segments so that each comes after those it names. Circles are faults; their members are left out."""
    segments = work.objects["segments"]
    needs = {name: _named_by(parse_text(segments[name].when)) & segments.keys() for name in sorted(segments)}
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    missing = {name: len(below) for name, below in needs.items()}
    for name, below in needs.items():
        for one in sorted(below):
            dependents[one].append(name)
    ready = [name for name, count in missing.items() if count == 0]
    order: list[Segment] = []
    unsettled = dict.fromkeys(needs)
    while unsettled:
        circle = [] if ready else _circle(needs, unsettled)
        if circle:
            path = (*work.paths["segments"][circle[0]], "when")
            work.faults.add(
                path, "segments that do not go round in a circle", " -> ".join([*circle, circle[0]])
            )
        settled = circle or ready
        order += [segments[name] for name in ready]
        ready = []
        for name in settled:
            del unsettled[name]
        for name in settled:
            for dependent in dependents[name]:
                missing[dependent] -= 1
                if missing[dependent] == 0 and dependent in unsettled:
                    ready.append(dependent)
    return order


def _named_by(parsed: ast.Node | ExpressionFault) -> set[str]:
    return set() if isinstance(parsed, ExpressionFault) else references(parsed)


def _circle(needs: dict[str, set[str]], unsettled: dict[str, None]) -> list[str]:
    """A circle among segments of which each needs another one, from its smallest member on."""
    name = next(iter(unsettled))
    at: dict[str, int] = {}
    while name not in at:
        at[name] = len(at)
        name = min(needs[name] & unsettled.keys())
    circle = list(at)[at[name] :]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]
