"""Makes `xgboost.json`: models that XGBoost trained, with its raw scores and outputs for some rows.

`build/peers/bin/python -m tests.vectors.models.make` writes the file anew, and with `--check` says whether
that would change it. XGBoost is in the `bench` group alone (`tools/prepare.py --peers` installs it), so that
the tests themselves need none. The same version gives the same bytes: one thread, fixed seeds.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

FILE: Final = Path(__file__).with_name("xgboost.json")
NAMES: Final = ["age", "spend", "city", "tier"]
CITIES, TIERS, TRAINING_ROWS, ROWS = 37, 4, 2_000, 120
#: Name, options, types of the columns (q: number, c: category), trees. The last has more leaves than a word
#: has bits.
MODELS: Final[list[tuple[str, dict[str, Any], list[str], int]]] = [
    (
        "logistic",
        {"objective": "binary:logistic", "base_score": 0.3, "max_depth": 4},
        ["q", "q", "c", "c"],
        12,
    ),
    ("poisson", {"objective": "count:poisson", "base_score": 0.4, "max_depth": 3}, ["q", "q", "c", "c"], 8),
    (
        "regression",
        {"objective": "reg:squarederror", "base_score": 1.25, "max_leaves": 90, "max_depth": 0},
        ["q", "q", "q", "q"],
        6,
    ),
]
OPTIONS: Final = {"nthread": 1, "seed": 1, "tree_method": "hist", "grow_policy": "lossguide", "eta": 0.3}
#: What readers look at; the rest of a file is statistics of the training.
TREE_KEYS: Final = (
    *("left_children", "right_children", "split_indices", "split_conditions", "default_left", "split_type"),
    *("categories", "categories_nodes", "categories_segments", "categories_sizes"),
)

Array = np.ndarray[Any, Any]


def made() -> str:
    import xgboost

    models = [model(number, *one) for number, one in enumerate(MODELS)]
    return json.dumps({"xgboost": xgboost.__version__, "models": models}, separators=(",", ":")) + "\n"


def model(seed: int, name: str, options: dict[str, Any], types: list[str], trees: int) -> dict[str, Any]:
    import xgboost

    draw = np.random.default_rng([20261123, seed])
    known = columns(draw, TRAINING_ROWS)
    booster = xgboost.train(OPTIONS | options, matrix(known, types, target(draw, name, known)), trees)
    document = pruned(json.loads(bytes(booster.save_raw("json"))))
    asked = asked_rows(draw, document)
    raw = booster.predict(matrix(asked, types), output_margin=True)
    output = booster.predict(matrix(asked, types))
    assert raw.dtype == output.dtype == np.float32
    return {
        "name": name,
        "model": document,
        "rows": [[None if np.isnan(cell) else cell for cell in row] for row in asked.tolist()],
        "raw": raw.astype(float).tolist(),
        "output": output.astype(float).tolist(),
    }


def columns(draw: np.random.Generator, count: int) -> Array:
    """Numbers of three decimals, whose nearest floats of 32 bits are not the doubles; some are missing."""
    numbers = draw.normal(size=(count, 2)).round(3)
    categories = np.column_stack([draw.integers(CITIES, size=count), draw.integers(TIERS, size=count)])
    rows = np.column_stack([numbers, categories.astype(float)])
    rows[draw.random(rows.shape) < 0.1] = np.nan
    return rows


def target(draw: np.random.Generator, name: str, rows: Array) -> Array:
    age, spend, city, tier = np.nan_to_num(rows).T
    signal = age - np.sin(2 * spend) + np.where(city % 3 == 1, 1.0, -0.5) + 0.3 * tier
    match name:
        case "logistic":
            return (signal + draw.normal(size=len(rows)) > 0.5).astype(float)
        case "poisson":
            return draw.poisson(np.exp(0.4 * signal - 1.0)).astype(float)
        case _:
            return signal + 0.1 * draw.normal(size=len(rows))


def matrix(rows: Array, types: list[str], label: Array | None = None) -> Any:
    import xgboost

    return xgboost.DMatrix(
        rows, label, feature_names=NAMES, feature_types=types, enable_categorical=True, nthread=1
    )


def pruned(document: dict[str, Any]) -> dict[str, Any]:
    forest = document["learner"]["gradient_booster"]["model"]
    forest["trees"] = [{key: tree[key] for key in TREE_KEYS} for tree in forest["trees"]]
    return document


def asked_rows(draw: np.random.Generator, document: dict[str, Any]) -> Array:
    """Zeros, nothing known, numbers at thresholds as a double and as the float of 32 bits above or below, and
    others.
    """
    rows = columns(draw, ROWS)
    rows[0], rows[1] = 0.0, np.nan
    at = 2
    for tree in document["learner"]["gradient_booster"]["model"]["trees"][:8]:
        for left, column, threshold in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            if left >= 0 and column < 2 and at < ROWS // 2:
                single = np.float32(threshold)
                rows[at, column] = [threshold, float(single), float(np.nextafter(single, np.float32(-9)))][
                    at % 3
                ]
                at += 1
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument(
        "--check", action="store_true", help="only say whether the file is what would be made"
    )
    options = parser.parse_args()
    text = made()
    if options.check:
        same = text == FILE.read_text(encoding="utf-8")
        print(f"{FILE.name}: {'as made' if same else 'differs from what this version of XGBoost makes'}")
        return 0 if same else 1
    FILE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
