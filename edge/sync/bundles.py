"""Taking bundles in: check as a whole, write, tell the workers, and acknowledge only when every one has
activated it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from edge.bell import Bell
from edge.bundles import SignedBundle, encode_signed, load_engine, read_signed
from edge.control import (
    CELL_BUNDLE,
    CELL_BUNDLES_REFUSED,
    SEAT_BUNDLE,
    SEAT_BUNDLE_REFUSED,
    SEAT_BUNDLE_REVISION,
    SEAT_READY,
    Control,
)
from edge.errors import BundleRefusedError
from edge.folder import Folder, replace_file
from edge.logs import log
from onevoice.v1 import sync_pb2

ACTIVATION_SECONDS_MAX: Final = 30.0
DETAIL_LENGTH_MAX: Final = 500


class BundleKeeper:
    """The bundle on disk and its activation."""

    def __init__(
        self,
        folder: Folder,
        signing_key: bytes,
        control: Control,
        bells: Sequence[Bell],
        changed: asyncio.Event,
    ) -> None:
        self._folder = folder
        self._signing_key = signing_key
        self._control = control
        self._bells = bells
        self._changed = changed
        self.revision = 0
        self.content_hash = ""

    def load(self) -> None:
        """What is on disk, if it is good; the hub sends the active one again otherwise."""
        try:
            signed = read_signed(self._folder.bundle)
            if signed is not None:
                load_engine(signed, self._signing_key)
                self.revision, self.content_hash = signed.revision, signed.content_hash
        except BundleRefusedError as error:
            log.warning("bundle on disk refused", code=error.code, reason=str(error))
        # A former sync process may have died before it could tell; who has it active already loads nothing.
        self._tell_workers()

    async def take(self, message: sync_pb2.Bundle) -> sync_pb2.BundleAck:
        """Activate a bundle in every worker, or refuse it and leave the old one where it is."""
        ack = sync_pb2.BundleAck(revision=message.revision, content_hash=message.content_hash)
        if (message.revision, message.content_hash) == (self.revision, self.content_hash):
            return ack
        try:
            await self._activate(_signed(message))
        except BundleRefusedError as error:
            self._control.cells[CELL_BUNDLES_REFUSED] += 1
            log.warning("bundle refused", revision=message.revision, code=error.code, reason=str(error))
            ack.error, ack.detail = error.code, str(error)[:DETAIL_LENGTH_MAX]
        else:
            log.info("bundle active", revision=self.revision)
        return ack

    async def _activate(self, signed: SignedBundle) -> None:
        await asyncio.to_thread(load_engine, signed, self._signing_key, self.revision)
        await asyncio.to_thread(self._replace, signed)
        try:
            await self._await_workers(self._tell_workers(), signed.revision)
        except BundleRefusedError:
            await asyncio.to_thread(self._put_back)
            self._tell_workers()
            raise
        self.revision, self.content_hash = signed.revision, signed.content_hash

    def _replace(self, signed: SignedBundle) -> None:
        with contextlib.suppress(FileNotFoundError):
            replace_file(self._folder.bundle_before, self._folder.bundle.read_bytes())
        replace_file(self._folder.bundle, encode_signed(signed))

    def _put_back(self) -> None:
        if self.revision and self._folder.bundle_before.exists():
            replace_file(self._folder.bundle, self._folder.bundle_before.read_bytes())
        else:
            self._folder.bundle.unlink(missing_ok=True)

    def _tell_workers(self) -> int:
        self._control.cells[CELL_BUNDLE] += 1
        for bell in self._bells:
            bell.ring()
        return self._control.cells[CELL_BUNDLE]

    async def _await_workers(self, generation: int, revision: int) -> None:
        """Wait until each worker that serves has tried it; one that starts later reads the file by itself."""
        try:
            async with asyncio.timeout(ACTIVATION_SECONDS_MAX):
                while not self._all_tried(generation):
                    self._changed.clear()
                    if not self._all_tried(generation):
                        await self._changed.wait()
        except TimeoutError as error:
            raise _not_activated(f"activation within {ACTIVATION_SECONDS_MAX:.0f} s", "no answer") from error
        for seat in self._control.seats():
            if seat[SEAT_READY] and (seat[SEAT_BUNDLE_REFUSED] or seat[SEAT_BUNDLE_REVISION] != revision):
                raise _not_activated("activation in every worker", "a refusal of one")

    def _all_tried(self, generation: int) -> bool:
        return all(seat[SEAT_BUNDLE] >= generation for seat in self._control.seats() if seat[SEAT_READY])


def _signed(message: sync_pb2.Bundle) -> SignedBundle:
    approvals = [(approval.user, approval.role, approval.at_ms) for approval in message.approvals]
    return SignedBundle(
        message.revision, message.content_hash, approvals, bytes(message.signature), bytes(message.content)
    )


def _not_activated(expected: str, got: str) -> BundleRefusedError:
    error = BundleRefusedError(expected=expected, got=got, path="workers")
    error.code = "activation"
    return error
