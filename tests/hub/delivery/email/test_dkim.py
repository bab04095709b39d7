"""DKIM: what we sign verifies, what is changed does not, and the verifier of these tests is right."""

import base64
import json
import re
from collections.abc import Callable

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from hub.delivery.email.compose import EmailComposer
from hub.delivery.email.dkim import DkimSigner, dns_record, load_key
from hub.delivery.email.verp import Verp
from hub.delivery.links import Links
from hub.errors import SettingsError
from tests.hub.delivery.email.messages import DOMAIN, message, template
from tests.shared import shared_data

KEYS: dict[str, RSAPrivateKey | Ed25519PrivateKey] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed25519": Ed25519PrivateKey.generate(),
}


def signed(kind: str, **changes: object) -> bytes:
    signer = DkimSigner(DOMAIN, "news", KEYS[kind])
    composer = EmailComposer(Links(b"k" * 32, "https://hub.example"), Verp(b"k" * 32, DOMAIN), signer)
    return composer.compose(message(**changes)).content


def verifies(content: bytes, records: dict[str, str]) -> bool:
    def look_up(name: bytes | str, timeout: int = 5) -> bytes:
        key = name.decode() if isinstance(name, bytes) else name
        return records.get(key, "").encode()

    try:
        return bool(dkim.verify(content, dnsfunc=look_up, minkey=512))
    except (dkim.DKIMException, ValueError):
        return False


def records(kind: str) -> dict[str, str]:
    return {f"news._domainkey.{DOMAIN}.": dns_record(KEYS[kind])}


def test_the_verifier_agrees_with_the_shared_cases() -> None:
    given = json.loads(shared_data("dkim/dkim_dev.json").read_text(encoding="utf-8"))
    wrong = [
        case["name"]
        for case in given["cases"]
        if verifies(base64.b64decode(case["raw_base64"]), given["dns_txt"]) != case["dkim_pass"]
    ]
    assert (len(given["cases"]), wrong) == (71, [])


@pytest.mark.parametrize("kind", KEYS)
def test_what_we_sign_verifies(kind: str) -> None:
    assert verifies(signed(kind), records(kind))
    assert verifies(signed(kind, master=template(mjml="", text="From x\nFrom y\n. \n\n\n")), records(kind))
    assert not verifies(signed(kind), records("rsa" if kind == "ed25519" else "ed25519"))


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


#: Changes after signing, and whether the signature still holds.
CHANGES: list[tuple[str, Callable[[bytes], bytes], bool]] = [
    ("subject", replace(b"Subject: Your cart", b"Subject: Our cart"), False),
    ("from", replace(b"hello@shop.example", b"hell0@shop.example"), False),
    ("second from", replace(b"To: ada", b"From: x@evil.example\r\nTo: ada"), False),
    ("unsubscribe", replace(b"<https://hub.example/u/", b"<https://evil.example/u/"), False),
    ("unsubscribe post", replace(b"List-Unsubscribe=One-Click", b"List-Unsubscribe=Two-Clicks"), False),
    ("message id", replace(b"Message-ID: <0", b"Message-ID: <1"), False),
    ("body", replace(b"Boots", b"Boats"), False),
    ("body added", lambda content: content + b"more\r\n", False),
    (
        "content type",
        replace(b"Content-Type: multipart/alternative", b"Content-Type: multipart/mixed"),
        False,
    ),
    ("received added", lambda content: b"Received: from relay\r\n" + content, True),
    ("header spaces", replace(b"Subject: Your", b"Subject:   Your"), True),
    ("header refolded", replace(b"Subject: Your cart", b"Subject: Your\r\n cart"), True),
    ("header name", replace(b"\r\nSubject: Y", b"\r\nSUBJECT: Y"), True),
    ("empty lines at the end", lambda content: content + b"\r\n\r\n", True),
]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(("name", "change", "holds"), CHANGES, ids=[name for name, _, _ in CHANGES])
def test_changes_break_the_signature(
    kind: str, name: str, change: Callable[[bytes], bytes], holds: bool
) -> None:
    assert verifies(change(signed(kind)), records(kind)) == holds


@pytest.mark.parametrize("kind", KEYS)
def test_the_one_click_headers_are_covered(kind: str) -> None:
    covered = re.search(rb"h=([^;]+);", signed(kind))
    assert covered is not None
    names = [name.strip().lower() for name in covered[1].split(b":")]
    assert {b"list-unsubscribe", b"list-unsubscribe-post", b"from", b"subject", b"date"} <= set(names)
    assert names.count(b"from") == 2


@pytest.mark.parametrize(
    ("pem", "got"),
    [
        (b"", "something else"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "something else"),
        (ec.generate_private_key(ec.SECP256R1()), "ECPrivateKey"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start(pem: object, got: str) -> None:
    if not isinstance(pem, bytes):
        pem = pem_of(pem)
    with pytest.raises(SettingsError, match=f"ONEVOICE_DKIM_KEY: expected .* got .*{got}"):
        load_key(pem)


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_is_read_from_its_file(kind: str) -> None:
    assert dns_record(load_key(pem_of(KEYS[kind]))) == dns_record(KEYS[kind])


def pem_of(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
