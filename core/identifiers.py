"""Identifiers as the system carries them: typed, normalised, and hashed with the fleet's key.

An edge never holds a raw e-mail or phone. It holds `hash_identifier(key, type, value)`: 16 bytes that still
are personal data, but useless without the key. Hub and edges share the key (a secret of the fleet).
"""

import hashlib
import unicodedata
from functools import lru_cache
from typing import Final

from core.errors import CoreError

#: Strongest first: an event belongs to the source profile of its strongest verified identifier.
TYPES: Final[tuple[str, ...]] = ("id", "loyalty", "email", "phone", "anon", "device")
STRENGTH: Final[dict[str, int]] = {kind: rank for rank, kind in enumerate(TYPES)}
#: Types that say who a person is; the others only say which device.
KNOWN_TYPES: Final[frozenset[str]] = frozenset({"id", "loyalty", "email", "phone"})
VALUE_LENGTH_MAX: Final = 256
HASH_BYTES: Final = 16
_BLOCK_BYTES: Final = 64  # of SHA-256


def normalise(kind: str, value: str) -> str:
    """The one spelling of an identifier. E-mail: trimmed, NFC, lower case; phone: `+` and digits; anon
    and device: lower case.
    """
    value = unicodedata.normalize("NFC", value.strip())
    if kind in ("email", "anon", "device"):
        value = value.lower()
    elif kind == "phone":
        digits = "".join(c for c in value if c.isascii() and c.isdigit())
        value = ("+" if value.startswith("+") else "") + digits
    return value


def parse(person: str) -> tuple[str, str]:
    """Split `type:value` and normalise it.

    Raises
    ------
    CoreError
        Unknown type, empty or over-long value; the message never repeats the value.
    """
    kind, separator, value = person.partition(":")
    if not separator or kind not in STRENGTH:
        raise CoreError(
            expected="type:value with type one of " + ", ".join(TYPES), got="another form", path="$"
        )
    value = normalise(kind, value)
    if not 0 < len(value) <= VALUE_LENGTH_MAX:
        raise CoreError(
            expected=f"a value of 1 to {VALUE_LENGTH_MAX} characters",
            got=f"{len(value)} characters",
            path="$",
        )
    return kind, value


def hash_identifier(key: bytes, kind: str, value: str) -> bytes:
    """HMAC-SHA256 of `type 0x00 normalised value`, first 16 bytes. `value` must be normalised already."""
    inner, outer = _begun(key, kind)
    inner, outer = inner.copy(), outer.copy()
    inner.update(value.encode())
    outer.update(inner.digest())
    return outer.digest()[:HASH_BYTES]


@lru_cache(maxsize=64)
def _begun(key: bytes, kind: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """HMAC's two hashes (RFC 2104) as they are before the value: a fleet has one key and six types, and
    beginning anew costs more than the rest.
    """
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + kind.encode() + b"\0")
    return inner, hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
