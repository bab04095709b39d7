"""What can be set about the hand-off."""

from dataclasses import dataclass, field
from typing import Final

SECOND_MS: Final = 1_000
HOUR_MS: Final = 3_600_000


@dataclass(frozen=True)
class DeliveryOptions:
    """`rates`: messages a second by channel, at most; a channel that is not named has no limit."""

    rates: dict[str, float] = field(default_factory=dict)
    #: Messages of a channel that are being handed over at once: the most that a kill leaves in doubt.
    in_flight: int = 8
    #: The first wait after a message was deferred; doubled each time, up to `retry_max_ms`.
    retry_first_ms: int = 30 * SECOND_MS
    retry_max_ms: int = HOUR_MS
    #: A message that could not be handed over for so long or so often is given up.
    age_max_ms: int = 48 * HOUR_MS
    attempts_max: int = 50
    #: An outside system that claimed a message and does not report it leaves it in doubt.
    report_ms: int = HOUR_MS
