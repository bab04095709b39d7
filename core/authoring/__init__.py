"""Authoring: the catalogue as people write it, and its faults."""

from collections.abc import Mapping

import msgspec

from core.authoring.faults import (
    CatalogueError,
    Fault,
    Faults,
    NoPlaces,
    Note,
    Place,
    Places,
    render_path,
    shown,
)
from core.authoring.types import (
    Attribute,
    Block,
    Cap,
    Event,
    Experiment,
    Governance,
    Holdout,
    Journey,
    Layer,
    Model,
    Offer,
    Placement,
    Purpose,
    Rule,
    Segment,
    Settings,
    Template,
)
from core.authoring.unknown import Path

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Fault",
    "Faults",
    "NoPlaces",
    "Note",
    "Path",
    "Place",
    "Places",
    "render_path",
    "shown",
]


class Catalogue(msgspec.Struct, kw_only=True):
    """Everything that people author, from all files together; lists in the order of the files.

    `faults` are those of the form, found while reading (`unlisted`: how many more there were than are
    listed); the compiler reports them with its own. Each value that has such a fault is `unknown`: a
    stand-in is in its place. `unread`: it is too large to be read. `artifacts`: model files by path.
    """

    governance: Governance | None = None
    settings: Settings = Settings()
    attributes: list[Attribute] = []
    purposes: list[Purpose] = []
    placements: list[Placement] = []
    blocks: list[Block] = []
    offers: list[Offer] = []
    segments: list[Segment] = []
    rules: list[Rule] = []
    caps: list[Cap] = []
    experiments: list[Experiment] = []
    layers: list[Layer] = []
    holdouts: list[Holdout] = []
    models: list[Model] = []
    events: list[Event] = []
    templates: list[Template] = []
    journeys: list[Journey] = []
    artifacts: Mapping[str, str] = {}
    places: Places = NoPlaces()
    faults: list[Fault] = []
    unlisted: int = 0
    unknown: set[Path] = set()
    unread: bool = False
