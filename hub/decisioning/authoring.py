"""Catalogue files to the typed catalogue, with every fault of form by file and line; the JSON Schema for
editors.

    files -> nodes (yaml_nodes) -> authoring types (forms) -> Catalogue -> core.compiler

Reading never raises for what people wrote: the faults go into the catalogue, and the compiler reports them
with its own.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from core.authoring import Catalogue, Fault, Path, Place, render_path
from core.authoring.faults import FAULTS_MAX
from core.authoring.types import ARTIFACT_PATTERN, LIST_KINDS, CatalogueFile
from core.authoring.unknown import UNREAD
from hub.decisioning.forms import BAD, VALUES_MAX, Forms, TooManyValuesError, described
from hub.decisioning.yaml_nodes import ListNode, MapNode, Node, ScalarNode, YamlError, compose

FILES_MAX: Final = 1_000
FILE_LENGTH_MAX: Final = 4 * 1024 * 1024
CATALOGUE_LENGTH_MAX: Final = 32 * 1024 * 1024
#: A name with a fault is kept up to this length, so that what refers to it is found.
NAME_LENGTH_MAX: Final = 256
ENDINGS: Final = (".yaml", ".yml")
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_ARTIFACT: Final = re.compile(ARTIFACT_PATTERN)
_KINDS: Final[dict[str, Any]] = {field.name: field.type for field in msgspec.structs.fields(CatalogueFile)}
#: An anchor before a scalar, which is where YAML says that the scalar begins.
_ANCHOR: Final = re.compile(r"&\S+\s+")


def read_catalogue(files: Mapping[str, str]) -> Catalogue:
    """Read a catalogue's files, by name.

    Returns
    -------
    What could be read, with its faults of form in `faults`; `compile_catalogue` raises them together with
    its own.
    """
    reader = _Reader(files)
    for name in sorted(files):
        reader.read(name)
    return reader.finish()


def catalogue_schema() -> dict[str, Any]:
    """JSON Schema of one catalogue file, for editors."""
    schema = msgspec.json.schema(CatalogueFile)
    return {"$schema": SCHEMA_DIALECT, "title": "Onevoice catalogue", **schema}


class FilePlaces:
    """Finds the lines of values again: files are composed anew when first asked about, so that a catalogue
    without faults keeps no nodes."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._nodes: dict[str, Node | None] = {}
        self._lines: dict[str, list[str]] = {}
        self._singles: dict[str, str] = {}
        self._objects: dict[str, list[tuple[str, int, int, int]]] = {}
        self._treatments: dict[int, list[tuple[int, int]]] = {}

    def add_single(self, kind: str, file: str) -> None:
        self._singles[kind] = file

    def add_object(self, kind: str, file: str, index: int, node: Node) -> None:
        """Note where the next object of a kind comes from."""
        objects = self._objects.setdefault(kind, [])
        if kind == "offers" and isinstance(node, MapNode) and "treatments" in node.entries:
            below = node.entries["treatments"][1]
            items = below.items if isinstance(below, ListNode) else []
            self._treatments[len(objects)] = [(item.line, item.column) for item in items]
        objects.append((file, index, node.line, node.column))

    def locate(self, path: Path) -> Place:
        known = self._known(path)
        if known is not None:
            return known
        file, local = self._local(path)
        node = self._find(file, local)
        line, column = (node.line, node.column) if node is not None else (1, 1)
        return Place(file, line if file else 0, column if file else 0, render_path(local))

    def _known(self, path: Path) -> Place | None:
        """The place of an object or treatment, which `sources` asks for: known without composing anything."""
        match path:
            case (str(kind), int(at)) if kind in self._objects:
                file, index, line, column = self._objects[kind][at]
                return Place(file, line, column, render_path((kind, index)))
            case ("offers", int(at), "treatments", int(number)) if at in self._treatments:
                file, index, _, _ = self._objects["offers"][at]
                line, column = self._treatments[at][number]
                return Place(file, line, column, render_path(("offers", index, *path[2:])))
        return None

    def locate_inside(self, path: Path, line: int, column: int) -> Place:
        file, local = self._local(path)
        node = self._find(file, local)
        if not isinstance(node, ScalarNode):
            return self.locate(path)
        at_line, at_column = _inside(node, self._text(file), line, column)
        return Place(file, at_line, at_column, render_path(local))

    def _local(self, path: Path) -> tuple[str, Path]:
        """The file of a path, and the path as it is in that file."""
        if not path:
            return "", path
        kind = str(path[0])
        if len(path) > 1 and isinstance(path[1], int) and kind in self._objects:
            file, index, _, _ = self._objects[kind][path[1]]
            return file, (kind, index, *path[2:])
        return self._singles.get(kind, ""), path

    def _text(self, file: str) -> list[str]:
        if file not in self._lines:
            self._lines[file] = self._files[file].split("\n")
        return self._lines[file]

    def _find(self, file: str, path: Path) -> Node | None:
        """The node at a path, or the nearest one around it."""
        if file not in self._files:
            return None
        if file not in self._nodes:
            self._nodes[file] = compose(self._files[file])[0]
        node = self._nodes[file]
        for step in path:
            if isinstance(node, MapNode) and step in node.entries:
                node = node.entries[str(step)][1]
            elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
                node = node.items[step]
            else:
                break
        return node


def _inside(node: ScalarNode, lines: list[str], line: int, column: int) -> tuple[int, int]:
    """Line and column in the file of a line and column in a scalar's text.

    Block scalars keep their lines below the line of the `|`. Scalars that YAML folds keep only their first
    line; escapes before a column shift it.
    """
    if node.style == "|":
        return node.line + line, column + _indent(lines[node.line :])
    if line > 1 or node.style == ">" or "\n" in node.text:
        return node.line, node.column
    anchor = _ANCHOR.match(lines[node.line - 1], node.column - 1)
    shift = (len(anchor[0]) if anchor else 0) + (1 if node.style else 0)
    return node.line, node.column + shift + column - 1


def _indent(lines: list[str]) -> int:
    """Spaces before the first line that has anything else."""
    first = next((line for line in lines if line.strip()), "")
    return len(first) - len(first.lstrip(" "))


class _Reader:
    """Reads file by file; objects of one kind are appended in the order of the files."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._places = FilePlaces(files)
        self._lists: dict[str, list[Any]] = {kind: [] for kind in LIST_KINDS}
        self._singles: dict[str, Any] = {}
        self._unknown: set[Path] = set()
        self._artifacts: dict[str, str] = {}
        self._faults: list[Fault] = []
        self._unlisted = 0
        self._unread = False
        self._file = ""
        self._forms = Forms(self._note)
        self._check_sizes()

    def _check_sizes(self) -> None:
        length = sum(len(text) for text in self._files.values())
        if not 0 < len(self._files) <= FILES_MAX:
            self._refuse_all(f"1 to {FILES_MAX} files", str(len(self._files)))
        if length > CATALOGUE_LENGTH_MAX:
            self._refuse_all(f"a catalogue of at most {CATALOGUE_LENGTH_MAX} characters", str(length))

    def _refuse_all(self, expected: str, got: str, file: str = "") -> None:
        self._faults.append(Fault(file, 0, "$", expected, got))
        self._unread = True

    def _refuse_file(self, file: str, expected: str, got: str, line: int = 0, column: int = 0) -> None:
        self._faults.append(Fault(file, line, "$", expected, got, column))
        self._unknown.add(UNREAD)

    def _note(self, node: Node, path: Path, expected: str, got: str) -> None:
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(self._file, node.line, render_path(path), expected, got, node.column))
        else:
            self._unlisted += 1

    def read(self, name: str) -> None:
        self._file = name
        text = self._files[name]
        if self._unread:
            return  # the whole is too large already
        if _ARTIFACT.fullmatch(name):
            self._read_artifact(name, text)
        elif not name.endswith(ENDINGS):
            self._refuse_file(name, f"a file name that ends in {' or '.join(ENDINGS)}", name)
        elif len(text) > FILE_LENGTH_MAX:
            self._refuse_file(name, f"a file of at most {FILE_LENGTH_MAX} characters", str(len(text)))
        else:
            self._read_text(name, text)

    def _read_artifact(self, name: str, text: str) -> None:
        """Keep a model's file as it is: the compiler reads it."""
        if len(text) > FILE_LENGTH_MAX:
            self._refuse_file(name, f"a file of at most {FILE_LENGTH_MAX} characters", str(len(text)))
        self._artifacts[name] = text

    def _read_text(self, name: str, text: str) -> None:
        try:
            root, faults = compose(text)
            for fault in faults:
                self._faults.append(Fault(name, fault.line, "$", fault.expected, fault.got, fault.column))
            self._read_root(root)
        except YamlError as error:
            self._refuse_file(name, error.expected, error.got, error.line, error.column)
        except TooManyValuesError:
            self._refuse_all(f"a catalogue of at most {VALUES_MAX} values, aliases included", "more", name)

    def _read_root(self, root: Node | None) -> None:
        if root is None or (isinstance(root, ScalarNode) and root.value is None):
            return
        if not isinstance(root, MapNode):
            self._refuse_file(
                self._file, f"a mapping with {', '.join(_KINDS)}", described(root), root.line, root.column
            )
            return
        for kind, (key, node) in root.entries.items():
            if kind in self._lists:
                self._read_list(kind, node)
            elif kind in _KINDS:
                self._read_single(kind, key, node)
            else:
                self._note(key, (kind,), f"one of {', '.join(_KINDS)}", f"the key {kind!r}")

    def _read_single(self, kind: str, key: Node, node: Node) -> None:
        if kind in self._singles:
            self._note(key, (kind,), f"`{kind}` in one file", "it again")
            return
        self._places.add_single(kind, self._file)
        value, unknown = self._forms.convert(node, _KINDS[kind], (kind,))
        self._singles[kind] = None if value is BAD else value
        self._unknown.update([(kind,)] if value is BAD else unknown)

    def _read_list(self, kind: str, node: Node) -> None:
        if isinstance(node, ScalarNode) and node.value is None:
            return
        if not isinstance(node, ListNode):
            self._note(node, (kind,), "a list", described(node))
            self._unknown.add(UNREAD)
            return
        (item,) = _KINDS[kind].__args__
        objects = self._lists[kind]
        for index, one in enumerate(node.items):
            value, unknown = self._forms.convert(one, item, (kind, index))
            if value is BAD:
                continue
            if unknown:
                self._unknown.update((kind, len(objects), *path[2:]) for path in unknown)
                value = _with_name(value, one, [path[2] for path in unknown if len(path) == 3])
            objects.append(value)
            self._places.add_object(kind, self._file, index, one)

    def finish(self) -> Catalogue:
        singles = {kind: value for kind, value in self._singles.items() if value is not None}
        read: dict[str, Any] = {**self._lists, **singles}
        return Catalogue(
            **read,
            artifacts=self._artifacts,
            places=self._places,
            faults=self._faults,
            unlisted=self._unlisted,
            unknown=self._unknown,
            unread=self._unread,
        )


def _with_name(value: msgspec.Struct, node: Node, unknown: list[Any]) -> msgspec.Struct:
    """An object of which the id (or an event's name) has a fault, under what was written for it, so that what
    refers to it is not wrong as well."""
    for key in ("id", "name"):
        if key in unknown and isinstance(node, MapNode) and key in node.entries:
            below = node.entries[key][1]
            if isinstance(below, ScalarNode) and 0 < len(below.text) <= NAME_LENGTH_MAX:
                return msgspec.structs.replace(value, **{key: below.text})
    return value
