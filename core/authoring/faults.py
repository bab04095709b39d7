"""Faults of a catalogue: where, what was expected, what came. All of them are reported at once."""

from collections.abc import Iterable
from typing import Final, NamedTuple, NoReturn, Protocol

from core.authoring.unknown import STAND_IN, Path, Unknown
from core.errors import CoreError

#: Faults beyond this are counted, not listed.
FAULTS_MAX: Final = 20_000
GOT_LENGTH_MAX: Final = 120


class Fault(NamedTuple):
    """One thing that is wrong in a catalogue. Line and column count from 1; 0 means unknown."""

    file: str
    line: int
    path: str  # "$.offers[2].eligibility", the index as in the file
    expected: str
    got: str
    column: int = 0

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return f"{where}: expected {self.expected}, got {self.got} at {self.path}".removeprefix(": ")


def _order(fault: Fault) -> tuple[str, int, int, str, str, str]:
    return (fault.file, fault.line, fault.column, fault.path, fault.expected, fault.got)


class CatalogueError(CoreError):
    """The catalogue has faults; `faults` holds them in order of file and line, `count` says how many there
    are in all."""

    def __init__(self, faults: list[Fault], count: int | None = None) -> None:
        self.faults = sorted(faults, key=_order)
        self.count = len(faults) if count is None else count
        first = self.faults[0]
        more = f" (and {self.count - 1} more)" if self.count > 1 else ""
        super().__init__(f"{first}{more}", path=first.path, expected=first.expected, got=first.got)


class Note(NamedTuple):
    """Nothing wrong, but to be known: a block that no slot takes by its tags before its hash is approved."""

    file: str
    line: int
    block: str
    hash: str


class Place(NamedTuple):
    """Where a value was written."""

    file: str
    line: int
    column: int
    path: str


class Places(Protocol):
    """Knows where the values of a catalogue were written."""

    def locate(self, path: Path) -> Place:
        """Return the place of a value, or of the nearest thing around it."""

    def locate_inside(self, path: Path, line: int, column: int) -> Place:
        """Return the place of a line and column (from 1) inside a text value."""


class NoPlaces:
    """For catalogues that were not read from files."""

    def locate(self, path: Path) -> Place:
        return Place("", 0, 0, render_path(path))

    def locate_inside(self, path: Path, line: int, column: int) -> Place:
        return Place("", line, column, render_path(path))


class Faults:
    """Collects the faults of one catalogue.

    A fault rests on the value at its path, unless `of` names the values that it rests on. When one of them is
    a stand-in for what has a fault of form, it follows from that fault and is left out.
    """

    def __init__(
        self, places: Places, found: list[Fault], unknown: Iterable[Path] = (), unlisted: int = 0
    ) -> None:
        self.places = places
        self.found = list(found)
        self.unknown = Unknown(unknown)
        self.count = len(found) + unlisted
        self.seen = 0  # those that were left out included

    def add(self, path: Path, expected: str, got: str, *, of: Iterable[Path] | None = None) -> None:
        self.seen += 1
        if not self._follows(path, expected, got, of):
            self._add(self.places.locate(path), expected, got)

    def add_inside(
        self,
        path: Path,
        line: int,
        column: int,
        expected: str,
        got: str,
        *,
        of: Iterable[Path] | None = None,
    ) -> None:
        """Add a fault inside a text value, such as an expression."""
        self.seen += 1
        if not self._follows(path, expected, got, of):
            self._add(self.places.locate_inside(path, line, column), expected, got)

    def add_at(self, file: str, line: int, expected: str, got: str) -> None:
        """Add a fault of a file that is not part of the tree of values, such as a model's."""
        self.seen += 1
        self._add(Place(file, line, 0, "$"), expected, got)

    def _follows(self, path: Path, expected: str, got: str, of: Iterable[Path] | None) -> bool:
        if not self.unknown:
            return False
        if STAND_IN in got or STAND_IN in expected or self.unknown.holds(path):
            return True
        return any(map(self.unknown.touches, (path,) if of is None else of))

    def _add(self, place: Place, expected: str, got: str) -> None:
        self.count += 1
        if self.count <= FAULTS_MAX:
            self.found.append(Fault(place.file, place.line, place.path, expected, got, place.column))

    def raise_all(self) -> NoReturn:
        raise CatalogueError(self.found, self.count)


def render_path(path: Path) -> str:
    """The way to a value as people read it: `$.offers[2].blocks.headline`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)


def shown(value: object) -> str:
    """A value as a fault shows it: its repr, cut."""
    text = repr(value)
    return text if len(text) <= GOT_LENGTH_MAX else text[: GOT_LENGTH_MAX - 3] + "..."
