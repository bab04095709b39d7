"""Rules of the whole suite: what may be imported, and which skips an unattended run accepts."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Tests import `tests.…` and `examples.…`. The checkout goes to the END of the path, so that the debug copy of
# the packages (`make debug` puts it on PYTHONPATH) stays in front of the one in the checkout.
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

# An example takes its time: a build under the sanitizers, or a machine with other work, misses any deadline.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")

# Reasons that an unattended run (CI is set) accepts; any other skip there fails the session.
ACCEPTED_SKIPS = ("shared data absent: ",)

unexpected_skips: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    note_skip(report)


def note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(ACCEPTED_SKIPS):
        unexpected_skips.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if unattended() and unexpected_skips and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if unattended() and unexpected_skips:
        terminalreporter.section("skips that an unattended run does not accept", red=True)
        for line in unexpected_skips:
            terminalreporter.line(line)


def unattended() -> bool:
    return bool(os.environ.get("CI"))
