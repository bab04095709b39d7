"""The one place that knows where the shared data sets are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ABSENT = "shared data absent"


def shared_data(name: str) -> Path:
    """Return the folder or file of one shared data set; skip the calling test, by name, where it is absent.

    Parameters
    ----------
    name : path below the `data` folder, as in ``complete_journey`` or ``cel_conformance/basic.json``
    """
    path = shared_root() / "data" / name
    if not path.exists():
        pytest.skip(f"{ABSENT}: {name}")
    return path


def shared_root() -> Path:
    return (ROOT / os.environ.get("ONEVOICE_SHARED", "../shared")).resolve()
