"""The mixed workload of `core.match_1000_mixed`: what real rule sets have beside plain tests."""

import random
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.workload import (
    FORTY,
    NOW_MS,
    WORDS,
    Profile,
    Rule,
    Workload,
    make_profile,
    make_rule,
    prepared,
)
from tests.oracle.evaluate import Error

MIXTURE: Final = {"absent": 0.2, "in_the_general_evaluator": 0.15, "large_sets": 0.1, "large_integers": 0.1}
#: A set of more than 63 strings, and an integer that no double holds.
LARGE_SET: Final = [*WORDS, *(f"far-{number}" for number in range(40))]
LARGE: Final = 2**53 + 1


def make_mixed(rule_count: int, profile_count: int, seed: int = 20261125) -> Workload:
    """A workload whose profiles lack attributes, and whose rules ask for more than plain tests do."""
    draw = random.Random(seed)
    rules = [mixed_rule(draw) for _ in range(rule_count)]
    return prepared(rules, [mixed_profile(draw) for _ in range(profile_count)])


def mixed_profile(draw: random.Random) -> Profile:
    profile = {
        name: value for name, value in make_profile(draw).items() if draw.random() >= MIXTURE["absent"]
    }
    for name in profile:
        if name[0] == "i" and draw.random() < MIXTURE["large_integers"]:
            profile[name] = LARGE + draw.randrange(-2, 3)
    return profile


def mixed_rule(draw: random.Random) -> Rule:
    """A rule, now and then with one condition more; its Python and C are not asked for."""
    cel = make_rule(draw).cel
    if draw.random() < MIXTURE["in_the_general_evaluator"]:
        cel += f" && {general_test(draw)}"
    if draw.random() < MIXTURE["large_sets"]:
        listed = ", ".join(f'"{word}"' for word in draw.sample(LARGE_SET, 70))
        cel += f" && profile.s{draw.randrange(12)} in [{listed}]"
    if draw.random() < MIXTURE["large_integers"]:
        cel += f" && profile.i{draw.randrange(16)} != {LARGE + draw.randrange(-2, 3)}"
    return Rule(cel, "", "")


def general_test(draw: random.Random) -> str:
    """A regular expression, a string that is made, or a list that is gone through: no table holds them."""
    one, other = draw.sample([name for name in FORTY if name[0] == "s"], 2)
    word, begin = draw.choice(WORDS), draw.choice(WORDS)[:2]
    return draw.choice(
        [
            f'profile.{one}.matches("^{begin[0]}|{begin}.*{word[-1]}$")',
            f'(profile.{one} + "/" + profile.{other}).contains("{begin[-1]}/{word[0]}")',
            f'[profile.{one}, profile.{other}].exists(text, text.startsWith("{begin[0]}") || size(text) < 5)',
            f'string(profile.i{draw.randrange(16)}).endsWith("{draw.randrange(10)}")',
        ]
    )


@dataclass(frozen=True)
class Seen:
    """What the oracle's expressions see of a profile."""

    profile: Profile
    now_ms: int = NOW_MS

    def read(self, scope: str, name: str) -> Any:
        return self.profile.get(name, Error(f"{scope}.{name} is absent"))

    def has(self, scope: str, name: str) -> bool:
        return scope == "profile" and name in self.profile
