"""User tokens: a site's server vouches for a person with a short Ed25519 JWT; any node checks it offline."""

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc._rfc7515.model import JWSAlgModel
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

from core.errors import CoreError
from core.identifiers import KNOWN_TYPES, parse

TOKEN_LENGTH_MAX: Final = 4096
KEYS_MAX: Final = 2
LIFETIME_SECONDS_MAX: Final = 3600
#: A site's clock may run ahead of a node's by this much; expiry gets no such grace.
CLOCK_SKEW_SECONDS: Final = 5
#: The old name and the one of RFC 9864 for the same signature.
ALGORITHMS: Final = ("EdDSA", "Ed25519")
_CURVE: Final = "Ed25519"


class UserTokenError(CoreError):
    """The user token cannot be accepted."""


class _Registry(JWSRegistry):
    """Allows the two names of Ed25519 signatures only, without the library's warning at the older one."""

    def get_alg(self, name: str) -> JWSAlgModel:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY: Final = _Registry(algorithms=ALGORITHMS)


def load_user_token_key(text: str) -> OKPKey:
    """An Ed25519 public key from a JWK (JSON) or PEM text."""
    try:
        stripped = text.strip()
        key = OKPKey.import_key(json.loads(stripped) if stripped.startswith("{") else stripped)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise UserTokenError(
            expected="an Ed25519 public key as JWK or PEM", got="other text", path="user token key"
        ) from error
    if key.curve_name != _CURVE:
        raise UserTokenError(
            expected="an Ed25519 public key", got=f"curve {key.curve_name}", path="user token key"
        )
    return key


def verify_user_token(token: str, keys: Sequence[OKPKey], audience: str, now_s: int) -> tuple[str, str]:
    """Check a user token and return the person it vouches for.

    Parameters
    ----------
    token : compact JWT with claims `aud` (the site), `sub` (`type:value`) and `exp` (at most an hour ahead)
    keys : the site's public keys, at most two (the second one for rotation), from `load_user_token_key`
    audience : the site's name
    now_s : the node's time, seconds since 1970 UTC

    Returns
    -------
    (identifier type, normalised value)

    Raises
    ------
    UserTokenError
        Anything else; the message never repeats the token or its claims.
    """
    claims = _verified_claims(token, keys)
    _check_audience(claims.get("aud"), audience)
    _check_times(claims, now_s)
    return _subject(claims.get("sub"))


def _verified_claims(token: str, keys: Sequence[OKPKey]) -> dict[str, Any]:
    if not 0 < len(token) <= TOKEN_LENGTH_MAX:
        raise UserTokenError(
            expected=f"1 to {TOKEN_LENGTH_MAX} characters",
            got=f"{len(token)} characters",
            path="$.user_token",
        )
    for key in keys[:KEYS_MAX]:
        try:
            return dict(jwt.decode(token, key, registry=_REGISTRY).claims)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            continue
    expected = "a JWT signed with EdDSA by one of the site's keys"
    raise UserTokenError(
        expected=expected, got="another token" if keys else "no key configured", path="$.user_token"
    )


def _check_audience(claim: object, audience: str) -> None:
    named = claim if isinstance(claim, list) else [claim]
    if audience not in named:
        raise UserTokenError(
            expected="this site as audience", got="another audience", path="$.user_token.aud"
        )


def _check_times(claims: dict[str, Any], now_s: int) -> None:
    expires = _seconds(claims.get("exp"), "exp")
    if expires <= now_s:
        raise UserTokenError(expected="a time ahead", got="an expired token", path="$.user_token.exp")
    if expires > now_s + LIFETIME_SECONDS_MAX + CLOCK_SKEW_SECONDS:
        expected = f"at most {LIFETIME_SECONDS_MAX} seconds ahead"
        raise UserTokenError(expected=expected, got="a later time", path="$.user_token.exp")
    for name in ("nbf", "iat"):
        if name in claims and _seconds(claims[name], name) > now_s + CLOCK_SKEW_SECONDS:
            raise UserTokenError(expected="a time not ahead", got="a later time", path=f"$.user_token.{name}")


def _seconds(claim: object, name: str) -> float:
    # bool is an int to Python, and no time; NaN would pass every comparison below.
    if isinstance(claim, bool) or not isinstance(claim, int | float) or math.isnan(claim):
        got = "nothing" if claim is None else type(claim).__name__
        raise UserTokenError(expected="seconds since 1970", got=got, path=f"$.user_token.{name}")
    return claim


def _subject(claim: object) -> tuple[str, str]:
    expected = "type:value with type one of " + ", ".join(sorted(KNOWN_TYPES))
    try:
        kind, value = parse(claim if isinstance(claim, str) else "")
    except CoreError as error:
        raise UserTokenError(expected=expected, got="another form", path="$.user_token.sub") from error
    if kind not in KNOWN_TYPES:
        raise UserTokenError(expected=expected, got=f"type {kind}", path="$.user_token.sub")
    return kind, value
