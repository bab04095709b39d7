"""The LMDB environment of a snapshot: what it holds, how it is opened, and which one is current.

    records      profile id 16 -> profile record (docs/decisions/0001-record.md)
    identifiers  identifier hash 16 -> profile id 16
    meta         epoch, sequence u64, hub_time i64, `P` + journal id 16 -> position u64

`snapshots/current` names the folder of the current environment; a switch replaces that file.
"""

import struct
from pathlib import Path
from typing import Any, Final

import lmdb

from edge.errors import SnapshotDamagedError
from edge.folder import replace_file

RECORDS: Final = b"records"
IDENTIFIERS: Final = b"identifiers"
META: Final = b"meta"
META_EPOCH: Final = b"epoch"
META_SEQUENCE: Final = b"sequence"
META_HUB_TIME: Final = b"hub_time"
META_WATERMARK: Final = b"P"
U64: Final = struct.Struct("<Q")
READERS_MAX: Final = 256
POINTER: Final = "current"
ENVIRONMENT_PREFIX: Final = "env-"
ASIDE_PREFIX: Final = "aside-"
DATA_FILE: Final = "data.mdb"
#: Two meta pages of the smallest page size.
HEAD_BYTES_MIN: Final = 8192


def open_environment(
    path: Path, bytes_max: int, *, readonly: bool, new: bool = False, sync: bool = True
) -> lmdb.Environment:
    """Open an environment and check that its file holds every page that its meta page speaks of.

    A file cut short would answer a read with SIGBUS, so it is found here.

    Raises
    ------
    SnapshotDamagedError
        The file is missing, no LMDB environment, or cut short.
    """
    if not new:
        _check_there(path)
    try:
        env = lmdb.open(
            str(path),
            map_size=bytes_max,
            max_dbs=3,
            max_readers=READERS_MAX,
            max_spare_txns=2,
            readonly=readonly,
            create=new,
            readahead=False,
            sync=sync,
            metasync=sync,
            meminit=False,
        )
    except lmdb.Error as error:
        raise SnapshotDamagedError(
            expected="an LMDB environment", got=type(error).__name__, path=path.name
        ) from error
    try:
        _check_size(env, path)
    except BaseException:
        env.close()
        raise
    return env


def _check_there(path: Path) -> None:
    """LMDB takes an empty file for an environment to be made, and a truncated head it would read beyond the
    end.
    """
    data = path / DATA_FILE
    size = data.stat().st_size if data.exists() else 0
    if size < HEAD_BYTES_MIN:
        raise SnapshotDamagedError(
            expected=f"at least {HEAD_BYTES_MIN} bytes", got=f"{size} bytes", path=path.name
        )


def _check_size(env: lmdb.Environment, path: Path) -> None:
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    size = (path / DATA_FILE).stat().st_size
    if size < needed:
        raise SnapshotDamagedError(expected=f"{needed} bytes", got=f"{size} bytes", path=path.name)


def open_databases(env: lmdb.Environment, *, create: bool) -> tuple[Any, Any, Any]:
    """Handles of (records, identifiers, meta)."""
    try:
        names = (RECORDS, IDENTIFIERS, META)
        records, identifiers, meta = (env.open_db(name, create=create) for name in names)
    except lmdb.Error as error:
        raise SnapshotDamagedError(
            expected="the databases of a snapshot", got=type(error).__name__, path="snapshot"
        ) from error
    return records, identifiers, meta


def read_pointer(snapshots: Path) -> Path | None:
    """The current environment's folder, if there is one."""
    try:
        name = (snapshots / POINTER).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SnapshotDamagedError(
            expected="a folder name", got=type(error).__name__, path=POINTER
        ) from error
    if not name or "/" in name or name.startswith("."):
        raise SnapshotDamagedError(expected="a folder name", got="other text", path=POINTER)
    return snapshots / name


def write_pointer(snapshots: Path, environment: Path) -> None:
    """Make an environment the current one, durably."""
    replace_file(snapshots / POINTER, environment.name.encode("ascii"))


def remove_pointer(snapshots: Path) -> None:
    """No environment is current any more."""
    (snapshots / POINTER).unlink(missing_ok=True)
