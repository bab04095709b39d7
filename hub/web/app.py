"""Routes of the hub's HTTP port. All but what links in messages lead to (`public.py`) is read-only."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from google.protobuf.json_format import MessageToJson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from hub.metrics import Metrics
from hub.web.page import render
from onevoice.v1 import fleet_pb2

Status = Callable[[], Awaitable[fleet_pb2.StatusResponse]]
#: Why the hub is not ready; empty if it is.
NotReady = Callable[[], list[str]]

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
PAGE_HEADERS: Final = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def create_app(
    status: Status, not_ready: NotReady, metrics: Metrics, public: Sequence[Route] = ()
) -> Starlette:
    """The application behind the hub's HTTP port. `public`: the routes that links in messages lead to."""

    async def page(request: Request) -> Response:
        return HTMLResponse(render(await status()), headers=PAGE_HEADERS)

    async def status_json(request: Request) -> Response:
        text = MessageToJson(
            await status(), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return Response(text, media_type="application/json")

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        reasons = not_ready()
        if not reasons:
            return JSONResponse({"ready": True})
        return JSONResponse({"ready": False, "waiting_for": reasons}, 503, headers={"retry-after": "1"})

    async def scrape(request: Request) -> Response:
        return Response(metrics.render(), media_type=METRICS_TYPE)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/status.json", status_json),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", scrape),
            *public,
        ],
        exception_handlers={404: _not_found, 405: _not_allowed},
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return _error(404, "not_found", "/, /status.json, /healthz, /readyz or /metrics")


async def _not_allowed(request: Request, error: Exception) -> Response:
    return _error(405, "method_not_allowed", "GET, or POST where a form is")


def _error(status: int, code: str, expected: str) -> JSONResponse:
    message = f"expected {expected}, got something else"
    detail = {"code": code, "message": message, "path": "", "expected": expected, "got": "something else"}
    return JSONResponse({"error": detail}, status)
