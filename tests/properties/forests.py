"""Random models of trees, as LightGBM would write them."""

import itertools
import random
from typing import Final

from tests.properties.chance import Chance

#: Features of the file: their names say what they are.
FEATURES: Final = ["age", "views", "risk", "temperature", "vip", "tier", "country"]
CATEGORICAL: Final = ("tier", "country", "age")
THRESHOLDS: Final = [0.0, -0.0, 17.0, 18.0, 0.5, 1e-35, -1.0000000180025095e-35, 1e300, -1e300, 20.5, 2.0**53]
LEAVES: Final = [0.1, -0.25, 1e-300, 3.0, -7.5, 0.3]
OBJECTIVES: Final = ["binary sigmoid:1", "binary sigmoid:2.5", "regression", "poisson", "cross_entropy"]
LARGE: Final = 90


def lightgbm_text(chance: Chance) -> str:
    """A model of up to three trees with splits of every kind."""
    draw = random.Random(chance.whole(0, 2**32 - 1))
    trees = [_tree(draw) for _ in range(draw.randint(0, 3))]
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        f"objective={draw.choice(OBJECTIVES)}",
        f"feature_names={' '.join(FEATURES)}",
    ]
    body = [f"\nTree={number}\n{tree}" for number, tree in enumerate(trees)]
    return "\n".join([*head, *body, "", "end of trees", ""])


def _tree(draw: random.Random) -> str:
    leaves = LARGE if draw.randrange(6) == 0 else draw.randint(1, 7)
    left, right = _shape(draw, leaves)
    features, thresholds, decisions, sets = [], [], [], []
    for _ in range(leaves - 1):
        feature = draw.randint(0, len(FEATURES) - 1)
        features.append(feature)
        if FEATURES[feature] in CATEGORICAL and draw.randrange(2):
            thresholds.append(str(len(sets)))
            sets.append([draw.choice([0, 1, 5, 2**31, 2**32 - 1]) for _ in range(draw.randint(1, 2))])
            decisions.append(1 + 4 * draw.choice([0, 2]))
        else:
            thresholds.append(repr(draw.choice(THRESHOLDS)))
            decisions.append(4 * draw.randint(0, 2) + 2 * draw.randint(0, 1))
    bounds = [sum(len(one) for one in sets[:number]) for number in range(len(sets) + 1)]
    lines = {
        "num_leaves": [leaves],
        "num_cat": [len(sets)],
        "split_feature": features,
        "threshold": thresholds,
        "decision_type": decisions,
        "left_child": left,
        "right_child": right,
        "leaf_value": [repr(draw.choice(LEAVES)) for _ in range(leaves)],
        **({"cat_boundaries": bounds, "cat_threshold": [*itertools.chain(*sets)]} if sets else {}),
        "is_linear": [0],
    }
    return "\n".join(f"{key}={' '.join(str(value) for value in values)}" for key, values in lines.items())


def _shape(draw: random.Random, leaves: int) -> tuple[list[int], list[int]]:
    """Children by node, as a learner grows them: a leaf becomes a node over it and a new leaf."""
    left, right = [0] * (leaves - 1), [0] * (leaves - 1)
    place: dict[int, tuple[list[int], int] | None] = {0: None}  # by leaf: what points to it
    for node in range(leaves - 1):
        split = draw.randint(0, node)
        if (above := place[split]) is not None:
            above[0][above[1]] = node
        left[node], right[node] = ~split, ~(node + 1)
        place[split], place[node + 1] = (left, node), (right, node)
    return left, right
