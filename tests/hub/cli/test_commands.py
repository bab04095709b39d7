"""Every command against a real hub process."""

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hub.cli.events import _readable
from tests.hub.catalogues import changed, small_files
from tests.hub.cli.conftest import Command, Result
from tests.hub.running import HubProcess, until


def write(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def publish(command: Command, folder: Path, files: dict[str, str]) -> int:
    """Publish and approve; the revision."""
    waiting = command("publish", write(folder, files), "--as", "ada", "--json")
    assert waiting.code == 0, waiting
    approved = command("approve", waiting.json["content_hash"], "--as", "ben", "--wait", "--json")
    assert approved.code == 0, approved
    return int(approved.json["revision"])


def test_publish_approve_rollback_and_audit(command: Command, tmp_path: Path) -> None:
    before = command("fleet", "--json").json["hub"]
    text = f"value: Returns are free {uuid4()}}}"
    revision = publish(command, tmp_path / "new", changed("blocks.yaml", "value: Free returns}", text))
    assert revision == before["bundle_revision"] + 1
    again = command("publish", str(tmp_path / "new"), "--as", "ada", "--wait")
    assert again.code == 0
    assert f"is active already as revision {revision}" in again.out
    back = command("rollback", "--wait")
    assert back.code == 0
    assert f"{before['bundle_hash'][:12]} is active as revision {revision + 1}" in back.out
    assert "no edge is connected" in back.out
    entry = command("audit", "--count", "1", "--json").json["entries"][0]
    assert (entry["who"], entry["action"]) == ("key:operator", "catalogue.rollback")
    assert "catalogue.rollback" in command("audit").out
    assert command("rollback", "999").code == 1


def test_a_broken_catalogue_is_refused_and_the_active_one_stays(command: Command, tmp_path: Path) -> None:
    before = command("fleet", "--json").json["hub"]["bundle_revision"]
    files = changed("offers.yaml", "profile.orders_90d >= 1", "profile.nonsense >= 1")
    folder = write(tmp_path / "broken", files)
    result = command("publish", folder, "--as", "ada", "--wait")
    assert result.code == 1
    assert f"{folder}/offers.yaml:" in result.out
    assert "expected " in result.out
    assert "profile.nonsense" in result.out
    assert command("fleet", "--json").json["hub"]["bundle_revision"] == before


def test_who_may_not_publish_is_refused(command: Command, tmp_path: Path) -> None:
    files = changed("blocks.yaml", "value: We care", "value: You care")
    result = command("publish", write(tmp_path / "new", files), "--as", "ada")
    assert result.code == 1
    assert "changes to blocks notice-generic" in result.err
    as_json = command("publish", str(tmp_path / "new"), "--as", "nobody", "--json")
    assert as_json.json["error"]["code"] == "forbidden"


def test_waiting_for_approvals_is_not_active(command: Command, tmp_path: Path) -> None:
    files = changed("blocks.yaml", "value: Free returns}", f"value: {uuid4()}}}")
    result = command("publish", write(tmp_path / "new", files), "--as", "ada", "--wait")
    assert result.code == 1
    assert "waiting for 1 approval(s): onevoice approve " in result.out


def test_a_person_from_consent_to_erasure(command: Command, tmp_path: Path) -> None:
    person = f"id:{uuid4()}"
    assert command("profile", "show", person).code == 1
    granted = command("consent", "set", person, "personalization", "granted", "--text-version", "v3")
    assert granted.code == 0
    shown = command("consent", "show", person)
    assert "personalization granted (text v3, onevoice command line, hub)" in shown.out
    decided = command(
        "decide",
        "--hub",
        "home.banner",
        "home.notice",
        "--person",
        person,
        "--context",
        "country=DE",
        "--trace",
    )
    assert decided.code == 0
    assert "bundle revision" in decided.out
    assert "home.banner: " in decided.out
    as_json = command("decide", "--hub", "home.banner", "--person", person, "--json").json
    assert set(as_json) == {"decision", "node", "took_us"}
    reason = command("why", person, "--count", "2")
    assert reason.code == 0
    assert f"decision {as_json['decision']['id']} by hub" in reason.out
    assert "bundle revision" in reason.out
    assert "profile sequence" in reason.out
    assert "consent: personalization granted on " in reason.out
    found = command("why", person, "--placement", "home.banner", "--json").json["decisions"]
    assert len(found) == 2
    assert {one["placement"] for row in found for one in row["placements"]} == {"home.banner"}
    profile = command("profile", "show", person, "--json").json
    assert profile["consents"]["personalization"]["state"] == "granted"
    assert "consents:" in command("profile", "show", person).out
    out = tmp_path / "export.json"
    assert command("export", person, "--out", str(out)).code == 0
    assert json.loads(out.read_text())["profile"]["id"] == profile["id"]
    assert command("export", person, "--json").json["consents"][0]["purpose"] == "personalization"
    assert command("erase", person).code == 0
    assert command("profile", "show", person).code == 1
    assert command("why", person).out == "no decision about this person is logged\n"
    audit = command("audit", "--json").json["entries"]
    assert [entry["action"] for entry in audit if entry["subject"] == profile["id"]] == [
        "profile.erase",
        "profile.export",
        "profile.export",
    ]


def test_profiles_are_merged_split_and_their_history_told(command: Command, tmp_path: Path) -> None:
    device, customer, other = f"anon:{uuid4()}", f"id:{uuid4()}", f"email:{uuid4()}@example.com"
    for who in (device, customer, other):
        assert command("consent", "set", who, "personalization", "granted").code == 0
    message = {
        "type": "identify",
        "userId": customer.partition(":")[2],
        "anonymousId": device.partition(":")[2],
    }
    assert command("decide", "--hub", "home.banner", "--person", device).code == 0
    (tmp_path / "log-in").write_text(json.dumps(message) + "\n")
    assert imported(command("events", "import", "log-in", "--json")) == (1, 0, 0)
    until(lambda: len(shown(command, customer)["identifiers"]) == 2, "the device with the customer")
    known = shown(command, customer)
    assert [one["type"] for one in known["identifiers"]] == ["id", "anon"]
    (crossing,) = known["crossed"]
    assert (crossing["ended"], known["unit_key"] != crossing["unit_key"]) == (None, True)
    assert len(command("why", customer, "--json").json["decisions"]) == 1, "made before she was known"

    merged = command("profile", "merge", other, customer)
    assert merged.code == 0
    assert f"is now part of profile {known['id']} (an edge knows once its sequence" in merged.out
    assert len(shown(command, other)["identifiers"]) == 3
    split = command("profile", "split", other, "--json")
    assert split.json["profile_id"] == known["id"]
    assert split.json["other_profile_id"] == shown(command, other)["id"]
    assert command("profile", "split", customer, "--source", device).code == 0
    assert shown(command, device)["crossed"][0]["ended"] is not None
    assert len(command("why", device, "--json").json["decisions"]) == 1

    entries = command("profile", "history", customer, "--json").json["entries"]
    what = [entry["what"] for entry in entries]
    assert (sorted(what[:2]), what[2:]) == (["consent", "created"], ["merged", "merged", "split", "split"])
    assert [entry.get("who") for entry in entries[-4:]] == [None, *["key:operator"] * 3]
    assert entries == sorted(entries, key=lambda entry: entry["at_ms"])
    told = command("profile", "history", customer).out.splitlines()
    assert "consent: personalization granted as of" in told[what.index("consent")]
    assert f"#{entries[2]['number']} merged: profile " in told[2]
    assert told[4].endswith("by key:operator")
    assert other.partition(":")[2] not in "".join(told), "nobody learns another person's address here"
    again = command("profile", "split", customer, "--merge", str(entries[2]["number"]))
    assert again.code == 1
    assert "expected a merge of the person that stands" in again.err
    audit = command("audit", "--json").json["entries"]
    assert [entry["action"] for entry in audit[:3]] == ["profile.split", "profile.split", "profile.merge"]


def shown(command: Command, who: str) -> Any:
    return command("profile", "show", who, "--json").json


def test_a_user_token_comes_from_a_file_or_standard_input(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(" a.b.c\n")
    asked = ("decide", "--hub", "home.banner", "--json", "--user-token-file")
    from_file = command(*asked, "token")
    monkeypatch.setattr("sys.stdin", io.StringIO("a.b.c\n"))
    from_input = command(*asked, "-")
    for refused in (from_file, from_input):
        assert refused.code == 1
        assert refused.json["error"]["code"] == "user_token"
        assert "a.b.c" not in refused.out + refused.err


def test_fleet_shows_the_hub(command: Command) -> None:
    result = command("fleet")
    assert result.code == 0
    assert result.out.startswith("hub hub: revision ")
    assert "no edges yet" in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["decide", "--hub", "no.such", "--person", "id:1"], "expected a placement of the active catalogue"),
        (["decide", "--hub", "home.hero", "--anonymous", "x"], "expected a UUID"),
        (["profile", "show", "id:nobody"], "expected a person with a profile"),
        (["export", "id:nobody"], "expected a person with a profile"),
        (["approve", "0" * 64, "--as", "ben"], "expected a submitted content hash"),
        (["approve", "xyz", "--as", "ben"], "expected a content hash of 64 hex digits"),
        (["profile", "merge", "id:nobody", "id:nobody"], "expected a person with a profile"),
        (["profile", "split", "id:nobody"], "expected a person with a profile"),
        (["profile", "history", "id:nobody"], "expected a person with a profile"),
        (["events", "quarantine", "--release", "nothing"], "expected one of"),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_exit_1(
    command: Command, arguments: list[str], message: str
) -> None:
    result = command(*arguments)
    assert result.code == 1
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    as_json = command(*arguments, "--json")
    assert as_json.code == 1
    assert as_json.json["error"]["status"]


def test_a_wrong_key_is_said(command: Command, monkeypatch: pytest.MonkeyPatch, process: HubProcess) -> None:
    monkeypatch.setenv("ONEVOICE_KEY", "not-a-key-of-this-hub")
    assert "expected a known key" in command("fleet").err
    monkeypatch.setenv("ONEVOICE_KEY", process.key("edge"))
    assert "expected a key of role operator" in command("fleet").err


def test_the_running_example_of_the_folder_is_found(
    command: Command, monkeypatch: pytest.MonkeyPatch, process: HubProcess, tmp_path: Path
) -> None:
    monkeypatch.delenv("ONEVOICE_HUB")
    monkeypatch.delenv("ONEVOICE_KEY")
    (tmp_path / ".run").mkdir()
    addresses = {"hub_grpc": process.target, "keys": {"operator": process.key("operator")}, "ca": ""}
    (tmp_path / ".run" / "addresses.json").write_text(json.dumps(addresses))
    assert command("fleet").code == 0
    # The example's key goes to no other hub.
    assert "no key" in command("fleet", "--address", "127.0.0.1:1").err


def events(count: int, seed: str) -> list[dict[str, object]]:
    return [
        {
            "type": "track",
            "event": "Order Completed",
            "userId": f"{seed}-{number % 10}",
            "timestamp": "2026-11-01T10:00:00Z",
            "properties": {"revenue": 10.0, "order": number},
            **({"messageId": f"{seed}-{number}"} if number % 2 else {}),
        }
        for number in range(count)
    ]


def write_events(path: Path, found: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in found), encoding="utf-8")


def orders(command: Command, seed: str) -> int:
    """Orders in all profiles of an import."""
    total = 0
    for number in range(10):
        result = command("profile", "show", f"id:{seed}-{number}", "--json")
        total += result.json["attributes"].get("orders", 0) if result.code == 0 else 0
    return total


def imported(result: Result) -> tuple[int, int, int]:
    assert result.code == 0, result
    return result.json["accepted"], result.json["duplicates"], result.json["rejected"]


def test_import_takes_every_line_once_and_sets_aside_what_it_cannot(command: Command, tmp_path: Path) -> None:
    seed = str(uuid4())
    path = tmp_path / "events.ndjson"
    write_events(path, events(2_000, seed))
    with path.open("a") as file:
        file.write('{not json}\n\n[1]\n{"type": "track", "userId": "x"}\n')
        file.write('{"type": "track", "event": "x", "userId": "' + "x" * 70_000 + '"}\n')
        file.write(json.dumps(events(1, f"{seed}-last")[0]))
    assert imported(command("events", "import", str(path), "--json")) == (2_001, 0, 4)
    aside = [json.loads(line) for line in (tmp_path / "events.ndjson.aside").read_text().splitlines()]
    assert [one["line"] for one in aside] == [2001, 2003, 2004, 2005]
    assert aside[2]["path"] == "$.event"
    assert aside[0]["text"] == "{not json}"
    until(lambda: orders(command, seed) == 2_000, "every order in a profile")
    # Once more: it goes on behind the last line; from the start, each is known.
    assert imported(command("events", "import", str(path), "--json")) == (2_001, 0, 4)
    assert imported(command("events", "import", str(path), "--restart", "--json")) == (0, 2_001, 4)
    # A file that has grown goes on where it ended.
    with path.open("a") as file:
        file.write("\n" + json.dumps(events(1, f"{seed}-more")[0]) + "\n")
    assert imported(command("events", "import", str(path), "--json"))[0] == 1
    assert orders(command, seed) == 2_000


def test_two_files_that_begin_alike_are_told_apart_by_their_lines(command: Command, tmp_path: Path) -> None:
    seed = str(uuid4())
    first, second = events(3, seed), events(3, seed)
    second[2]["properties"] = {"revenue": 11.0}
    for name, found in (("one", first), ("two", second)):
        write_events(tmp_path / name, [{k: v for k, v in one.items() if k != "messageId"} for one in found])
    assert imported(command("events", "import", "one", "--json")) == (3, 0, 0)
    assert imported(command("events", "import", "two", "--json")) == (1, 2, 0)


def test_unknown_events_are_kept_aside_and_released_by_a_catalogue_that_knows_them(
    command: Command, tmp_path: Path
) -> None:
    name, person = f"Unheard {uuid4()}", str(uuid4())
    assert command("consent", "set", f"id:{person}", "analytics", "granted").code == 0
    write_events(tmp_path / "f", [{**events(1, person)[0], "userId": person, "event": name}])
    assert imported(command("events", "import", "f", "--json")) == (1, 0, 0)

    def kept() -> list[dict[str, object]]:
        found = command("events", "quarantine", "--count", "1000", "--bodies", "--json").json["events"]
        return [one for one in found if one["name"] == name]

    until(lambda: len(kept()) == 1, "the event in quarantine")
    body = kept()[0]["body"]
    assert isinstance(body, dict)
    assert body["properties"]["revenue"] == 10.0
    assert name in command("events", "quarantine", "--count", "1000").out
    declared = f"  - {{name: {name}, owner: ada}}\n"
    attribute = f"  - {{id: heard, owner: ada, type: int, source: {{events: [{name}], function: count}}}}\n"
    files = changed("events.yaml", "events:\n", f"events:\n{declared}")
    files = changed("attributes.yaml", "attributes:\n", f"attributes:\n{attribute}", files)
    publish(command, tmp_path / "new", files)
    released = command("events", "quarantine", "--release", "unknown_name", "--json").json["released"]
    assert released >= 1
    assert kept() == []
    assert command("profile", "show", f"id:{person}", "--json").json["attributes"]["heard"] == 1
    assert command("rollback").code == 0
    publish(command, tmp_path / "back", small_files())


def test_bytes_that_are_no_event_are_shown_as_hex() -> None:
    assert _readable(b"\xff\x00") == "ff00"
