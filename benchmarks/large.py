"""Rule sets of 10,000 and 100,000: the thousand of `core.match_1000`, and many more that cannot match.

The further rules are what fills large sets in practice: each is aimed at few people, by a narrow range of a
number or one town of 5,000, and has two to five ordinary conditions beside it. None of them matches any
profile of the workload, so how many match stays what it is with a thousand. They are put into the compiled
bundle as tables, for parsing 100,000 expressions would take longer than a benchmark may.
"""

import random
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.workload import FORTY, PARTS, WORDS, Profile, Workload
from core import bundle as b
from core.decide import Engine

AIMED: Final = [name for name in FORTY if name[0] != "b"]
TOWNS: Final = [f"town-{number}" for number in range(5_000)]
#: Of the width of all values that a number has.
NARROW: Final = 2
LIKELY: Final = 0.6


class Aim(NamedTuple):
    """A condition of a further rule: a number within bounds, or a string that is one of some or contains
    one.
    """

    name: str
    low: int = 0
    high: int = 0
    words: tuple[str, ...] = ()
    part: bool = False

    def holds(self, profile: Profile) -> bool:
        value = profile[self.name]
        if self.part:
            return self.words[0] in value
        return value in self.words if self.words else self.low <= value <= self.high


@dataclass
class Growing:
    """A bundle's tables, growing by rules."""

    document: b.BundleDocument
    conditions: list[b.Condition] = field(default_factory=list)
    nodes: list[b.Node] = field(default_factory=list)
    rules: list[b.Rule] = field(default_factory=list)
    known: dict[Aim, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.attributes = {item.name: at for at, item in enumerate(self.document.attributes)}
        self.conditions = list(self.document.tables.conditions)
        self.formulas: list[tuple[list[list[Aim]], str]] = []

    def literal(self, aim: Aim) -> int:
        """The literal of a condition, which is added if it is new."""
        index = self.known.get(aim)
        if index is None:
            index = self.known[aim] = len(self.conditions)
            attribute = self.attributes[f"profile.{aim.name}"]
            if aim.words:
                op = b.OP_CONTAINS if aim.part else b.OP_STRING_IN
                made = b.Condition(op, attribute, strings=list(aim.words))
            else:
                key = b.float_key if aim.name[0] == "f" else int
                made = b.Condition(b.OP_RANGE, attribute, key(aim.low), key(aim.high))
            self.conditions.append(made)
        return 2 * index

    def finish(self, rules: list[list[list[Aim]]]) -> bytes:
        """The bundle with further rules, each an AND of ORs, both planes."""
        tables = self.document.tables
        literals = [[[self.literal(aim) for aim in clause] for clause in rule] for rule in rules]
        first, before = 2 * len(self.conditions), 2 * len(tables.conditions)

        def moved(ref: int) -> int:
            return ref if ref < before else ref - before + first

        self.nodes = [b.Node(node.op, [moved(ref) for ref in node.inputs]) for node in tables.nodes]
        self.rules = [
            msgspec.structs.replace(rule, true_ref=moved(rule.true_ref), false_ref=moved(rule.false_ref))
            for rule in self.document.rules
        ]
        every = list(range(len(self.attributes)))
        for number, rule in enumerate(literals):
            true = self.node(b.NODE_AND, [self.node(b.NODE_OR, clause) for clause in rule])
            false = self.node(
                b.NODE_OR, [self.node(b.NODE_AND, [ref + 1 for ref in clause]) for clause in rule]
            )
            self.rules.append(b.Rule(f"segment:x{number:06d}", true, false, every, "..."))
        made = b.Tables(self.conditions, self.nodes, len(self.nodes))
        return b.encode_bundle(msgspec.structs.replace(self.document, tables=made, rules=self.rules))

    def node(self, op: int, refs: list[int]) -> int:
        if len(refs) == 1:
            return refs[0]
        self.nodes.append(b.Node(op, refs))
        return 2 * len(self.conditions) + len(self.nodes) - 1


def narrow(draw: random.Random) -> Aim:
    """A condition that few people meet."""
    name = draw.choice(AIMED)
    if name[0] == "s":
        return Aim(name, words=(draw.choice(TOWNS),))
    low = draw.randrange(1000)
    return Aim(name, low, low + draw.randrange(NARROW))


def ordinary(draw: random.Random) -> Aim:
    """A condition that most people meet."""
    name = draw.choice(AIMED)
    if name[0] != "s":
        low = draw.randrange(int(1000 * (1 - LIKELY)))
        return Aim(name, low, low + int(1000 * LIKELY))
    if draw.random() < 0.5:
        return Aim(name, words=(draw.choice(PARTS),), part=True)
    return Aim(name, words=tuple(sorted(draw.sample(WORDS, int(len(WORDS) * LIKELY)))))


def further_rules(draw: random.Random, count: int, profiles: list[Profile]) -> list[list[list[Aim]]]:
    """Rules of 3 to 6 conditions that no profile meets, some conditions joined by OR."""
    values = {name: sorted(profile[name] for profile in profiles) for name in AIMED}
    rules: list[list[list[Aim]]] = []
    while len(rules) < count:
        aim = narrow(draw)
        clauses = [[aim]]
        left = draw.randint(2, 5)
        while left > 0:
            size = 2 if left >= 2 and draw.random() < 0.25 else 1
            clauses.append([ordinary(draw) for _ in range(size)])
            left -= size
        met = not aim.words and bisect_left(values[aim.name], aim.low) < bisect_right(
            values[aim.name], aim.high
        )
        if not met or not any(meets(clauses, profile) for profile in profiles):
            rules.append(clauses)
    return rules


def meets(clauses: list[list[Aim]], profile: Profile) -> bool:
    return all(any(aim.holds(profile) for aim in clause) for clause in clauses)


def grown(work: Workload, rule_count: int, seed: int = 20261124) -> Any:
    """An engine with the rules of a workload, and further ones up to a number."""
    rules = further_rules(random.Random(seed), rule_count - len(work.rules), work.profiles)
    return Engine(Growing(work.engine.document).finish(rules), 1)
