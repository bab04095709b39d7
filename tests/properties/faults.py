"""Catalogues that the compiler refuses for their size are no examples; any other refusal is a failure."""

from typing import Final

from hypothesis import assume

from core.authoring import CatalogueError
from tests.vectors.build import compiled
from tests.vectors.load import Json

#: Limits of one expression, which random ones may pass.
LIMITS: Final = (
    "an expression nested",
    "at most 10000 parts",
    "an expression of at most",
)


def compiles(catalogue: Json) -> None:
    """Compile; reject the example where an expression is too large."""
    try:
        compiled(catalogue)
    except CatalogueError as error:
        assume(not any(fault.expected.startswith(LIMITS) for fault in error.faults))
        raise
