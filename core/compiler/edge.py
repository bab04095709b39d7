"""A placement that an edge answers may use only attributes that travel to the edge."""

from collections.abc import Iterable, Iterator

from core import bundle
from core.authoring import Path
from core.compiler.attributes import Attributes
from core.compiler.expressions import Rules
from core.compiler.work import Work


def check_edges(work: Work, attributes: Attributes, rules: Rules, document: bundle.BundleDocument) -> None:
    """Note every use of a hub-only attribute for an edge placement, each once.

    The document may have faults: what it lacks is -1 in it.
    """
    hub_only = {at for at, item in enumerate(attributes.items) if not item.edge}
    noted: set[tuple[Path, int]] = set()
    for placement in document.placements:
        if placement.answered_at != bundle.ANSWERED_AT_EDGE:
            continue
        for path, used in _uses(work, rules, document, placement):
            for attribute in sorted(hub_only.intersection(used)):
                if (path, attribute) not in noted:
                    noted.add((path, attribute))
                    expected = f"attributes with `edge: true`, since {placement.id} is answered at the edge"
                    name = attributes.items[attribute].name
                    rests = work.below("placements", placement.id, "answered_at")
                    rests += work.below("attributes", name.partition(".")[2], "edge", "source")
                    work.faults.add(path, expected, name, of=rests)


def _uses(
    work: Work, rules: Rules, document: bundle.BundleDocument, placement: bundle.Placement
) -> Iterator[tuple[Path, Iterable[int]]]:
    """Where attributes are used for a placement, and which."""
    at = document.placements.index(placement)
    experiments = [one for one in document.experiments if at in one.placements]
    treatments = [document.treatments[index] for index in placement.treatments]
    offers = [document.offers[one.offer] for one in treatments if one.offer >= 0]
    entries = {entry for one in treatments for entry in one.blocks}
    entries |= {entry for one in experiments for variant in one.variants for entry in variant.blocks.values()}
    blocks = {block for entry in entries for block in bundle.blocks_of(document, entry)}
    guards = {
        index for one in treatments for index in (*one.suppressions, *one.exclusions, *one.brand_safety)
    }
    guards |= {index for index, guard in enumerate(document.guards) if blocks.intersection(guard.blocks)}

    used = [
        rule for offer in offers for rule in (offer.eligibility, *(weight for weight, _ in offer.weights))
    ]
    used += [one.eligibility for one in experiments]
    used += [document.guards[index].rule for index in sorted(guards)]
    used += [document.caps[index].when for index in sorted({cap for one in treatments for cap in one.caps})]
    for rule in sorted(set(used) - {-1}):
        yield rules.paths[rule], rules.items[rule].attributes
    for block in sorted(blocks):
        yield (
            (*work.paths["blocks"][document.blocks[block].id], "attribute"),
            (document.blocks[block].attribute,),
        )
    for model in sorted({offer.model for offer in offers} - {-1}):
        yield from _model_uses(work, document, model)


def _model_uses(
    work: Work, document: bundle.BundleDocument, index: int
) -> Iterator[tuple[Path, Iterable[int]]]:
    """The attributes of a model, and of those whose difference it is."""
    model = document.models[index]
    path = work.paths["models"][model.id]
    for number, feature in enumerate(model.features):
        yield (*path, "features", number, "attribute"), (feature.attribute,)
    if model.trees is not None:
        yield (*path, "inputs"), [one.attribute for one in model.trees.inputs]
    for part in {model.treated, model.control} - {-1}:
        if document.models[part].kind != bundle.MODEL_UPLIFT:
            yield from _model_uses(work, document, part)
