"""The example's child processes: started in groups of their own, never outliving the supervisor.

Each child leads its own process group, so that a Ctrl-C in the terminal reaches the supervisor alone, which
then stops the children in order. Should the supervisor die without a word, the kernel sends each child the
signal that asks it to stop (leash.py).
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")
STOP_SECONDS_MAX = 10.0
KILL_SECONDS_MAX = 5.0
LOG_BYTES_MAX = 32 * 1024 * 1024
RESTARTS_MAX = 5
RESTART_WINDOW_SECONDS = 60.0


@dataclass
class Service:
    """One child process and how to start it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = False
    restarts: list[float] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start the process; its output goes to its log."""
        self.wanted = True
        rotate(self.log)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-IS", str(LEASH), str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**inherited(), **self.environment},
                start_new_session=True,
            )

    def ask_to_stop(self) -> None:
        self.wanted = False
        if self.running:
            self._signal(signal.SIGTERM)

    def wait_stopped(self, seconds: float = STOP_SECONDS_MAX) -> None:
        """Wait for the end of a process that was asked to stop; then end what is left of its group."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()

    def stop(self) -> None:
        self.ask_to_stop()
        self.wait_stopped()

    def kill(self) -> None:
        """End the whole group at once, as a power cut would."""
        if self.process is None:
            return
        self._signal(signal.SIGKILL)
        self.process.wait(KILL_SECONDS_MAX)

    def may_restart(self) -> bool:
        """Whether it has not died too often of late."""
        now = time.monotonic()
        self.restarts = [at for at in self.restarts if now - at < RESTART_WINDOW_SECONDS]
        return len(self.restarts) < RESTARTS_MAX

    def last_words(self, lines: int = 8) -> str:
        """The end of its log, for a person who wonders why it does not run."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def inherited() -> dict[str, str]:
    """The supervisor's environment without settings that are meant for somebody else's services."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ONEVOICE_")}


def rotate(log: Path) -> None:
    """Keep one former log when the current one has grown too large."""
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(".old.log"))
