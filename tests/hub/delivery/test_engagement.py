"""Opens and clicks: who made them, and that nothing of it is lost or told twice."""

import gzip
import json
from collections.abc import Sequence

import pytest

from core.events import Event
from hub.delivery.engagement import RULES, WAITING_MAX, Engagements, by_machine, link_text, target_of
from hub.delivery.machines import is_machine
from hub.errors import UnavailableError
from hub.store import counters, engagements, outbox
from hub.store.engagements import CLICK, OPEN, Seen
from hub.store.engine import Store
from hub.store.outbox import Message
from tests.hub.asyncs import run_async
from tests.shared import shared_data

SENT_MS = 1_000_000_000
LATER_MS = SENT_MS + 60_000


def message(number: int = 1) -> Message:
    return Message(
        f"{number:032x}", None, "cart", b"a" * 16, "email", "mail.main", "plain", "", SENT_MS, SENT_MS
    )._replace(state="sent", handed_over_at_ms=SENT_MS, offer="cart")


def seen(at_ms: int, kind: str = CLICK, place: int = 0, number: int = 1) -> Seen:
    return Seen(number, message().message_id, kind, at_ms, None, link_text(place, "https://x/"))


@pytest.mark.parametrize(
    ("row", "others", "machine"),
    [
        (seen(LATER_MS), (), False),
        (seen(LATER_MS, OPEN), (), False),
        (seen(SENT_MS + RULES.delivery_ms - 1), (), True),
        (seen(SENT_MS + RULES.delivery_ms - 1, OPEN), (), True),
        (seen(SENT_MS + RULES.delivery_ms), (), False),
        (seen(LATER_MS), (seen(LATER_MS + 100, place=1),), True),
        (seen(LATER_MS), (seen(LATER_MS - RULES.burst_ms, place=1),), True),
        (seen(LATER_MS), (seen(LATER_MS - RULES.burst_ms - 1, place=1),), False),
        (seen(LATER_MS), (seen(LATER_MS + 50, place=0),), False),
    ],
)
def test_a_machine_is_told_by_its_haste(row: Seen, others: Sequence[Seen], machine: bool) -> None:
    assert by_machine(row, message(), [row, *others], RULES) == machine


def test_what_belongs_to_no_message_was_no_person() -> None:
    assert by_machine(seen(LATER_MS), None, [seen(LATER_MS)], RULES)


@pytest.mark.parametrize("target", ["https://x/a b", "7 times", "", "https://x"])
def test_a_link_keeps_its_place_and_its_address(target: str) -> None:
    assert target_of(link_text(3, target)) == target


def test_an_outside_system_s_link_is_its_address() -> None:
    assert target_of("https://x/1") == "https://x/1"


@pytest.mark.parametrize(
    "agent",
    [
        "", "  ", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        "YahooMailProxy; https://help.yahoo.com", "Barracuda Sentinel (EE)",
        "Mozilla/5.0 (compatible; Mimecast)",
        "Mozilla/5.0 (compatible; Proofpoint URL Defense)", "curl/8.5.0", "python-requests/2.32",
    ],
)  # fmt: skip
def test_scanners_are_known_by_their_words(agent: str) -> None:
    assert is_machine(agent)


def test_crawlers_are_known_and_browsers_are_none() -> None:
    crawlers = json.loads(shared_data("user_agents/crawlers_dev.json").read_text(encoding="utf-8"))
    missed = [one for crawler in crawlers for one in crawler["instances"] if not is_machine(one)]
    assert missed == []
    lines = gzip.decompress(shared_data("user_agents/ua_dev.jsonl.gz").read_bytes()).splitlines()
    browsers = [json.loads(line) for line in lines]
    families = ("Chrome", "Firefox", "Safari", "Edge", "Opera")
    people = [
        one for one in browsers if one["family"] in families and "Preview" not in one["user_agent_string"]
    ]
    assert people
    assert [one["user_agent_string"] for one in people if is_machine(one["user_agent_string"])] == []


class Log:
    """An event log that can be away."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.away = False

    async def accept(self, events: Sequence[Event]) -> None:
        if self.away:
            raise UnavailableError
        self.events += events


async def put(store: Store, *rows: Message) -> None:
    await store.write(lambda connection: outbox.add(connection, rows))


async def verdicts(store: Store) -> list[tuple[str, bool | None]]:
    ids = [message().message_id]
    found = await store.read(lambda connection: engagements.of_messages(connection, ids))
    return [(row.kind, row.machine) for row in found]


@run_async
async def test_an_engagement_waits_over_a_restart_and_is_told_once(store: Store) -> None:
    log = Log()
    now = LATER_MS
    await put(store, message())
    first = Engagements(store, log.accept, lambda: now, "hub")
    first.note(CLICK, message().message_id, link_text(0, "https://x/"))
    first.note(OPEN, message().message_id)
    first.note(OPEN, message().message_id, machine=True)
    await first.stop()
    assert await verdicts(store) == [("click", None), ("open", None), ("open", True)]

    second = Engagements(store, log.accept, lambda: now, "hub")
    assert await second.judge() == 0, "too early"
    now += RULES.wait_ms
    log.away = True
    with pytest.raises(UnavailableError):
        await second.judge()
    assert await verdicts(store) == [("click", None), ("open", None), ("open", True)]
    log.away = False
    assert (await second.judge(), await second.judge()) == (2, 0)
    assert await verdicts(store) == [("click", False), ("open", False), ("open", True)]
    assert [(event.name, event.properties.get("link")) for event in log.events] == [
        ("Email Link Clicked", "https://x/"),
        ("Email Opened", None),
    ]
    assert {one.hash for event in log.events for one in event.identifiers} == {message().source_id}


@run_async
async def test_an_event_told_before_a_kill_has_the_same_id_after_it(store: Store) -> None:
    """Between log and verdict the hub may die; ingestion knows the event by its id."""
    log = Log()
    await put(store, message())
    one = Engagements(store, log.accept, lambda: LATER_MS, "hub")
    one.note(CLICK, message().message_id, link_text(0, "https://x/"))
    await one.flush()
    later = Engagements(store, log.accept, lambda: LATER_MS + RULES.wait_ms, "hub")
    judged = await store.read(lambda connection: later._look(connection, LATER_MS))
    told = [event for row, found, _ in judged for event in later._event(row, found)]
    await later.judge()
    assert [event.message_id for event in log.events] == [event.message_id for event in told]


@run_async
async def test_more_than_can_be_kept_is_counted(sqlite: Store) -> None:
    one = Engagements(sqlite, Log().accept, lambda: LATER_MS, "hub")
    for _ in range(WAITING_MAX + 3):
        one.note(OPEN, message().message_id, machine=True)
    await one.flush()
    counts = await sqlite.read(counters.read)
    assert (counts["engagements_dropped"], counts["machine_opens"]) == (3, WAITING_MAX)
