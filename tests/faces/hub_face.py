"""A hub for vectors: the whole hub in this process, catalogues published over gRPC, people in its store."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from core.bundle import BundleDocument, decode_bundle
from core.record import project
from hub.cli.client import HubClient
from hub.store import profiles, revisions, sources
from hub.store.engine import Connection, Store, sqlite_url
from hub.store.statements import Row
from onevoice.v1 import decisions_pb2
from tests.edge.fleet import IDENTIFIER_KEY
from tests.faces.cases import Case
from tests.hub.running import RunningHub
from tests.vectors.build import record
from tests.vectors.load import OWNER, Json, Vector, VectorProfile

SECONDS_MAX: Final = 20.0


class HubFace:
    """A running hub that is asked as an operator does. `bring` publishes a case's catalogue first."""

    def __init__(self, running: RunningHub, client: HubClient, store: Store, cases: Iterable[Case]) -> None:
        self._running = running
        self._client = client
        self._store = store
        self._cases = list(cases)
        self._catalogue: Json = {}
        self._present: list[Case] = []
        self._active = (b"", 0)

    def bring(self, catalogue: Json) -> tuple[bytes, int]:
        """Publish a catalogue and place its people, unless it is the active one; bundle and revision."""
        if catalogue != self._catalogue:
            with self._store.writing() as connection:
                _remove(connection, self._present)
            # The slots are those that this hub gives out, so the bytes of the bundle are its own.
            revision = self._running.publish(_files(catalogue), OWNER)
            content = self._content_of(revision)
            self._present = [case for case in self._cases if case.vector.catalogue == catalogue]
            with self._store.writing() as connection:
                _place(connection, self._present, decode_bundle(content))
            self._catalogue, self._active = catalogue, (content, revision)
        return self._active

    def ask(self, case: Case) -> bytes:
        """The bytes of the decision. Raises grpc.RpcError."""
        request = decisions_pb2.DecideRequest(**case.question, at_ms=case.vector.now_ms)
        request.context.update(case.vector.context)
        answer: decisions_pb2.DecideResponse = self._client.decisions.Decide(request, timeout=SECONDS_MAX)
        return answer.decision

    def _content_of(self, number: int) -> bytes:
        with self._store.reading() as connection:
            revision = revisions.get_revision(connection, number)
            assert revision is not None
            submission = revisions.get_submission(connection, revision.content_hash)
            assert submission is not None
            return submission.content


@contextmanager
def hub_face(folder: Path, cases: Iterable[Case]) -> Iterator[HubFace]:
    """The face, and the hub behind it for as long."""
    with RunningHub(folder, identifier_key=IDENTIFIER_KEY) as running, running.client() as client:
        store = Store(sqlite_url(running.settings.data_dir / "state.db"))
        try:
            yield HubFace(running, client, store, cases)
        finally:
            store.close()


def folded(vector: Vector) -> VectorProfile | None:
    """The profile when ingestion has taken the overlay in; only its sequence and age stay what they were.

    Without a record the answer has sequence 0 and no age, and the request's key assigns: so does a record
    of these.
    """
    profile = vector.profile
    if profile is None:
        if not vector.overlay:
            return None
        profile = VectorProfile([], vector.unit_key, 0, vector.now_ms, {})
    return replace(profile, events=[*profile.events, *vector.overlay])


def _files(catalogue: Json) -> dict[str, str]:
    """The catalogue as people write it: its model files beside it."""
    written = {name: value for name, value in catalogue.items() if name != "artifacts"}
    return {"catalogue.yaml": _yaml(written), **catalogue.get("artifacts", {})}


def _yaml(catalogue: Json) -> str:
    """JSON is YAML, but for the characters that YAML wants escaped."""
    return msgspec.json.encode(catalogue).decode().replace("\uffff", "\\uffff")


def _place(connection: Connection, cases: list[Case], document: BundleDocument) -> None:
    known = [(case, profile) for case in cases if (profile := folded(case.vector)) is not None]
    profiles.save(connection, [_profile_row(case, profile, document) for case, profile in known])
    sources.save(connection, [_source_row(case, profile) for case, profile in known])


def _profile_row(case: Case, profile: VectorProfile, document: BundleDocument) -> Row:
    content = record(profile, document)
    return {
        "profile_id": case.profile_id,
        "unit_key": profile.unit_key,
        "created_at_ms": profile.packed_at_ms,
        "known": True,
        "record": content,
        "edge_record": project(content, frozenset(document.edge_slots)),
        "sequence": profile.sequence,
        "packed_at_ms": profile.packed_at_ms,
    }


def _source_row(case: Case, profile: VectorProfile) -> Row:
    return {
        "source_id": case.key,
        "kind": case.kind,
        "profile_id": case.profile_id,
        "state": b"",
        "value": None,
        "joined_at_ms": profile.packed_at_ms,
        "first_ms": profile.packed_at_ms,
        "linked_ms": 0,
        "own_profile_id": case.profile_id,
    }


def _remove(connection: Connection, cases: list[Case]) -> None:
    """The next catalogue's slots mean something else: nobody's record may wait for them."""
    for case in cases:
        sources.remove(connection, case.profile_id)
        profiles.remove(connection, case.profile_id)
