"""`core.assign_vs_*`: one unit's variant in one experiment, a call of ours beside a call of an SDK.

The hashes differ, and with them who gets what, so that shares are compared. Ours takes the unit key, 16
bytes; theirs take its text.
"""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from benchmarks.conftest import hold
from benchmarks.peers import assignment as peers
from benchmarks.peers.timing import sides_in_turns, version
from benchmarks.results import Figure, Results
from benchmarks.test_assign import MILLION
from core import bundle as b
from core.assignment import Experiments

UNITS, ROUNDS, ROUND_UNITS = 20_000, 100, 100
#: That many are timed: keys that do not fit the cache cost more than their hash.
TIMED = 2_000
#: Of 20,000 tosses of a coin: five standard errors.
SHARE_OFF_MAX = 0.018


@pytest.mark.parametrize(
    ("name", "package", "goal", "gate"),
    [
        ("eppo", "eppo-server-sdk", 1 / 8, 1 / 5),
        ("growthbook", "growthbook", 1 / 200, 1 / 100),
        ("unleash", "yggdrasil-engine", None, None),
    ],
)
def test_one_assignment_beside_an_sdk(
    results: Results, name: str, package: str, goal: float | None, gate: float | None
) -> None:
    variants = [b.Variant("a", MILLION // 2, None, {}), b.Variant("b", MILLION, None, {})]
    experiment = b.Experiment(peers.NAME, peers.NAME, "", 0, MILLION, MILLION, -1, [], variants)
    variant = Experiments([experiment], [], {}).variant

    def ours(keys: Sequence[bytes]) -> int | None:
        found = None
        for key in keys:
            found = variant(0, key)
        return found

    theirs = getattr(peers, name)()
    draw = random.Random(23)
    keys = [draw.randbytes(16) for _ in range(UNITS)]
    units = [key.hex() for key in keys]
    assert abs([ours([key]) for key in keys].count(0) / UNITS - 0.5) < SHARE_OFF_MAX
    found = [theirs([unit]) for unit in units]
    assert set(found) == {"a", "b"}
    assert abs(found.count("a") / UNITS - 0.5) < SHARE_OFF_MAX
    assert [theirs([unit]) for unit in units[:100]] == found[:100]
    times = sides_in_turns((ours, parts(keys)), (theirs, parts(units)), rounds=ROUNDS, size=1)
    ours_us, theirs_us = ([us / ROUND_UNITS for us in side] for side in times)
    notes = {"variants": 2, "peer": version(package)}
    title = f"{notes['peer']}, one call a unit"
    figure = Figure(f"core.assign_vs_{name}", "us", "lower", ours_us, theirs_us, title, goal, gate, notes)
    hold(results.add(figure))


def parts(units: Sequence[Any]) -> list[Sequence[Any]]:
    return [units[at : at + ROUND_UNITS] for at in range(0, TIMED, ROUND_UNITS)]
