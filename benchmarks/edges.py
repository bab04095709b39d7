"""A real edge over a million consented profiles: its folder is written here, its processes are `onevoice-
edge`."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.small import PLACEMENT, compiled, page_files
from benchmarks.workload import EIGHT, make_profile, profile_state
from core.bundle import content_hash
from core.decide import Engine
from core.frame import bundle_signing_bytes
from core.identifiers import hash_identifier
from edge.bundles import SignedBundle, encode_signed
from edge.folder import Folder
from edge.snapshot.environment import (
    META_EPOCH,
    META_HUB_TIME,
    META_SEQUENCE,
    U64,
    open_databases,
    open_environment,
    write_pointer,
)

POPULATION = 1_000_000
STATES_DISTINCT = 500
SNAPSHOT_BYTES_MAX = 4 << 30
READY_SECONDS_MAX = 60.0
BODY = json.dumps({"anonymous_id": "00000000-0000-4000-8000-@INDEX@", "placements": [PLACEMENT]})
SITE_KEY = "site_" + "b" * 24
OPERATOR_KEY = "operator_" + "b" * 24


@dataclass(frozen=True)
class EdgeFolder:
    """An edge's data folder with a bundle and a snapshot, and the settings to start on it."""

    root: Path
    environment: dict[str, str]


def prepare_edge(root: Path, population: int = POPULATION) -> EdgeFolder:
    """Write bundle and snapshot as the sync process would leave them."""
    folder = Folder(root)
    folder.make()
    signing, identifier_key = Ed25519PrivateKey.generate(), secrets.token_bytes(32)
    content = compiled(page_files())
    engine = Engine(content, 1)
    approvals = [("bench", "approver", 0)]
    signature = signing.sign(bundle_signing_bytes(1, content_hash(content), approvals))
    folder.bundle.write_bytes(
        encode_signed(SignedBundle(1, content_hash(content), approvals, signature, content))
    )
    write_snapshot(folder.snapshots, engine, identifier_key, population)
    settings = {
        "EDGE_ID": "bench",
        "DATA_DIR": str(root),
        "HUB_ADDRESS": f"127.0.0.1:{free_port()}",
        "HUB_SIGNING_KEY": signing.public_key().public_bytes_raw().hex(),
        "EDGE_KEY": "edge_" + "b" * 24,
        "IDENTIFIER_KEY": identifier_key.hex(),
        "SITE_KEYS": SITE_KEY,
        "OPERATOR_KEYS": OPERATOR_KEY,
        "LOG_LEVEL": "warning",
    }
    return EdgeFolder(root, {f"ONEVOICE_{name}": value for name, value in settings.items()})


def write_snapshot(snapshots: Path, engine: Engine, identifier_key: bytes, population: int) -> None:
    """`population` profiles, each found by the anonymous id that the load generator draws."""
    now_ms = int(time.time() * 1000)
    draw, layout_id = Random(11), engine.document.layout_id
    states = [profile_state(engine.fold_plan, make_profile(draw, EIGHT)) for _ in range(STATES_DISTINCT)]
    hashes = sorted(
        hash_identifier(identifier_key, "anon", f"00000000-0000-4000-8000-{number:012x}")
        for number in range(population)
    )
    path = snapshots / "env-bench"
    env = open_environment(path, SNAPSHOT_BYTES_MAX, readonly=False, new=True, sync=False)
    records, identifiers, meta = open_databases(env, create=True)
    with env.begin(write=True) as txn:
        for number, key in enumerate(hashes):  # the profile id is the identifier's hash: sorted, so appended
            record = states[number % STATES_DISTINCT].pack(
                layout_id=layout_id, sequence=number + 1, packed_at_ms=now_ms, unit_key=key, known=False
            )
            txn.put(key, record, append=True, db=records)
        for key in hashes:
            txn.put(key, key, append=True, db=identifiers)
        txn.put(META_EPOCH, b"bench", db=meta)
        txn.put(META_SEQUENCE, U64.pack(population), db=meta)
        txn.put(META_HUB_TIME, now_ms.to_bytes(8, "little", signed=True), db=meta)
    env.sync(True)
    env.close()
    write_pointer(snapshots, path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command held to one core, if one is named."""
    return [*([] if core is None else ["taskset", "-c", str(core)]), *command]


@contextlib.contextmanager
def running(
    command: Sequence[str], environment: dict[str, str], core: int | None, port: int
) -> Iterator[int]:
    """A server process, held to one core if asked; yields its port once it answers."""
    process = subprocess.Popen(
        pinned(command, core), env={**os.environ, **environment}, start_new_session=True
    )
    try:
        wait_ready(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_ready(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, f"server ended with {process.returncode}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/readyz")
            if connection.getresponse().read() is not None:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers on port {port} after {READY_SECONDS_MAX} s")


def edge(
    environment: dict[str, str], *, workers: int, core: int | None
) -> contextlib.AbstractContextManager[int]:
    """`onevoice-edge` on a free port."""
    port = free_port()
    settings = {"ONEVOICE_PORT": str(port), "ONEVOICE_WORKERS": str(workers)}
    command = [str(Path(sys.executable).parent / "onevoice-edge")]
    return running(command, {**environment, **settings}, core, port)


def bare(*, core: int | None) -> contextlib.AbstractContextManager[int]:
    """The raw ASGI baseline on the same uvicorn."""
    port = free_port()
    return running([sys.executable, "-m", "benchmarks.bare", str(port)], {}, core, port)


def load(port: int, *options: str, core: int | None, body: str = BODY) -> dict[str, Any]:
    """One run of the load generator in its own process."""
    command = [sys.executable, "-m", "benchmarks.load", "--port", str(port), "--key", SITE_KEY]
    done = subprocess.run(
        pinned([*command, "--template", body, *options], core), capture_output=True, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
