"""The run's results: one collector, written and printed at the end."""

from collections.abc import Iterator

import pytest

from benchmarks.results import RESULTS_FILE, Figure, Results

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
