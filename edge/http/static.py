"""`/v1/client.js` and `/openapi.json`: the same bytes for everybody."""

import hashlib
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from edge.http.openapi import document
from edge.http.replies import encode

CLIENT_SECONDS: Final = 300
CLIENT_FILE: Final = Path(__file__).with_name("client.js")


def static_routes() -> list[Route]:
    """Both of them."""
    return [
        _route("/v1/client.js", CLIENT_FILE.read_bytes(), "text/javascript; charset=utf-8"),
        _route("/openapi.json", encode(document()), "application/json"),
    ]


def _route(path: str, content: bytes, media_type: str) -> Route:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "etag": tag,
        "cache-control": f"public, max-age={CLIENT_SECONDS}",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
        "content-type": media_type,
    }

    async def serve(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return Route(path, serve, methods=["GET"])
