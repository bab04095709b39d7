"""Taking frames in: signature, then the snapshot's writer, then everybody is told."""

from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from core.frame import PAYLOAD_BYTES_MAX, frame_signing_bytes
from edge.bell import Bell
from edge.control import (
    CELL_FRAMES,
    CELL_FRAMES_REFUSED,
    CELL_SEQUENCE,
    CELL_SET_ASIDE,
    CELL_SNAPSHOT,
    CELL_SNAPSHOTS,
    Control,
)
from edge.errors import FrameRefusedError, SnapshotDamagedError
from edge.folder import Folder
from edge.logs import log
from edge.snapshot.writer import Change, SnapshotWriter, set_aside
from onevoice.v1 import sync_pb2

JOURNAL_ID_LENGTH: Final = 32


class SnapshotKeeper:
    """The snapshot as the stream knows it. Its methods do disk work: call them in one thread at a time."""

    def __init__(
        self,
        folder: Folder,
        bytes_max: int,
        edge_id: str,
        signing_key: bytes,
        control: Control,
        bells: Sequence[Bell],
    ) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._edge_id = edge_id
        self._key = Ed25519PublicKey.from_public_bytes(signing_key)
        self._cells = control.cells
        self._bells = bells
        self.writer = self._open()
        self._cells[CELL_SEQUENCE] = self.writer.sequence
        # A sync process that died between a switch and telling it has left workers on the former environment.
        self._switched()
        #: The epoch that the hub has named at Welcome; a snapshot of another is refused.
        self.hub_epoch = ""

    def _open(self) -> SnapshotWriter:
        """The snapshot on disk; a damaged one is set aside and fetched anew."""
        try:
            return SnapshotWriter(self._folder.snapshots, self._bytes_max)
        except SnapshotDamagedError as error:
            log.error("snapshot damaged: setting it aside", reason=str(error))
            self._set_aside_files()
            self._cells[CELL_SET_ASIDE] = 1
            self._switched()
            return SnapshotWriter(self._folder.snapshots, self._bytes_max)

    def _set_aside_files(self) -> None:
        try:
            set_aside(self._folder.snapshots)
        except SnapshotDamagedError:  # the pointer itself; it is removed all the same
            return

    def take(self, frame: sync_pb2.Frame) -> sync_pb2.FrameAck | None:
        """Take one frame in; what to answer. None: part of something whose end will be acknowledged."""
        name = self.writer.name
        try:
            self.writer.apply(self._checked(frame))
        except FrameRefusedError as error:
            self._cells[CELL_FRAMES_REFUSED] += 1
            log.warning("frame refused", code=error.code, reason=str(error))
            return sync_pb2.FrameAck(sequence=self.writer.sequence, error=error.code, detail=str(error))
        finally:
            if self.writer.name != name:
                self._cells[CELL_SET_ASIDE] = 0
                self._switched()
        self._cells[CELL_FRAMES] += 1
        if self.writer.sequence != frame.last or self.writer.is_inside_group:
            return None
        self._cells[CELL_SEQUENCE] = self.writer.sequence
        if frame.flags:
            self._cells[CELL_SNAPSHOTS] += 1
        return sync_pb2.FrameAck(sequence=self.writer.sequence)

    def _checked(self, frame: sync_pb2.Frame) -> Change:
        """The frame, if the hub has signed it for this edge."""
        watermark = dict(frame.watermark)
        payload = bytes(frame.payload)
        signed = frame_signing_bytes(
            frame.epoch, frame.edge_id, frame.first, frame.last, frame.flags, watermark, payload
        )
        try:
            self._key.verify(frame.signature, signed)
        except InvalidSignature as error:
            raise _refused("signature", "the hub's signature", "another") from error
        if frame.edge_id != self._edge_id:
            raise _refused("signature", f"a frame for {self._edge_id}", "one for another edge")
        if frame.epoch != self.hub_epoch:
            raise _refused("epoch", "the epoch of Welcome", "another")
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise _refused("payload", f"at most {PAYLOAD_BYTES_MAX} bytes", f"{len(payload)} bytes")
        if any(len(journal_id) != JOURNAL_ID_LENGTH for journal_id in watermark):
            raise _refused("payload", "journal ids of 16 bytes in hex", "another form")
        marks = {bytes.fromhex(journal_id): position for journal_id, position in watermark.items()}
        return Change(frame.epoch, frame.first, frame.last, frame.flags, marks, payload, frame.hub_time_ms)

    def set_aside(self) -> None:
        """The workers cannot read what is here: serve fallbacks until a fresh snapshot has come."""
        log.error("setting the snapshot aside")
        self.writer.set_aside()
        self._cells[CELL_SET_ASIDE] = 1
        self._cells[CELL_SEQUENCE] = 0
        self._switched()

    def tidy(self) -> None:
        """Compact when most pages are free."""
        self.writer.reader_check()
        if self.writer.wants_compaction():
            self.writer.compact()
            self._switched()

    def _switched(self) -> None:
        self._cells[CELL_SNAPSHOT] += 1
        for bell in self._bells:
            bell.ring()


def _refused(code: str, expected: str, got: str) -> FrameRefusedError:
    error = FrameRefusedError(expected=expected, got=got, path="frame")
    error.code = code
    return error
