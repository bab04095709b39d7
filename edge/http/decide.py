"""`POST /v1/decide`: decode, call, encode, before any routing, because every page waits for it.

One request costs one JSON decode, two LMDB read transactions, one call of the core and one concatenation;
nothing waits but the body.
"""

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from core.answers import Decision
from core.decide import Engine
from core.errors import RequestError
from core.exposures import exposure_token
from core.request import Request
from core.user_token import UserTokenError
from edge import figures
from edge.context import Countries, build_context
from edge.decision_log import DecisionLog
from edge.figures import Figures
from edge.http.access import OPERATOR, SITE, Keyring, Origins
from edge.http.body import Patience, Receive, check_type
from edge.http.replies import (
    JSON_TYPE,
    NO_STORE,
    Header,
    HttpError,
    bad_request,
    from_core,
    from_msgspec,
    invalid_json,
    unavailable,
)
from edge.identity import Identities, IdentityError
from edge.load import Load
from edge.logs import log
from edge.node import Answer, Node, Person

BODY_BYTES_MAX: Final = 64 * 1024
PLACEMENTS_MAX: Final = 64
CONTEXT_VALUES_MAX: Final = 64
DECISION_ID_BYTES: Final = 16
IDS_AT_ONCE: Final = 256
DECISION_ID_LENGTH_MAX: Final = 64
YEAR_MS_MAX: Final = 253_402_300_799_999  # the end of the year 9999
#: What decoding a body raises: text that is no UTF-8 is an error of Python's.
NO_BODY: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Scope = MutableMapping[str, Any]
Reply = tuple[int, list[Header], bytes]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class DecideBody(msgspec.Struct):
    """The body of a decision request."""

    placements: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=PLACEMENTS_MAX)]
    anonymous_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    user_token: Annotated[str, msgspec.Meta(max_length=4096)] | None = None
    profile: Annotated[str, msgspec.Meta(max_length=300)] | None = None
    context: Annotated[dict[str, Any], msgspec.Meta(max_length=CONTEXT_VALUES_MAX)] = {}
    trace: bool = False
    at: Annotated[str, msgspec.Meta(max_length=40)] | int | None = None
    decision_id: Annotated[str, msgspec.Meta(min_length=1, max_length=DECISION_ID_LENGTH_MAX)] | None = None


class DecisionIds:
    """Unguessable ids, drawn from the system many at a time: one call for each would cost as much as a rule
    set.
    """

    def __init__(self) -> None:
        self._drawn = ""
        self._next = 0

    def draw(self) -> str:
        """The next id, never given before."""
        begin = self._next
        if begin == len(self._drawn):
            self._drawn, begin = os.urandom(DECISION_ID_BYTES * IDS_AT_ONCE).hex(), 0
        self._next = begin + 2 * DECISION_ID_BYTES
        return self._drawn[begin : self._next]


class Question(msgspec.Struct, frozen=True):
    """A checked request."""

    person: Person
    request: Request
    now_ms: int


class Decider:
    """Answers decision questions of every HTTP face; all of them are decided here."""

    def __init__(
        self,
        node: Node,
        identities: Identities,
        countries: Countries,
        decision_log: DecisionLog,
        numbers: Figures,
        load: Load,
        *,
        node_name: str,
        allow_time_travel: bool,
    ) -> None:
        self._node = node
        self._identities = identities
        self._countries = countries
        self._log = decision_log
        self._figures = numbers
        self._load = load
        self._allow_time_travel = allow_time_travel
        self._ids = DecisionIds()
        self.tail = b',"node":' + msgspec.json.encode(node_name) + b',"took_us":'

    @property
    def engine(self) -> Engine:
        """The active bundle's. Raises HttpError 503 before the first bundle."""
        engine = self._node.engine
        if engine is None:
            raise unavailable("no_bundle", "no bundle is active yet")
        return engine

    def question(
        self, body: DecideBody, role: str, headers: dict[bytes, bytes], client: tuple[str, int] | None
    ) -> Question:
        """Check a request against the caller's rights. Raises HttpError."""
        if role == SITE and body.profile is not None:
            raise forbidden("$.profile", "a server key")
        if (body.at is not None or body.decision_id is not None) and (
            role != OPERATOR or not self._allow_time_travel
        ):
            path = "$.at" if body.at is not None else "$.decision_id"
            raise forbidden(path, "an operator key on a node that allows time travel")
        now_ms = time.time_ns() // 1_000_000 if body.at is None else _moment(body.at)
        try:
            user = None if body.user_token is None else self._identities.verify(body.user_token)
            person = self._identities.person(body.anonymous_id, user, body.profile)
        except UserTokenError as error:
            raise from_core(error, 401, "user_token") from error
        except IdentityError as error:
            raise from_core(error) from error
        request = Request(
            decision_id=body.decision_id or os.urandom(DECISION_ID_BYTES).hex(),
            placements=tuple(body.placements),
            context=build_context(body.context, headers, client, self._countries),
            unit_key=person.unit_key,
            named=person.named,
            trace=body.trace,
        )
        return Question(person, request, now_ms)

    def decide(self, engine: Engine, question: Question, started_ns: int) -> Answer:
        """Decide, or fall back where the node is too slow or too busy; count and log it. Never raises for
        the world.
        """
        person, request, now_ms = question.person, question.request, question.now_ms
        late = self._load.judge(time.perf_counter_ns() - started_ns, engine, request.placements)
        try:
            if late is not None:
                self._figures.add(figures.OVERLOADED if late == "overload" else figures.DEADLINES_MISSED)
                answer = Answer(engine.fallback(request, now_ms, late), b"")
            else:
                answer = self._node.decide(engine, person, request, now_ms)
        except RequestError as error:
            raise from_core(error) from error
        except Exception:
            # A decision always answers; what went wrong is for the log, without the request.
            log.exception("decision failed", placements=len(request.placements))
            answer = Answer(engine.fallback(request, now_ms, "error"), b"")
        if answer.logged_as:
            kept = self._log.add(answer.logged_as, answer.decision.log_row())
            self._figures.add(figures.ROWS_LOGGED if kept else figures.ROWS_DROPPED)
        self._figures.decided(answer.decision.reasons, (time.perf_counter_ns() - started_ns) // 1000)
        return answer

    def exposures(self, question: Question, decision: Decision) -> bytes:
        """The last field of an answer, with its comma: the token of each placement with sticky experiments,
        for the client to send with its exposure. Nothing where there is none.
        """
        found = decision.exposures()
        if not found:
            return b""
        key, decision_id = self._identities.identifier_key, question.request.decision_id
        tokens = {
            name: exposure_token(key, question.person.unit_key, decision_id, name, assigned)
            for name, assigned in found
        }
        return b',"exposures":' + msgspec.json.encode(tokens)


class DecideRoute:
    """The hot route: `reply` for the protocol that has the whole request, the call for ASGI."""

    def __init__(
        self,
        decider: Decider,
        keyring: Keyring,
        origins: Origins,
        numbers: Figures,
        load: Load,
        patience: Patience,
    ) -> None:
        self._patience = patience
        self._decider = decider
        self._keyring = keyring
        self._origins = origins
        self._figures = numbers
        self._load = load
        self._decode = msgspec.json.Decoder(DecideBody).decode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; ClientGoneError if nobody waits for the answer."""
        started_ns = time.perf_counter_ns()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        query = scope["query_string"]
        self._load.enter()
        try:
            try:
                self._keyring.role(headers, query)  # before the body is waited for
                raw = await self._patience.read_body(receive, headers, BODY_BYTES_MAX)
            except HttpError as error:
                status, reply_headers, body = self._refuse(error, headers)
            else:
                status, reply_headers, body = self.reply(headers, query, raw, scope.get("client"), started_ns)
        finally:
            self._load.leave()
        await send({"type": "http.response.start", "status": status, "headers": reply_headers})
        await send({"type": "http.response.body", "body": body})

    def reply(
        self,
        headers: dict[bytes, bytes],
        query: bytes,
        raw: bytes,
        client: tuple[str, int] | None,
        started_ns: int,
    ) -> Reply:
        """Status, headers and body for a whole request. Nothing here waits, and nothing raises."""
        try:
            role = self._keyring.role(headers, query)
            check_type(headers)
            body = self._answer(raw, role, headers, client, started_ns)
        except HttpError as error:
            return self._refuse(error, headers)
        except Exception:
            log.exception("request failed")
            return self._refuse(HttpError(500, "error", message="the edge has failed to answer"), headers)
        reply_headers = [JSON_TYPE, NO_STORE, (b"content-length", b"%d" % len(body))]
        origin = headers.get(b"origin")
        if origin is not None:
            reply_headers += self._origins.headers(origin)
        return 200, reply_headers, body

    def _refuse(self, error: HttpError, headers: dict[bytes, bytes]) -> Reply:
        self._figures.add(figures.HTTP_4XX if error.status < 500 else figures.HTTP_5XX)
        body = error.body
        length = (b"content-length", b"%d" % len(body))
        return error.status, [*error.headers(), *self._origins.headers(headers.get(b"origin")), length], body

    def _answer(
        self,
        raw: bytes,
        role: str,
        headers: dict[bytes, bytes],
        client: tuple[str, int] | None,
        started_ns: int,
    ) -> bytes:
        try:
            asked = self._decode(raw)
        except NO_BODY as error:
            raise decode_error(error) from error
        engine = self._decider.engine
        question = self._decider.question(asked, role, headers, client)
        decision = self._decider.decide(engine, question, started_ns).decision
        if decision.known == 0:
            raise HttpError(
                404,
                "unknown_placement",
                path="$.placements",
                expected="a placement of the active bundle",
                got="none that is known",
            )
        exposures = self._decider.exposures(question, decision)
        took_us = (time.perf_counter_ns() - started_ns) // 1000
        return b'{"decision":' + decision.body + self._decider.tail + b"%d" % took_us + exposures + b"}"


def decode_error(error: Exception) -> HttpError:
    """What was wrong with a body."""
    if isinstance(error, msgspec.MsgspecError):
        return from_msgspec(error)
    if isinstance(error, UnicodeDecodeError):
        return invalid_json()
    return bad_request("$", "moderate nesting", "more")


def forbidden(path: str, expected: str) -> HttpError:
    return HttpError(403, "forbidden", path=path, expected=expected, got="another")


def _moment(at: str | int) -> int:
    """Milliseconds since 1970 of a time-travel request: a number of them, or RFC 3339 text."""
    if isinstance(at, str):
        try:
            moment = datetime.fromisoformat(at)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            at = round(moment.timestamp() * 1000)
        except (ValueError, OverflowError) as error:
            raise bad_request(
                "$.at", "an RFC 3339 time or milliseconds since 1970", "another string"
            ) from error
    if not 0 <= at <= YEAR_MS_MAX:
        raise bad_request("$.at", f"0 to {YEAR_MS_MAX}", "another number")
    return at
