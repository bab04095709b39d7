"""In which experiments and holdouts two unit keys of one person differ.

She was shown what one key was assigned, then what the other was: such experiments leave her out of their
analysis, and count her.
"""

from collections.abc import Sequence
from typing import Any

from core.assignment import Experiments
from core.bundle import BundleDocument
from hub.store.crossings import Crossing


def crossed(
    document: BundleDocument, unit_key: bytes, found: Sequence[Crossing], record: bytes | None = None
) -> list[dict[str, Any]]:
    """Each other key that a person was assigned by, since when, and what it assigned otherwise.

    Parameters
    ----------
    unit_key : of her profile now.
    found : the crossings of her sources.
    record : hers now: what it holds of sticky experiments assigns before any key does.
    """
    assignments = Experiments(document.experiments, document.holdouts, {})
    told = []
    for crossing in found:
        other = crossing.losing_key if crossing.losing_key != unit_key else crossing.winning_key
        told.append(
            {
                "unit_key": other.hex(),
                "at_ms": crossing.at_ms,
                "ended_ms": crossing.ended_ms,
                "experiments": [
                    experiment.id
                    for number, experiment in enumerate(document.experiments)
                    if assignments.variant(number, unit_key, record)
                    != assignments.variant(number, other, record)
                ],
                "holdouts": [
                    holdout.id
                    for number, holdout in enumerate(document.holdouts)
                    if assignments.is_held_out(number, unit_key) != assignments.is_held_out(number, other)
                ],
            }
        )
    return told
