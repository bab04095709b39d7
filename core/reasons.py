"""The closed list of reason codes: why a decision came out as it did.

The order is part of the bundle and log formats: append, never reorder. `contract.md` names the codes;
`docs/decisions/0002-decision.md` says which step gives which.
"""

from typing import Final

REASONS: Final[tuple[str, ...]] = (
    "ok",
    "no_consent",
    "no_profile",
    "holdout",
    "not_eligible",
    "suppressed",
    "open_ticket",
    "capped",
    "brand_safety",
    "deadline",
    "overload",
    "stale",
    "no_content",
    "unknown_placement",
    "error",
)

INDEX: Final[dict[str, int]] = {code: index for index, code in enumerate(REASONS)}
