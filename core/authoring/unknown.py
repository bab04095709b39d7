"""Values that have faults of form: a catalogue holds a stand-in for each, so that everything else can be
checked, and what is only wrong because of a stand-in is no fault."""

from collections.abc import Iterable
from typing import Final

#: The way to a value: kind, index into the catalogue's list of that kind, field, and so on.
Path = tuple[str | int, ...]

#: How the stand-in of a text begins. Each is another text, and none is the name of anything.
STAND_IN: Final = "\N{SYMBOL FOR SUBSTITUTE}"
#: Among the unknown: what a file holds that could not be read, which may be anything that is named elsewhere.
UNREAD: Final[Path] = ("unread",)


class Unknown:
    """Where the stand-ins of a catalogue are."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = frozenset(paths)
        self._around = frozenset(path[:length] for path in self._paths for length in range(len(path)))

    def __bool__(self) -> bool:
        return bool(self._paths)

    def holds(self, path: Path) -> bool:
        """Say whether the value at a path is a stand-in or part of one."""
        return any(path[:length] in self._paths for length in range(1, len(path) + 1))

    def touches(self, path: Path) -> bool:
        """Say whether anything of the value at a path is a stand-in."""
        return bool(self._paths) and (path in self._around or self.holds(path))
