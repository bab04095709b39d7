"""Become another program that dies with its parent: python -IS leash.py PARENT_PID PROGRAM ARGUMENTS...

Between fork and exec of a process with threads almost nothing is safe, so the request to the kernel is made
here, in a process of its own that then becomes the program. Only the standard library is at hand.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # It died before the request was made.
        sys.exit(1)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
