"""What models read of the offers that they score: numbers, once a catalogue is compiled
(docs/decisions/0012-offer-attributes.md)."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import Model, Offer, Scalar
from core.check_models import OFFER_WORDS_MAX, offer_words
from core.compiler.work import Work

PREFIX: Final = "offer."
NUMBER_MAX: Final = sys.float_info.max


@dataclass(frozen=True)
class Column:
    """One attribute of an offer as one feature or input of a model reads it."""

    path: Path
    name: str
    missing: float
    equals: str | None = None
    categories: Sequence[str] = ()

    @property
    def is_text(self) -> bool:
        return self.equals is not None or bool(self.categories)

    def value(self, attributes: Mapping[str, Scalar]) -> float:
        """The number that the model gets; that of a missing one where the type is another."""
        given = attributes.get(self.name)
        if self.equals is not None:
            return 1.0 if given == self.equals else 0.0
        if given is None or isinstance(given, str) != self.is_text:
            return self.missing
        if isinstance(given, str):
            return float(self.categories.index(given)) if given in self.categories else math.nan
        return float(given) if abs(given) <= NUMBER_MAX else self.missing


@dataclass
class OfferColumns:
    """The columns of every model, in the order of its features and inputs."""

    by_model: dict[str, list[Column]] = field(default_factory=dict)

    def add(self, model: str, column: Column) -> int:
        """Take a column; its number in the model."""
        columns = self.by_model.setdefault(model, [])
        columns.append(column)
        return len(columns) - 1

    def of(self, work: Work, model: str | None) -> list[Column]:
        """What the offers of a model need: its own, or those of an uplift's parts."""
        found: Model | None = work.objects["models"].get(model or "")
        if found is None:
            return []
        names = [found.treated, found.control] if found.kind == "uplift" else [found.id]
        return [column for name in names if name is not None for column in self.by_model.get(name, ())]


def fill_columns(
    work: Work, offers: list[bundle.Offer], columns: OfferColumns, models: list[bundle.Model]
) -> list[bundle.Offer]:
    """The offers with the numbers that their models read of them."""
    filled = []
    for made, (path, offer) in zip(offers, work.ordered("offers"), strict=True):
        needed = columns.of(work, offer.model)
        for column in needed:
            if column.name in offer.attributes:
                _check_type(work, path, offer, column)
        values = [column.value(offer.attributes) for column in needed]
        filled.append(_with_columns(made, values) if values else made)
    _check_known(work, columns)
    words = offer_words(offers, models)
    if words > OFFER_WORDS_MAX:
        work.faults.add(
            ("offers",), f"at most {OFFER_WORDS_MAX} words of trees that read the offer", str(words)
        )
    return filled


def _with_columns(offer: bundle.Offer, values: list[float]) -> bundle.Offer:
    fields = {name: getattr(offer, name) for name in offer.__struct_fields__}
    return bundle.Offer(**{**fields, "columns": values})


def _check_type(work: Work, path: Path, offer: Offer, column: Column) -> None:
    given = offer.attributes[column.name]
    where = (*path, "attributes", column.name)
    if isinstance(given, str) != column.is_text:
        expected = f"a {'text' if column.is_text else 'number or bool'}, as the model {offer.model} reads it"
        work.faults.add(where, expected, shown(given))
    elif not isinstance(given, str) and not abs(given) <= NUMBER_MAX:
        work.faults.add(where, "a finite number", shown(given))


def _check_known(work: Work, columns: OfferColumns) -> None:
    """A name that no offer at all has is a slip."""
    known = {name for offer in work.catalogue.offers for name in offer.attributes}
    if not work.catalogue.offers:
        return
    for of_model in columns.by_model.values():
        for column in of_model:
            if column.name not in known:
                work.faults.add(column.path, "an attribute that some offer has", shown(PREFIX + column.name))
