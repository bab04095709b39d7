"""A whole hub for tests: in this process on an event loop of its own, or as the real `onevoice-hub`."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import msgspec

from hub.cli.client import HubAddress, HubClient
from hub.server import HubServer, create_server
from hub.settings import Settings
from onevoice.v1 import catalogue_pb2, fleet_pb2
from tests.hub.catalogues import small_files

START_SECONDS = 30.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = {role: f"{role}-key-of-the-tests" for role in ("server", "operator", "edge", "site")}


class RunningHub:
    """A hub on free ports of loopback. `client(role)` opens it with that role's key."""

    def __init__(self, folder: Path, **settings: object) -> None:
        keys = {f"{role}_keys": (key,) for role, key in KEYS.items()}
        known = {"grpc_port": 0, "http_port": 0, "allow_time_travel": True, **keys, **settings}
        self.settings = Settings(data_dir=folder / "hub-data", **known)  # type: ignore[arg-type]
        self.server: HubServer = create_server(self.settings)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "RunningHub":
        self._thread.start()
        assert self._started.wait(START_SECONDS), "the hub did not start"
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        stop = self._stop
        if stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive(), "the hub did not stop"

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.grpc_port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.server.http_port}"

    @contextlib.contextmanager
    def client(self, role: str = "operator") -> Iterator[HubClient]:
        with HubClient(HubAddress(self.target, KEYS[role])) as opened:
            yield opened

    def publish(self, files: dict[str, str] | None = None, user: str = "ada", approver: str = "ben") -> int:
        """Publish and approve; the revision."""
        with self.client() as hub:
            request = catalogue_pb2.PublishRequest(files=source_files(files or small_files()), user=user)
            answer = hub.catalogue.Publish(request, timeout=30)
            assert not answer.faults
            if answer.revision:
                return int(answer.revision)
            approve = catalogue_pb2.ApproveRequest(content_hash=answer.content_hash, user=approver)
            return int(hub.catalogue.Approve(approve, timeout=30).revision)

    def profiles(self) -> int:
        """How many profiles the hub holds, counted now."""
        with self.client() as hub:
            return int(hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=30).hub.profiles)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()
            self._loop.close()

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        async with self.server.running():
            self._started.set()
            await self._stop.wait()


class HubProcess:
    """The real `onevoice-hub`, as a child of the test."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder / "hub-data"
        self._log = folder / "hub.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ONEVOICE_")},
            "ONEVOICE_DATA_DIR": str(self.folder),
            "ONEVOICE_GRPC_PORT": "0",
            "ONEVOICE_HTTP_PORT": "0",
            "ONEVOICE_ALLOW_TIME_TRAVEL": "true",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it says where it is."""
        addresses = self.folder / "addresses.json"
        addresses.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "hub.main"]
            self._process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=ROOT)
        until(lambda: addresses.exists() or self._process.poll() is not None, "the hub's start")  # type: ignore[union-attr]
        assert addresses.exists(), self.log()
        found = json.loads(addresses.read_text(encoding="utf-8"))
        self.target, self.http = found["grpc"], found["http"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(START_SECONDS)

    def key(self, role: str) -> str:
        return (self.folder / "keys" / f"{role}.key").read_text(encoding="utf-8").strip()

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def __enter__(self) -> "HubProcess":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()


def source_files(files: dict[str, str]) -> list[catalogue_pb2.SourceFile]:
    """The wire form of catalogue files."""
    return [catalogue_pb2.SourceFile(path=path, text=text) for path, text in files.items()]


def until(condition: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    """Wait until a condition holds; fail, saying what was waited for, after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def fetch(url: str) -> tuple[int, str]:
    """Status and body; 0 where nobody answers. Direct, whatever proxy the environment names."""
    try:
        with _opener.open(url, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, OSError):
        return 0, ""


def status_of(error: grpc.RpcError) -> grpc.StatusCode:
    """The status of a refused call."""
    assert isinstance(error, grpc.Call)
    return error.code()


def lines(events: list[dict[str, object]]) -> list[bytes]:
    """Messages as a caller sends them."""
    return [msgspec.json.encode(event) for event in events]
