"""`onevoice validate`: what is wrong with a catalogue, without a hub."""

import argparse
import re
from pathlib import Path
from typing import Final

from core.authoring import CatalogueError, Fault, Note
from core.authoring.types import ARTIFACT_PATTERN
from core.compiler import GeneralPart
from core.decide import Engine
from hub.checks import CATALOGUE_CHECKS
from hub.cli.arguments import json_option
from hub.cli.errors import DONE, REFUSED, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands
from hub.decisioning.compiling import compile_files

SUFFIXES: Final = (".yaml", ".yml")
FILES_MAX: Final = 1_000
FAULTS_SHOWN_MAX: Final = 200
GENERALS_SHOWN_MAX: Final = 50


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "validate",
        parents=[json_option()],
        help="check a catalogue folder and print every fault (no hub needed)",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="folder with .yaml files, searched with all below it; model files lie in its folder models",
    )
    parser.set_defaults(run=validate)


def validate(arguments: argparse.Namespace, output: Output) -> int:
    """Compile offline, with an empty layout."""
    files = read_files(arguments.folder)
    try:
        compiled = compile_files(files, [], CATALOGUE_CHECKS)
    except CatalogueError as error:
        return show_faults(arguments.folder, error.faults, error.count, output)
    Engine(compiled.content, 0)
    document = {
        "valid": True,
        "faults": [],
        "files": len(files),
        "content_hash": compiled.content_hash,
        "content_bytes": len(compiled.content),
        "generals": [part._asdict() for part in compiled.generals],
        "unapproved_blocks": [note._asdict() for note in compiled.notes],
    }
    size = f"{len(compiled.content)} bytes compiled"
    lines = [note_line(arguments.folder, note) for note in compiled.notes]
    lines.append(f"{arguments.folder}: no faults in {len(files)} files, {size}")
    output.show(document, [*lines, *general_lines(arguments.folder, compiled.generals)])
    return DONE


def note_line(folder: Path, note: Note) -> str:
    """A block that waits for approval, with what an approver writes down to give it."""
    approval = f"{{block: {note.block}, hash: {note.hash}, by: YOU}}"
    return (
        f"{folder / note.file}:{note.line}: note: {note.block} is not approved, so no slot takes it by its "
        f"tags; to approve it: governance.approved_blocks: [{approval}]"
    )


def read_files(folder: Path) -> dict[str, str]:
    """Text by path relative to the folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder with {' or '.join(SUFFIXES)} files")
    paths = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    paths += sorted(
        path
        for path in folder.glob("models/**/*")
        if re.fullmatch(ARTIFACT_PATTERN, path.relative_to(folder).as_posix()) and path.is_file()
    )
    if not 0 < len(paths) <= FILES_MAX:
        raise UsageError(
            f"{folder}: expected 1 to {FILES_MAX} {' or '.join(SUFFIXES)} files, got {len(paths)}"
        )
    try:
        return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{folder}: expected readable UTF-8 files, got {error}") from error


def general_lines(folder: Path, parts: list[GeneralPart]) -> list[str]:
    """One line for each part that the decision tables cannot hold."""
    lines = []
    for part in parts[:GENERALS_SHOWN_MAX]:
        when = "in decisions" if part.decides else "off the decision path"
        place = f"{folder / part.file}:{part.line}:{part.column}"
        lines.append(f"{place}: {part.path}: {part.part} runs in the general evaluator, {when}")
    if len(parts) > len(lines):
        lines.append(f"and {len(parts) - len(lines)} more that run in the general evaluator")
    return lines


def show_faults(folder: Path, faults: list[Fault], count: int, output: Output) -> int:
    """Print the faults as `file:line: path: expected X, got Y`."""
    document = {"valid": False, "count": count, "faults": [fault._asdict() for fault in faults]}
    lines = [fault_line(folder, fault) for fault in faults[:FAULTS_SHOWN_MAX]]
    if count > len(lines):
        lines.append(f"and {count - len(lines)} more")
    output.show(document, lines)
    return REFUSED


def fault_line(folder: Path, fault: Fault) -> str:
    """One fault in one line, its file as the shell sees it."""
    place = f"{folder / fault.file}:{fault.line}" if fault.file else str(folder)
    column = f":{fault.column}" if fault.column else ""
    return f"{place}{column}: {fault.path}: expected {fault.expected}, got {fault.got}"
