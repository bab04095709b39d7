"""What the outside asks of the hub: one-click unsubscribe, preferences, the open picture, clicks.

The only routes that change anything. Each is named by a signed token of a message; GET changes nothing but
engagement.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hub.delivery.engagement import Engagements, link_text
from hub.delivery.links import OPEN, OPEN_SUFFIX, PREFERENCES, UNSUBSCRIBE, Links
from hub.delivery.machines import USER_AGENT_LENGTH_MAX, is_machine
from hub.delivery.outbox import Rate
from hub.delivery.subscriptions import Subscriptions
from hub.errors import HubError, InvalidError, LimitError, NotFoundError, UnavailableError
from hub.store import engagements
from hub.web.bodies import read_form
from hub.web.letters import preferences_page, unknown_page, unsubscribe_page, unsubscribed_page

#: Changes a second, of everybody together; a sender's whole list does not unsubscribe at once.
CHANGES_PER_SECOND: Final = 200.0
ONE_CLICK: Final = ("List-Unsubscribe", "One-Click")
SOURCE_ONE_CLICK: Final = "one-click"
SOURCE_PAGE: Final = "unsubscribe-page"
SOURCE_PREFERENCES: Final = "preferences"

#: One see-through pixel.
PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
HEADERS: Final = {
    "cache-control": "no-store, private",
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}
_STATUS: Final[tuple[tuple[type[HubError], int], ...]] = (
    (NotFoundError, 404),
    (LimitError, 413),
    (InvalidError, 400),
    (UnavailableError, 503),
)

Handler = Callable[[Request], Awaitable[Response]]


def public_routes(links: Links, subscriptions: Subscriptions, engagement: Engagements) -> list[Route]:
    """The routes, in the order in which they are tried."""
    faces = _Faces(links, subscriptions, engagement)
    return [
        Route("/u/{token}", _safely(faces.unsubscribe), methods=["GET", "POST"]),
        Route("/p/{token}", _safely(faces.preferences), methods=["GET", "POST"]),
        Route("/o/{token}", _safely(faces.open), methods=["GET"]),
        Route("/c/{token}", _safely(faces.click), methods=["GET"]),
    ]


class _Faces:
    def __init__(self, links: Links, subscriptions: Subscriptions, engagement: Engagements) -> None:
        self._links = links
        self._subscriptions = subscriptions
        self._engagement = engagement
        self._rate = Rate(CHANGES_PER_SECOND)

    async def unsubscribe(self, request: Request) -> Response:
        """RFC 8058: POST stops at once, GET asks."""
        message_id = self._links.message_of(UNSUBSCRIBE, request.path_params["token"])
        preferences = self._links.preferences(message_id)
        if request.method != "POST":
            return _html(unsubscribe_page(await self._subscriptions.look(message_id), preferences))
        fields = await read_form(request)
        if ONE_CLICK not in fields:
            raise InvalidError(expected="=".join(ONE_CLICK), got="another form", path="$")
        self._admit()
        by_page = ("page", "yes") in fields
        await self._subscriptions.unsubscribe(message_id, SOURCE_PAGE if by_page else SOURCE_ONE_CLICK)
        if by_page:
            return _html(unsubscribed_page(await self._subscriptions.look(message_id), preferences))
        return JSONResponse({"unsubscribed": True}, headers=HEADERS)

    async def preferences(self, request: Request) -> Response:
        """Choose by purpose."""
        message_id = self._links.message_of(PREFERENCES, request.path_params["token"])
        if request.method != "POST":
            return _html(preferences_page(await self._subscriptions.look(message_id)))
        fields = await read_form(request)
        self._admit()
        wanted = [value for name, value in fields if name == "purpose"]
        now = await self._subscriptions.choose(message_id, wanted, SOURCE_PREFERENCES)
        return _html(preferences_page(now, saved=True))

    async def open(self, request: Request) -> Response:
        """The picture, whatever the token: a mail shows no error."""
        try:
            token = request.path_params["token"].removesuffix(OPEN_SUFFIX)
            self._note(request, engagements.OPEN, self._links.message_of(OPEN, token))
        except NotFoundError:
            pass
        return Response(PIXEL, media_type="image/gif", headers=HEADERS)

    async def click(self, request: Request) -> Response:
        """On to the target, at once."""
        click = self._links.click_of(request.path_params["token"])
        self._note(request, engagements.CLICK, click.message_id, link_text(click.link, click.target))
        return RedirectResponse(click.target, 302, headers=HEADERS)

    def _note(self, request: Request, kind: str, message_id: str, link: str = "") -> None:
        agent = request.headers.get("user-agent", "")[:USER_AGENT_LENGTH_MAX]
        machine = request.method == "HEAD" or is_machine(agent)
        self._engagement.note(kind, message_id, link, machine=machine)

    def _admit(self) -> None:
        if not self._rate.grant(1):
            raise LimitError(
                expected=f"at most {CHANGES_PER_SECOND:g} changes a second", got="more", code="rate"
            )


def _html(page: str, status: int = 200) -> Response:
    return HTMLResponse(page, status, headers=HEADERS)


def _safely(handler: Handler) -> Handler:
    """One clear answer for whatever cannot be done: a page for people, JSON for programs."""

    async def safe(request: Request) -> Response:
        try:
            return await handler(request)
        except HubError as error:
            return _refusal(request, error)

    return safe


def _refusal(request: Request, error: HubError) -> Response:
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    status = {"rate": 429, "media_type": 415}.get(error.code, status)
    if status == 404 and "text/html" in request.headers.get("accept", ""):
        return _html(unknown_page(), 404)
    detail: dict[str, Any] = {
        "code": error.code,
        "message": str(error),
        "path": error.path,
        "expected": error.expected,
        "got": error.got,
    }
    headers = {**HEADERS, "retry-after": "1"} if status in (429, 503) else HEADERS
    return JSONResponse({"error": detail}, status, headers=headers)
