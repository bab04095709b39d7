"""The time zones that a catalogue names must be ones that this machine knows."""

import zoneinfo

from core.authoring import Catalogue, Faults, shown
from core.compiler.outbound import TIME_ZONE


def check_time_zone(catalogue: Catalogue, faults: Faults) -> None:
    """Note a time zone that the database of time zones lacks; one of another form is the core's fault."""
    name = catalogue.settings.time_zone
    if TIME_ZONE.fullmatch(name) and not is_time_zone(name):
        faults.add(("settings", "time_zone"), "a time zone of the IANA database", shown(name))


def is_time_zone(name: str) -> bool:
    """Say whether the database has a zone of this name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
