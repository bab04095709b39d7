"""The check of a bundle's models."""

import itertools
import math
from typing import Final

from core import bundle as b
from core.check_programs import fail
from core.trees import Ensemble

CATEGORIES_MAX: Final = 65_536
POINTS_MAX: Final = 1_024
DIMENSIONS_MAX: Final = 64
SAMPLES_MAX: Final = 1_024
WORD_BITS: Final = 64
#: Words of 64 bits, 64 MiB of them.
OFFER_WORDS_MAX: Final = 8_388_608
MILLIONTHS: Final = 1_000_000
NUMBERS: Final = frozenset({b.BOOL, b.INT, b.FLOAT})
TEXTS: Final = frozenset({b.STRING})


def check_model(path: str, model: b.Model, document: b.BundleDocument) -> None:
    """Raise BundleError at the first index, bound or type that is not as `core/bundle.py` says."""
    if not b.MODEL_LINEAR <= model.kind <= b.MODEL_BANDIT:
        fail(f"{path}.kind", f"a number from {b.MODEL_LINEAR} to {b.MODEL_BANDIT}", model.kind)
    _finite(f"{path}.intercept", model.intercept)
    for i, feature in enumerate(model.features):
        _feature(f"{path}.features[{i}]", feature, document)
    _columns(path, model)
    if (model.trees is None) == (model.kind == b.MODEL_TREES):
        fail(f"{path}.trees", "trees in a model of that kind, and only there", model.kind)
    if model.trees is not None:
        _trees(f"{path}.trees", model.trees, document)
    if (model.bandit is None) == (model.kind == b.MODEL_BANDIT):
        fail(f"{path}.bandit", "a bandit in a model of that kind, and only there", model.kind)
    if model.bandit is not None:
        if model.calibration is not None:
            fail(f"{path}.calibration", "none of a bandit", "one")
        _bandit(f"{path}.bandit", model, model.bandit, document)
    if model.calibration is not None:
        _calibration(f"{path}.calibration", model.calibration)
    if model.kind == b.MODEL_UPLIFT:
        for name, part in (("treated", model.treated), ("control", model.control)):
            if not 0 <= part < len(document.models) or document.models[part].kind > b.MODEL_TREES:
                fail(f"{path}.{name}", "the index of a model of its own", part)
    elif (model.treated, model.control) != (-1, -1):
        fail(f"{path}.treated", "-1 in a model that is no uplift", model.treated)


def _feature(path: str, feature: b.Feature, document: b.BundleDocument) -> None:
    if feature.column < 0:
        allowed = NUMBERS if feature.equals is None else TEXTS
        _attribute(f"{path}.attribute", feature.attribute, document, allowed)
    _finite(f"{path}.weight", feature.weight)
    _finite(f"{path}.missing", feature.missing)


def _columns(path: str, model: b.Model) -> None:
    """What is read of the offers is numbered in order, and is no attribute as well."""
    inputs = [] if model.trees is None else model.trees.inputs
    read = _columns_of(model)
    if [item.column for item in read] != list(range(len(read))) or any(one.attribute != -1 for one in read):
        fail(f"{path}.features", f"columns 0 to {len(read) - 1} in order", [item.column for item in read][:8])
    if len(model.columns) != len(read):
        fail(f"{path}.columns", f"{len(read)} names", len(model.columns))
    if any(item.equals is not None for item in model.features if item.column >= 0):
        fail(f"{path}.features", "no `equals` of an offer's column", "one")
    if any(one.categories for one in inputs if one.column >= 0):
        fail(f"{path}.trees.inputs", "no categories of an offer's column", "some")
    if read and model.kind > b.MODEL_TREES:
        fail(f"{path}.features", "no columns of the offer in a model of that kind", model.kind)


def check_offer_columns(path: str, offer: b.Offer, document: b.BundleDocument) -> None:
    """An offer brings a number for each column of its model; to features a finite one."""
    readers = [] if offer.model < 0 else _scorers(document.models, offer.model)
    count = sum(b.offer_columns(model) for model in readers)
    if len(offer.columns) != count:
        fail(f"{path}.columns", f"{count} numbers", len(offer.columns))
    finite = [model.trees is None for model in readers for _ in _columns_of(model)]
    for number, must in zip(offer.columns, finite, strict=True):
        if must:
            _finite(f"{path}.columns", number)


def check_offer_words(document: b.BundleDocument) -> None:
    """What trees keep of the offers fits into memory."""
    words = offer_words(document.offers, document.models)
    if words > OFFER_WORDS_MAX:
        fail("$.offers", f"at most {OFFER_WORDS_MAX} words of trees that read the offer", words)


def offer_words(offers: list[b.Offer], models: list[b.Model]) -> int:
    """Words that offers take in the trees that read them."""
    by_model = [
        sum(
            -(-count // WORD_BITS)
            for part in _scorers(models, at)
            if part.trees is not None and b.offer_columns(part)
            for count in part.trees.leaf_counts
        )
        for at in range(len(models))
    ]
    return sum(by_model[offer.model] for offer in offers if offer.model >= 0)


def _scorers(models: list[b.Model], at: int) -> list[b.Model]:
    """The models that give an offer's propensity: its model, or the two parts of an uplift."""
    if models[at].kind != b.MODEL_UPLIFT:
        return [models[at]]
    return [models[part] for part in (models[at].treated, models[at].control) if part >= 0]


def _columns_of(model: b.Model) -> list[b.Feature | b.TreeInput]:
    inputs: list[b.TreeInput] = [] if model.trees is None else model.trees.inputs
    read: list[b.Feature | b.TreeInput] = [*model.features, *inputs]
    return [item for item in read if item.column >= 0]


def _attribute(path: str, index: int, document: b.BundleDocument, allowed: frozenset[int]) -> None:
    if not 0 <= index < len(document.attributes):
        fail(path, f"an index from 0 to {len(document.attributes) - 1}", index)
    if document.attributes[index].type not in allowed:
        fail(path, f"an attribute of type {sorted(allowed)}", document.attributes[index].type)


def _trees(path: str, trees: b.Trees, document: b.BundleDocument) -> None:
    if not b.LINK_RAW <= trees.link <= b.LINK_EXP:
        fail(f"{path}.link", f"a number from {b.LINK_RAW} to {b.LINK_EXP}", trees.link)
    _finite(f"{path}.scale", trees.scale)
    if len(trees.inputs) != len(trees.columns):
        fail(f"{path}.inputs", f"{len(trees.columns)} inputs", len(trees.inputs))
    for i, one in enumerate(trees.inputs):
        where = f"{path}.inputs[{i}]"
        if one.column < 0:
            _attribute(f"{where}.attribute", one.attribute, document, TEXTS if one.categories else NUMBERS)
        if len(one.categories) > CATEGORIES_MAX or len(set(one.categories)) != len(one.categories):
            fail(f"{where}.categories", f"at most {CATEGORIES_MAX} different ones", len(one.categories))
    Ensemble(path, trees)


def _bandit(path: str, model: b.Model, bandit: b.Bandit, document: b.BundleDocument) -> None:
    if not 0 <= bandit.floor <= MILLIONTHS:
        fail(f"{path}.floor", f"a number from 0 to {MILLIONTHS}", bandit.floor)
    if not 1 <= bandit.samples <= SAMPLES_MAX:
        fail(f"{path}.samples", f"a number from 1 to {SAMPLES_MAX}", bandit.samples)
    _finite(f"{path}.width", bandit.width)
    at = document.models.index(model)
    if bandit.arms != [i for i, offer in enumerate(document.offers) if offer.model == at]:
        fail(f"{path}.arms", "the offers of the model", bandit.arms[:8])
    arms, size = len(bandit.arms), len(model.features) + 1
    lengths = {"draws": arms * bandit.samples, "weights": 0, "inverses": 0}
    if bandit.weights:
        if size > DIMENSIONS_MAX or bandit.samples != 1:
            fail(f"{path}.weights", f"at most {DIMENSIONS_MAX} dimensions, one sample", size)
        lengths = {"draws": 0, "weights": arms * size, "inverses": arms * size * size}
    for name, length in lengths.items():
        content = getattr(bandit, name)
        if len(content) != 8 * length or not all(map(math.isfinite, memoryview(content).cast("d"))):
            fail(f"{path}.{name}", f"{length} finite numbers", len(content))


def _calibration(path: str, calibration: b.Calibration) -> None:
    for value in (calibration.a, calibration.b, *calibration.x, *calibration.y):
        _finite(path, value)
    if len(calibration.x) != len(calibration.y) or len(calibration.x) > POINTS_MAX:
        fail(f"{path}.y", f"as many as x, at most {POINTS_MAX}", len(calibration.y))
    if any(low >= high for low, high in itertools.pairwise(calibration.x)):
        fail(f"{path}.x", "ascending numbers", "others")


def _finite(path: str, number: float) -> None:
    if not math.isfinite(number):
        fail(path, "a finite number", number)
