"""What a person sees of `make run`: addresses, a second start, Ctrl-C, a closed terminal, a port in use."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.shop.addresses import Ports
from tests.ports import free_ports
from tests.shared import ROOT
from tests.story.harness import WAIT_SECONDS_MAX, until

START_SECONDS_MAX = 90.0
SECOND_START_SECONDS_MAX = 5.0


#: A session leader that makes its standard input its terminal, then becomes Python with the arguments given.
TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Terminal:
    """`python -m examples.shop.run` in a terminal of its own, as a person has it."""

    def __init__(self, folder: Path, ports: Ports, *arguments: str) -> None:
        self._master, slave = pty.openpty()
        self._out = b""
        os.set_blocking(self._master, False)
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                TAKE_TERMINAL,
                "-m",
                "examples.shop.run",
                *arguments,
                "--folder",
                str(folder),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT), "ONEVOICE_PORT_BASE": str(ports.base)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def text(self) -> str:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65_536):
                self._out += data
        return self._out.decode("utf-8", "replace")

    def wait_ready(self) -> None:
        until(self._is_ready, START_SECONDS_MAX, "it is not ready: " + self.text())

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.text()
        return "Ctrl-C stops everything" in self.text()

    def press_ctrl_c(self) -> None:
        os.write(self._master, b"\x03")

    def close(self) -> None:
        os.close(self._master)
        self._master = -1

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._master >= 0:
            self.close()


def processes_about(folder: Path) -> list[str]:
    """Command lines of processes whose environment or arguments name the folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                about = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if str(folder).encode() in about:
                    found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ports]:
    return tmp_path_factory.mktemp("run") / ".run", free_ports()


@pytest.fixture
def terminal(place: tuple[Path, Ports]) -> Iterator[Terminal]:
    terminal = Terminal(*place, "--customers", "20")
    try:
        yield terminal
    finally:
        terminal.end()


def test_first_start_writes_addresses_and_ctrl_c_stops_everything(
    place: tuple[Path, Ports], terminal: Terminal
) -> None:
    folder, ports = place
    terminal.wait_ready()
    assert (folder / "ready").exists()
    addresses = json.loads((folder / "addresses.json").read_text())
    assert addresses["shop"] == f"http://127.0.0.1:{ports.base}"
    assert addresses["edges"] == [
        f"http://127.0.0.1:{ports.base + 101}",
        f"http://127.0.0.1:{ports.base + 102}",
    ]
    assert addresses["hub_grpc"] == f"127.0.0.1:{ports.base + 200}"
    assert addresses["hub_http"] == addresses["console"] == f"http://127.0.0.1:{ports.base + 300}"
    assert addresses["mailbox"] == f"http://127.0.0.1:{ports.base + 400}"
    assert addresses["smtp"] == f"127.0.0.1:{ports.base + 401}"
    assert set(addresses["keys"]) == {"site", "server", "operator"}
    assert Path(addresses["ca"]).read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert "sample shop filled" in terminal.text()
    for path in [*folder.rglob("*.key"), folder / "addresses.json", folder / "services.json"]:
        assert path.stat().st_mode & 0o077 == 0, path
    with socket.create_connection(("127.0.0.1", ports.smtp), timeout=5) as smtp:
        assert smtp.recv(3) == b"220"

    terminal.press_ctrl_c()
    assert terminal.process.wait(WAIT_SECONDS_MAX) == 0
    assert processes_about(folder) == []
    assert not (folder / "ready").exists()


def test_second_start_is_quick_keeps_state_and_a_closed_terminal_stops_it(
    place: tuple[Path, Ports], terminal: Terminal
) -> None:
    folder, _ = place
    terminal.wait_ready()
    assert "filled" not in terminal.text()
    assert "published" not in terminal.text()
    found = re.search(r"ready after ([0-9.]+) s", terminal.text())
    assert found
    # On a machine that has other work to do, each part of the start waits for its turn.
    share = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert float(found[1]) <= SECOND_START_SECONDS_MAX * share

    terminal.close()
    terminal.process.wait(WAIT_SECONDS_MAX)
    assert processes_about(folder) == []
    assert not (folder / "ready").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_no_process_outlives_the_supervisor(
    place: tuple[Path, Ports], terminal: Terminal, number: signal.Signals
) -> None:
    terminal.wait_ready()
    terminal.process.send_signal(number)
    terminal.process.wait(WAIT_SECONDS_MAX)
    until(lambda: not processes_about(place[0]), what=f"still there: {processes_about(place[0])}")


def test_port_in_use_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    ports = free_ports()
    with socket.socket() as other:
        other.bind(("127.0.0.1", ports.hub_http))
        other.listen()
        terminal = Terminal(tmp_path / ".run", ports)
        assert terminal.process.wait(WAIT_SECONDS_MAX) == 1
        said = [line for line in terminal.text().splitlines() if line]
        terminal.end()
    assert said == [f"onevoice: port {ports.hub_http} is in use: set ONEVOICE_PORT_BASE or stop what uses it"]
    assert processes_about(tmp_path) == []
