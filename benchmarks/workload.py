"""The seeded workload of the core figures: 40 attributes, rules of 3 to 6 conditions, about 15 % matching.

Every rule exists three times, as CEL for our compiler and as Python and C for the generated baselines; all
see the same profile.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.compiler import Layout, compile_catalogue
from core.decide import Engine
from core.events import IMPRESSION, Consent, Event, Identifier
from core.fold import FoldPlan, State
from hub.decisioning.authoring import read_catalogue

NOW_MS = 1_790_000_000_000
WORDS = [
    f"{stem}-{number}"
    for stem in ("red", "blue", "green", "north", "south", "gold", "new", "old")
    for number in range(6)
]
PARTS = ("re", "o", "-", "l")
RULE_MATCH_SHARE = 0.15
IMPRESSIONS = 2

Profile = dict[str, Any]


class Test(NamedTuple):
    """A condition in three languages. C: `k_NAME` says whether the record holds the attribute, `NAME` is its
    number, its bool, or the index in WORDS of its string; `NAME_part` says whether it contains PARTS[part].
    """

    cel: str
    python: str
    holds: str  # C, definitely true
    fails: str  # C, definitely false


class Rule(NamedTuple):
    """A rule in three languages; the C expression is 1 where it is definitely true."""

    cel: str
    python: str
    c: str


def attribute_names(ints: int, floats: int, strings: int, bools: int) -> tuple[str, ...]:
    """Names whose first letter tells the type."""
    kinds = (("i", ints), ("f", floats), ("s", strings), ("b", bools))
    return tuple(f"{kind}{number}" for kind, count in kinds for number in range(count))


#: The core's workload, and the smaller one whose million profiles a disk of CI can hold.
FORTY = attribute_names(16, 10, 12, 2)
EIGHT = attribute_names(3, 2, 2, 1)


@dataclass(frozen=True)
class Workload:
    """Rules as CEL and Python text, profiles as dicts, and the engine that holds the rules."""

    rules: list[Rule]
    profiles: list[Profile]
    engine: Engine
    records: list[bytes]

    def generated(self) -> Callable[[Profile], list[int]]:
        """One Python function over all rules: what a careful team writes when it generates code."""
        names = [f"    {name} = p[{name!r}]" for name in FORTY]
        tests = [f"    if {rule.python}: out.append({index})" for index, rule in enumerate(self.rules)]
        source = "\n".join(["def match(p):", "    out = []", *names, *tests, "    return out"])
        scope: dict[str, Any] = {}
        exec(compile(source, "generated", "exec"), scope)
        function: Callable[[Profile], list[int]] = scope["match"]
        return function


def make_profile(draw: random.Random, names: Sequence[str] = FORTY) -> Profile:
    """One profile with a value for every attribute."""
    values: Profile = {}
    for name in names:
        match name[0]:
            case "i":
                values[name] = draw.randrange(1000)
            case "f":
                values[name] = round(draw.random() * 1000, 3)
            case "s":
                values[name] = draw.choice(WORDS)
            case _:
                values[name] = draw.random() < 0.5
    return values


def make_condition(draw: random.Random, likely: float, names: Sequence[str]) -> Test:
    """A condition that holds with probability near `likely` on a random profile."""
    name = draw.choice(names)
    match name[0], draw.randrange(3):
        case (("i" | "f"), 0):
            bound = int(1000 * likely)
            return _test(
                name, f"profile.{name} < {_literal(name, bound)}", f"{name} < {bound}", f"{name} < {bound}"
            )
        case (("i" | "f"), 1):
            low = draw.randrange(0, max(1, int(1000 * (1 - likely))))
            return between(name, low, low + int(1000 * likely))
        case (("i" | "f"), _):
            bound = int(1000 * (1 - likely))
            return _test(
                name, f"profile.{name} > {_literal(name, bound)}", f"{name} > {bound}", f"{name} > {bound}"
            )
        case "s", 0:
            word = draw.choice(WORDS)
            return _test(
                name, f'profile.{name} != "{word}"', f"{name} != {word!r}", f"{name} != {WORDS.index(word)}"
            )
        case "s", 1:
            part = draw.choice(PARTS)
            index = PARTS.index(part)
            return _test(name, f'profile.{name}.contains("{part}")', f"{part!r} in {name}", f"{name}_{index}")
        case "s", _:
            return one_of(name, draw.sample(WORDS, max(1, int(len(WORDS) * likely))))
        case _:
            holds = f"(k_{name} & {name})"
            return Test(f"(has(profile.{name}) && profile.{name})", name, holds, f"({holds} ^ 1)")


def between(name: str, low: int, high: int) -> Test:
    """A test of a number against two bounds, both included."""
    bounds = f"{_literal(name, low)} && profile.{name} <= {_literal(name, high)}"
    inside = f"({name} >= {low}) & ({name} <= {high})"
    return _test(name, f"profile.{name} >= {bounds}", f"{low} <= {name} <= {high}", inside)


def one_of(name: str, words: list[str]) -> Test:
    """A test whether a string is one of some WORDS; the C tests one bit of a mask."""
    listed = ", ".join(f'"{word}"' for word in words)
    mask = sum(1 << WORDS.index(word) for word in words)
    return _test(
        name, f"profile.{name} in [{listed}]", f"{name} in {set(words)!r}", f"({mask}ull >> {name}) & 1"
    )


def _literal(name: str, bound: int) -> str:
    return str(bound) if name[0] == "i" else f"{bound}.0"


def _test(name: str, cel: str, python: str, c: str) -> Test:
    return Test(cel, python, f"(k_{name} & ({c}))", f"(k_{name} & !({c}))")


def make_rule(draw: random.Random, names: Sequence[str] = FORTY) -> Rule:
    """A rule of 3 to 6 conditions: an AND, some of whose members are ORs or negated."""
    count = draw.randint(3, 6)
    likely = RULE_MATCH_SHARE ** (1 / count)
    members: list[Rule] = []
    while count > 0:
        if count >= 2 and draw.random() < 0.25:
            left, right = (make_condition(draw, likely * 0.6, names) for _ in range(2))
            members.append(
                Rule(
                    f"({left.cel} || {right.cel})",
                    f"({left.python} or {right.python})",
                    f"({left.holds} | {right.holds})",
                )
            )
            count -= 2
        elif draw.random() < 0.1:
            test = make_condition(draw, 1 - likely, names)
            members.append(Rule(f"!({test.cel})", f"not ({test.python})", test.fails))
            count -= 1
        else:
            test = make_condition(draw, likely, names)
            members.append(Rule(test.cel, test.python, test.holds))
            count -= 1
    cel, python, c = zip(*members, strict=True)
    return Rule(" && ".join(cel), " and ".join(python), " & ".join(c))


def catalogue_files(rules: Sequence[Rule], names: Sequence[str] = FORTY) -> dict[str, str]:
    """The rules as segments of a catalogue."""
    types = {"i": "int", "f": "float", "s": "string", "b": "bool"}
    lines = [
        "governance: {approvals: 1, people: [{id: bench, name: Bench, roles: [owner, publisher, approver]}]}",
        "attributes:",
    ]
    lines += [
        f"  - {{id: {name}, owner: bench, type: {types[name[0]]}, edge: true, source: {{trait: {name}}}}}"
        for name in names
    ]
    lines.append("segments:")
    for index, rule in enumerate(rules):
        lines += [f"  - id: r{index:06d}", "    owner: bench", "    when: >-", f"      {rule.cel}"]
    return {"bench.yaml": "\n".join(lines) + "\n"}


def profile_state(plan: FoldPlan, profile: Profile) -> State:
    """The folded state of a consented person with the profile's traits."""
    state = State()
    person = (Identifier("anon", bytes(16), True),)
    consent = Consent("personalization", "granted", "2026-11", "benchmark")
    state.apply(plan, Event("c", "consent", "", 0, 0, person, consent=consent), behaviour=True)
    state.apply(
        plan, Event("m", "identify", "Identify", NOW_MS, NOW_MS, person, traits=profile), behaviour=True
    )
    for number in range(IMPRESSIONS):
        shown = {"offer": f"offer-{7 * number}", "placement": "home.hero", "channel": "web"}
        at_ms = NOW_MS - number * 3_600_000
        event = Event(f"i{number}", "track", IMPRESSION, at_ms, NOW_MS, person, shown)
        state.apply(plan, event, behaviour=True)
    return state


def pack_profile(plan: FoldPlan, profile: Profile, layout_id: int) -> bytes:
    """A record of that state."""
    state = profile_state(plan, profile)
    return state.pack(layout_id=layout_id, sequence=1, packed_at_ms=NOW_MS, unit_key=bytes(16), known=False)


def make_workload(rule_count: int, profile_count: int, seed: int = 20261123) -> Workload:
    """Rules, profiles, engine and records of one seed."""
    draw = random.Random(seed)
    rules = [make_rule(draw) for _ in range(rule_count)]
    return prepared(rules, [make_profile(draw) for _ in range(profile_count)])


def prepared(rules: list[Rule], profiles: list[Profile]) -> Workload:
    """Rules compiled and profiles packed."""
    content, _ = compile_catalogue(read_catalogue(catalogue_files(rules)), Layout())
    engine = Engine(content, 1)
    layout_id = engine.document.layout_id
    records = [pack_profile(engine.fold_plan, profile, layout_id) for profile in profiles]
    return Workload(rules, profiles, engine, records)
