"""A real hub in a folder of its own: `onevoice-hub`, its keys, its profiles, and what to ask it."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from benchmarks.edges import OPERATOR_KEY, SITE_KEY, STATES_DISTINCT, free_port
from benchmarks.workload import EIGHT, make_profile, profile_state
from core.decide import Engine
from core.hashing import xxh64
from core.identifiers import hash_identifier
from hub.cli.client import HubAddress, HubClient
from hub.store import log_state, profiles, sources
from hub.store.engine import Store, sqlite_url
from onevoice.v1 import catalogue_pb2, fleet_pb2

EDGE_KEY = "edge_" + "b" * 24
READY_SECONDS_MAX = 60.0
ROWS_AT_ONCE = 10_000


class BenchHub:
    """Start and stop as often as wanted; the folder and the port stay."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.identifier_key = secrets.token_bytes(32)
        self._http_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, restored: bool = False) -> None:
        settings = {
            "DATA_DIR": str(self.folder / "data"),
            "GRPC_PORT": str(self.port),
            "HTTP_PORT": str(self._http_port),
            "IDENTIFIER_KEY": self.identifier_key.hex(),
            "SERVER_KEYS": "server_" + "b" * 24,
            "OPERATOR_KEYS": OPERATOR_KEY,
            "EDGE_KEYS": EDGE_KEY,
            "SITE_KEYS": SITE_KEY,
            "RESTORED": "true" if restored else "false",
            "LOG_LEVEL": "warning",
        }
        environment = {**os.environ, **{f"ONEVOICE_{name}": value for name, value in settings.items()}}
        self._process = subprocess.Popen(
            # Elsewhere the hub has a machine of its own; here it gets what the edge leaves.
            ["nice", "-n", "10", str(Path(sys.executable).parent / "onevoice-hub")],
            env=environment,
            start_new_session=True,
        )
        wait_until(self._answers, READY_SECONDS_MAX, "the hub does not answer")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def client(self) -> Iterator[HubClient]:
        with HubClient(HubAddress(f"127.0.0.1:{self.port}", OPERATOR_KEY)) as opened:
            yield opened

    def publish(self, files: dict[str, str]) -> int:
        """Publish as the benchmark's own person; the revision."""
        sent = [catalogue_pb2.SourceFile(path=path, text=text) for path, text in files.items()]
        with self.client() as hub:
            answer = hub.catalogue.Publish(catalogue_pb2.PublishRequest(files=sent, user="bench"), timeout=60)
        assert not answer.faults, answer.faults
        return int(answer.revision)

    def fleet(self) -> fleet_pb2.StatusResponse:
        with self.client() as hub:
            status: fleet_pb2.StatusResponse = hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=10)
        return status

    def edge_settings(self, data: Path, edge_id: str = "bench") -> dict[str, str]:
        """What an edge of this hub must know."""
        settings = {
            "EDGE_ID": edge_id,
            "DATA_DIR": str(data),
            "HUB_ADDRESS": f"127.0.0.1:{self.port}",
            "HUB_SIGNING_KEY": self._signing_key(),
            "EDGE_KEY": EDGE_KEY,
            "IDENTIFIER_KEY": self.identifier_key.hex(),
            "SITE_KEYS": SITE_KEY,
            "OPERATOR_KEYS": OPERATOR_KEY,
            "LOG_LEVEL": "warning",
        }
        return {f"ONEVOICE_{name}": value for name, value in settings.items()}

    def _signing_key(self) -> str:
        return (self.folder / "data" / "keys" / "signing.pub").read_text().strip()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the hub ended with {self._process.returncode}"
        try:
            self.fleet()
        except Exception:  # not there yet: whatever gRPC calls it
            return False
        return True

    def fill(self, engine: Engine, population: int) -> None:
        """Write profiles into the stopped hub's state, as ingestion would have left them."""
        now_ms = int(time.time() * 1000)
        draw, layout_id = Random(11), engine.document.layout_id
        states = [profile_state(engine.fold_plan, make_profile(draw, EIGHT)) for _ in range(STATES_DISTINCT)]
        store = Store(sqlite_url(self.folder / "data" / "state.db"))
        digest = 0
        rows: list[tuple[dict[str, object], dict[str, object]]] = []
        with store.writing() as connection:
            sequence = log_state.read(connection).sequence
            for number in range(population):
                sequence += 1
                key = hash_identifier(self.identifier_key, "anon", f"00000000-0000-4000-8000-{number:012x}")
                record = states[number % STATES_DISTINCT].pack(
                    layout_id=layout_id, sequence=sequence, packed_at_ms=now_ms, unit_key=key, known=False
                )
                digest ^= xxh64(key + record) ^ xxh64(key + key)
                profile = profiles.Profile(key, key, now_ms, False, record, record, sequence, now_ms)
                source = sources.Source(key, "anon", key, b"", None, now_ms, now_ms, 0, key)
                rows.append((profile._asdict(), source._asdict()))
                if len(rows) == ROWS_AT_ONCE or number == population - 1:
                    profiles.save(connection, [row for row, _ in rows])
                    sources.save(connection, [row for _, row in rows])
                    rows.clear()
            signed = digest - (1 << 64) if digest >= 1 << 63 else digest
            log_state.write(
                connection,
                sequence=sequence,
                log_floor=sequence,
                digest=signed,
                digest_entries=2 * population,
            )
        store.close()


def wait_until(ask: Callable[[], object], seconds: float, what: str) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + seconds
    while not ask():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
