"""Never twice, never silently lost: a real hub, killed inside its hand-offs, and a server that fails."""

import contextlib
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

from hub.cli.client import HubAddress, HubClient
from onevoice.v1 import fleet_pb2
from tests.hub.delivery import mail
from tests.hub.delivery.mail import CUT, Mailbox, mailbox
from tests.hub.forking import HubForks
from tests.hub.running import HubProcess, RunningHub, fetch, until

KILLS = 20
PEOPLE = 300
SEED = int(os.environ.get("ONEVOICE_KILL_SEED", "20261124"))
#: A kill leaves at most what was in flight in doubt.
IN_FLIGHT = 8


class Killer:
    """Kills the hub at the n-th visit of a phase of SMTP; before it is aimed nothing is taken."""

    def __init__(self) -> None:
        self.pid = 0
        self._aimed = False
        self._phase, self._left = "", 0

    def aim(self, pid: int, phase: str, visit: int) -> None:
        self.pid, self._phase, self._left, self._aimed = pid, phase, visit, True

    def __call__(self, phase: str, recipient: str) -> str | None:
        if not self._aimed:
            return "421 4.3.2 not open yet"
        if self.pid and phase == self._phase:
            self._left -= 1
            if self._left == 0:
                os.kill(self.pid, signal.SIGKILL)
                self.pid = 0
                # Killed before it was taken: it was not, and the connection is gone.
                return None if phase == "TAKEN" else "451 4.3.2 never read"
        return None


def test_a_hub_killed_inside_its_hand_offs_sends_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    killer = Killer()
    box = Mailbox(killer)
    with mailbox(box) as port, forking(tmp_path, port) as hubs:
        pid = hubs.spawn()
        with client_of(tmp_path) as client:
            mail.publish(client)
            # Everybody waits in the queue before the first kill, so that each kill finds somebody.
            mail.sign_up(client, range(PEOPLE))
            until(lambda: sum(mail.counts(client).values()) == PEOPLE, "the queue")
            killer.aim(pid, *next_point(draw))
        for _ in range(KILLS - 1):
            assert os.WTERMSIG(hubs.wait()) == signal.SIGKILL
            killer.aim(hubs.spawn(), *next_point(draw))
        hubs.wait()
        addresses(tmp_path).unlink()
        hubs.spawn()
        with client_of(tmp_path) as client:
            ends = ("sent", "in_doubt")
            until(
                lambda: sum(mail.counts(client).get(one, 0) for one in ends) == PEOPLE, f"ends, seed {SEED}"
            )
            sent, doubtful = mail.listed(client, "sent"), mail.listed(client, "in_doubt")
            assert mail.counts(client).keys() == {"sent", "in_doubt"}
        assert max(box.taken.values()) == 1, f"a message twice, seed {SEED}"
        assert max(box.recipients.values()) == 1, f"a person twice, seed {SEED}"
        assert sent.keys() <= box.taken.keys(), "sent, and nobody has it"
        assert box.taken.keys() <= sent.keys() | doubtful.keys(), "arrived, and nobody lists it"
        assert 0 < len(doubtful) <= KILLS * IN_FLIGHT
        assert {one.reason for one in doubtful.values()} == {"owner_gone"}
        assert box.taken.keys() & doubtful.keys(), "no kill fell between a 250 and its commit"


def next_point(draw: random.Random) -> tuple[str, int]:
    return draw.choice(["RCPT", "DATA", "TAKEN"]), draw.randint(1, 9)


@contextlib.contextmanager
def forking(folder: Path, port: int) -> Iterator[HubForks]:
    hubs = HubForks(HubProcess(folder, **mail.environment(port)).environment, folder / "hub.log")
    try:
        yield hubs
    finally:
        hubs.close()


def addresses(folder: Path) -> Path:
    return folder / "hub-data" / "addresses.json"


def client_of(folder: Path) -> HubClient:
    until(addresses(folder).exists, "the hub's start")
    target = json.loads(addresses(folder).read_text(encoding="utf-8"))["grpc"]
    key = (folder / "hub-data" / "keys" / "operator.key").read_text(encoding="utf-8").strip()
    return HubClient(HubAddress(target, key))


def faulty(visits: dict[str, int], phase: str, recipient: str) -> str | None:
    """By the person's number: what goes well, what is refused once or twice, what dies after its 250."""
    number = int(recipient.partition("@")[0].removeprefix("n"))
    visits[phase + recipient] = visit = visits.get(phase + recipient, 0) + 1
    match number % 6, phase:
        case 1, "RCPT":
            return "451 4.7.1 later" if visit == 1 else None
        case 2, "DATA":
            return "421 4.3.2 going down" if visit == 1 else None
        case 3, "RCPT":
            return "550 5.1.1 no such user"
        case 4, "TAKEN":
            return CUT
        case 5, "DATA":
            return "554 5.7.1 not this content"
    return None


def test_a_server_that_fails_in_every_way_leaves_each_message_in_its_state(tmp_path: Path) -> None:
    visits: dict[str, int] = {}
    box = Mailbox(lambda phase, recipient: faulty(visits, phase, recipient))
    people = range(36)
    with mailbox(box) as port, RunningHub(tmp_path, **mail.settings(port)) as hub, hub.client() as client:
        mail.publish(client)
        mail.sign_up(client, people)
        ends = ("sent", "failed", "in_doubt")
        until(lambda: sum(mail.counts(client).get(one, 0) for one in ends) == len(people), "every end")
        assert mail.counts(client) == {"sent": 18, "failed": 12, "in_doubt": 6}
        assert {one.reason for one in mail.listed(client, "in_doubt").values()} == {"no_answer"}
        assert {one.detail[:3] for one in mail.listed(client, "failed").values()} == {"550", "554"}
        assert set(box.recipients.values()) == {1}
        assert len(box.recipients) == 24
        retried = [one for one in mail.listed(client, "sent").values() if one.attempts > 1]
        assert len(retried) == 12


def test_a_server_that_is_away_delays_and_nothing_else(tmp_path: Path) -> None:
    box = Mailbox()
    with mailbox(box) as port:
        closed = port
    with RunningHub(tmp_path, **mail.settings(closed)) as hub, hub.client() as client:
        mail.publish(client)
        mail.sign_up(client, range(5))
        until(lambda: all_deferred(client), "five deferred messages")
        assert box.taken == {}
        until(lambda: hub_counts(client)["outbox.queued"] == 5, "the queue in the fleet's report")
        assert "onevoice_outbox_oldest_due_seconds" in fetch(f"{hub.http}/metrics")[1]


def all_deferred(client: HubClient) -> bool:
    waiting = mail.listed(client, "queued").values()
    return len(waiting) == 5 and {one.reason for one in waiting} == {"deferred"}


def hub_counts(client: HubClient) -> dict[str, int]:
    return dict(client.fleet.Status(fleet_pb2.StatusRequest(), timeout=30).hub.counts)
