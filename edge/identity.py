"""Who a request is about: identifiers become keyed hashes, user tokens are checked, server keys may name
anybody.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from joserfc.jwk import OKPKey

from core.errors import CoreError
from core.identifiers import HASH_BYTES, KNOWN_TYPES, hash_identifier, parse
from core.user_token import UserTokenError, load_user_token_key, verify_user_token
from edge.errors import EdgeError, SettingsError
from edge.node import Person, Shown

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")


class IdentityError(EdgeError):
    """The request names nobody, or in a malformed way."""

    code = "invalid"


def load_token_keys(paths: Sequence[Path]) -> list[OKPKey]:
    """The site's public keys. Raises SettingsError."""
    keys = []
    for path in paths:
        try:
            keys.append(load_user_token_key(path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError, UserTokenError) as error:
            got = "other text" if isinstance(error, UserTokenError) else type(error).__name__
            expected = "an Ed25519 public key as JWK or PEM"
            raise SettingsError(
                f"ONEVOICE_USER_TOKEN_KEYS: expected {expected}, got {got} for {path}"
            ) from error
    return keys


class Identities:
    """The fleet's identifier key and the site's user-token keys."""

    def __init__(self, identifier_key: bytes, token_keys: Sequence[OKPKey], audience: str) -> None:
        self.identifier_key = identifier_key
        self._token_keys = token_keys
        self._audience = audience

    def person(self, anonymous_id: str | None, user: tuple[str, str] | None, profile: str | None) -> Person:
        """The person of a decision request; identifiers strongest first.

        An anonymous visitor is assigned by her device's hash, so that she keeps her variants when a log-in
        makes her a profile.
        """
        known: list[bytes] = []
        if profile is not None:
            kind, value = self._parse_profile(profile)
            known.append(hash_identifier(self.identifier_key, kind, value))
        if user is not None:
            known.append(hash_identifier(self.identifier_key, *user))
        if anonymous_id is None:
            if not known:
                raise IdentityError(
                    path="$.anonymous_id", expected="anonymous_id, user_token or profile", got="none of them"
                )
            return Person(Shown(tuple(known), ()), known[0][:HASH_BYTES])
        if _UUID.fullmatch(anonymous_id) is None:
            got = f"another string of {len(anonymous_id)} characters"
            raise IdentityError(path="$.anonymous_id", expected="a UUID", got=got)
        anonymous = hash_identifier(self.identifier_key, "anon", anonymous_id.lower())
        return Person(Shown(tuple(known), (anonymous,)), anonymous[:HASH_BYTES])

    def verify(self, user_token: str) -> tuple[str, str]:
        """The person that a user token vouches for. Raises UserTokenError."""
        return verify_user_token(user_token, self._token_keys, self._audience, int(time.time()))

    @staticmethod
    def _parse_profile(profile: str) -> tuple[str, str]:
        try:
            return parse(profile)
        except CoreError as error:
            expected = "type:value with type one of " + ", ".join((*sorted(KNOWN_TYPES), "anon", "device"))
            raise IdentityError(path="$.profile", expected=expected, got="another form") from error
