"""What is fuzzed: functions that take any bytes, and the inputs to start from.

A target returns, or meets the one kind of error that its format promises; everything else is a finding. The
ordinary suite, `make fuzz` (coverage-guided) and `make fuzz` again under the sanitizers run the same targets.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pytest

from core import bundle, frame, journal
from core.authoring import CatalogueError
from core.cel.checker import check
from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.parser import parse
from core.check import check_bundle
from core.compiler import compile_catalogue
from core.decide import Engine
from core.errors import (
    BundleError,
    EvaluationError,
    ExhaustedError,
    ExpressionError,
    FrameError,
    JournalError,
    RecordError,
)
from core.fold import FoldPlan
from hub.decisioning.authoring import read_catalogue
from hub.decisioning.zones import find_zone
from tests.catalogues import FOLDER, small
from tests.core.sketch import NOW, int_slot, record, string_slot
from tests.core.test_cel_checker import ENVIRONMENT
from tests.core.test_engine_check import rich, use
from tests.core.test_record import refused_or_safe, rich_record, with_checksum
from tests.core.test_rule_index import KINDS, aimed_set, packed, random_set, value_of
from tests.vectors.load import load_vectors

HEADER_SIZE: Final = 64
#: Rules enough for an index, and few more, as a bundle of them is what is changed. Of mixed ones some have no
#: place in it.
INDEXED: Final = 560
MIXED: Final = 800
RECORDS_MAX: Final = 100
KEPT: Final = Path(__file__).parent / "kept"


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]

    def inputs(self, name: str) -> Iterator[bytes]:
        """The seeds, then what once failed."""
        yield from self.seeds()
        for path in sorted((KEPT / name).glob("*")):
            yield path.read_bytes()


def run_bundle(data: bytes) -> None:
    """A bundle behind its magic: refused, or an engine that can do everything."""
    with suppress(BundleError):
        use(bundle.MAGIC + data)


def bundle_seeds() -> Iterator[bytes]:
    yield rich().content()[len(bundle.MAGIC) :]
    yield compile_catalogue(read_catalogue(small()), [])[0][len(bundle.MAGIC) :]


def run_record(data: bytes) -> None:
    """A record with the checksum that it should have, or it would never be looked into."""
    refused_or_safe(with_checksum(data) if len(data) >= HEADER_SIZE else data)


def matched_as_one_by_one(engine: Engine, records: list[bytes | None]) -> None:
    """A batch finds what its records do alone, or refuses the first that is none."""
    alone: list[list[int]] = []
    for at, one in enumerate(records):
        try:
            alone.append(engine.match(one, {}, NOW))
        except RecordError:
            with pytest.raises(RecordError) as caught:
                engine.match_batch(records, NOW)
            assert caught.value.path.startswith(f"$.records[{at}]")
            return
    matches = engine.match_batch(records, NOW, threads=1 + len(records) % 2)
    assert [matches.rules_of(at) for at in range(len(records))] == alone


def run_index(data: bytes) -> None:
    """A bundle with an index over its rules: refused, or the index finds what a batch does."""
    with suppress(BundleError):
        engine = Engine(bundle.MAGIC + data, 1)
        matched_as_one_by_one(engine, [*some_records(), None])


def index_seeds() -> Iterator[bytes]:
    yield aimed_set(INDEXED).content()[len(bundle.MAGIC) :]
    yield random_set(random.Random(3), MIXED)[0].content()[len(bundle.MAGIC) :]


@cache
def some_records() -> list[bytes]:
    draw = random.Random(4)
    aimed = [record({16: int_slot(at * 9), 17: string_slot(f"t{at}")}) for at in range(20)]
    known = ["w1", "w2", "w3"]
    return [*aimed, *(packed([value_of(draw, kind, known) for kind in KINDS]) for _ in range(20))]


def run_batch(data: bytes) -> None:
    """Records, each behind its size, most with the checksum that they should have."""
    records: list[bytes | None] = []
    while data and len(records) < RECORDS_MAX:
        size = int.from_bytes(data[:2], "little")
        one, data = data[2 : 2 + size], data[2 + size :]
        whole = len(one) >= HEADER_SIZE and size % 16 != 15
        records.append(with_checksum(one) if whole else one or None)
    matched_as_one_by_one(indexed_engine(), records * 3)


@cache
def indexed_engine() -> Engine:
    return Engine(random_set(random.Random(3), MIXED)[0].content(), 1)


def batch_seeds() -> Iterator[bytes]:
    for some in (some_records()[:20], some_records()[20:], some_records()[::9]):
        yield b"".join(len(one).to_bytes(2, "little") + one for one in some)


def record_seeds() -> Iterator[bytes]:
    yield rich_record()
    yield rich_record()[:HEADER_SIZE]


def run_frame(data: bytes) -> None:
    with suppress(FrameError):
        entries = list(frame.iter_entries(data))
        assert list(frame.iter_entries(frame.pack_entries(entries))) == sorted(
            entries, key=lambda one: one[:2]
        )


def frame_seeds() -> Iterator[bytes]:
    key = bytes(range(16))
    puts = [(frame.PUT_RECORD, key, rich_record()), (frame.PUT_IDENTIFIER, key[::-1], key)]
    deletes = [(frame.DELETE_RECORD, key, b""), (frame.DELETE_IDENTIFIER, key, b"")]
    yield frame.pack_entries(puts)
    yield frame.pack_entries(puts + deletes)


def run_journal(data: bytes) -> None:
    """A segment: its head, then records up to the first damaged one."""
    with suppress(JournalError):
        _, base = journal.parse_head(data)
        position = base
        for end, body in journal.iter_records(data[journal.HEAD.size :], base):
            assert end - position == len(body) + journal.RECORD_OVERHEAD
            position = end
        assert position <= base + len(data) - journal.HEAD.size


def journal_seeds() -> Iterator[bytes]:
    head = journal.pack_head(bytes(range(16)), 7)
    yield head + b"".join(journal.pack_record(bytes([at]) * at * 9) for at in range(9))
    yield head + journal.pack_record(b"torn")[:-1]


def run_expression(data: bytes) -> None:
    """Parsed and checked for the tables, and run by the general evaluator."""
    text = data.decode("utf-8", "replace")
    with suppress(ExpressionError):
        check(parse(text), ENVIRONMENT)
        program = compile_expression(parse(text), Scope(frozenset({"x", "y"}), ""))
        with suppress(EvaluationError, ExhaustedError):
            program.evaluate({"x": [1, "a", 2.5], "y": 7}, find_zone)


def expression_seeds() -> Iterator[bytes]:
    for text in (
        "x.all(e, e == y)",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h')",
        "'a'.matches('[a-z]+')",
    ):
        yield text.encode()
    for vector in load_vectors():
        for kind in ("segments", "rules"):
            for one in vector.catalogue.get(kind, []):
                yield str(one["when"]).encode()


def run_catalogue(data: bytes) -> None:
    """One more file of a catalogue: faults with a place, or a bundle that is accepted by all that load it."""
    files = {"base.yaml": BASE, "extra.yaml": data.decode("utf-8", "replace")}
    try:
        content, _ = compile_catalogue(read_catalogue(files), [])
    except CatalogueError as error:
        faults = error.faults
    else:
        faults = []
    for fault in faults:
        assert fault.expected, fault
        assert fault.got, fault
        assert fault.path.startswith("$"), fault
    if faults:
        return
    document = bundle.decode_bundle(content)
    check_bundle(document)
    FoldPlan(document)
    Engine(content, 1)


def catalogue_seeds() -> Iterator[bytes]:
    for text in small().values():
        yield text.encode()
    for vector in load_vectors():
        yield msgspec.json.encode(
            {kind: vector.catalogue[kind] for kind in vector.catalogue if kind != "governance"}
        )


BASE: Final = (FOLDER / "base.yaml").read_text(encoding="utf-8")
TARGETS: Final[dict[str, Target]] = {
    "bundle": Target(run_bundle, bundle_seeds),
    "index": Target(run_index, index_seeds),
    "record": Target(run_record, record_seeds),
    "batch": Target(run_batch, batch_seeds),
    "frame": Target(run_frame, frame_seeds),
    "journal": Target(run_journal, journal_seeds),
    "expression": Target(run_expression, expression_seeds),
    "catalogue": Target(run_catalogue, catalogue_seeds),
}
