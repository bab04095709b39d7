"""One running example and one browser for the whole story."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.story.harness import Fleet, Visitor

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Hub, two edges, shop and mailbox, by the code of `make run`, with a small sample shop."""
    fleet = Fleet(tmp_path_factory.mktemp("story"))
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium: install it to run the browser tests (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(fleet: Fleet, browser: Browser) -> Iterator[Visitor]:
    """Somebody who comes for the first time, on a desktop."""
    visitor = Visitor(fleet, browser)
    yield visitor
    visitor.close()
    assert not visitor.errors
