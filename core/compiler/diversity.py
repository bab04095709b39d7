"""What offers are compared by, where a placement has diversity (docs/decisions/0010)."""

import math
from typing import Final

from core.authoring import Path, shown
from core.compiler.work import Work

#: With the limit of `core.authoring.types.Component`: squares neither vanish nor overflow.
COMPONENT_MIN: Final = 1e-6
COMPONENTS_SHOWN: Final = 4


def unit_vector(work: Work, path: Path, vector: list[float]) -> list[float]:
    """The vector at length 1; empty for none, and after a fault."""
    if not vector:
        return []
    if max(map(abs, vector)) < COMPONENT_MIN:
        expected = f"a direction: some number of at least {COMPONENT_MIN:g} in amount"
        work.faults.add(path, expected, shown(vector[:COMPONENTS_SHOWN]))
        return []
    total = 0.0
    for component in vector:
        total = total + component * component
    length = math.sqrt(total)
    return [component / length for component in vector]


def check_vectors(work: Work) -> None:
    """Vectors have as many numbers as the first one; there is one where a placement compares them."""
    with_vector = [(path, offer) for path, offer in work.ordered("offers") if offer.vector]
    for path, offer in with_vector[1:]:
        _, first = with_vector[0]
        if len(offer.vector) != len(first.vector):
            expected = f"{len(first.vector)} numbers, as in the vector of {first.id}"
            rests = [(*path, "vector"), *work.below("offers", first.id, "vector")]
            work.faults.add((*path, "vector"), expected, str(len(offer.vector)), of=rests)
    if with_vector:
        return
    for path, placement in work.ordered("placements"):
        if placement.diversity is not None and placement.diversity.by == "vector":
            by = (*path, "diversity", "by")
            expected = "`tags`, or offers with a `vector`"
            work.faults.add(by, expected, "no offer with one", of=[by, ("offers",)])
