"""What a first start puts into the hub: the example's catalogue, and the sample shop."""

import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from examples import segment
from examples.shop import sample
from examples.shop.command import Command

Say = Callable[[str], None]

DRAIN_SECONDS_MAX = 170.0
POLL_SECONDS = 0.5


class FillError(Exception):
    """The sample shop could not be filled."""


def publish_first(command: Command, folder: Path, catalogue: Path, publisher: str, say: Say) -> None:
    """Publish the catalogue, unless something is active; a mark spares later starts the question."""
    done = folder / "published"
    if done.exists():
        return
    if not int(command.json("fleet")["hub"]["bundle_revision"]):
        command.json("publish", str(catalogue), "--as", publisher, "--wait")
        say("catalogue published")
    done.touch()


def fill(command: Command, folder: Path, customers: int, say: Say) -> None:
    """Import the sample shop, unless that was done before. It may be interrupted."""
    done = folder / "filled.json"
    if done.exists():
        return
    started = time.monotonic()
    count = import_sample(command, folder / "sample.ndjson", customers, say)
    await_ingested(command, say)
    seconds = time.monotonic() - started
    done.write_text(json.dumps({"customers": customers, "messages": count, "seconds": seconds}), "utf-8")
    say(f"sample shop filled in {seconds:.0f} s: {customers:,} invented customers, {count:,} messages")


def import_sample(command: Command, path: Path, customers: int, say: Say) -> int:
    """Generate the file, unless an interrupted start has left it; importing goes on where it stopped."""
    if not path.exists():
        say(f"inventing {customers:,} customers and a year of events")
        segment.write(path, sample.generate(customers, last_day()))
    with path.open("rb") as file:
        count = sum(1 for _ in file)
    command.show("events", "import", str(path))
    return count


def last_day() -> date:
    """Where the sample's year ends: a whole day ago at least, so that it is history and starts no journey."""
    return datetime.now(UTC).date() - timedelta(days=1)


def await_ingested(command: Command, say: Say) -> None:
    """Wait until every message of the log is in the profiles."""
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    said = time.monotonic()
    # Below zero: the hub could not ask its log.
    while pending := int(command.json("fleet")["hub"]["log_pending"]):
        if time.monotonic() > deadline:
            raise FillError(f"{pending} messages are not ingested after {DRAIN_SECONDS_MAX:.0f} s")
        if time.monotonic() - said > 2:
            say(f"folding events into profiles: {pending:,} batches to go")
            said = time.monotonic()
        time.sleep(POLL_SECONDS)
