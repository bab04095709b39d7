"""The core's own arithmetic, for Python callers; C callers use the functions of the .pxd."""

from core.mathx cimport exp_c


def exp(double x):
    """Return e to the x, the same bits on every machine (docs/decisions/0002-decision.md, "exp")."""
    return exp_c(x)
