"""A store with many people in a journey, and delivery beside it: the ground of the figures of messages."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.bundle import content_hash
from core.compiler import compile_catalogue
from core.events import Consent, Event, Identifier
from core.fold import State
from hub.data.view import view_of_content
from hub.decisioning.authoring import read_catalogue
from hub.decisioning.bundles import SignedBundle
from hub.delivery.engines import Engines
from hub.delivery.options import DeliveryOptions
from hub.delivery.plane import Delivery
from hub.delivery.ports import Composer, Sender
from hub.store import journeys, log_state, outbox, profiles, revisions, sources
from hub.store.engine import Connection, Store, sqlite_url
from hub.store.journeys import Instance
from hub.store.migrate import migrate
from hub.store.outbox import Message
from hub.store.profiles import Profile
from hub.store.sources import Source
from hub.store.statements import insert_tuples

REVISION: Final = 1
ROWS_AT_ONCE: Final = 5_000
CATALOGUE: Final = Path(__file__).with_name("outbound.yaml")


class Crowd:
    """People who consent, have a cart and an address; each is in the journey, at the step after its wait."""

    def __init__(self, store: Store, count: int) -> None:
        self.store = store
        self.count = count
        self.content, self.layout = compile_catalogue(
            read_catalogue({CATALOGUE.name: CATALOGUE.read_text(encoding="utf-8")}), []
        )
        self.now_ms = time.time_ns() // 1_000_000
        self.keys = [os.urandom(16) for _ in range(count)]
        self.engines = Engines(store)

    def fill(self) -> None:
        """Write the catalogue and everybody's rows."""
        with self.store.writing() as connection:
            log_state.prepare(connection, self.now_ms)
            name = content_hash(self.content)
            submission = revisions.Submission(name, self.content, (), "bench", self.now_ms, 0)
            revisions.put_submission(connection, submission)
            revisions.append_layout(connection, self.layout)
            made = revisions.Revision(REVISION, name, (), b"", "bench", self.now_ms, 0)
            revisions.add_revision(connection, made)
        for start in range(0, self.count, ROWS_AT_ONCE):
            with self.store.writing() as connection:
                self._people(connection, self.keys[start : start + ROWS_AT_ONCE])

    def _people(self, connection: Connection, keys: Sequence[bytes]) -> None:
        record, now_ms = self._record(), self.now_ms
        insert_tuples(
            connection,
            profiles.profiles,
            [Profile(key, key, now_ms, True, record, b"", 1, now_ms) for key in keys],
        )
        insert_tuples(
            connection,
            sources.sources,
            [
                Source(key, "email", key, b"", f"{key.hex()}@mail.example", now_ms, now_ms, 0, key)
                for key in keys
            ],
        )

    def _record(self) -> bytes:
        """One packed record: what is in it does not change what is done with it."""
        view = view_of_content(self.content)
        state = State()
        who = (Identifier("email", bytes(16), True),)
        for purpose in ("email", "analytics"):
            given = Consent(purpose, "granted", "v1", "bench")
            state.apply(
                view.plan,
                Event(purpose, "consent", "Consent Changed", self.now_ms, self.now_ms, who, consent=given),
                behaviour=True,
            )
        for number in range(3):
            added = Event(f"a{number}", "track", "Product Added", self.now_ms, self.now_ms, who)
            state.apply(view.plan, added, behaviour=True)
        return state.pack(
            layout_id=view.document.layout_id,
            sequence=1,
            packed_at_ms=self.now_ms,
            unit_key=bytes(16),
            known=True,
        )

    def delivery(self, composers: Mapping[str, Composer], senders: Mapping[str, Sender]) -> Delivery:
        """Delivery with the catalogue active; nothing of it runs by itself."""

        async def accept(events: Sequence[Event]) -> None:
            return None

        made = Delivery(
            self.store,
            self.engines,
            "bench",
            composers=composers,
            senders=senders,
            accept=accept,
            decision_log=lambda person_key, decision, asked: None,
            clock=lambda: time.time_ns() // 1_000_000,
            options=DeliveryOptions(in_flight=16),
        )
        made.prepare(SignedBundle(REVISION, content_hash(self.content), (), b"", self.content))()
        return made

    def all_due(self) -> None:
        """Put everybody into the journey, due now."""
        (version,) = self.engines.active.versions
        for start in range(0, self.count, ROWS_AT_ONCE):
            rows = [
                Instance(key, "cart", version, key, 1, 1, 1, journeys.ACTIVE, self.now_ms, "", self.now_ms)
                for key in self.keys[start : start + ROWS_AT_ONCE]
            ]
            with self.store.writing() as connection:
                journeys.enter(connection, rows)

    def all_queued(self) -> list[Message]:
        """Queue a message for everybody."""
        rows = [
            Message(key.hex(), None, "cart", key, "email", "mail", "shop", "", self.now_ms, self.now_ms)
            for key in self.keys
        ]
        with self.store.writing() as connection:
            outbox.add(connection, rows)
        return rows


@contextmanager
def crowd(folder: Path, count: int) -> Iterator[Crowd]:
    """A filled store on SQLite."""
    store = Store(sqlite_url(folder / "state.db"))
    try:
        migrate(store)
        made = Crowd(store, count)
        made.fill()
        yield made
    finally:
        store.close()
