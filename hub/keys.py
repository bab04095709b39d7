"""The hub's own keys: files of the data folder, made on the first start, readable by their owner only."""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hub.errors import SettingsError
from hub.settings import IDENTIFIER_KEY_BYTES, Settings

FOLDER: Final = "keys"
RAW_KEY_BYTES: Final = 32
API_KEY_BYTES: Final = 24
OWNER_ONLY: Final = 0o600
ROLES: Final = ("server", "operator", "edge")


@dataclass(frozen=True, repr=False)
class Keys:
    """What the hub signs, opens and recognises with. Never logged."""

    signing: Ed25519PrivateKey  # bundles and frames
    sealing: X25519PrivateKey  # identifier traits from edges
    identifier: bytes  # hashes of identifiers, shared with the whole fleet
    links: bytes  # tokens in links and envelope senders of messages
    api: dict[str, tuple[str, ...]]  # role -> keys that callers show

    @property
    def signing_public(self) -> bytes:
        """Raw Ed25519 public key, which edges pin."""
        return self.signing.public_key().public_bytes_raw()

    @property
    def sealing_private(self) -> bytes:
        """Raw X25519 private key, as core.sealing takes it."""
        return self.sealing.private_bytes_raw()

    @property
    def sealing_public(self) -> bytes:
        """Raw X25519 public key, to which edges seal."""
        return self.sealing.public_key().public_bytes_raw()


def open_keys(settings: Settings) -> Keys:
    """Read the keys of the data folder, making those that are neither there nor set.

    Each file holds one value, as hex or text: `signing.key`, `sealing.key`, `identifier.key`, `links.key`,
    `server.key`, `operator.key`, `edge.key`; `signing.pub` holds the public key for the edges' settings.
    """
    folder = settings.data_dir / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = Keys(
        signing=Ed25519PrivateKey.from_private_bytes(_raw(folder / "signing.key", RAW_KEY_BYTES)),
        sealing=X25519PrivateKey.from_private_bytes(_raw(folder / "sealing.key", RAW_KEY_BYTES)),
        identifier=settings.identifier_key or _raw(folder / "identifier.key", IDENTIFIER_KEY_BYTES),
        links=settings.link_key or _raw(folder / "links.key", RAW_KEY_BYTES),
        api={
            "server": settings.server_keys or (_api_key(folder, "server"),),
            "operator": settings.operator_keys or (_api_key(folder, "operator"),),
            "edge": settings.edge_keys or (_api_key(folder, "edge"),),
            "site": settings.site_keys,
        },
    )
    _write_public(folder / "signing.pub", keys.signing_public.hex())
    return keys


def _raw(path: Path, size: int) -> bytes:
    text = _read_or_make(path, lambda: secrets.token_hex(size))
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != size:
        raise SettingsError(
            f"{path}: expected {size} bytes in hex, got {len(text)} characters of another form"
        )
    return key


def _api_key(folder: Path, role: str) -> str:
    return _read_or_make(folder / f"{role}.key", lambda: make_api_key(role))


def make_api_key(role: str) -> str:
    """A fresh API key; its role in front is for people, not for the check."""
    return f"{role}_{secrets.token_urlsafe(API_KEY_BYTES)}"


def _read_or_make(path: Path, make: Callable[[], str]) -> str:
    if path.exists():
        return _read_private(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(descriptor, "w") as file:
        file.write(make() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link is whole or not there, and never replaces a key that another start has just made.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read_private(path)


def _read_private(path: Path) -> str:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise SettingsError(
            f"{path}: expected a file that only its owner can read (chmod 600), got mode {mode:o}"
        )
    return path.read_text(encoding="utf-8").strip()


def _write_public(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8").strip() != text:
        path.write_text(text + "\n", encoding="utf-8")
