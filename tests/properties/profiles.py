"""How long the property tests look: briefly in every run, longer by hand."""

import os
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings

EXAMPLES: Final = os.environ.get("ONEVOICE_PROPERTY_EXAMPLES")


def examples(count: int) -> Callable[[Any], Any]:
    """Settings of a property test that runs `count` examples in CI.

    The same examples in every run there, so that a failure is the change's own; new ones each time by hand.
    """
    return settings(
        max_examples=int(EXAMPLES) if EXAMPLES else count,
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
