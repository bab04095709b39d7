"""What ingestion reads of the active bundle."""

from dataclasses import dataclass
from typing import Final

from core.bundle import BundleDocument, decode_bundle
from core.events import ALWAYS_KEPT, EXPOSURES
from core.fold import FoldPlan
from core.hashing import xxh64
from core.intake import CONSENT_NAME, NAMES

#: Names that mean something inside the system, whatever the taxonomy says.
BUILT_IN_NAMES: Final = frozenset({CONSENT_NAME, *EXPOSURES, *NAMES.values(), *ALWAYS_KEPT})


@dataclass(frozen=True)
class BundleView:
    """One bundle, as far as events and records are concerned."""

    document: BundleDocument
    plan: FoldPlan
    known_names: frozenset[str]  # canonical
    purposes: frozenset[str]
    edge_slots: frozenset[int]
    projection: int  # names the set of edge slots; never 0


def view_of(document: BundleDocument) -> BundleView:
    """The view of a decoded bundle."""
    edge_slots = frozenset(document.edge_slots)
    return BundleView(
        document=document,
        plan=FoldPlan(document),
        known_names=BUILT_IN_NAMES | frozenset(document.taxonomy),
        purposes=frozenset(purpose.id for purpose in document.purposes),
        edge_slots=edge_slots,
        projection=projection_id(edge_slots),
    )


def view_of_content(content: bytes) -> BundleView:
    """The view of a bundle's content. Raises BundleError."""
    return view_of(decode_bundle(content))


def projection_id(edge_slots: frozenset[int]) -> int:
    """A positive number that names a set of slots."""
    slots = ",".join(map(str, sorted(edge_slots)))
    return (xxh64(slots.encode()) >> 1) or 1
