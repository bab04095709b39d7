"""What the hub said of itself at Welcome, kept on disk for the workers."""

from pathlib import Path

import msgspec

from edge.logs import log


class HubKeys(msgspec.Struct, frozen=True):
    """What the hub said of itself at Welcome."""

    sealing_key: str  # hex


def read_hub_keys(path: Path) -> bytes | None:
    """The hub's sealing key, if it is known here."""
    try:
        return bytes.fromhex(msgspec.json.decode(path.read_bytes(), type=HubKeys).sealing_key)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, ValueError):
        log.warning("hub keys unreadable", path=path.name)
        return None
