"""Bodies of forms, within limits: urlencoded or multipart, as browsers and mail receivers send them."""

import email
import email.policy
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from hub.errors import InvalidError, LimitError

BODY_BYTES_MAX: Final = 16 * 1024
FIELDS_MAX: Final = 100
URLENCODED: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"


async def read_form(request: Request) -> list[tuple[str, str]]:
    """The fields of a form in order. Raises LimitError or InvalidError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise LimitError(expected=f"at most {BODY_BYTES_MAX} bytes", got="more", path="$")
    given = request.headers.get("content-type", URLENCODED)
    kind = given.partition(";")[0].strip().lower()
    try:
        if kind == URLENCODED:
            return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
        if kind == MULTIPART:
            return _multipart(given, bytes(body))
    except (UnicodeError, ValueError) as error:
        raise InvalidError(expected="a form", got="other bytes", path="$") from error
    raise InvalidError(
        expected=f"{URLENCODED} or {MULTIPART}",
        got="another content type",
        path="content-type",
        code="media_type",
    )


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    if not form.is_multipart():
        raise ValueError("no parts")
    fields = []
    for part in list(form.walk())[1 : FIELDS_MAX + 1]:
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields.append((name, payload.decode("utf-8").strip("\r\n")))
    return fields
