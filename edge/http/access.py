"""Who calls, and from which page: API keys and allowed origins."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from edge.http.replies import Header, HttpError

SITE, SERVER, OPERATOR = "site", "server", "operator"
KEY_LENGTH_MAX: Final = 512
_CHALLENGE: Final = (b"www-authenticate", b'Bearer realm="onevoice"')
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-allow-headers", b"authorization, content-type, if-none-match"),
    (b"access-control-max-age", b"600"),
)
VARY: Final = (b"vary", b"origin")

Headers = Mapping[bytes, bytes]


class Keyring:
    """The API keys of each role.

    A key is looked up by hash, not compared letter by letter, so the time of a refusal does not tell how
    much of it was right.
    """

    def __init__(self, keys: Mapping[str, Iterable[str]]) -> None:
        self._roles = {key.encode(): role for role, listed in keys.items() for key in listed}
        self._bearers = {b"Bearer " + key: role for key, role in self._roles.items()}

    def role(self, headers: Headers, query: bytes) -> str:
        """The caller's role. Raises HttpError 401."""
        given = headers.get(b"authorization")
        if given is not None:
            role = self._bearers.get(given) or self._unusual(given)
            if role is not None:
                return role
        elif self._roles.get(_query_key(query)) == SITE:
            # Beacons cannot set headers; only a site key, which pages show anyway, may stand in an address.
            return SITE
        raise HttpError(
            401,
            "unauthenticated",
            path="authorization",
            expected="Bearer KEY with a known key",
            got="none" if given is None and not query else "another",
            headers=(_CHALLENGE,),
        )

    def _unusual(self, given: bytes) -> str | None:
        """Another spelling of `Bearer`, or Segment's own way: Basic with the key as user name."""
        if len(given) > KEY_LENGTH_MAX:
            return None
        scheme, _, rest = given.strip().partition(b" ")
        if scheme.lower() == b"bearer":
            return self._roles.get(rest.strip())
        if scheme.lower() == b"basic":
            try:
                return self._roles.get(base64.b64decode(rest, validate=True).partition(b":")[0])
            except binascii.Error:
                return None
        return None


def _query_key(query: bytes) -> bytes:
    for part in query[: 2 * KEY_LENGTH_MAX].split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"key":
            return unquote_to_bytes(value)
    return b""


class Origins:
    """The pages that may call this edge from a browser."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.encode() for origin in allowed)
        self._any = b"*" in self._allowed

    def headers(self, origin: bytes | None) -> list[Header]:
        """What to add to an answer so that the page may read it; nothing for other pages."""
        if origin is None:
            return []
        if self._any or origin in self._allowed:
            return [(b"access-control-allow-origin", b"*" if self._any else origin), VARY]
        return [VARY]

    def preflight(self, origin: bytes | None) -> list[Header]:
        """The same for the question that a browser asks before."""
        return [*self.headers(origin), *_PREFLIGHT]
