"""`decide --edge` against a real edge, beside `decide --hub`: the same answer to the byte."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from hub.cli.main import main
from tests.hub.catalogues import central
from tests.hub.cli.conftest import Command, point_at
from tests.hub.running import ROOT, HubProcess, fetch, until

SITE_KEY = "site-key-of-the-tests"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub of its own, as other tests say that no edge is connected to theirs."""
    folder = tmp_path_factory.mktemp("hub")
    for name, text in central().items():
        (folder / name).write_text(text, encoding="utf-8")
    with HubProcess(folder) as hub, pytest.MonkeyPatch.context() as patch:
        point_at(patch, hub)
        assert main(["publish", str(folder), "--as", "ben"]) == 0
        yield hub


@pytest.fixture(scope="module")
def edge(process: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real edge of the hub; its address."""
    folder = tmp_path_factory.mktemp("edge")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    keys = {
        "ONEVOICE_HUB_SIGNING_KEY": (process.folder / "keys" / "signing.pub").read_text().strip(),
        "ONEVOICE_EDGE_KEY": process.key("edge"),
        "ONEVOICE_IDENTIFIER_KEY": process.key("identifier"),
        "ONEVOICE_SERVER_KEYS": process.key("server"),
        "ONEVOICE_OPERATOR_KEYS": process.key("operator"),
        "ONEVOICE_SITE_KEYS": SITE_KEY,
        "ONEVOICE_ALLOW_TIME_TRAVEL": "true",
    }
    options = [
        "--edge-id",
        "eu",
        "--data-dir",
        str(folder / "edge-data"),
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    bare = {name: value for name, value in os.environ.items() if not name.startswith("ONEVOICE_")}
    with (folder / "edge.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "edge.main", *options, "--hub-address", process.target],
            env={**bare, **keys},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
    try:
        until(lambda: ready(port), "the edge's readiness")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(30)


def ready(port: int) -> bool:
    return fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200


def test_edge_and_hub_answer_the_same_to_the_byte(command: Command, edge: str, tmp_path: Path) -> None:
    person = f"id:{uuid4()}"
    assert command("consent", "set", person, "personalization", "granted").code == 0
    sequence = command("profile", "show", person, "--json").json["sequence"]
    until(lambda: sequence_of(command) >= sequence, "the profile on the edge")
    question = ["home.hero", "home.banner", "home.notice", "--person", person, "--trace", "--id", "same"]
    context = ["--context", "device=mobile", "--context", "country=DE", "--context", "temperature=21.5"]
    at = ["--at", str(time.time_ns() // 1_000_000)]
    answers = []
    for where in (["--edge", edge], ["--hub"]):
        result = command("decide", *where, *question, *context, *at, "--json")
        assert result.code == 0, result
        answers.append(result.json)
    assert json.dumps(answers[0]["decision"]) == json.dumps(answers[1]["decision"])
    assert [answer["node"] for answer in answers] == ["eu", "hub"]


def sequence_of(command: Command) -> int:
    edges = command("fleet", "--json").json["edges"]
    return max((edge["sequence"] for edge in edges if edge["connected"]), default=-1)


def test_what_an_edge_refuses_is_said_and_a_wrong_key_too(
    command: Command, edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = command("decide", "--edge", edge, "no.such", "--anonymous", str(uuid4()))
    assert unknown.code == 1
    assert unknown.err.startswith("onevoice: 404: expected a placement of the active bundle")
    monkeypatch.setenv("ONEVOICE_KEY", "not-a-key-of-this-edge")
    assert command("decide", "--edge", edge, "home.hero", "--anonymous", str(uuid4())).err.startswith(
        "onevoice: 401:"
    )
    nobody = command("decide", "--edge", "http://127.0.0.1:1", "home.hero", "--anonymous", str(uuid4()))
    assert nobody.err.startswith("onevoice: no edge answers at http://127.0.0.1:1")
