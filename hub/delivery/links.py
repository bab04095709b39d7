"""The addresses inside messages: signed tokens that name a message, and for a click its target.

A token never holds a person. It cannot be guessed or changed, and one made for reading cannot be used for
unsubscribing: each use signs with a key of its own.
"""

import hashlib
from typing import Final, Literal

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from hub.errors import NotFoundError

Use = Literal["u", "p", "o", "c"]

UNSUBSCRIBE: Final = "u"
PREFERENCES: Final = "p"
OPEN: Final = "o"
CLICK: Final = "c"
USES: Final[tuple[Use, ...]] = (UNSUBSCRIBE, PREFERENCES, OPEN, CLICK)

TOKEN_LENGTH_MAX: Final = 4096
TARGET_LENGTH_MAX: Final = 2048
OPEN_SUFFIX: Final = ".gif"


class Click(msgspec.Struct, frozen=True, array_like=True):
    """What a click token names. `link`: place of the link in the message, from 0."""

    message_id: str
    link: int
    target: str


class Links:
    """Makes and reads tokens. `public_url`: how the outside reaches the hub, without a slash at its end."""

    def __init__(self, key: bytes, public_url: str) -> None:
        self.public_url = public_url.rstrip("/")
        self._serializers = {
            use: URLSafeSerializer(
                key,
                salt=f"onevoice.link.{use}",
                serializer=_Json,
                signer_kwargs={"key_derivation": "hmac", "digest_method": _sha256},
            )
            for use in USES
        }

    def unsubscribe(self, message_id: str) -> str:
        """Address of the one-click POST, which also shows a page."""
        return self._url(UNSUBSCRIBE, message_id)

    def preferences(self, message_id: str) -> str:
        """Address of the preference page."""
        return self._url(PREFERENCES, message_id)

    def open(self, message_id: str) -> str:
        """Address of the open pixel."""
        return self._url(OPEN, message_id) + OPEN_SUFFIX

    def click(self, message_id: str, link: int, target: str) -> str:
        """Address that leads to `target`; the target itself where it is too long for a token."""
        if len(target) > TARGET_LENGTH_MAX:
            return target
        return self._url(CLICK, [message_id, link, target])

    def is_own(self, address: str) -> bool:
        """Whether an address is one of these."""
        return address.startswith(tuple(f"{self.public_url}/{use}/" for use in USES))

    def message_of(self, use: Use, token: str) -> str:
        """Message that a token names. Raises NotFoundError."""
        named = self._load(use, token)
        if not isinstance(named, str):
            raise _unknown()
        return named

    def click_of(self, token: str) -> Click:
        """Message, link and target that a click token names. Raises NotFoundError."""
        try:
            return msgspec.convert(self._load(CLICK, token), Click)
        except msgspec.ValidationError as error:
            raise _unknown() from error

    def _url(self, use: Use, named: object) -> str:
        return f"{self.public_url}/{use}/{self._serializers[use].dumps(named)}"

    def _load(self, use: Use, token: str) -> object:
        if len(token) > TOKEN_LENGTH_MAX:
            raise _unknown()
        try:
            return self._serializers[use].loads(token)
        except (BadData, ValueError, RecursionError) as error:
            raise _unknown() from error


class _Json:
    """msgspec in the shape that itsdangerous asks for."""

    @staticmethod
    def dumps(value: object) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(data: str) -> object:
        return msgspec.json.decode(data)


def _sha256(data: bytes = b"") -> "hashlib._Hash":
    return hashlib.sha256(data)


def _unknown() -> NotFoundError:
    return NotFoundError(expected="a link from one of our messages", got="another one", path="token")
