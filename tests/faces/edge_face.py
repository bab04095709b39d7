"""An edge for vectors: the worker's application on a socket, a folder as an earlier run has left it, and the
part of the sync process that takes bundles in.
"""

import asyncio
import gc
import http.client
import socket
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
import uvicorn

from core.bundle import content_hash
from core.events import Event, Identifier, encode_event
from core.frame import PUT_IDENTIFIER, PUT_RECORD, Entry, bundle_signing_bytes
from core.record import project
from edge.bell import Bell
from edge.control import Control
from edge.http.app import create_app
from edge.journal.writer import JournalWriter
from edge.seat import lone_seat
from edge.sync.bundles import BundleKeeper
from edge.worker import server_config
from onevoice.v1 import sync_pb2
from tests.edge.fleet import MIB, OPERATOR, SIGNING_KEY, Edge, Reply, write_snapshot
from tests.faces.cases import Case
from tests.vectors.build import compiled, event, record
from tests.vectors.load import Json

START_SECONDS: Final = 30.0
APPROVAL: Final = ("ada", "approver", 1_795_000_000_000)


class EdgeFace:
    """One worker on loopback that knows the people of the cases. `ask` brings a case's bundle first."""

    def __init__(self, root: Path, cases: Iterable[Case]) -> None:
        edge = Edge(root)
        _seed(edge, list(cases))
        settings = edge.settings()
        seat = lone_seat(edge.folder)
        self._office = Office(edge, seat.bell, seat.sync_bell)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(server_config(create_app(settings, seat)))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        host, port = self._listener.getsockname()
        self._connection = http.client.HTTPConnection(host, port, timeout=START_SECONDS)

    def __enter__(self) -> "EdgeFace":
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            assert self._thread.is_alive(), "the worker did not start"
            assert time.monotonic() < deadline, f"waited {START_SECONDS} s for the worker"
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._server.should_exit = True
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive(), "the worker did not stop"
        self._listener.close()
        self._office.close()
        gc.unfreeze()  # a worker freezes what it has loaded, and here it shares its process with other tests

    def bring(self, catalogue: Json) -> tuple[bytes, int]:
        """Make a catalogue's bundle the active one; its content and revision."""
        return self._office.bring(compiled(catalogue)[0])

    def ask(self, case: Case) -> Reply:
        """Put the question as an operator does. Nothing is sent that a context could be completed from."""
        body = {**case.question, "at": case.vector.now_ms, "context": case.vector.context}
        return self.post("/v1/decide", body, OPERATOR)

    def post(self, path: str, body: Json, key: str) -> Reply:
        """Any request."""
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection.request("POST", path, msgspec.json.encode(body), headers)
        with self._connection.getresponse() as answer:
            return Reply(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())


class Office:
    """What the sync process does with a bundle that the hub sends: check, write, await the worker."""

    def __init__(self, edge: Edge, worker_bell: Bell, own_bell: Bell) -> None:
        self._bells = (worker_bell, own_bell)
        self._control = Control(edge.folder.control)
        self._changed = asyncio.Event()
        signing_key = SIGNING_KEY.public_key().public_bytes_raw()
        self._keeper = BundleKeeper(edge.folder, signing_key, self._control, [worker_bell], self._changed)
        self._runner = asyncio.Runner()
        self._runner.get_loop().add_reader(own_bell.fileno(), self._hear)
        self._content = b""

    def bring(self, content: bytes) -> tuple[bytes, int]:
        """Activate, unless it is the active one."""
        if content != self._content:
            ack = self._runner.run(self._keeper.take(_message(content, self._keeper.revision + 1)))
            assert not ack.error, ack.detail
            self._content = content
        return content, self._keeper.revision

    def close(self) -> None:
        self._runner.close()
        self._control.close()
        for bell in self._bells:
            bell.close()

    def _hear(self) -> None:
        self._bells[1].hear()
        self._changed.set()


def _message(content: bytes, revision: int) -> sync_pb2.Bundle:
    digest = content_hash(content)
    signature = SIGNING_KEY.sign(bundle_signing_bytes(revision, digest, [APPROVAL]))
    user, role, at_ms = APPROVAL
    return sync_pb2.Bundle(
        revision=revision,
        content_hash=digest,
        approvals=[sync_pb2.BundleApproval(user=user, role=role, at_ms=at_ms)],
        signature=signature,
        content=content,
    )


def _seed(edge: Edge, cases: list[Case]) -> None:
    """Everybody's record in the snapshot, as the hub projects it; everybody's overlay in the worker's
    journal, from which the worker brings the overlay up at its start.
    """
    write_snapshot(edge.folder, [entry for case in cases for entry in _entries(case)])
    bodies = [encode_event(_event(item, case)) for case in cases for item in case.vector.overlay]
    folder = edge.folder.journal(0)
    folder.mkdir(parents=True)
    journal = JournalWriter(folder, bytes_max=64 * MIB)
    journal.append(bodies)
    journal.close()


def _entries(case: Case) -> list[Entry]:
    if case.vector.profile is None:
        return []
    document = compiled(case.vector.catalogue)[1]
    projected = project(record(case.vector.profile, document), frozenset(document.edge_slots))
    return [(PUT_RECORD, case.profile_id, projected), (PUT_IDENTIFIER, case.key, case.profile_id)]


def _event(item: Json, case: Case) -> Event:
    return msgspec.structs.replace(event(item), identifiers=(Identifier(case.kind, case.key, True),))
