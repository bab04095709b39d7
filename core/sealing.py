"""Sealing of identifier traits to the hub: HPKE (RFC 9180) with X25519, HKDF-SHA256, ChaCha20-Poly1305.

An edge seals, only the hub can open. The encapsulation draws its ephemeral key inside the library: sealing
equal text twice gives different bytes, on purpose; nothing that a decision reads is ever sealed.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from core.errors import CoreError

KEY_BYTES: Final = 32
PLAIN_BYTES_MAX: Final = 16 * 1024
_INFO: Final = b"onevoice identifier traits 1"
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class SealError(CoreError):
    """The sealed bytes were not sealed to this key, or are damaged."""


def seal(public_key: bytes, plain: bytes) -> bytes:
    """Seal `plain` to a raw 32-byte X25519 public key."""
    if len(public_key) != KEY_BYTES or len(plain) > PLAIN_BYTES_MAX:
        raise SealError(
            expected=f"a key of {KEY_BYTES} bytes and at most {PLAIN_BYTES_MAX} bytes of text",
            got=f"{len(public_key)} and {len(plain)} bytes",
        )
    return _SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(public_key), _INFO)


def unseal(private_key: bytes, sealed: bytes) -> bytes:
    """Open what `seal` made, with the raw 32-byte X25519 private key."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private_key), _INFO)
    except (InvalidTag, ValueError) as error:
        raise SealError from error
