"""The time-zone database for expressions: the machine's, else that of the `tzdata` package."""

import functools
import zoneinfo
from datetime import tzinfo
from typing import Final

ZONES_KEPT: Final = 1_024


@functools.lru_cache(ZONES_KEPT)
def find_zone(name: str) -> tzinfo | None:
    """The zone of a name such as Europe/Berlin, None if there is none."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
