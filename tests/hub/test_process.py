"""The real `onevoice-hub`: start, stop, kill -9, restart, TLS, and what keeps it from starting."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from hub.cli.main import main
from hub.errors import SettingsError
from tests.hub.catalogues import central
from tests.hub.cli.conftest import Command, point_at, runner
from tests.hub.running import ROOT, HubProcess, RunningHub, fetch, until

STOPPED_CLEANLY = 0
LINES = 20_000


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def publish(hub: HubProcess, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Publish the small catalogue, which ben may do alone here."""
    point_at(monkeypatch, hub)
    folder.mkdir()
    for name, text in central().items():
        (folder / name).write_text(text)
    assert main(["publish", str(folder), "--as", "ben"]) == 0


def test_signals_stop_it_cleanly_and_it_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    with HubProcess(tmp_path) as hub:
        publish(hub, monkeypatch, tmp_path / "catalogue")
        assert command("consent", "set", "id:1", "personalization", "granted").code == 0
        for number in (signal.SIGTERM, signal.SIGINT):
            assert hub.stop(number) == STOPPED_CLEANLY
            hub.start()
        point_at(monkeypatch, hub)
        status = command("fleet", "--json").json["hub"]
        assert (status["bundle_revision"], status["profiles"]) == (1, 1)
        assert command("consent", "show", "id:1", "--json").json["changes"][0]["state"] == "granted"
        assert hub.log().count('"event": "hub stopped"') == 2
        assert '"level": "error"' not in hub.log()


def test_killed_in_the_middle_of_an_import_nothing_is_lost_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    path = tmp_path / "events.ndjson"
    with path.open("w") as file:
        for number in range(LINES):
            event = {"type": "track", "event": "Order Completed", "userId": f"u{number % 10}"}
            file.write(json.dumps({**event, "properties": {"revenue": 1, "number": number}}) + "\n")
    with HubProcess(tmp_path) as hub:
        publish(hub, monkeypatch, tmp_path / "catalogue")
        importing = subprocess.Popen(
            [sys.executable, "-m", "hub.cli.main", "events", "import", str(path)],
            env={**os.environ, "ONEVOICE_HUB": hub.target, "ONEVOICE_KEY": hub.key("operator")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        progress = tmp_path / "events.ndjson.progress"
        until(lambda: progress.exists() and json.loads(progress.read_bytes())["line"] > 0, "the first batch")
        assert hub.stop(signal.SIGKILL) == -signal.SIGKILL
        # The importer goes on trying; this test does not wait for it to give up.
        importing.kill()
        importing.wait(30)
        assert json.loads(progress.read_bytes())["line"] < LINES, "the import was over before the kill"
        hub.start()
        point_at(monkeypatch, hub)
        again = command("events", "import", str(path), "--json")
        assert (again.code, again.json["lines"]) == (0, LINES)
        until(lambda: orders(command) >= LINES, "every order in a profile")
        assert orders(command) == LINES


def orders(command: Command) -> int:
    found = (command("profile", "show", f"id:u{number}", "--json") for number in range(10))
    return sum(one.json["attributes"]["orders"] if one.code == 0 else 0 for one in found)


def test_probes_metrics_and_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command) -> None:
    with HubProcess(tmp_path) as hub:
        publish(hub, monkeypatch, tmp_path / "catalogue")
        assert fetch(f"{hub.http}/healthz") == (200, "ok\n")
        assert fetch(f"{hub.http}/readyz") == (200, '{"ready":true}')
        status, page = fetch(f"{hub.http}/")
        assert status == 200
        assert "Onevoice hub hub" in page
        assert "<script" not in page
        person = str(uuid4())
        assert command("consent", "set", f"email:{person}@example.com", "ads", "granted").code == 0
        assert command("decide", "--hub", "home.hero", "--person", f"email:{person}@example.com").code == 0
        assert json.loads(fetch(f"{hub.http}/status.json")[1])["hub"]["bundle_revision"] == "1"
        metrics = fetch(f"{hub.http}/metrics")[1]
        assert "onevoice_hub_bundle_revision 1.0" in metrics
        assert 'onevoice_hub_decisions_total{reason="no_consent"} 1.0' in metrics
        assert 'onevoice_hub_rpc_total{method="/onevoice.v1.Decisions/Decide",status="OK"} 1.0' in metrics
        status, body = fetch(f"{hub.http}/nothing")
        assert (status, json.loads(body)["error"]["code"]) == (404, "not_found")
        for text in (metrics, page, hub.log()):
            assert person not in text


def test_tls_is_spoken_with_the_certificate_of_certs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    assert command("certs", "--out", "c").code == 0
    files = {
        "ONEVOICE_TLS_CERTIFICATE": str(tmp_path / "c" / "hub.pem"),
        "ONEVOICE_TLS_KEY": str(tmp_path / "c" / "hub.key"),
        "ONEVOICE_GRPC_HOST": "0.0.0.0",
    }
    with HubProcess(tmp_path, **files) as hub:
        target = f"localhost:{hub.target.rpartition(':')[2]}"
        monkeypatch.setenv("ONEVOICE_KEY", hub.key("operator"))
        authority = str(tmp_path / "c" / "ca.pem")
        assert command("fleet", "--address", target, "--ca", authority).code == 0
        assert command("fleet", "--address", target).code == 1
        assert command("certs", "--out", "other").code == 0
        assert command("fleet", "--address", target, "--ca", str(tmp_path / "other" / "ca.pem")).code == 1


def test_a_folder_or_port_in_use_is_said(tmp_path: Path) -> None:
    with RunningHub(tmp_path) as hub:
        server = hub.server
        for folder, settings, message in (
            (tmp_path, {}, "ONEVOICE_DATA_DIR: expected a folder of its own"),
            (tmp_path / "a", {"grpc_port": server.grpc_port}, "ONEVOICE_GRPC_PORT: expected a free port"),
            (tmp_path / "b", {"http_port": server.http_port}, "ONEVOICE_HTTP_PORT: expected a free port"),
        ):
            with pytest.raises(SettingsError, match=message) as caught:
                RunningHub(folder, **settings).__enter__()
            assert caught.value.code == "in_use"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"user_token_keys": (Path("/no"),)}, "ONEVOICE_USER_TOKEN_KEYS: expected readable files"),
        (
            {"tls_certificate": Path("/no"), "tls_key": Path("/no")},
            "ONEVOICE_TLS_CERTIFICATE: expected readable",
        ),
    ],
)
def test_files_that_cannot_be_read_are_said(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        RunningHub(tmp_path, **settings).__enter__()
    assert caught.value.code == "settings"


def test_what_it_cannot_run_with_is_one_line_and_exit_2(tmp_path: Path) -> None:
    environment = {"ONEVOICE_DATA_DIR": str(tmp_path / "hub-data"), "ONEVOICE_GRPC_PORT": "http"}
    ended = subprocess.run(
        [sys.executable, "-m", "hub.main"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    expected = "a port from 0 to 65535, 0 for any free one"
    assert ended.stderr == f"onevoice-hub: ONEVOICE_GRPC_PORT: expected {expected}, got 'http'\n"
    assert not (tmp_path / "hub-data").exists()
