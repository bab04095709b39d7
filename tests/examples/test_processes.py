"""A service's process never outlives the supervisor, and a signal to the terminal does not reach it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.shop.addresses import PortError, Ports, check_free, ports_from_environment
from examples.shop.processes import Service
from tests.shared import ROOT

SECONDS_MAX = 15.0
ENDLESS = "import threading; threading.Event().wait()"
#: Ignores the polite signal and has a child of its own that does so too.
STUBBORN = (
    "import os, signal, threading\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(os.fork() or 'child', flush=True)\n"
    "threading.Event().wait()"
)
PARENT = """
import sys
from pathlib import Path
from examples.shop.processes import Service
service = Service("one", [sys.executable, "-c", sys.argv[1]], {}, Path(sys.argv[2]))
service.start()
print(service.pid, flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_service_dies_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, ENDLESS, str(tmp_path / "log")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.kill()
    until(lambda: not is_alive(pid))


def test_stop_ends_what_ignores_the_polite_signal_and_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = Service("stubborn", [sys.executable, "-c", STUBBORN], {}, log)
    service.start()
    until(lambda: log.exists() and len(log.read_text().split()) == 2)
    pids = [service.pid, *(int(word) for word in log.read_text().split() if word != "child")]
    service.ask_to_stop()
    service.wait_stopped(seconds=0.2)
    until(lambda: not any(is_alive(pid) for pid in pids))
    assert not service.running


def test_service_has_a_process_group_of_its_own(tmp_path: Path) -> None:
    service = Service("one", [sys.executable, "-c", ENDLESS], {}, tmp_path / "log")
    service.start()
    try:
        assert os.getpgid(service.pid) == service.pid != os.getpgrp()
    finally:
        service.kill()
    assert service.process is not None
    assert service.process.returncode == -signal.SIGKILL


def test_service_gets_no_settings_of_somebody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEVOICE_DATA_DIR", "/elsewhere")
    show = "import os; print(os.environ.get('ONEVOICE_DATA_DIR'), os.environ['ONEVOICE_PORT'])"
    service = Service("one", [sys.executable, "-c", show], {"ONEVOICE_PORT": "1"}, tmp_path / "log")
    service.start()
    until(lambda: not service.running)
    assert service.last_words() == "None 1"


def test_service_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    service = Service("one", ["/bin/false"], {}, tmp_path / "log")
    assert service.may_restart()
    service.restarts = [time.monotonic()] * 5
    assert not service.may_restart()
    service.restarts = [time.monotonic() - 61] * 5
    assert service.may_restart()


def test_port_in_use_is_told_with_what_to_do() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        expected = f"port {port} is in use: set ONEVOICE_PORT_BASE or stop what uses it"
        with pytest.raises(PortError, match=expected):
            check_free(Ports(port))


@pytest.mark.parametrize("base", ["", "eight", "80", "65535", "-1"])
def test_port_base_of_another_form_is_refused(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEVOICE_PORT_BASE", base)
    with pytest.raises(PortError, match="expected a number from 1024"):
        ports_from_environment()
