"""A real `onevoice-hub` process, and the command line against it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hub.cli.main import main
from tests.hub.catalogues import SMALL
from tests.hub.running import HubProcess


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        # A hub in the same process logs to the same output.
        return json.loads(self.out.splitlines()[-1])


Command = Callable[..., Result]


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub for the commands, with the small catalogue active."""
    with HubProcess(tmp_path_factory.mktemp("hub")) as hub:
        with pytest.MonkeyPatch.context() as patch:
            point_at(patch, hub)
            assert main(["publish", str(SMALL), "--as", "ada", "--json"]) == 0
            assert main(["approve", pending_hash(hub), "--as", "ben", "--json"]) == 0
        yield hub


@pytest.fixture
def command(
    process: HubProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run a command against the hub."""
    point_at(monkeypatch, process)
    monkeypatch.chdir(tmp_path)
    return runner(capsys)


def runner(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as error:
            code = int(error.code or 0)
        printed = capsys.readouterr()
        return Result(code, printed.out, printed.err)

    return run


def point_at(patch: pytest.MonkeyPatch, hub: HubProcess) -> None:
    patch.setenv("ONEVOICE_HUB", hub.target)
    patch.setenv("ONEVOICE_KEY", hub.key("operator"))


def pending_hash(hub: HubProcess) -> str:
    """The newest submission's hash, as the audit record tells it."""
    from hub.cli.client import HubAddress, HubClient
    from onevoice.v1 import governance_pb2

    with HubClient(HubAddress(hub.target, hub.key("operator"))) as client:
        entries = client.governance.Audit(governance_pb2.AuditRequest(count=10), timeout=20).entries
    return next(str(entry.subject) for entry in entries if entry.action == "catalogue.submit")
