"""The published bundle in the hub: what is signed, what is active, how others learn that it changed."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.frame import bundle_signing_bytes

Listener = Callable[["SignedBundle"], None]


class Approval(msgspec.Struct, frozen=True):
    """One person's leave for one content hash."""

    user: str
    role: str
    at_ms: int


class SignedBundle(msgspec.Struct, frozen=True):
    """A revision: content named by its SHA-256, its approvals, and the hub's signature around them."""

    revision: int
    content_hash: str
    approvals: tuple[Approval, ...]
    signature: bytes
    content: bytes


class BundleSource(Protocol):
    """Where the sync service, ingestion and the decision service get the active bundle from."""

    def active(self) -> SignedBundle | None:
        """The active bundle, or None before the first publication. Safe from any thread."""

    async def newer_than(self, revision: int) -> SignedBundle:
        """Wait until the active revision is above `revision` (0: any), and return that bundle."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on the event loop after each activation; the returned function ends it."""


class ActiveBundle:
    """The `BundleSource` of a hub: one reference, swapped on the event loop."""

    def __init__(self, bundle: SignedBundle | None = None) -> None:
        self._bundle = bundle
        self._listeners: list[Listener] = []
        self._changed = asyncio.Event()

    def active(self) -> SignedBundle | None:
        return self._bundle

    async def newer_than(self, revision: int) -> SignedBundle:
        while True:
            bundle = self._bundle
            if bundle is not None and bundle.revision > revision:
                return bundle
            await self._changed.wait()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def activate(self, bundle: SignedBundle) -> None:
        """Make a newer revision the active one and wake everyone who waits. An older one is ignored."""
        if self._bundle is not None and bundle.revision <= self._bundle.revision:
            return
        self._bundle = bundle
        # Waiters hold the old event; the next change gets a fresh one.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        for listener in tuple(self._listeners):
            listener(bundle)


def signing_bytes(revision: int, content_hash: str, approvals: tuple[Approval, ...]) -> bytes:
    """The bytes that the hub signs and each edge verifies."""
    lines = [(approval.user, approval.role, approval.at_ms) for approval in approvals]
    return bundle_signing_bytes(revision, content_hash, lines)


def sign_bundle(
    key: Ed25519PrivateKey, revision: int, content_hash: str, approvals: tuple[Approval, ...], content: bytes
) -> SignedBundle:
    """Sign one revision."""
    signature = key.sign(signing_bytes(revision, content_hash, approvals))
    return SignedBundle(revision, content_hash, approvals, signature, content)


def verify_bundle(key: Ed25519PublicKey, bundle: SignedBundle) -> None:
    """Check the signature. Raises cryptography's InvalidSignature."""
    key.verify(bundle.signature, signing_bytes(bundle.revision, bundle.content_hash, bundle.approvals))
