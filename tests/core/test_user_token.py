"""User tokens: what is accepted, and every way not to be."""

import base64
import json
import math
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core.user_token import UserTokenError, load_user_token_key, verify_user_token

NOW_S = 1_795_000_000
SITE = "shop.example"
FIRST, SECOND, STRANGER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))


def public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return json.dumps(
        {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}
    )


KEYS = [load_user_token_key(public_pem(FIRST)), load_user_token_key(public_jwk(SECOND))]


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def token(
    key: Ed25519PrivateKey = FIRST, header: dict[str, Any] | None = None, drop: str = "", **changed: Any
) -> str:
    """A token made here byte by byte, so that the library under test is not its own judge."""
    claims = {"aud": SITE, "sub": "email:Ada@Example.com", "exp": NOW_S + 600, **changed}
    claims.pop(drop, None)
    signed = part(header or {"alg": "EdDSA", "typ": "JWT"}) + b"." + part(claims)
    return (signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")).decode()


@pytest.mark.parametrize("key", [FIRST, SECOND])
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_a_token_of_either_key_names_a_normalised_person(key: Ed25519PrivateKey, alg: str) -> None:
    made = token(key, {"alg": alg, "typ": "JWT"})
    assert verify_user_token(made, KEYS, SITE, NOW_S) == ("email", "ada@example.com")


@pytest.mark.parametrize(
    ("made", "path", "got"),
    [
        (token(STRANGER), "$.user_token", "another token"),
        (token(header={"alg": "none"}), "$.user_token", "another token"),
        (token(header={"alg": "HS256"}), "$.user_token", "another token"),
        (token(header={"alg": "EdDSA", "crit": ["x"], "x": 1}), "$.user_token", "another token"),
        (token()[:-4] + "AAAA", "$.user_token", "another token"),
        ("", "$.user_token", "0 characters"),
        ("a.b.c", "$.user_token", "another token"),
        ("é.é.é", "$.user_token", "another token"),
        ("x" * 5000, "$.user_token", "5000 characters"),
        (token(aud="other.example"), "$.user_token.aud", "another audience"),
        (token(drop="aud"), "$.user_token.aud", "another audience"),
        (token(aud={"a": 1}), "$.user_token.aud", "another audience"),
        (token(exp=NOW_S), "$.user_token.exp", "an expired token"),
        (token(exp=NOW_S + 3700), "$.user_token.exp", "a later time"),
        (token(exp=str(NOW_S + 60)), "$.user_token.exp", "str"),
        (token(exp=True), "$.user_token.exp", "bool"),
        (token(exp=math.nan), "$.user_token.exp", "float"),
        (token(exp=math.inf), "$.user_token.exp", "a later time"),
        (token(drop="exp"), "$.user_token.exp", "nothing"),
        (token(nbf=NOW_S + 60), "$.user_token.nbf", "a later time"),
        (token(iat=NOW_S + 60), "$.user_token.iat", "a later time"),
        (token(drop="sub"), "$.user_token.sub", "another form"),
        (token(sub="ada@example.com"), "$.user_token.sub", "another form"),
        (token(sub="anon:1"), "$.user_token.sub", "type anon"),
        (token(sub="email:"), "$.user_token.sub", "another form"),
        (token(sub=7), "$.user_token.sub", "another form"),
    ],
)
def test_anything_else_is_refused_with_its_place(made: str, path: str, got: str) -> None:
    with pytest.raises(UserTokenError) as caught:
        verify_user_token(made, KEYS, SITE, NOW_S)
    assert (caught.value.path, caught.value.got) == (path, got)
    assert "ada" not in str(caught.value).lower()


def test_an_audience_list_holding_the_site_is_accepted() -> None:
    assert verify_user_token(token(aud=["a", SITE]), KEYS, SITE, NOW_S)[0] == "email"


def test_a_third_key_is_not_tried_and_no_key_refuses() -> None:
    third = load_user_token_key(public_pem(STRANGER))
    for keys in ([*KEYS, third], []):
        with pytest.raises(UserTokenError):
            verify_user_token(token(STRANGER), keys, SITE, NOW_S)


@pytest.mark.parametrize(
    "text", ["", "{}", "{", "nonsense", '{"kty":"oct","k":"AAAA"}', '{"kty":"OKP","crv":"X25519","x":"AA"}']
)
def test_a_key_that_is_not_ed25519_is_refused(text: str) -> None:
    with pytest.raises(UserTokenError, match="user token key"):
        load_user_token_key(text)
