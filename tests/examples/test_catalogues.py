"""Every catalogue of the examples compiles, and the core takes what comes out."""

from pathlib import Path

import pytest

from core.bundle import decode_bundle
from core.compiler import compile_catalogue
from core.decide import Engine
from hub.decisioning.authoring import read_catalogue
from tests.shared import ROOT
from tests.story.added_journey import ADDED_FILE, ADDED_JOURNEY

FOLDERS = ["shop/catalogue", "catalogues/complete_journey", "catalogues/online_retail"]


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml"))}


def test_the_shop_takes_a_journey_more_by_one_file() -> None:
    files = files_of(ROOT / "examples" / "shop" / "catalogue")
    content, _ = compile_catalogue(read_catalogue({**files, ADDED_FILE: ADDED_JOURNEY}), [])
    journeys = decode_bundle(content).outbound.journeys
    assert [journey.id for journey in journeys] == ["cart-abandonment", "welcome"]
    assert [step.duration_ms for step in journeys[1].steps] == [1_000, 0]


@pytest.mark.parametrize("folder", FOLDERS)
def test_catalogue_compiles_and_loads(folder: str) -> None:
    content, layout = compile_catalogue(read_catalogue(files_of(ROOT / "examples" / folder)), [])
    assert layout
    Engine(content, 1)
