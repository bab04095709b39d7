"""The run's results: one collector, written and printed at the end; and what all libraries are told first."""

import os
from collections.abc import Iterator

import pytest

from benchmarks.results import RESULTS_FILE, Figure, Results

# A library that takes threads gets one, as our own calls do, and OpenBLAS picks its kernels for the processor
# that is there, whatever the environment says of another. Both are read when a library is loaded, so here.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
    os.environ[name] = "1"

#: Peers are installed, imported and measured by `make bench-full` alone.
FULL = bool(os.environ.get("ONEVOICE_BENCH_FULL"))
collect_ignore_glob = [] if FULL else ["test_peers_*.py"]

_KEY: pytest.StashKey[Results] = pytest.StashKey()


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[Results]:
    collected = Results()
    request.config.stash[_KEY] = collected
    yield collected
    collected.write()


def hold(figure: Figure) -> None:
    """Fail with the figure's own words if its gate is missed."""
    row = figure.row()
    assert figure.passes, f"{figure.key}: {row} misses its gate {figure.gate} ({figure.better} is better)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    collected = config.stash.get(_KEY, None)
    if collected is None or not collected.figures:
        return
    terminalreporter.section("figures")
    for line in collected.table():
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"written to {RESULTS_FILE.name}")
