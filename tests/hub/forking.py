"""The real hub without its imports: a process that has loaded the hub's code and becomes one at a word.

Most of a hub's start is Python reading modules, and a test that kills twenty hubs need not wait for that.
Run as a program, this is the process that forks; as a module, it is what the test holds.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STOP_SECONDS = 15


class HubForks:
    """Starts hubs with one environment; each is a process of its own, which a test may kill."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.hub.forking"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=ROOT,
                text=True,
                start_new_session=True,
            )

    def spawn(self) -> int:
        """Start a hub; its process id."""
        return self._ask("start")

    def wait(self) -> int:
        """Wait for the end of the last one; its status as of `os.waitpid`."""
        return self._ask("wait")

    def close(self) -> None:
        """End; no hub is left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, word: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def serve() -> None:
    """Do as standard input says; what a hub prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from hub import server  # noqa: F401  (what takes the time)
    from hub.main import main

    child = 0
    for line in sys.stdin:
        if line.strip() == "start":
            child = os.fork()
            if child == 0:
                os._exit(main([]))
            print(child, file=answers, flush=True)
        else:
            print(os.waitpid(child, 0)[1], file=answers, flush=True)
            child = 0
    if child:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


if __name__ == "__main__":
    serve()
