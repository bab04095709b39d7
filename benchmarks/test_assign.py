"""`core.assign`: a unit's variants in 100 experiments, beside the same hash in C (`assign.c`).

Ours is one call from Python a unit, its list included; the C is one call for all units. A call for one
experiment alone is a note, since most of it is the call.
"""

import ctypes
import itertools
import random
import statistics
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.results import Figure, Results
from benchmarks.test_core import ROUNDS, time_calls_us
from core import bundle as b
from core.assignment import Experiments

EXPERIMENTS = 100
UNITS = 2_000
MILLION = 1_000_000
SOURCE = Path(__file__).with_name("assign.c")


class CExperiment(ctypes.Structure):
    """As in assign.c."""

    _fields_ = (
        ("traffic_salt", ctypes.c_char * 64),
        ("salt", ctypes.c_char * 64),
        ("traffic_size", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("traffic", ctypes.c_uint32),
        ("variants", ctypes.c_uint32),
        ("upper", ctypes.c_uint32 * 8),
    )


def make_experiments(draw: random.Random, count: int = EXPERIMENTS) -> list[b.Experiment]:
    """Names as people give them; every other one ramped up to 100 %, two to four variants."""
    made = []
    for number in range(count):
        arms = draw.randint(2, 4)
        variants = [b.Variant(f"v{at}", MILLION * (at + 1) // arms, None, {}) for at in range(arms)]
        name = f"{draw.choice(['home', 'checkout', 'newsletter'])}-{number}-{'x' * draw.randrange(12)}"
        traffic = MILLION if number % 2 else draw.randrange(MILLION)
        made.append(b.Experiment(name, name, "", 0, MILLION, traffic, -1, [], variants))
    return made


def in_c(experiments: list[b.Experiment], keys: list[bytes], folder: Path) -> Callable[[], list[int]]:
    """All units' variants in all experiments, unit by unit."""
    library = folder / "assign.so"
    compiler = str(sysconfig.get_config_var("CC")).split()[0]
    subprocess.run([compiler, "-O3", "-shared", "-fPIC", str(SOURCE), "-o", str(library)], check=True)
    run = ctypes.CDLL(str(library)).assign
    run.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_void_p)
    table = (CExperiment * len(experiments))()
    for row, one in zip(table, experiments, strict=True):
        row.salt, row.size = one.salt.encode(), len(one.salt) + 1
        row.traffic_salt, row.traffic_size = (
            f"{one.salt}:traffic".encode(),
            len(one.salt) + len(":traffic") + 1,
        )
        row.traffic = one.traffic
        row.upper[: len(one.variants)] = [variant.upper for variant in one.variants]
    joined, found = b"".join(keys), (ctypes.c_int32 * (len(keys) * len(experiments)))()

    def assign() -> list[int]:
        run(table, len(experiments), joined, len(keys), found)
        return found  # type: ignore[return-value]

    return assign


def test_variants_of_a_unit_in_a_hundred_experiments(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path
) -> None:
    draw = random.Random(11)
    made = make_experiments(draw)
    keys = [draw.randbytes(16) for _ in range(UNITS)]
    ours, limit = Experiments(made, [], {}), in_c(made, keys, tmp_path)
    expected = [-1 if one is None else one for key in keys for one in ours.variants(key)]
    assert list(limit()) == expected
    assert 0.1 < expected.count(-1) / len(expected) < 0.5

    turn = itertools.cycle(keys)
    benchmark(lambda: ours.variants(next(turn)))
    ours_us, c_us = [], []
    for _ in range(ROUNDS):  # taken in turns, so that noise falls on both
        ours_us += [one / EXPERIMENTS for one in time_calls_us(ours.variants, keys, 1)]
        started = time.perf_counter()
        limit()
        c_us.append((time.perf_counter() - started) / UNITS / EXPERIMENTS * 1e6)
    single_us = time_calls_us(lambda key: ours.variant(1, key), keys)
    hold(
        results.add(
            Figure(
                "core.assign",
                "us",
                "lower",
                ours_us,
                c_us,
                "the same hash in C, all units in one call",
                goal=1.5,
                gate=2.0,
                notes={"experiments": EXPERIMENTS, "single_call_us": round(statistics.median(single_us), 3)},
            )
        )
    )
