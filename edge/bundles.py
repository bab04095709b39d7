"""The bundle on disk with what lies around it, and the checks before an engine may decide by it.

Signature, content hash, approvals and revision are checked by whoever loads it: the sync process when it
comes, each worker when it reads the file, so that a changed file is refused as well.
"""

from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from core.bundle import BUNDLE_BYTES_MAX, content_hash
from core.decide import Engine
from core.errors import BundleError
from core.frame import bundle_signing_bytes
from edge.errors import BundleRefusedError

APPROVALS_MAX: Final = 64
ENVELOPE_BYTES_MAX: Final = BUNDLE_BYTES_MAX + 64 * 1024


class SignedBundle(msgspec.Struct, frozen=True, array_like=True):
    """A bundle's content with revision, approvals (user, role, at in ms) and the hub's signature over all
    three.
    """

    revision: int
    content_hash: str
    approvals: list[tuple[str, str, int]]
    signature: bytes
    content: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(SignedBundle)


def encode_signed(bundle: SignedBundle) -> bytes:
    """The bytes of the file."""
    return _encoder.encode(bundle)


def read_signed(path: Path) -> SignedBundle | None:
    """The bundle of a file; None if there is no file. Raises BundleRefusedError on other bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(ENVELOPE_BYTES_MAX + 1)
        return _decoder.decode(data)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused("unreadable", "a signed bundle", type(error).__name__) from error


def load_engine(bundle: SignedBundle, signing_key: bytes, revision_above: int = 0) -> Engine:
    """Check a bundle as a whole and make its engine.

    Raises
    ------
    BundleRefusedError
        `code` is one of: size, hash, approvals, signature, revision, content.
    """
    if len(bundle.content) > BUNDLE_BYTES_MAX:
        raise _refused("size", f"at most {BUNDLE_BYTES_MAX} bytes", f"{len(bundle.content)} bytes")
    found = content_hash(bundle.content)
    if found != bundle.content_hash:
        raise _refused("hash", f"content {bundle.content_hash[:16]}", f"content {found[:16]}")
    if not 0 < len(bundle.approvals) <= APPROVALS_MAX:
        raise _refused("approvals", f"1 to {APPROVALS_MAX} approvals", f"{len(bundle.approvals)}")
    signed = bundle_signing_bytes(bundle.revision, bundle.content_hash, bundle.approvals)
    try:
        Ed25519PublicKey.from_public_bytes(signing_key).verify(bundle.signature, signed)
    except InvalidSignature as error:
        raise _refused("signature", "the hub's signature", "another") from error
    if bundle.revision <= revision_above:
        raise _refused("revision", f"a revision above {revision_above}", f"revision {bundle.revision}")
    try:
        return Engine(bundle.content, bundle.revision)
    except BundleError as error:
        raise _refused("content", error.expected or "a bundle", error.got or str(error)) from error


def _refused(code: str, expected: str, got: str) -> BundleRefusedError:
    error = BundleRefusedError(expected=expected, got=got, path="bundle")
    error.code = code
    return error
