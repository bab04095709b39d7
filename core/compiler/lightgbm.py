"""LightGBM's text format (`Booster.save_model`, `model_to_string`), versions v2 to v4."""

import itertools
import math
import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from core import bundle
from core.compiler.ensembles import LEAVES_MAX, TREES_MAX, ArtifactError, Ensemble, Node, Tree, check_tree

VERSIONS: Final = ("v2", "v3", "v4")
#: What makes an output of the raw score, by objective.
LINKS: Final[dict[str, int]] = {
    **dict.fromkeys(("binary", "cross_entropy", "xentropy"), bundle.LINK_LOGISTIC),
    **dict.fromkeys(("poisson", "gamma", "tweedie"), bundle.LINK_EXP),
    **dict.fromkeys(
        ("", "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"),
        bundle.LINK_RAW,
    ),
}
CATEGORICAL, DEFAULT_LEFT = 1, 2
MISSING_NONE, MISSING_ZERO, MISSING_NAN = 0, 1, 2
#: What the library takes for zero: 1e-35 as a float of 32 bits.
ZERO: Final = 1.0000000180025095e-35
INT_LENGTH_MAX: Final = 20
_PARAMETER: Final = re.compile(r"\[(\w+): (.*)\]")
_Number = TypeVar("_Number", int, float)


def read_lightgbm(text: str) -> Ensemble:
    """Read a model; what it needs that the core does not do is refused by name (ArtifactError)."""
    lines = text.split("\n")
    if lines[0].strip() != "tree":
        raise ArtifactError(1, "a LightGBM model, which begins with the line `tree`", repr(lines[0][:40]))
    starts = [at for at, line in enumerate(lines) if line.startswith("Tree=")]
    end = next((at for at, line in enumerate(lines) if line.strip() == "end of trees"), len(lines))
    if end == len(lines):
        raise ArtifactError(end, "`end of trees` after the trees", "the end of the file: it is cut")
    head = _Block(lines, 0, starts[0] if starts else end)
    _refuse_parameters(lines, end)
    objective, link, scale = _objective(head)
    _refuse_kinds(head)
    if len(starts) > TREES_MAX:
        raise ArtifactError(starts[TREES_MAX] + 1, f"at most {TREES_MAX} trees", str(len(starts)))
    features = head.text("feature_names").split(" ")
    bounds = itertools.pairwise([*starts, end])
    trees = [_tree(_Block(lines, start, following), len(features)) for start, following in bounds]
    return Ensemble(bundle.LIGHTGBM, features, trees, 0.0, objective, link, scale)


class _Block:
    """Lines `key=value` of the header or of one tree."""

    def __init__(self, lines: list[str], start: int, end: int) -> None:
        self.line = start + 1
        self._values: dict[str, tuple[int, str]] = {}
        for at in range(start, end):
            key, _, value = lines[at].strip().partition("=")
            self._values[key] = (at + 1, value)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def line_of(self, key: str) -> int:
        return self._values.get(key, (self.line, ""))[0]

    def text(self, key: str) -> str:
        if key not in self._values:
            raise ArtifactError(self.line, f"a line `{key}=`", "none")
        return self._values[key][1]

    def fail(self, key: str, expected: str, got: str) -> NoReturn:
        raise ArtifactError(self.line_of(key), f"{key}: {expected}", got)

    def whole(self, key: str) -> int:
        (value,) = self._numbers(key, 1, int, "a whole number")
        return value

    def wholes(self, key: str, count: int) -> list[int]:
        return self._numbers(key, count, int, f"{count} whole numbers")

    def reals(self, key: str, count: int) -> list[float]:
        return self._numbers(key, count, float, f"{count} numbers")

    def _numbers(self, key: str, count: int, read: Callable[[str], _Number], expected: str) -> list[_Number]:
        words = self.text(key).split()
        if len(words) != count:
            self.fail(key, expected, str(len(words)))
        if read is int and any(len(word) > INT_LENGTH_MAX for word in words):
            self.fail(key, expected, "longer ones")
        try:
            return [read(word) for word in words]
        except ValueError as error:
            self.fail(key, expected, str(error)[:80])


def _refuse_parameters(lines: list[str], end: int) -> None:
    """The parameters of the training, after the trees, tell what the trees alone do not."""
    for at in range(end, len(lines)):
        found = _PARAMETER.fullmatch(lines[at].strip())
        if found and found[1] == "boosting" and found[2] == "dart":
            raise ArtifactError(at + 1, "gradient-boosted trees (boosting: gbdt or goss)", "dart")
        if found and found[1] == "linear_tree" and found[2] == "1":
            raise ArtifactError(at + 1, "trees with constant leaves", "linear trees (linear_tree: 1)")


def _refuse_kinds(head: _Block) -> None:
    version = head.text("version")
    if version not in VERSIONS:
        head.fail("version", f"one of {', '.join(VERSIONS)}", version[:40])
    if "average_output" in head:
        raise ArtifactError(
            head.line_of("average_output"), "gradient-boosted trees", "a random forest (average_output)"
        )
    for key in ("num_class", "num_tree_per_iteration"):
        if head.whole(key) != 1:
            head.fail(key, "1, a model of one output", f"{head.whole(key)}: a model of several classes")


def _objective(head: _Block) -> tuple[str, int | None, float]:
    """Name, link and the scale of the logistic function."""
    words = head.text("objective").split() if "objective" in head else [""]
    name, options = words[0] if words else "", words[1:]
    link = None if "sqrt" in options else LINKS.get(name)
    scale = 1.0
    for option in options:
        key, _, value = option.partition(":")
        if key == "sigmoid":
            try:
                scale = float(value)
            except ValueError:
                scale = math.nan
            if not 0.0 < scale < math.inf:
                head.fail("objective", "sigmoid above 0", value[:40])
    return " ".join(words), link, scale


def _tree(block: _Block, features: int) -> Tree:
    leaves = block.whole("num_leaves")
    if not 1 <= leaves <= LEAVES_MAX:
        block.fail("num_leaves", f"1 to {LEAVES_MAX} leaves", str(leaves))
    if "is_linear" in block and block.whole("is_linear") != 0:
        block.fail("is_linear", "0, trees with constant leaves", "linear trees")
    values = block.reals("leaf_value", leaves)
    if not all(math.isfinite(value) for value in values):
        block.fail("leaf_value", "finite numbers", "others")
    if leaves == 1:
        return Tree([], values)
    nodes = _nodes(block, leaves - 1, features)
    check_tree(nodes, leaves, block.line_of("left_child"))
    return Tree(nodes, values)


def _nodes(block: _Block, count: int, features: int) -> list[Node]:
    columns = (
        block.wholes("split_feature", count),
        block.reals("threshold", count),
        block.wholes("decision_type", count),
        block.wholes("left_child", count),
        block.wholes("right_child", count),
    )
    sets = _sets(block)
    nodes = []
    for feature, threshold, decision, left, right in zip(*columns, strict=True):
        if not 0 <= feature < features:
            block.fail("split_feature", f"a number below {features}", str(feature))
        missing, default_left = decision >> 2, bool(decision & DEFAULT_LEFT)
        if not 0 <= missing <= MISSING_NAN:
            block.fail("decision_type", "a known way to treat missing values", str(decision))
        if decision & CATEGORICAL:
            if not (0 <= threshold < len(sets) and threshold == int(threshold)):
                block.fail("threshold", f"the number of one of {len(sets)} sets", str(threshold))
            # A missing category is in no set: it goes right.
            nodes.append(Node(feature, 0.0, sets[int(threshold)], True, None, left, right))
            continue
        if math.isnan(threshold):
            block.fail("threshold", "numbers", "nan")
        zero_fails = None if missing != MISSING_ZERO else not default_left
        missing_fails = threshold < 0.0 if missing == MISSING_NONE else not default_left
        nodes.append(Node(feature, threshold, None, missing_fails, zero_fails, left, right))
    return nodes


def _sets(block: _Block) -> list[tuple[int, ...]]:
    """The tree's sets of categories, as words of 32."""
    count = block.whole("num_cat") if "num_cat" in block else 0
    if count == 0:
        return []
    if not 0 < count < LEAVES_MAX:
        block.fail("num_cat", f"0 to {LEAVES_MAX - 1}", str(count))
    bounds = block.wholes("cat_boundaries", count + 1)
    words = block.wholes("cat_threshold", len(block.text("cat_threshold").split()))
    if bounds[0] != 0 or bounds[-1] != len(words) or sorted(bounds) != bounds:
        block.fail("cat_boundaries", f"ascending numbers from 0 to {len(words)}", str(bounds)[:80])
    if not all(0 <= word < 2**32 for word in words):
        block.fail("cat_threshold", "numbers of 32 bits", "others")
    return [tuple(words[low:high]) for low, high in itertools.pairwise(bounds)]
