"""Run a program that dies with its parent: `python bound_child.py PARENT_PID PROGRAM ARGUMENT...`.

Executed as a file in an interpreter of its own, because what `preexec_fn` runs between fork and exec of a
process with threads may hang. Linux sends the signal when the starting *thread* ends: start it from one that
lasts.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    # The parent may have died before the request was heard.
    if os.getppid() != parent:
        sys.exit("the starting process is gone")
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main()
