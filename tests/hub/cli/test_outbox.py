"""`onevoice outbox` and the messages in `onevoice why`, against a hub that really sends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.cli.client import HubClient
from onevoice.v1 import decisions_pb2
from tests.hub.cli.conftest import Command, runner
from tests.hub.delivery import mail
from tests.hub.delivery.mail import CUT, Mailbox, mailbox
from tests.hub.running import KEYS, RunningHub, until

LOST, GOOD, BOUNCED = 0, 1, 2


class Server:
    """Loses the connection after it took the first message to LOST; refuses BOUNCED."""

    def __init__(self) -> None:
        self.lost = False

    def __call__(self, phase: str, recipient: str) -> str | None:
        if phase == "TAKEN" and recipient == mail.address(LOST) and not self.lost:
            self.lost = True
            return CUT
        return "550 5.1.1 no" if phase == "RCPT" and recipient == mail.address(BOUNCED) else None


@pytest.fixture(scope="module")
def box() -> Mailbox:
    return Mailbox(Server())


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory, box: Mailbox) -> Iterator[RunningHub]:
    """A hub whose three people each had their message."""
    folder = tmp_path_factory.mktemp("sending")
    with mailbox(box) as port, RunningHub(folder, **mail.settings(port)) as hub, hub.client() as client:
        mail.publish(client)
        mail.sign_up(client, range(3))
        until(lambda: mail.counts(client) == {"sent": 1, "failed": 1, "in_doubt": 1}, "three ends")
        yield hub


@pytest.fixture
def command(
    sending: RunningHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("ONEVOICE_HUB", sending.target)
    monkeypatch.setenv("ONEVOICE_KEY", KEYS["operator"])
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def test_why_shows_pages_and_messages_in_one_list(command: Command, sending: RunningHub) -> None:
    with sending.client() as client:
        ask(client)
    who = f"email:{mail.address(GOOD)}"
    found = command("why", who, "--json").json
    assert {one["placements"][0]["placement"] for one in found["decisions"]} == {"home", "mail.main"}
    (message,) = found["messages"]
    assert (message["state"], message["origin"], message["channel"]) == ("sent", "welcome", "email")
    assert message["decision_id"] in {one["decision_id"] for one in found["decisions"]}
    lines = command("why", who).out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert {head.split()[2] for head in heads} == {"decision", "message"}
    assert heads == sorted(heads, key=lambda head: head[:24], reverse=True)
    assert "  mail.main: sent" in lines
    assert not any(mail.address(GOOD) in line for line in lines)


def ask(client: HubClient) -> None:
    """A page asks for the same person."""
    request = decisions_pb2.DecideRequest(profile=f"id:c-{GOOD}", placements=["home"])
    client.decisions.Decide(request, timeout=30)


def test_why_says_what_a_provider_said(command: Command) -> None:
    out = command("why", f"email:{mail.address(BOUNCED)}").out
    assert "failed (rejected: the provider refused it for good)" in out
    assert "the provider said 550 5.1.1" in out


def test_a_list_has_states_and_counts(command: Command) -> None:
    found = command("outbox", "list", "--state", "sent", "--state", "failed", "--json").json
    assert sorted(one["state"] for one in found["messages"]) == ["failed", "sent"]
    assert (found["counts"]["sent"], found["counts"]["queued"]) == (1, 0)
    assert command("outbox", "list", "--channel", "sms", "--json").json["messages"] == []
    assert "sent 1" in command("outbox", "list").out


def test_a_doubt_is_listed_and_settled_once(command: Command, box: Mailbox, sending: RunningHub) -> None:
    (doubt,) = command("outbox", "doubtful", "--json").json["messages"]
    assert (doubt["state"], doubt["reason"], doubt["attempts"]) == ("in_doubt", "no_answer", 1)
    assert doubt["message_id"] in command("outbox", "doubtful").out
    settled = command("outbox", "resolve", doubt["message_id"], "resend", "--as", "ada")
    assert (settled.code, settled.out) == (0, f"{doubt['message_id']} is queued\n")
    with sending.client() as client:
        until(lambda: mail.counts(client).get("sent") == 2, "the message again")
    assert box.taken[doubt["message_id"]] == 2, "sent again by a person's word, under its old id"
    assert command("outbox", "doubtful").out == "no message is in doubt\n"
    again = command("outbox", "resolve", doubt["message_id"], "sent", "--as", "ada")
    assert again.code == 1
    assert "expected a message in doubt" in again.err
    (entry,) = [
        one for one in command("audit", "--json").json["entries"] if one["action"] == "outbox.resolve"
    ]
    assert (entry["who"], entry["subject"], entry["after"]) == ("ada", doubt["message_id"], "queued")


@pytest.mark.parametrize(
    "arguments",
    [
        ("outbox",),
        ("outbox", "resolve", "0" * 32),
        ("outbox", "resolve", "0" * 32, "maybe"),
        ("outbox", "list", "--state", "lost"),
    ],
)
def test_wrong_use_is_told(command: Command, arguments: tuple[str, ...]) -> None:
    assert command(*arguments).code == 2


def test_an_unknown_message_cannot_be_settled(command: Command) -> None:
    refused = command("outbox", "resolve", "0" * 32, "sent")
    assert refused.code == 1
    assert "expected a message of the outbox" in refused.err


def test_fleet_shows_the_queue(command: Command) -> None:
    counts = command("fleet", "--json").json["hub"]["counts"]
    assert {"outbox.queued", "outbox.oldest_due_seconds", "journeys.inside"} <= counts.keys()
