"""Who calls: a key in the metadata, compared in constant time with the hashes of the known ones."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final

from hub.errors import ForbiddenError, UnauthenticatedError
from hub.rpc.methods import Method

SCHEME: Final = "bearer"
KEY_LENGTH_MAX: Final = 512
_PATH: Final = "metadata.authorization"

#: The role of the caller of the current call.
caller: ContextVar[str] = ContextVar("caller")
#: Whether the current call came to a hub that is full.
overloaded: ContextVar[bool] = ContextVar("overloaded", default=False)


class Keyring:
    """The API keys of each role, kept as SHA-256."""

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self._known = [(role, _digest(key)) for role, listed in keys.items() for key in listed]

    def role_of(self, key: str) -> str | None:
        """The role of a key. Every known key is compared, so the time tells nothing."""
        digest, found = _digest(key), None
        for role, known in self._known:
            if hmac.compare_digest(digest, known):
                found = role
        return found


def authorize(keyring: Keyring, metadata: Iterable[tuple[str, str | bytes]], method: Method) -> str:
    """The caller's role, if it may call the method."""
    role = keyring.role_of(_key(metadata))
    if role is None:
        raise UnauthenticatedError(expected="a known key", got="another", path=_PATH)
    if role not in method.roles:
        expected = "a key of role " + " or ".join(sorted(method.roles))
        raise ForbiddenError(expected=expected, got=f"role {role}", path=_PATH)
    return role


def _key(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    values = [value for name, value in metadata if name == "authorization"]
    if len(values) != 1 or not isinstance(values[0], str):
        raise UnauthenticatedError(expected="Bearer KEY once", got=f"{len(values)} values", path=_PATH)
    scheme, _, key = values[0].partition(" ")
    if scheme.lower() != SCHEME or not 0 < len(key) <= KEY_LENGTH_MAX:
        raise UnauthenticatedError(expected="Bearer KEY", got="another form", path=_PATH)
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
