"""The compiler: a catalogue in, a bundle out, or all of its faults.

docs/decisions/0004-bundle-and-tables.md says what the tables are.

It goes in one pass: names and owners, events, attributes with their slots, expressions, then everything
that refers to them, and last what an edge may see. A part that meets a fault notes it and goes on with
something harmless in its place; nothing leaves unless there were none. What the reader could not read has a
stand-in (`core.authoring.unknown`): a fault says what it rests on, and is none if that is a stand-in.
"""

import msgspec

from core import bundle
from core.authoring import Catalogue, CatalogueError, Note, Place
from core.authoring.builtins import PURPOSES
from core.authoring.types import LIST_KINDS, SINGLE_KINDS
from core.compiler.attributes import Attributes, compile_attributes
from core.compiler.content import check_purposes, compile_blocks, compile_placements
from core.compiler.edge import check_edges
from core.compiler.experiments import compile_experiments, compile_holdouts
from core.compiler.expressions import Rules, compile_expressions
from core.compiler.fills import Fills
from core.compiler.generals import GeneralPart
from core.compiler.governance import check_governance
from core.compiler.layout import PURPOSE_FINGERPRINT, Layout, Slots
from core.compiler.models import compile_models
from core.compiler.offer_columns import OfferColumns, fill_columns
from core.compiler.offers import (
    compile_caps,
    compile_guards,
    compile_offers,
    compile_treatments,
    place_treatments,
)
from core.compiler.outbound import compile_outbound
from core.compiler.taxonomy import Taxonomy, compile_taxonomy
from core.compiler.work import SINGULAR, Work
from core.hashing import xxh64

__all__ = ["GeneralPart", "Layout", "compile_catalogue"]


def compile_catalogue(
    catalogue: Catalogue,
    layout: Layout,
    generals: list[GeneralPart] | None = None,
    notes: list[Note] | None = None,
) -> tuple[bytes, Layout]:
    """Compile a catalogue to a bundle's content.

    Parameters
    ----------
    catalogue : what people authored
    layout : every slot given out so far; empty for the first catalogue
    generals : OUT, appended to: the parts of expressions that run in the general evaluator
    notes : OUT, appended to: what is not wrong, but to be known

    Returns
    -------
    The content, the same bytes for the same input, and the layout with the slots that were added.

    Raises
    ------
    CatalogueError
        With all faults of the catalogue.
    """
    if catalogue.unread:
        raise CatalogueError(catalogue.faults, len(catalogue.faults) + catalogue.unlisted)
    work = Work(catalogue)
    check_governance(work)
    check_purposes(work)
    slots = Slots(layout, work)
    taxonomy = compile_taxonomy(work)
    attributes = compile_attributes(work, slots, taxonomy)
    purposes = _purposes(work, slots)
    rules = compile_expressions(work, attributes)
    document = _document(work, attributes, taxonomy, rules, purposes, slots.finish())
    check_edges(work, attributes, rules, document)
    if notes is not None:
        notes.extend(work.notes)
    if work.faults.count:
        work.faults.raise_all()
    if generals is not None:
        generals += rules.generals
    content = bundle.encode_bundle(document)
    if len(content) > bundle.BUNDLE_BYTES_MAX:
        work.faults.add(
            (), f"a catalogue that compiles to at most {bundle.BUNDLE_BYTES_MAX} bytes", str(len(content))
        )
        work.faults.raise_all()
    return content, document.layout


def _document(
    work: Work,
    attributes: Attributes,
    taxonomy: Taxonomy,
    rules: Rules,
    purposes: list[bundle.Purpose],
    layout: Layout,
) -> bundle.BundleDocument:
    blocks = compile_blocks(work, attributes)
    outbound = compile_outbound(work, rules, taxonomy)
    fills = Fills(work, blocks, outbound)
    treatments = compile_treatments(work, fills)
    experiments = compile_experiments(work, rules, fills)
    columns = OfferColumns()
    models = compile_models(work, attributes, columns)
    return bundle.BundleDocument(
        attributes=attributes.items,
        tables=rules.tables,
        rules=rules.items,
        purposes=purposes,
        placements=place_treatments(work, compile_placements(work), treatments),
        treatments=treatments,
        offers=fill_columns(work, compile_offers(work, rules), columns, models),
        blocks=blocks,
        guards=compile_guards(work, rules),
        caps=compile_caps(work, rules),
        experiments=experiments,
        holdouts=compile_holdouts(work),
        models=models,
        folds=attributes.folds,
        aliases=taxonomy.aliases,
        taxonomy=sorted(taxonomy.names),
        behaviour_purposes=_behaviour_purposes(work),
        edge_slots=_edge_slots(attributes, purposes),
        layout=layout,
        layout_id=_layout_id(layout),
        stale_after_ms=work.duration(work.catalogue.settings.stale_after, ("settings", "stale_after")),
        sources=_sources(work),
        outbound=outbound,
        fills=fills.items,
        approved_blocks=fills.approved_hashes(),
    )


def _purposes(work: Work, slots: Slots) -> list[bundle.Purpose]:
    builtin = [bundle.Purpose(name, at, gpc) for at, (name, gpc) in enumerate(PURPOSES)]
    names = {purpose.id for purpose in builtin}
    declared = [
        bundle.Purpose(purpose.id, slots.slot(purpose.id, PURPOSE_FINGERPRINT), purpose.gpc)
        for _, purpose in work.ordered("purposes")
        if purpose.id not in names
    ]
    return builtin + declared


def _behaviour_purposes(work: Work) -> list[int]:
    return work.indexes(
        "purposes", work.catalogue.settings.behaviour_purposes, ("settings", "behaviour_purposes")
    )


def _edge_slots(attributes: Attributes, purposes: list[bundle.Purpose]) -> list[int]:
    """Slots of edge attributes and of declared purposes' consents; the system slots go without saying."""
    kept = {item.slot for item in attributes.items if item.edge and item.slot >= 0}
    return sorted(kept | {purpose.slot for purpose in purposes[len(PURPOSES) :]})


def _authored_hash(catalogue: Catalogue) -> str:
    kinds = (*SINGLE_KINDS, *LIST_KINDS)
    return bundle.content_hash(msgspec.json.encode([getattr(catalogue, kind) for kind in kinds]))


def _layout_id(layout: Layout) -> int:
    return xxh64("\n".join(f"{name} {fingerprint} {slot}" for name, fingerprint, slot in layout).encode())


def _sources(work: Work) -> dict[str, str]:
    """Where each object was written, for people; nothing where that is unknown.

    Under `catalogue`, a hash of all that was authored: owners and governance decide nothing, yet who approves
    the content approves them too.
    """
    found = {"catalogue": _authored_hash(work.catalogue)}
    for kind, singular in SINGULAR.items():
        for name in sorted(work.paths[kind]):
            place: Place = work.faults.places.locate(work.paths[kind][name])
            if place.file:
                found[f"{singular}:{name}"] = f"{place.file}:{place.line}"
    return found
