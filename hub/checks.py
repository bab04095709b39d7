"""What the hub checks in a catalogue that the core cannot: when publishing, and in `onevoice validate`."""

from typing import Final

from hub.decisioning.compiling import Check
from hub.decisioning.time_zones import check_time_zone
from hub.delivery.email.check import check_templates

CATALOGUE_CHECKS: Final[tuple[Check, ...]] = (check_time_zone, check_templates)
