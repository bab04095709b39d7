"""Catalogue files to a bundle's content, with every fault at once: those that the core finds, and those that
need more than the core has (time zones of the machine, the languages of templates).

A `Check` notes what it finds wrong in a read catalogue; `hub/checks.py` lists those that there are.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from core.authoring import Catalogue, CatalogueError, Faults, Note
from core.bundle import content_hash
from core.compiler import GeneralPart, compile_catalogue
from hub.decisioning.authoring import read_catalogue

#: Notes faults of a catalogue by path (`Faults.add`), or by line and column within a text
#: (`Faults.add_inside`). It runs in a thread and meets catalogues that the core refuses too.
Check = Callable[[Catalogue, Faults], None]
Layout = list[tuple[str, str, int]]


class Compiled(msgspec.Struct, frozen=True):
    """A catalogue without faults; `notes`: what is not wrong, but to be known."""

    catalogue: Catalogue
    content: bytes
    content_hash: str
    layout: Layout
    generals: list[GeneralPart] = []
    notes: tuple[Note, ...] = ()


def compile_files(files: Mapping[str, str], layout: Layout, checks: Sequence[Check]) -> Compiled:
    """Read, check and compile. Raises CatalogueError with the faults of all."""
    catalogue = read_catalogue(files)
    faults = Faults(catalogue.places, [], catalogue.unknown)
    if not catalogue.unread:
        for check in checks:
            check(catalogue, faults)
    generals: list[GeneralPart] = []
    notes: list[Note] = []
    try:
        content, layout = compile_catalogue(catalogue, layout, generals, notes)
    except CatalogueError as error:
        raise CatalogueError(error.faults + faults.found, error.count + faults.count) from None
    if faults.count:
        faults.raise_all()
    return Compiled(catalogue, content, content_hash(content), layout, generals, tuple(notes))
