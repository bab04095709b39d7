"""What the parts of the compiler share: the catalogue, its faults, and where each named object goes in the
bundle."""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from core.authoring import Catalogue, Faults, Note, Path, shown
from core.authoring.builtins import NO_PURPOSE, PURPOSES
from core.authoring.limits import OBJECTS_MAX, OTHER_OBJECTS_MAX
from core.authoring.text import clock_minutes, duration_ms, timestamp_ms
from core.authoring.types import LIST_KINDS
from core.authoring.unknown import STAND_IN, UNREAD

_Result = TypeVar("_Result")

#: Singular of each kind: the first half of the keys of `sources`.
SINGULAR: Final[dict[str, str]] = {
    "attributes": "attribute",
    "purposes": "purpose",
    "placements": "placement",
    "blocks": "block",
    "offers": "offer",
    "treatments": "treatment",
    "segments": "segment",
    "rules": "rule",
    "caps": "cap",
    "experiments": "experiment",
    "layers": "layer",
    "holdouts": "holdout",
    "models": "model",
    "events": "event",
    "templates": "template",
    "journeys": "journey",
}
ID_FIELDS: Final = {"events": "name"}


class OpenNames(dict[str, Any]):
    """Names of which some cannot be read: every one is in it, with nothing known of those that are not."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> None:
        """Nothing is known of it."""


class Work:
    """The state of one compilation."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.faults = Faults(catalogue.places, catalogue.faults, catalogue.unknown, catalogue.unlisted)
        self.paths: dict[str, dict[str, Path]] = {kind: {} for kind in SINGULAR}
        self.objects: dict[str, dict[str, Any]] = {kind: {} for kind in SINGULAR}
        self.notes: list[Note] = []
        self.unread: list[Path] = [UNREAD] if UNREAD in catalogue.unknown else []
        #: Where objects have no id that can be read: whatever is named and not found may be one of them.
        self.unnamed: dict[str, list[Path]] = {kind: list(self.unread) for kind in SINGULAR}
        self._index: dict[str, dict[str, int]] = {}
        self._check_counts()
        self._collect()

    def _check_counts(self) -> None:
        """A crowd ends the compilation at once, with the other crowds: what else is wrong would drown."""
        before = self.faults.seen
        for kind in LIST_KINDS:
            limit = OBJECTS_MAX.get(kind, OTHER_OBJECTS_MAX)
            count = len(getattr(self.catalogue, kind))
            if count > limit:
                self.faults.add((kind,), f"at most {limit} {kind}", str(count), of=())
        if self.faults.seen > before:
            self.faults.raise_all()

    def _collect(self) -> None:
        """Note every named object once; a second one of the same id is a fault."""
        for kind in SINGULAR:
            for path, item in self._named(kind):
                name = getattr(item, ID_FIELDS.get(kind, "id"))
                if name.startswith(STAND_IN):
                    self.unnamed[kind].append(path)
                if name in self.objects[kind]:
                    first = self.faults.places.locate(self.paths[kind][name])
                    where = f" at {first.file}:{first.line}" if first.file else ""
                    got = f"{shown(name)}, which is taken{where}"
                    self.faults.add(
                        (*path, ID_FIELDS.get(kind, "id")),
                        f"a new id of {_with_article(SINGULAR[kind])}",
                        got,
                    )
                else:
                    self.objects[kind][name] = item
                    self.paths[kind][name] = path
        for kind, found in self.objects.items():
            self._index[kind] = {name: at for at, name in enumerate(sorted(found))}
        builtin = [name for name, _ in PURPOSES]
        declared = sorted(self.objects["purposes"].keys() - {*builtin})
        self._index["purposes"] = {name: at for at, name in enumerate([*builtin, *declared])}

    def _named(self, kind: str) -> Iterator[tuple[Path, Any]]:
        if kind != "treatments":
            for at, item in enumerate(getattr(self.catalogue, kind)):
                yield (kind, at), item
            return
        for at, offer in enumerate(self.catalogue.offers):
            for below, treatment in enumerate(offer.treatments):
                yield ("offers", at, "treatments", below), treatment

    def ordered(self, kind: str) -> Iterator[tuple[Path, Any]]:
        """The objects of a kind in id order, which is the bundle's, with their paths."""
        for name in sorted(self.objects[kind]):
            yield self.paths[kind][name], self.objects[kind][name]

    def index(self, kind: str, name: str, path: Path) -> int:
        """The bundle's index of a named object; -1 and a fault at `path` if there is none."""
        found = self._index[kind].get(name, -1)
        if found < 0:
            expected = f"the id of {_with_article(SINGULAR[kind])}"
            self.faults.add(path, expected, shown(name), of=self.unnamed[kind][:1])
        return found

    def below(self, kind: str, name: str, *fields: str) -> list[Path]:
        """The paths of fields of a named object, for what rests on them; none without the object."""
        path = self.paths[kind].get(name)
        return [] if path is None else [(*path, field) for field in fields]

    def indexes(self, kind: str, names: list[str], path: Path) -> list[int]:
        """The indexes of several, ascending, each once; unknown ones are faults."""
        found = {self.index(kind, name, (*path, at)) for at, name in enumerate(names)}
        return sorted(found - {-1})

    def purpose(self, name: str, path: Path) -> int:
        """The index of a purpose; -1 for `none`."""
        return -1 if name == NO_PURPOSE else self.index("purposes", name, path)

    def duration(self, text: str | None, path: Path, *, least_ms: int = 1, most_ms: int | None = None) -> int:
        """Milliseconds of a duration; 0 for none, and after a fault."""
        value = self._read(duration_ms, text, path)
        if value is None:
            return 0
        if value < least_ms or (most_ms is not None and value > most_ms):
            bounds = f"of at least {least_ms} ms" + (
                f" and at most {most_ms} ms" if most_ms is not None else ""
            )
            self.faults.add(path, f"a duration {bounds}", shown(text))
            return 0
        return value

    def timestamp(self, text: str | None, path: Path, otherwise: int) -> int:
        """Milliseconds since 1970 of a timestamp; `otherwise` for none, and after a fault."""
        value = self._read(timestamp_ms, text, path)
        return otherwise if value is None else value

    def clock(self, text: str, path: Path) -> int | None:
        """Minutes since midnight of a time of day; None after a fault."""
        return self._read(clock_minutes, text, path)

    def _read(self, reader: Callable[[str], _Result], text: str | None, path: Path) -> _Result | None:
        if text is None:
            return None
        try:
            return reader(text)
        except ValueError as error:
            self.faults.add(path, str(error), shown(text))
            return None

    def repeated(self, names: list[str], path: Path, what: str) -> None:
        """Note a fault for each name that comes a second time."""
        seen: set[str] = set()
        for at, name in enumerate(names):
            if name in seen:
                self.faults.add((*path, at), f"each {what} once", f"{shown(name)} again")
            seen.add(name)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"
