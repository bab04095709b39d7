"""Which parts of a catalogue's expressions run in the general evaluator, and whether they may."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from core import bundle
from core.authoring import Path
from core.cel.typed import InGeneral, Typed, own_generals
from core.compiler.work import Work

ALLOWED: Final = "allowed"
OFF_DECISION_PATH: Final = "off_decision_path"

_encoder: Final = msgspec.msgpack.Encoder()


class GeneralPart(NamedTuple):
    """A part that the general evaluator runs: where it is written, what of it the tables do not hold, and
    whether decisions read it. Line and column count from 1; 0 means unknown."""

    file: str
    line: int
    column: int
    path: str
    part: str
    decides: bool


@dataclass(slots=True)
class _Written:
    path: Path
    node: InGeneral
    decides: bool


class GeneralParts:
    """Collects the parts as expressions are compiled; segments come before what names them."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._written: list[_Written] = []
        self._by_segment: dict[str, list[_Written]] = {}

    def add(self, path: Path, typed: Typed, named: set[str], *, decides: bool) -> list[_Written]:
        """Note the parts of an expression, which names these segments; returns its own and theirs."""
        own = [_Written(path, node, decides) for node in own_generals(typed)]
        self._written += own
        found = own + [one for name in sorted(named) for one in self._by_segment.get(name, ())]
        for one in found:
            one.decides |= decides
        return found

    def add_segment(self, segment: str, path: Path, typed: Typed, named: set[str]) -> None:
        """Note the parts of a segment, which decide if a rule that decides names it."""
        self._by_segment[segment] = self.add(path, typed, named, decides=False)

    def finish(self) -> list[GeneralPart]:
        """All parts; those that the settings forbid, and too many, are faults."""
        work = self._work
        mode = work.catalogue.settings.general_expressions
        for one in self._written:
            if mode != ALLOWED and (one.decides or mode != OFF_DECISION_PATH):
                where = " on the decision path" if mode == OFF_DECISION_PATH else ""
                expected = f"what the tables hold{where}, as settings.general_expressions is {mode}"
                got = f"{one.node.general.why}, which runs in the general evaluator"
                work.faults.add_inside(one.path, one.node.line, one.node.column, expected, got)
        self._count(self._written, bundle.GENERALS_MAX, "")
        deciding = [one for one in self._written if one.decides]
        self._count(deciding, bundle.GENERALS_DECIDING_MAX, " on the decision path")
        return sorted(self._shown(one) for one in self._written)

    def _count(self, written: list[_Written], limit: int, where: str) -> None:
        if len(written) > limit:
            count = len({_encoder.encode(one.node.general) for one in written})
            if count > limit:
                expected = f"at most {limit} different parts{where} that run in the general evaluator"
                self._work.faults.add((), expected, str(count))

    def _shown(self, one: _Written) -> GeneralPart:
        place = self._work.faults.places.locate_inside(one.path, one.node.line, one.node.column)
        return GeneralPart(
            place.file, place.line, place.column, place.path, one.node.general.why, one.decides
        )
