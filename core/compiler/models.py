"""Models: what ranks offers."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import Calibration, Feature, Input, Isotonic, Model
from core.cel.typed import TYPE_NAMES
from core.compiler.attributes import Attributes
from core.compiler.bandits import check_bandits, compile_bandit
from core.compiler.ensembles import ArtifactError, Ensemble, make_trees, used
from core.compiler.lightgbm import read_lightgbm
from core.compiler.offer_columns import PREFIX, Column, OfferColumns
from core.compiler.work import Work
from core.compiler.xgboost import read_xgboost

NUMBERS: Final = frozenset({bundle.BOOL, bundle.INT, bundle.FLOAT})
LINKS: Final = {"raw": bundle.LINK_RAW, "logistic": bundle.LINK_LOGISTIC, "exp": bundle.LINK_EXP}
READERS: Final[dict[str, Callable[[str], Ensemble]]] = {".txt": read_lightgbm, ".json": read_xgboost}
#: What a model may say beside id, owner, kind and calibration, by kind.
OPTIONS: Final[dict[str, frozenset[str]]] = {
    "linear": frozenset({"intercept", "features"}),
    "logistic": frozenset({"intercept", "features"}),
    "trees": frozenset({"artifact", "inputs", "link"}),
    "uplift": frozenset({"treated", "control"}),
    "bandit": frozenset({"intercept", "features", "policy", "floor", "width", "arms", "prior"}),
}
NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "trees": ("artifact",),
    "uplift": ("treated", "control"),
    "bandit": ("policy", "floor"),
}
DEFAULTS: Final[dict[str, object]] = {
    "intercept": 0.0,
    "features": [],
    "artifact": None,
    "inputs": {},
    "link": None,
    "treated": None,
    "control": None,
    "policy": None,
    "floor": None,
    "width": None,
    "arms": {},
    "prior": None,
}


def compile_models(
    work: Work, attributes: Attributes, columns: OfferColumns | None = None
) -> list[bundle.Model]:
    """The models in id order; `columns` takes what they read of the offers."""
    reads = _Reads(work, attributes, OfferColumns() if columns is None else columns)
    artifacts = _Artifacts(work)
    check_bandits(work)
    made = [_model(work, reads, artifacts, path, model) for path, model in work.ordered("models")]
    return [_with_columns(model, reads.columns.by_model.get(model.id, [])) for model in made]


def _with_columns(model: bundle.Model, columns: list[Column]) -> bundle.Model:
    fields = {name: getattr(model, name) for name in model.__struct_fields__}
    return bundle.Model(**{**fields, "columns": [PREFIX + column.name for column in columns]})


@dataclass(frozen=True)
class _Reads:
    """What a model may read."""

    work: Work
    attributes: Attributes
    columns: OfferColumns

    def find(self, name: str, path: Path) -> int:
        return self.attributes.find(self.work, name, path)

    def kind(self, index: int) -> int:
        return self.attributes.items[index].type


class _Artifacts:
    """The model files, each read once; faults stand where they are in the file."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._read: dict[str, Ensemble | None] = {}

    def read(self, name: str, path: Path) -> Ensemble | None:
        """The content of a model file; None after its faults were noted."""
        text = self._work.catalogue.artifacts.get(name)
        if text is None:
            self._work.faults.add(path, "a file of the catalogue", shown(name))
            return None
        if name not in self._read:
            self._read[name] = self._parse(name, text)
        return self._read[name]

    def _parse(self, name: str, text: str) -> Ensemble | None:
        try:
            return READERS[name[name.rindex(".") :]](text)
        except ArtifactError as error:
            self._work.faults.add_at(name, error.line, error.expected, error.got)
            return None


def _model(work: Work, reads: _Reads, artifacts: _Artifacts, path: Path, model: Model) -> bundle.Model:
    _check_options(work, path, model)
    calibration = _calibration(work, path, model.calibration)
    if work.faults.unknown.holds((*path, "kind")):
        features = _features(reads, path, model)
        return bundle.Model(model.id, bundle.MODEL_LINEAR, 0.0, features, None, calibration)
    if model.kind == "trees":
        trees = _trees(reads, artifacts, path, model)
        return bundle.Model(model.id, bundle.MODEL_TREES, 0.0, [], trees, calibration)
    if model.kind == "uplift":
        treated, control = _part(work, path, model, "treated"), _part(work, path, model, "control")
        return bundle.Model(model.id, bundle.MODEL_UPLIFT, 0.0, [], None, calibration, treated, control)
    if model.kind == "bandit":
        features = [_arm_feature(reads, model, path, at) for at in range(len(model.features))]
        _finite(work, (*path, "intercept"), model.intercept)
        if model.calibration is not None:
            work.faults.add((*path, "calibration"), "no calibration of a bandit", "one", of=())
        bandit = compile_bandit(work, path, model)
        return bundle.Model(
            model.id, bundle.MODEL_BANDIT, model.intercept, features, None, None, -1, -1, bandit
        )
    kind = bundle.MODEL_LINEAR if model.kind == "linear" else bundle.MODEL_LOGISTIC
    _finite(work, (*path, "intercept"), model.intercept)
    features = _features(reads, path, model)
    return bundle.Model(model.id, kind, model.intercept, features, None, calibration)


def _features(reads: _Reads, path: Path, model: Model) -> list[bundle.Feature]:
    return [
        _feature(reads, model, (*path, "features", at), feature) for at, feature in enumerate(model.features)
    ]


def _check_options(work: Work, path: Path, model: Model) -> None:
    kind = (*path, "kind")
    for name, nothing in DEFAULTS.items():
        if getattr(model, name) != nothing and name not in OPTIONS[model.kind]:
            expected = f"no `{name}` in a model of kind {model.kind}"
            work.faults.add((*path, name), expected, "one", of=[kind])
    for name in NEEDED.get(model.kind, ()):
        if getattr(model, name) is None:
            expected = f"`{name}` in a model of kind {model.kind}"
            work.faults.add(path, expected, "none", of=[kind, (*path, name)])


def _part(work: Work, path: Path, model: Model, name: str) -> int:
    """One of the two models whose difference an uplift is."""
    part = getattr(model, name)
    if part is None:
        return -1
    found = work.index("models", part, (*path, name))
    if found >= 0 and work.objects["models"][part].kind in ("uplift", "bandit"):
        expected = "a model of kind linear, logistic or trees"
        work.faults.add((*path, name), expected, shown(part), of=work.below("models", part, "kind"))
    return found


def _trees(reads: _Reads, artifacts: _Artifacts, path: Path, model: Model) -> bundle.Trees | None:
    work = reads.work
    ensemble = None if model.artifact is None else artifacts.read(model.artifact, (*path, "artifact"))
    if ensemble is None:
        return None
    inputs = _inputs(reads, path, model, ensemble)
    link = ensemble.link if model.link is None else LINKS[model.link]
    if link is None:
        expected = f"`link`, as the core knows none of the file's objective {ensemble.objective}"
        work.faults.add((*path, "artifact"), expected, "none", of=[(*path, "link")])
        return None
    try:
        return None if inputs is None else make_trees(ensemble, inputs, link)
    except ArtifactError as error:
        rests = [(*path, name) for name in ("artifact", "inputs", "link")]
        work.faults.add((*path, "artifact"), error.expected, error.got, of=rests)
        return None


def _inputs(reads: _Reads, path: Path, model: Model, ensemble: Ensemble) -> list[bundle.TreeInput] | None:
    """What each feature that the trees ask for is; None after faults."""
    work = reads.work
    before = work.faults.seen
    for name in model.inputs.keys() - set(ensemble.features):
        work.faults.add((*path, "inputs", name), f"a feature of {model.artifact}", shown(name), of=())
    asked = [ensemble.features[at] for at in used(ensemble)]
    for name in sorted(set(asked) - model.inputs.keys()):
        work.faults.add((*path, "inputs"), f"the attribute of the feature {name}", "none")
    given = [name for name in asked if name in model.inputs]
    found = {name: _input(reads, model, (*path, "inputs", name), model.inputs[name]) for name in given}
    # What the trees do not ask for is looked at for its faults, and takes no column of the offers.
    apart = replace(reads, columns=OfferColumns())
    for name in model.inputs.keys() - {*asked}:
        _input(apart, model, (*path, "inputs", name), model.inputs[name])
    return [found[name] for name in asked] if work.faults.seen == before else None


def _input(reads: _Reads, model: Model, path: Path, given: str | Input) -> bundle.TreeInput:
    work = reads.work
    wanted = Input(attribute=given) if isinstance(given, str) else given
    work.repeated(wanted.categories, (*path, "categories"), "category")
    if wanted.attribute.startswith(PREFIX):
        name = wanted.attribute.removeprefix(PREFIX)
        column = Column(path, name, math.nan, None, tuple(wanted.categories))
        return bundle.TreeInput(-1, [], reads.columns.add(model.id, column))
    found = reads.find(wanted.attribute, path)
    if found >= 0:
        kind = reads.kind(found)
        if kind not in NUMBERS and kind != bundle.STRING:
            expected = "a bool, int or float, or a string with `categories`"
            work.faults.add(path, expected, f"{wanted.attribute} of type {TYPE_NAMES[kind]}")
        elif (kind == bundle.STRING) != bool(wanted.categories):
            work.faults.add(path, "`categories` with a string attribute, and only there", TYPE_NAMES[kind])
    return bundle.TreeInput(found, wanted.categories)


def _calibration(work: Work, path: Path, given: Calibration | None) -> bundle.Calibration | None:
    if given is None:
        return None
    path = (*path, "calibration")
    if (given.platt is None) == (given.isotonic is None):
        got = "both" if given.platt else "none"
        rests = [(*path, "platt"), (*path, "isotonic")]
        work.faults.add(path, "one of `platt` and `isotonic`", got, of=rests)
        return None
    if given.platt is not None:
        _finite(work, (*path, "platt", "a"), given.platt.a)
        _finite(work, (*path, "platt", "b"), given.platt.b)
        return bundle.Calibration(given.platt.a, given.platt.b)
    assert given.isotonic is not None
    return _isotonic(work, (*path, "isotonic"), given.isotonic)


def _isotonic(work: Work, path: Path, given: Isotonic) -> bundle.Calibration:
    for name, values in (("x", given.x), ("y", given.y)):
        for at, value in enumerate(values):
            _finite(work, (*path, name, at), value)
    if len(given.x) != len(given.y):
        expected = f"as many values as x has: {len(given.x)}"
        rests = [(*path, "x"), (*path, "y")]
        work.faults.add((*path, "y"), expected, str(len(given.y)), of=rests)
    if any(low >= high for low, high in itertools.pairwise(given.x)):
        work.faults.add((*path, "x"), "ascending numbers", "others")
    if any(low > high for low, high in itertools.pairwise(given.y)):
        work.faults.add((*path, "y"), "numbers that never fall", "others")
    return bundle.Calibration(0.0, 0.0, given.x, given.y)


def _arm_feature(reads: _Reads, model: Model, path: Path, at: int) -> bundle.Feature:
    """A feature of a bandit, which reads none of an offer: its arms are the offers."""
    where, feature = (*path, "features", at), model.features[at]
    if not feature.attribute.startswith(PREFIX):
        return _feature(reads, model, where, feature)
    expected = "a profile's or the context's attribute in a bandit, whose arms are the offers"
    reads.work.faults.add((*where, "attribute"), expected, shown(feature.attribute))
    return bundle.Feature(-1, feature.weight, feature.missing, None)


def _feature(reads: _Reads, model: Model, path: Path, feature: Feature) -> bundle.Feature:
    work = reads.work
    _finite(work, (*path, "weight"), feature.weight)
    _finite(work, (*path, "missing"), feature.missing)
    if feature.attribute.startswith(PREFIX):
        name = feature.attribute.removeprefix(PREFIX)
        missing = 0.0 if feature.equals is not None else feature.missing
        column = Column((*path, "attribute"), name, missing, feature.equals)
        at = reads.columns.add(model.id, column)
        return bundle.Feature(-1, feature.weight, missing, None, at)
    found = reads.find(feature.attribute, (*path, "attribute"))
    if found >= 0:
        kind = reads.kind(found)
        if feature.equals is None and kind not in NUMBERS:
            expected = "bool, int or float, or a string with `equals`"
            got = f"{feature.attribute} of type {TYPE_NAMES[kind]}"
            work.faults.add((*path, "attribute"), expected, got, of=[(*path, "equals")])
        elif feature.equals is not None and kind != bundle.STRING:
            expected = "`equals` with a string attribute only"
            work.faults.add((*path, "equals"), expected, TYPE_NAMES[kind], of=[(*path, "attribute")])
    return bundle.Feature(found, feature.weight, feature.missing, feature.equals)


def _finite(work: Work, path: Path, value: float) -> None:
    if not math.isfinite(value):
        work.faults.add(path, "a finite number", str(value))
