"""The hub's answer to a decision request: the same core on the same records as the edges."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog

from core.answers import Decision
from core.bundle import ANSWERED_AT_EDGE, INT, READ_CONTEXT, BundleDocument
from core.decide import Engine
from core.errors import RequestError
from core.header import has_consent
from core.request import Request
from hub.decisioning.asking import Asked
from hub.decisioning.bundles import SignedBundle
from hub.errors import NotFoundError, PreconditionError
from hub.store import profiles, sources
from hub.store.engine import Connection, Store

#: A batch that is answered one by one gives way to other calls after this many decisions.
DECISIONS_AT_ONCE: Final = 100
#: From so many questions on a batch is answered beside the event loop, on several threads.
THREADED_MIN: Final = 32
THREADS: Final = min(os.cpu_count() or 1, 4)
_log = structlog.get_logger("hub.decisions")

Log = Callable[[bytes, Decision, Asked], None]


class _Loaded:
    """One bundle, and what the hub reads from it per request."""

    def __init__(self, bundle: SignedBundle) -> None:
        self.engine = Engine(bundle.content, bundle.revision)
        #: An engine answers one batch at a time.
        self.batches = asyncio.Lock()
        document = self.engine.document
        self.deadlines = {placement.id: placement.deadline_ms for placement in document.placements}
        self.at_edge = {
            placement.id for placement in document.placements if placement.answered_at == ANSWERED_AT_EDGE
        }
        self.whole_numbers = {
            attribute.name.removeprefix("context.")
            for attribute in document.attributes
            if attribute.reading == READ_CONTEXT and attribute.type == INT
        }

    def deadline_ms(self, placements: Sequence[str]) -> int:
        """The tightest deadline of the placements that are known."""
        return min(self.deadlines[name] for name in placements if name in self.deadlines)


class Decider:
    """Answers questions with the active bundle. All decisions run on the event loop, one after the other."""

    def __init__(self, store: Store, log: Log) -> None:
        self._store = store
        self._log = log
        self._loaded: _Loaded | None = None

    def prepare(self, bundle: SignedBundle) -> Callable[[], None]:
        """Load a bundle beside the active one (in any thread); the returned function puts it in place."""
        loaded = _Loaded(bundle)

        def swap() -> None:
            self._loaded = loaded

        return swap

    @property
    def document(self) -> BundleDocument:
        """The active bundle's document. Raises PreconditionError before the first publication."""
        return self._active().engine.document

    def _active(self) -> _Loaded:
        if self._loaded is None:
            raise PreconditionError(expected="a published catalogue", got="none", path="$")
        return self._loaded

    async def decide(self, asked: Sequence[Asked], *, overloaded: bool = False) -> list[Decision]:
        """Answer each question, in order; where the hub is overloaded with the fallback, which waits for
        nothing.
        """
        loaded = self._active()
        for index, one in enumerate(asked):
            if not any(placement in loaded.deadlines for placement in one.question.placements):
                where = "$.placements" if len(asked) == 1 else f"$.requests[{index}].placements"
                raise NotFoundError(expected="a placement of the active catalogue", got="none", path=where)
        found = "overload" if overloaded else await self._find(loaded, asked)
        if not isinstance(found, str) and len(asked) >= THREADED_MIN and _is_of_one_moment(asked):
            made = await self._answer_threaded(loaded, asked, found)
            if made is not None:
                return made
        answers = []
        for index, one in enumerate(asked):
            if index % DECISIONS_AT_ONCE == DECISIONS_AT_ONCE - 1:
                await asyncio.sleep(0)
            answers.append(self._answer(loaded, one, found))
        return answers

    async def _find(self, loaded: _Loaded, asked: Sequence[Asked]) -> "_Found | str":
        """Look everybody up in one read, or say for what reason only the fallback can be given."""
        keys = {key for one in asked for key in one.keys}
        # The tightest placement bounds a single question; a batch is asked by who can wait for it.
        limit_ms = loaded.deadline_ms(asked[0].question.placements) if len(asked) == 1 else None
        try:
            async with asyncio.timeout(limit_ms / 1000 if limit_ms else None):
                return await self._store.read(lambda connection: _look_up(connection, keys))
        except TimeoutError:
            if limit_ms is None:
                raise
            return "deadline"
        except Exception as error:
            # A decision always answers; the text of a database's error may hold keys of people.
            _log.error("profiles not read", error=type(error).__name__)
            return "error"

    async def _answer_threaded(
        self, loaded: _Loaded, asked: Sequence[Asked], found: "_Found"
    ) -> list[Decision] | None:
        """Answer a batch on several threads; None where that fails, for one by one only one of them does."""
        requests = [_request(loaded, one) for one in asked]
        people = [found.first(one) for one in asked]
        records = [
            _record(loaded, profile, request) for profile, request in zip(people, requests, strict=True)
        ]
        try:
            async with loaded.batches:
                made = await asyncio.to_thread(
                    loaded.engine.decide_batch,
                    list(records),
                    requests,
                    asked[0].now_ms,
                    at_edge=False,
                    threads=THREADS,
                )
        except RequestError:
            raise
        except Exception:
            _log.exception("batch failed", requests=len(requests))
            return None
        for one, profile, record, decision in zip(asked, people, records, made, strict=True):
            self._note(profile, record, decision, one)
        return made

    def _note(
        self, profile: profiles.Profile | None, record: bytes | None, decision: Decision, asked: Asked
    ) -> None:
        """Log a decision. Of a person who never said anything about consent nothing is stored."""
        if profile is not None and record is not None and has_consent(record):
            self._log(profile.profile_id, decision, asked)

    def _answer(self, loaded: _Loaded, asked: Asked, found: "_Found | str") -> Decision:
        request = _request(loaded, asked)
        if isinstance(found, str):
            return loaded.engine.fallback(request, asked.now_ms, found, at_edge=False)
        profile = found.first(asked)
        record = _record(loaded, profile, request)
        try:
            decision = loaded.engine.decide(record, (), request, asked.now_ms, at_edge=False)
        except RequestError:
            raise
        except Exception:
            # A decision always answers; the log tells places, not what of the person was being read.
            _log.exception("decision failed", placements=len(request.placements))
            return loaded.engine.fallback(request, asked.now_ms, "error", at_edge=False)
        self._note(profile, record, decision, asked)
        return decision


class _Found:
    """The profiles behind a set of identifier hashes."""

    def __init__(self, profile_ids: dict[bytes, bytes], rows: Iterable[profiles.Profile]) -> None:
        self._profile_ids = profile_ids
        self._rows = {row.profile_id: row for row in rows}

    def first(self, asked: Asked) -> profiles.Profile | None:
        """The profile of the strongest identifier that has one.

        A device does not vouch for who is named beside it: of a known person's profile it tells nothing.
        """
        for key in asked.keys:
            profile = self._rows.get(self._profile_ids.get(key, b""))
            if profile is not None:
                shared = asked.named and key == asked.device and profile.known
                return None if shared else profile
        return None


def _is_of_one_moment(asked: Sequence[Asked]) -> bool:
    """Whether a batch of the core can answer the questions: all of one moment, no trace asked for."""
    return all(one.now_ms == asked[0].now_ms and not one.question.trace for one in asked)


def _request(loaded: _Loaded, asked: Asked) -> Request:
    return Request(
        decision_id=asked.decision_id,
        placements=tuple(asked.question.placements),
        context=_context(asked.context.items(), loaded.whole_numbers),
        unit_key=asked.unit_key,
        named=asked.named,
        trace=asked.question.trace,
    )


def _record(loaded: _Loaded, profile: profiles.Profile | None, request: Request) -> bytes | None:
    """The record to decide on: edge placements are answered from the very bytes that the edges hold."""
    if profile is None:
        return None
    edge_only = all(placement in loaded.at_edge for placement in request.placements)
    return profile.edge_record if edge_only else profile.record


def _look_up(connection: Connection, keys: Iterable[bytes]) -> _Found:
    profile_ids = sources.profile_ids(connection, keys)
    return _Found(profile_ids, profiles.by_id(connection, set(profile_ids.values())))


def _context(items: Iterable[tuple[str, Any]], whole_numbers: set[str]) -> dict[str, Any]:
    """Protobuf's Struct knows doubles only; where the catalogue declares an int, a whole double is one."""
    return {name: _whole(value) if name in whole_numbers else value for name, value in items}


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
