"""Both public data sets, the whole way: converted, imported, ingested, folded, counted from the hub's SQL."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from core.bundle import BundleDocument, decode_bundle
from core.record import describe
from examples import complete_journey, online_retail, segment
from examples.shop.fill import await_ingested
from examples.shop.system import Options, System
from hub.store import profiles, revisions
from hub.store.engine import Store, sqlite_url
from tests.ports import free_ports
from tests.shared import ROOT, shared_data

PAGE = 2_000
#: Lines that are imported twice.
AGAIN = 3_000
SECONDS_MAX = 110.0

#: A profile's attributes, and whether the person is known by more than a device.
Person = tuple[dict[str, Any], bool]


class Imported:
    """A hub of its own that has taken in one converted data set."""

    def __init__(self, folder: Path, name: str, messages: Iterator[segment.Message]) -> None:
        options = Options(
            folder=folder / "run",
            ports=free_ports(),
            customers=0,
            catalogue=ROOT / "examples" / "catalogues" / name,
            publisher="erin",
            services=("hub",),
        )
        path = folder / f"{name}.ndjson"
        self.messages = segment.write(path, messages)
        beginning = folder / "beginning.ndjson"
        with path.open("rb") as lines:
            beginning.write_bytes(b"".join(islice(lines, AGAIN)))
        system = System(options, lambda text: None)
        system.start()
        try:
            started = time.monotonic()
            self.outcome = system.command.json("events", "import", str(path))
            await_ingested(system.command, lambda text: None)
            self.seconds = time.monotonic() - started
            self.hub = system.command.json("fleet")["hub"]
            self.again = system.command.json("events", "import", str(beginning))
            await_ingested(system.command, lambda text: None)
        finally:
            system.stop()
        self.people = list(read_people(options.folder / "hub" / "state.db"))

    def sum(self, name: str, *, known: bool | None = None) -> Any:
        values = (
            person.get(f"profile.{name}", 0) for person, is_known in self.people if known in (None, is_known)
        )
        return sum(value for value in values if value is not None)

    def count(self, name: str) -> int:
        """People of whom the attribute is anything but nothing."""
        return sum(1 for person, _ in self.people if person.get(f"profile.{name}"))


def read_people(database: Path) -> Iterator[Person]:
    store = Store(sqlite_url(database))
    try:
        with store.reading() as connection:
            document = active_document(connection)
            after = b""
            while page := profiles.page(connection, after, PAGE):
                after = page[-1].profile_id
                for profile in page:
                    yield describe(profile.record, document, int(time.time() * 1000)), profile.known
    finally:
        store.close()


def active_document(connection: Any) -> BundleDocument:
    revision = revisions.last_revision(connection)
    assert revision is not None
    submission = revisions.get_submission(connection, revision.content_hash)
    assert submission is not None
    return decode_bundle(submission.content)


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    messages = complete_journey.convert(shared_data("complete_journey"))
    return Imported(tmp_path_factory.mktemp("journey"), "complete_journey", messages)


@pytest.fixture(scope="module")
def retail(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    messages = online_retail.convert(shared_data("online_retail"))
    return Imported(tmp_path_factory.mktemp("retail"), "online_retail", messages)


@pytest.mark.timeout(SECONDS_MAX)
def test_journey_arrives_whole(journey: Imported, capsys: pytest.CaptureFixture[str]) -> None:
    report(journey, "Complete Journey", capsys)
    assert (journey.outcome["accepted"], journey.outcome["rejected"]) == (journey.messages, 0)
    assert journey.hub["quarantined"] == 0
    assert journey.sum("lines") == 75_000
    assert journey.count("orders") == 2_377
    assert journey.sum("orders") == 47_243


def test_journey_campaigns_coupons_and_demographics_match(journey: Imported) -> None:
    assert journey.sum("campaigns_addressed") == 6_589
    assert journey.count("campaigns_addressed") == 1_559
    assert (
        len({campaign for person, _ in journey.people for campaign in person.get("profile.campaigns") or ()})
        == 27
    )
    assert journey.sum("coupons_redeemed") == 2_102
    assert journey.count("coupons_redeemed") == 410
    assert journey.count("age") == 801


@pytest.mark.timeout(SECONDS_MAX)
def test_retail_arrives_whole(retail: Imported, capsys: pytest.CaptureFixture[str]) -> None:
    report(retail, "Online Retail", capsys)
    assert (retail.outcome["accepted"], retail.outcome["rejected"]) == (retail.messages, 0)
    assert retail.hub["quarantined"] == 0
    assert retail.sum("lines") == 525_461
    assert retail.sum("lines", known=False) == 107_927
    assert sum(known for _, known in retail.people) == 4_383
    invoices = retail.sum("orders") + retail.sum("cancellations") + retail.sum("adjustments")
    assert invoices == 28_816


def test_retail_money_matches_to_the_penny(retail: Imported) -> None:
    # Each profile holds its sum in exact millionths; only this addition is in floating point.
    assert round(retail.sum("net_revenue"), 3) == 9_539_484.634


@pytest.mark.parametrize("name", ["journey", "retail"])
def test_importing_again_changes_nothing(name: str, request: pytest.FixtureRequest) -> None:
    imported: Imported = request.getfixturevalue(name)
    assert (imported.again["accepted"], imported.again["duplicates"]) == (0, AGAIN)


def report(imported: Imported, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        rate = imported.messages / imported.seconds
        print(
            f"\n{name}: {imported.messages:,} messages imported and folded in {imported.seconds:.1f} s,",
            end=" ",
        )
        print(f"{rate:,.0f} a second, {len(imported.people):,} profiles")
