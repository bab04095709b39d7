"""Every catalogue of the examples compiles, and the core takes what comes out."""

from pathlib import Path

import pytest

from core.compiler import compile_catalogue
from core.decide import Engine
from hub.decisioning.authoring import read_catalogue
from tests.shared import ROOT

FOLDERS = ["shop/catalogue", "catalogues/complete_journey", "catalogues/online_retail"]


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


@pytest.mark.parametrize("folder", FOLDERS)
def test_catalogue_compiles_and_loads(folder: str) -> None:
    content, layout = compile_catalogue(read_catalogue(files_of(ROOT / "examples" / folder)), [])
    assert layout
    Engine(content, 1)
