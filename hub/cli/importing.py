"""A file of events on its way to the hub: lines, batches in flight, and the progress that makes it resumable.

Progress is a small file beside the input: how far every event is acknowledged, and counts. It belongs to one
file, recognised by its first line, so a file that has grown goes on where it ended. A message without an id
gets one that follows from the line and its place: sent twice, it is one event.
"""

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

LINE_BYTES_MAX: Final = 64 * 1024
BATCH_MESSAGES_MAX: Final = 500
BATCH_BYTES_MAX: Final = 512 * 1024
IN_FLIGHT_MAX: Final = 8
TEXT_KEPT_MAX: Final = 64 * 1024

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


class Progress(msgspec.Struct):
    """How far an import has come. `offset`, `line`: everything before is acknowledged or set aside."""

    identity: str
    offset: int = 0
    line: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


class Aside(NamedTuple):
    """A line that could not be taken: kept, with its number and why."""

    line: int
    expected: str
    got: str
    path: str
    text: str


class Batch(NamedTuple):
    """Messages to be sent together, with their lines, and where the file goes on after them."""

    messages: list[bytes]
    lines: list[int]
    aside: list[Aside]
    end_offset: int
    end_line: int


def identify(file: BinaryIO) -> str:
    """The name of a file's content: a hash of its first line."""
    file.seek(0)
    first = file.readline(LINE_BYTES_MAX)
    return hashlib.sha256(first).hexdigest()


def batches(file: BinaryIO, progress: Progress) -> Iterator[Batch]:
    """The rest of the file from the progress on, in batches; blank lines are passed over."""
    file.seek(progress.offset)
    offset, number = progress.offset, progress.line
    batch = Batch([], [], [], offset, number)
    size = 0
    while (found := _read_line(file))[1]:
        line, length = found
        start, offset, number = offset, offset + length, number + 1
        message, aside = _message(line, length, number, start, progress.identity)
        if message is not None:
            batch.messages.append(message)
            batch.lines.append(number)
            size += len(message)
        elif aside is not None:
            batch.aside.append(aside)
        full = len(batch.messages) + len(batch.aside) >= BATCH_MESSAGES_MAX
        if full or size >= BATCH_BYTES_MAX:
            yield batch._replace(end_offset=offset, end_line=number)
            batch, size = Batch([], [], [], offset, number), 0
    if offset > batch.end_offset:
        yield batch._replace(end_offset=offset, end_line=number)


def _read_line(file: BinaryIO) -> tuple[bytes, int]:
    """A line and its length in the file; of one that is too long only the beginning. Length 0: the end."""
    line = file.readline(LINE_BYTES_MAX + 1)
    length, last = len(line), line
    while len(last) > LINE_BYTES_MAX and not last.endswith(b"\n"):
        last = file.readline(LINE_BYTES_MAX + 1)
        length += len(last)
    return line, length


def _message(
    line: bytes, length: int, number: int, offset: int, identity: str
) -> tuple[bytes | None, Aside | None]:
    text = line.strip()
    if length > LINE_BYTES_MAX:
        expected = f"a line of at most {LINE_BYTES_MAX} bytes"
        return None, _aside(number, expected, f"{length} bytes", text)
    if not text:
        return None, None
    try:
        message = _decode(text)
    except msgspec.MsgspecError:
        return None, _aside(number, "one JSON object", "other text", text)
    except UnicodeDecodeError:
        return None, _aside(number, "UTF-8", "other bytes", text)
    if message.get("messageId") is None:
        digest = hashlib.sha256(f"{identity}:{offset}:".encode() + text).hexdigest()
        message["messageId"] = f"import-{digest[:32]}"
        return _encode(message), None
    return text, None


def _aside(number: int, expected: str, got: str, text: bytes) -> Aside:
    return Aside(number, expected, got, "$", text[:TEXT_KEPT_MAX].decode("utf-8", "replace"))


class Journal:
    """The progress file and the file of lines set aside; both are on disk before progress moves on."""

    def __init__(self, progress_path: Path, aside_path: Path) -> None:
        self._progress_path = progress_path
        self._aside_path = aside_path

    def load(self, identity: str) -> Progress:
        """The progress of that content, or a fresh one."""
        try:
            found = msgspec.json.decode(self._progress_path.read_bytes(), type=Progress)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Progress(identity)
        return found if found.identity == identity else Progress(identity)

    def forget_aside(self) -> None:
        """Begin the file of lines set aside anew."""
        self._aside_path.unlink(missing_ok=True)

    def set_aside(self, lines: list[Aside]) -> None:
        """Append lines to the file of those that could not be taken."""
        if not lines:
            return
        with self._aside_path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line._asdict(), ensure_ascii=False) + "\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    def save(self, progress: Progress) -> None:
        """Replace the progress file in one step."""
        draft = self._progress_path.with_name(self._progress_path.name + ".new")
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._progress_path)


class Outcome(NamedTuple):
    """What the hub said of one batch; `rejected` by index into the batch's messages."""

    accepted: int
    duplicates: int
    rejected: list[tuple[int, str, str, str]]


class People(NamedTuple):
    """Of whom a batch speaks, and whose consents it changes; as the file names them."""

    named: frozenset[str]
    consenting: frozenset[str]

    def must_follow(self, before: "People") -> bool:
        """Whether changing places with `before` could show a consent too early or too late."""
        return not (self.consenting.isdisjoint(before.named) and self.named.isdisjoint(before.consenting))


class _Named(msgspec.Struct):
    type: str = ""
    userId: object = None  # noqa: N815 (Segment's name)
    anonymousId: object = None  # noqa: N815


_named_decoder = msgspec.json.Decoder(_Named)


def people_of(messages: list[bytes]) -> People:
    """Read the people of a batch; a message that does not parse names nobody, the hub will refuse it."""
    named: set[str] = set()
    consenting: set[str] = set()
    for message in messages:
        try:
            found = _named_decoder.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        names = [f"u{found.userId}"] if found.userId is not None else []
        names += [f"a{found.anonymousId}"] if found.anonymousId is not None else []
        named.update(names)
        if found.type == "consent":
            consenting.update(names)
    return People(frozenset(named), frozenset(consenting))


#: Starts sending messages and returns what waits for the answer.
Send = Callable[[list[bytes]], Callable[[], Outcome]]


def run(
    file: BinaryIO, journal: Journal, progress: Progress, send: Send, report: Callable[[Progress], None]
) -> None:
    """Send the rest of a file, several batches at once; progress follows the acknowledgements in order.

    Batches in flight may reach the log in any order. So one that could let a person's consent change places
    with the same person's events waits until those before it are acknowledged.

    An error of `send` ends it; what was acknowledged before is saved, so another run goes on from there.
    """
    waiting: deque[tuple[Batch, People, Callable[[], Outcome]]] = deque()

    def settle_first() -> None:
        sent, _, wait = waiting.popleft()
        _settle(sent, wait, journal, progress)
        report(progress)

    for batch in batches(file, progress):
        people = people_of(batch.messages)
        while waiting and any(people.must_follow(before) for _, before, _ in waiting):
            settle_first()
        waiting.append((batch, people, send(batch.messages)))
        if len(waiting) >= IN_FLIGHT_MAX:
            settle_first()
    while waiting:
        settle_first()


def _settle(batch: Batch, wait: Callable[[], Outcome], journal: Journal, progress: Progress) -> None:
    outcome = wait()
    refused = [
        Aside(batch.lines[index], expected, got, path, batch.messages[index].decode("utf-8", "replace"))
        for index, path, expected, got in outcome.rejected
    ]
    journal.set_aside(sorted([*batch.aside, *refused]))
    progress.offset, progress.line = batch.end_offset, batch.end_line
    progress.accepted += outcome.accepted
    progress.duplicates += outcome.duplicates
    progress.rejected += len(refused) + len(batch.aside)
    journal.save(progress)
