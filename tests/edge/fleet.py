"""One edge for tests: a folder with keys, a signed bundle and a snapshot, and the real processes on it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.bundle import content_hash
from core.compiler import compile_catalogue
from core.decide import Engine
from core.events import Consent, Event, Identifier
from core.fold import State
from core.frame import (
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PUT_IDENTIFIER,
    PUT_RECORD,
    Entry,
    bundle_signing_bytes,
    pack_entries,
)
from core.identifiers import hash_identifier
from edge.bundles import SignedBundle, encode_signed
from edge.folder import Folder
from edge.settings import Settings
from edge.snapshot.writer import Change, SnapshotWriter
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import small

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(b"\x11" * 32)
SEALING_KEY = X25519PrivateKey.from_private_bytes(b"\x22" * 32)
TOKEN_KEY = Ed25519PrivateKey.from_private_bytes(b"\x33" * 32)
IDENTIFIER_KEY = b"\x44" * 32
SITE, SERVER, OPERATOR, EDGE = (
    "site-key-1234567890",
    "server-key-1234567890",
    "operator-key-123456",
    "edge-key-12345678",
)
AUDIENCE = "onevoice"
MIB = 1024 * 1024
START_SECONDS = 30.0
WAIT_SECONDS = 20.0


def small_bundle(
    revision: int = 1, key: Ed25519PrivateKey = SIGNING_KEY, files: Mapping[str, str] | None = None
) -> SignedBundle:
    """The small catalogue, compiled and signed."""
    content, _ = compile_catalogue(read_catalogue(dict(files or small())), [])
    approvals = [("ben", "approver", 1_795_000_000_000)]
    digest = content_hash(content)
    signature = key.sign(bundle_signing_bytes(revision, digest, approvals))
    return SignedBundle(revision, digest, approvals, signature, content)


def anon(number: int) -> str:
    """An anonymous id."""
    return f"00000000-0000-4000-8000-{number:012d}"


def digest(kind: str, value: str) -> bytes:
    return hash_identifier(IDENTIFIER_KEY, kind, value)


def profile(
    engine: Engine,
    *events: Event,
    unit_key: bytes = b"u" * 16,
    sequence: int = 1,
    at_ms: int = 1_795_000_000_000,
) -> bytes:
    """A record folded from events."""
    state = State()
    for event in events:
        state.apply(engine.fold_plan, event, behaviour=True)
    return state.pack(
        layout_id=engine.document.layout_id,
        sequence=sequence,
        packed_at_ms=at_ms,
        unit_key=unit_key,
        known=True,
    )


def granted(
    purpose: str = "personalization", at_ms: int = 1_794_000_000_000, state: str = "granted"
) -> Event:
    consent = Consent(purpose, state, "v1", "test")
    return Event(f"c-{purpose}-{at_ms}", "consent", "Consent Changed", at_ms, at_ms, (), consent=consent)


def fact(name: str, at_ms: int = 1_794_900_000_000, message_id: str = "", **properties: Any) -> Event:
    message_id = message_id or f"{name}-{at_ms}-{sorted(properties.items())}"
    return Event(message_id, "track", name, at_ms, at_ms, (Identifier("anon", b"a" * 16, True),), properties)


def write_snapshot(
    folder: Folder, entries: Iterable[Entry], watermark: Mapping[bytes, int] | None = None
) -> None:
    """A complete snapshot on disk, as the sync process leaves it."""
    writer = SnapshotWriter(folder.snapshots, 64 * MIB)
    flags = FLAG_SNAPSHOT | FLAG_SNAPSHOT_END
    writer.apply(Change("e1", 0, 1, flags, watermark or {}, pack_entries(entries), 1_795_000_000_000))
    writer.close()


def known_person(number: int, record: bytes, *identifiers: tuple[str, str]) -> list[Entry]:
    """Snapshot entries of one person."""
    profile_id = number.to_bytes(16, "big")
    pointers = [(PUT_IDENTIFIER, digest(kind, value), profile_id) for kind, value in identifiers]
    return [(PUT_RECORD, profile_id, record), *pointers]


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        found: dict[str, str] = self.json["error"]
        return found


@dataclass
class Edge:
    """The processes of one edge on a folder."""

    root: Path
    hub_address: str = "127.0.0.1:1"
    workers: int = 2
    extra: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    base: str = ""

    def __post_init__(self) -> None:
        self.folder = Folder(self.root / "data")
        self.folder.make()
        pem = TOKEN_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.root / "token.pem").write_bytes(pem)

    def environment(self) -> dict[str, str]:
        return {
            "ONEVOICE_EDGE_ID": "eu",
            "ONEVOICE_DATA_DIR": str(self.folder.root),
            "ONEVOICE_PORT": "0",
            "ONEVOICE_WORKERS": str(self.workers),
            "ONEVOICE_HUB_ADDRESS": self.hub_address,
            "ONEVOICE_HUB_SIGNING_KEY": SIGNING_KEY.public_key().public_bytes_raw().hex(),
            "ONEVOICE_EDGE_KEY": EDGE,
            "ONEVOICE_IDENTIFIER_KEY": IDENTIFIER_KEY.hex(),
            "ONEVOICE_SITE_KEYS": SITE,
            "ONEVOICE_SERVER_KEYS": SERVER,
            "ONEVOICE_OPERATOR_KEYS": OPERATOR,
            "ONEVOICE_USER_TOKEN_KEYS": str(self.root / "token.pem"),
            "ONEVOICE_SITE": AUDIENCE,
            "ONEVOICE_ALLOW_TIME_TRAVEL": "true",
            "ONEVOICE_ALLOWED_ORIGINS": "https://shop.example",
            "ONEVOICE_SNAPSHOT_MEGABYTES_MAX": "64",
            "ONEVOICE_OVERLAY_MEGABYTES_MAX": "64",
            **self.extra,
        }

    def settings(self) -> Settings:
        from edge import options

        return options.read(Settings, "onevoice-edge", [], self.environment())

    def seed(self, entries: Iterable[Entry] = (), bundle: SignedBundle | None = None) -> None:
        """Bundle, snapshot and sealing key, as an earlier run has left them."""
        self.folder.bundle.write_bytes(encode_signed(bundle or small_bundle()))
        self.folder.hub_keys.write_bytes(
            json.dumps({"sealing_key": SEALING_KEY.public_key().public_bytes_raw().hex()}).encode()
        )
        write_snapshot(self.folder, entries)

    def start(self, ready: str = "/readyz") -> "Edge":
        (self.folder.root / "address").unlink(missing_ok=True)
        log = (self.root / "edge.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.main"],
            env={**os.environ, **self.environment()},
            stderr=log,
            stdout=log,
        )
        log.close()
        address = self.folder.root / "address"
        self.until(address.exists, START_SECONDS)
        self.base = "http://" + address.read_text("ascii")
        self.until(lambda: self.answers(ready), START_SECONDS)
        self.until(self.is_whole, START_SECONDS)
        return self

    def is_whole(self) -> bool:
        """Whether every worker and the sync process run."""
        return all(self.child(f"worker-{index}") for index in range(self.workers)) and self.child("sync") != 0

    def answers(self, path: str) -> bool:
        try:
            return self.get(path).status == 200
        except (OSError, HTTPException):
            return False

    def until(self, condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        """Wait for a condition; fail with the edge's log if it does not come."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            died = self.process is not None and self.process.poll() is not None
            if died or time.monotonic() > deadline:
                raise AssertionError(f"{'edge has ended' if died else 'waited in vain'}\n{self.log()}")
            time.sleep(0.01)
        return found

    def log(self) -> str:
        path = self.root / "edge.log"
        return path.read_text("utf-8", "replace")[-3000:] if path.exists() else ""

    def stop(self) -> int:
        """Ask it to stop, as a supervisor does; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        return code

    def kill(self) -> None:
        """kill -9 of the supervisor, which takes everything with it."""
        if self.process is not None:
            pids = [self.process.pid, *self.children()]
            self.process.kill()
            self.process.wait(30)
            self.process = None
            deadline = time.monotonic() + WAIT_SECONDS
            while any(alive(pid) for pid in pids):
                assert time.monotonic() < deadline, "children outlive their supervisor"
                time.sleep(0.005)

    def children(self) -> list[int]:
        """Processes whose parent is the supervisor."""
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("ascii")
        return [int(pid) for pid in text.split()]

    def child(self, name: str) -> int:
        """The process id of `worker-N` or `sync`: workers tell it in their seat, sync is the one that is no
        worker.
        """
        from edge.control import SEAT_PID, Control

        control = Control(self.folder.control)
        workers = [int(seat[SEAT_PID]) for seat in control.seats()]
        control.close()
        if name.startswith("worker-"):
            return workers[int(name[7:])]
        for pid in self.children():
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if (
                pid not in workers
                and b"spawn_main" in command
                and _opens(pid, self.folder.root / "sync.lock")
            ):
                return pid
        return 0

    # ---- HTTP

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.request("GET", path, None, headers)

    def post(
        self, path: str, body: Any, key: str | None = SITE, headers: Mapping[str, str] | None = None
    ) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        return self.request("POST", path, data, sent)

    def request(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """A new connection each time, so that any worker may answer; kept open, as browsers do, so that
        decisions go the short way.
        """
        connection = HTTPConnection(self.base.removeprefix("http://"), timeout=20)
        try:
            connection.request(method, path, data, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        finally:
            connection.close()

    # ---- What tests say most

    def decide(self, number: int, *placements: str, key: str = SITE, **fields: Any) -> Any:
        """The decision for an anonymous visitor."""
        body = {"anonymous_id": anon(number), "placements": list(placements or ("home.hero",)), **fields}
        reply = self.post("/v1/decide", body, key)
        assert reply.status == 200, reply.body
        return reply.json["decision"]

    def consent(
        self, number: int, state: str = "granted", purpose: str = "personalization", **fields: Any
    ) -> Reply:
        body = {
            "anonymous_id": anon(number),
            "purpose": purpose,
            "state": state,
            "text_version": "v1",
            "source": "test",
        }
        return self.post("/v1/consent", {**body, **fields})

    def track(self, number: int, event: str, message_id: str | None = None, **properties: Any) -> Reply:
        message = {"type": "track", "event": event, "anonymousId": anon(number), "properties": properties}
        if message_id is not None:
            message["messageId"] = message_id
        return self.post("/v1/events", {"events": [message]})


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _opens(pid: int, path: Path) -> bool:
    try:
        return any(os.readlink(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
