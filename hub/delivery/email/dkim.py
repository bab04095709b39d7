"""DKIM signatures (RFC 6376, RFC 8463) on the messages that `compose.py` makes.

dkimpy, which the tests verify with, signs with RSA in plain Python: 11 ms a message here against 0.4 ms of
OpenSSL. So its canonicalization is used and the signature is cryptography's.
"""

import base64
import hashlib
from typing import Final, Protocol

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from dkim.canonicalization import Relaxed, Simple

from hub.errors import SettingsError

RSA_BITS_MIN: Final = 1024
#: Covered when there. `From` is covered once more than it occurs, so a second one breaks the signature.
SIGNED: Final = (
    b"From",
    b"To",
    b"Subject",
    b"Date",
    b"Message-ID",
    b"Reply-To",
    b"MIME-Version",
    b"Content-Type",
    b"List-Unsubscribe",
    b"List-Unsubscribe-Post",
    b"Auto-Submitted",
    b"Feedback-ID",
)
_FOLD: Final = 72

Header = tuple[bytes, bytes]  # name, value with its line ends but the last


class Signer(Protocol):
    """Makes the header that signs a message."""

    def header(self, headers: list[Header], body: bytes, at_s: int) -> bytes:
        """The DKIM-Signature header, with its line end."""


class DkimSigner:
    """Signs for one domain and selector, with rsa-sha256 or ed25519-sha256 as the key says.

    Headers are signed relaxed; the body as it is, for it is made of short lines of ASCII that nobody on the
    way has a reason to change.
    """

    def __init__(self, domain: str, selector: str, key: RSAPrivateKey | Ed25519PrivateKey) -> None:
        self._key = key
        algorithm = "rsa-sha256" if isinstance(key, RSAPrivateKey) else "ed25519-sha256"
        self._begin = f"v=1; a={algorithm}; c=relaxed/simple; d={domain}; s={selector};\r\n".encode()

    def header(self, headers: list[Header], body: bytes, at_s: int) -> bytes:
        """The DKIM-Signature header over these headers and this body."""
        names = [name for name in SIGNED if any(name.lower() == one.lower() for one, _ in headers)]
        names.append(b"From")
        digest = base64.b64encode(hashlib.sha256(Simple.canonicalize_body(body)).digest())
        value = b" " + self._begin + b" t=%d; h=%s;\r\n bh=%s;\r\n b=" % (at_s, _folded(names), digest)
        by_name = {name.lower(): (name, text + b"\r\n") for name, text in headers}
        signed = [by_name.pop(name.lower()) for name in names if name.lower() in by_name]
        covered = Relaxed.canonicalize_headers([*signed, (b"DKIM-Signature", value)])
        text = b"".join(name + b":" + line for name, line in covered)[:-2]
        return b"DKIM-Signature:" + value + _lines(base64.b64encode(self._sign(text))) + b"\r\n"

    def _sign(self, text: bytes) -> bytes:
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        # RFC 8463: Ed25519 signs the SHA-256 of what RSA would hash.
        return self._key.sign(hashlib.sha256(text).digest())


def load_key(pem: bytes) -> RSAPrivateKey | Ed25519PrivateKey:
    """Read a private key. Raises SettingsError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, ValueError) as error:
        raise SettingsError(_KEY_EXPECTED.format("something else")) from error
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS_MIN:
        return key
    got = f"RSA of {key.key_size} bits" if isinstance(key, RSAPrivateKey) else type(key).__name__
    raise SettingsError(_KEY_EXPECTED.format(got))


_KEY_EXPECTED: Final = (
    "ONEVOICE_DKIM_KEY: expected a PEM file with an Ed25519 or RSA private key "
    f"({RSA_BITS_MIN} bits at least, no password), got {{}}"
)


def dns_record(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    """The TXT record that `SELECTOR._domainkey.DOMAIN` must have."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={base64.b64encode(raw).decode()}"
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"


def _folded(names: list[bytes]) -> bytes:
    half = (len(names) + 1) // 2
    return b":".join(names[:half]) + b":\r\n " + b":".join(names[half:])


def _lines(text: bytes) -> bytes:
    return b"\r\n ".join(text[begin : begin + _FOLD] for begin in range(0, len(text), _FOLD))
