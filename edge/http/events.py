"""`POST /v1/events`, Segment's own routes, `POST /v1/consent`: facts about visitors, answered when they are
on disk.
"""

from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.authoring.builtins import PURPOSES
from core.decide import Engine
from core.errors import EventError
from core.intake import KINDS
from core.user_token import UserTokenError
from edge.errors import EdgeError, QueueFullError
from edge.http.access import SITE, Keyring
from edge.http.body import Patience
from edge.http.decide import NO_BODY, decode_error
from edge.http.replies import HttpError, bad_request, encode, from_core, unavailable
from edge.identity import Identities
from edge.node import Node
from edge.taking import EVENTS_MAX, Taken, Taker
from edge.times import rfc3339

BODY_BYTES_MAX: Final = 1024 * 1024
MESSAGE_BYTES_MAX: Final = 64 * 1024
_BUILT_IN: Final = frozenset(name for name, _ in PURPOSES)
_RETRY_AFTER_SECONDS: Final = 1
_DISK_RETRY_AFTER_SECONDS: Final = 5

Token = Annotated[str, msgspec.Meta(max_length=4096)] | None


class EventsBody(msgspec.Struct):
    """The body of `/v1/events`: Segment-spec messages, and optionally who the user is."""

    events: Annotated[list[Any], msgspec.Meta(max_length=EVENTS_MAX)]
    user_token: Token = None


class BatchBody(msgspec.Struct):
    """The body of Segment's `/v1/batch`."""

    batch: Annotated[list[Any], msgspec.Meta(max_length=EVENTS_MAX)]
    user_token: Token = None


class EventRoutes:
    """Handlers: decode, call, encode."""

    def __init__(
        self, node: Node, taker: Taker, identities: Identities, keyring: Keyring, patience: Patience
    ) -> None:
        self._patience = patience
        self._node = node
        self._taker = taker
        self._identities = identities
        self._keyring = keyring
        self._decode_events = msgspec.json.Decoder(EventsBody).decode
        self._decode_batch = msgspec.json.Decoder(BatchBody).decode
        self._decode_message = msgspec.json.Decoder(dict[str, Any]).decode

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/v1/events", self.events, methods=["POST"]),
            Route("/v1/batch", self.batch, methods=["POST"]),
            Route("/v1/consent", self.consent, methods=["POST"]),
            *(Route(f"/v1/{kind}", self._message_handler(kind), methods=["POST"]) for kind in KINDS),
        ]

    async def events(self, request: Request) -> Response:
        """Take a list of messages in."""
        role, raw = await self._receive(request, BODY_BYTES_MAX)
        try:
            body = self._decode_events(raw)
        except NO_BODY as error:
            raise decode_error(error) from error
        return reply(await self._take(body.events, None, role, body.user_token))

    async def batch(self, request: Request) -> Response:
        """The same under Segment's name for it."""
        role, raw = await self._receive(request, BODY_BYTES_MAX)
        try:
            body = self._decode_batch(raw)
        except NO_BODY as error:
            raise decode_error(error) from error
        return reply(await self._take(body.batch, None, role, body.user_token))

    def _message_handler(self, kind: str) -> Any:
        async def handler(request: Request) -> Response:
            role, raw = await self._receive(request, MESSAGE_BYTES_MAX)
            message = self._message(raw)
            token = self._token(message.pop("user_token", None))
            taken = await self._take([message], kind, role, token)
            if taken.rejected:
                refused = taken.rejected[0]
                raise bad_request(refused.path, refused.expected, refused.got)
            return reply(taken)

        return handler

    async def consent(self, request: Request) -> Response:
        """Keep one consent change."""
        _, raw = await self._receive(request, MESSAGE_BYTES_MAX)
        message = self._message(raw)
        user = self._user(self._token(message.pop("user_token", None)))
        self._check_purpose(message.get("purpose"))
        try:
            event = await self._taker.take_consent(message, user)
        except EventError as error:
            raise from_core(error) from error
        except EdgeError as error:
            raise _not_taken(error) from error
        return json_reply({"effective_at": rfc3339(event.at_ms)})

    async def _receive(self, request: Request, bytes_max: int) -> tuple[str, bytes]:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])
        role = self._keyring.role(headers, request.scope["query_string"])
        return role, await self._patience.read_body(request.receive, headers, bytes_max)

    def _message(self, raw: bytes) -> dict[str, Any]:
        try:
            return self._decode_message(raw)
        except NO_BODY as error:
            raise decode_error(error) from error

    async def _take(self, messages: list[Any], kind: str | None, role: str, token: str | None) -> Taken:
        engine = self._engine()
        try:
            return await self._taker.take(
                engine, messages, kind=kind, trusted=role != SITE, user=self._user(token)
            )
        except EdgeError as error:
            raise _not_taken(error) from error

    def _engine(self) -> Engine:
        """Without a bundle nobody knows which purposes let behaviour be kept."""
        if self._node.engine is None:
            raise unavailable("no_bundle", "no bundle is active yet")
        return self._node.engine

    def _user(self, token: str | None) -> tuple[str, str] | None:
        if token is None:
            return None
        try:
            return self._identities.verify(token)
        except UserTokenError as error:
            raise from_core(error, 401, "user_token") from error

    @staticmethod
    def _token(value: object) -> str | None:
        if value is not None and not isinstance(value, str):
            raise bad_request("$.user_token", "a JWT", type(value).__name__)
        return value

    def _check_purpose(self, purpose: object) -> None:
        """A purpose must be built in or declared by the active bundle; its form is checked at intake."""
        if not isinstance(purpose, str) or purpose in _BUILT_IN:
            return
        engine = self._node.engine
        declared = [] if engine is None else [one.id for one in engine.document.purposes]
        if purpose not in declared:
            expected = "one of " + ", ".join(sorted(_BUILT_IN.union(declared)))
            raise bad_request("$.purpose", expected, f"another string of {len(purpose)} characters")


def reply(taken: Taken) -> Response:
    """What became of each message."""
    fields: dict[str, Any] = {
        "accepted": taken.accepted,
        "duplicates": taken.duplicates,
        "rejected": taken.rejected,
    }
    if taken.dropped:
        fields["dropped"] = taken.dropped
    return json_reply(fields)


def json_reply(value: Any) -> Response:
    return Response(encode(value), media_type="application/json", headers={"cache-control": "no-store"})


def _not_taken(error: EdgeError) -> HttpError:
    """Nothing was acknowledged: the client keeps the events and comes again."""
    if isinstance(error, QueueFullError):
        return HttpError(
            429, "busy", message="too many events wait for the disk", retry_after=_RETRY_AFTER_SECONDS
        )
    return unavailable(error.code, "the events could not be stored", _DISK_RETRY_AFTER_SECONDS)
