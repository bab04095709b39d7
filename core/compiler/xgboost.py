"""XGBoost's JSON format (`Booster.save_model("x.json")`), versions 1.6 and newer.

Everything in it is a float of 32 bits. A row goes left below a threshold, so the nodes here have the float
before it: above that float is at the threshold or more.
"""

import math
import re
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from core import bundle
from core.compiler.ensembles import LEAVES_MAX, TREES_MAX, ArtifactError, Ensemble, Node, Tree

LINKS: Final[dict[str, int]] = {
    **dict.fromkeys(("binary:logistic", "reg:logistic"), bundle.LINK_LOGISTIC),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"), bundle.LINK_EXP),
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:linear", "reg:absoluteerror", "reg:pseudohubererror"),
            *("reg:quantileerror", "rank:pairwise", "rank:ndcg", "rank:map"),
        ),
        bundle.LINK_RAW,
    ),
}
CATEGORY_MAX: Final = 2**24 - 1
_NUMBER: Final = re.compile(r"\[?([-+0-9.eE]{1,40})\]?")


class _Tree(msgspec.Struct):
    left_children: list[int]
    right_children: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    default_left: list[bool | int]
    split_type: list[int] = []
    categories: list[int] = []
    categories_nodes: list[int] = []
    categories_segments: list[int] = []
    categories_sizes: list[int] = []


class _Forest(msgspec.Struct):
    trees: list[_Tree]
    tree_info: list[int] = []


class _Booster(msgspec.Struct):
    name: str = "gbtree"
    model: _Forest | None = None
    gbtree: Any = None


class _Objective(msgspec.Struct):
    name: str


class _Parameters(msgspec.Struct):
    base_score: str
    num_class: str = "0"
    num_target: str = "1"
    num_feature: str = "0"


class _Name(msgspec.Struct):
    name: str = "gbtree"


class _AnyBooster(msgspec.Struct):
    gradient_booster: _Name


class _AnyModel(msgspec.Struct):
    learner: _AnyBooster


class _Learner(msgspec.Struct):
    gradient_booster: _Booster
    learner_model_param: _Parameters
    objective: _Objective
    feature_names: list[str] = []


class _Model(msgspec.Struct):
    learner: _Learner


def read_xgboost(text: str) -> Ensemble:
    """Read a model; what it needs that the core does not do is refused by name (ArtifactError)."""
    try:
        booster = msgspec.json.decode(text, type=_AnyModel).learner.gradient_booster.name
        if booster != "gbtree":
            raise ArtifactError(1, "gradient-boosted trees (booster gbtree)", booster[:40])
        learner = msgspec.json.decode(text, type=_Model).learner
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ArtifactError(1, "an XGBoost model in JSON", str(error)[:200]) from error
    forest = learner.gradient_booster.model
    if forest is None:
        raise ArtifactError(1, "learner.gradient_booster.model", "none")
    _refuse_kinds(learner, forest)
    count = _whole(learner.learner_model_param.num_feature)
    names = learner.feature_names or [f"f{at}" for at in range(count)]
    trees = [_tree(tree, f"tree {number}", len(names)) for number, tree in enumerate(forest.trees)]
    objective = learner.objective.name
    link = LINKS.get(objective)
    if link is None:  # the base score is written as the objective has it, so it is not known either
        raise ArtifactError(1, f"an objective of {', '.join(LINKS)}", objective[:40])
    return Ensemble(bundle.XGBOOST, names, trees, _base(learner, link), objective, link)


def _whole(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,6}", text) else 0


def _refuse_kinds(learner: _Learner, forest: _Forest) -> None:
    parameters = learner.learner_model_param
    if _whole(parameters.num_class) > 1 or _whole(parameters.num_target) > 1 or any(forest.tree_info):
        raise ArtifactError(1, "a model of one output", "one of several classes or targets")
    if len(forest.trees) > TREES_MAX:
        raise ArtifactError(1, f"at most {TREES_MAX} trees", str(len(forest.trees)))


def _base(learner: _Learner, link: int) -> float:
    """The base score, which is written as an output, as the raw score where the sums begin."""
    text = learner.learner_model_param.base_score
    found = _NUMBER.fullmatch(text)
    try:
        score = to_float(float(found[1])) if found else math.nan
        if link == bundle.LINK_LOGISTIC:
            score = to_float(-math.log(to_float(to_float(1.0 / score) - 1.0)))
        elif link == bundle.LINK_EXP:
            score = to_float(math.log(score))
    except (ValueError, ZeroDivisionError):
        score = math.nan
    if not math.isfinite(score):
        raise ArtifactError(1, "a base_score that the objective can give", text[:40])
    return score


def to_float(value: float) -> float:
    """The nearest float of 32 bits."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _before(value: float) -> float:
    """The float of 32 bits before one."""
    if value == 0.0:
        return -float(struct.unpack("<f", struct.pack("<I", 1))[0])
    bits: int = struct.unpack("<I", struct.pack("<f", value))[0]
    return float(struct.unpack("<f", struct.pack("<I", bits - 1 if value > 0 else bits + 1))[0])


def _tree(tree: _Tree, name: str, features: int) -> Tree:
    count = len(tree.left_children)
    lists: Sequence[Sequence[object]] = (
        tree.right_children,
        tree.split_indices,
        tree.split_conditions,
        tree.default_left,
    )
    if any(len(values) != count for values in lists) or len(tree.split_type) not in (0, count):
        raise ArtifactError(1, f"{name}: {count} values in each list", "another number")
    reached = _reached(tree, name)
    leaves = [at for at in reached if tree.left_children[at] == -1]
    if not 1 <= len(leaves) <= LEAVES_MAX:
        raise ArtifactError(1, f"{name}: 1 to {LEAVES_MAX} leaves", str(len(leaves)))
    inner = [at for at in reached if tree.left_children[at] != -1]
    numbers = {at: number for number, at in enumerate(inner)} | {
        at: ~number for number, at in enumerate(leaves)
    }
    sets = _sets(tree, name)
    values = [to_float(tree.split_conditions[at]) for at in leaves]
    if not all(math.isfinite(value) for value in values):
        raise ArtifactError(1, f"{name}: finite leaves", "others")
    nodes = [_node(tree, at, numbers, sets, name, features) for at in inner]
    return Tree(nodes, values)


def _reached(tree: _Tree, name: str) -> list[int]:
    """The nodes and leaves below the root; pruning leaves others behind."""
    found: list[int] = []
    seen: set[int] = set()
    todo = [0]
    while todo:
        at = todo.pop()
        if not 0 <= at < len(tree.left_children) or at in seen:
            raise ArtifactError(1, f"{name}: nodes that are each below one node", str(at))
        seen.add(at)
        found.append(at)
        if tree.left_children[at] != -1:
            todo += (tree.right_children[at], tree.left_children[at])
    return found


def _node(
    tree: _Tree, at: int, numbers: dict[int, int], sets: dict[int, tuple[int, ...]], name: str, features: int
) -> Node:
    left, right = tree.left_children[at], tree.right_children[at]
    if not 0 <= tree.split_indices[at] < features:
        raise ArtifactError(1, f"{name}: features below {features}", str(tree.split_indices[at]))
    categories = None
    if tree.split_type and tree.split_type[at] == 1:
        if at not in sets:
            raise ArtifactError(1, f"{name}: the categories of node {at}", "none")
        categories = sets[at]
    threshold = to_float(tree.split_conditions[at])
    if not math.isfinite(threshold):
        raise ArtifactError(1, f"{name}: finite thresholds", str(threshold))
    return Node(
        tree.split_indices[at],
        0.0 if categories is not None else _before(threshold),
        categories,
        not tree.default_left[at],
        None,
        numbers[left],
        numbers[right],
    )


def _sets(tree: _Tree, name: str) -> dict[int, tuple[int, ...]]:
    """The categories by node, as words of 32."""
    found: dict[int, tuple[int, ...]] = {}
    if not len(tree.categories_nodes) == len(tree.categories_segments) == len(tree.categories_sizes):
        raise ArtifactError(1, f"{name}: categories of each node", "another number")
    for at, begin, size in zip(
        tree.categories_nodes, tree.categories_segments, tree.categories_sizes, strict=True
    ):
        members = tree.categories[begin : begin + size] if begin >= 0 and size >= 0 else []
        if len(members) != size or not all(0 <= one <= CATEGORY_MAX for one in members):
            raise ArtifactError(1, f"{name}: categories from 0 to {CATEGORY_MAX}", "others")
        words = [0] * (max(members, default=-1) // 32 + 1)
        for one in members:
            words[one // 32] |= 1 << one % 32
        found[at] = tuple(words)
    return found
