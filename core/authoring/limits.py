"""How many objects of each kind a catalogue may hold: what a bundle of bounded size and a decision in bounded
time can carry. Other limits stand beside what they limit."""

from typing import Final

from core.authoring.builtins import PURPOSES
from core.check import LIST_LENGTH_MAX, PURPOSES_MAX
from core.check_outbound import JOURNEYS_MAX

#: Segments and rules, each; every one of them is an expression.
RULES_MAX: Final = 200_000
OFFERS_MAX: Final = 100_000
OBJECTS_MAX: Final[dict[str, int]] = {
    "purposes": PURPOSES_MAX - len(PURPOSES),
    "segments": RULES_MAX,
    "rules": RULES_MAX,
    "offers": OFFERS_MAX,
    "journeys": JOURNEYS_MAX,
}
OTHER_OBJECTS_MAX: Final = LIST_LENGTH_MAX
