"""Libraries that score trees and logistic models, holding the same model as ours; each call takes a numpy
array that is there already, and returns raw scores.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scorer:
    """`score` takes rows x columns; `ready_s` is the time from the trained model to the first answer, most of
    it compilation where a library compiles.
    """

    score: Callable[[Array], Array | float]
    ready_s: float
    #: How far its scores may be from ours, and what share of them may be farther: an engine that knows 32-bit
    #: floats alone takes another branch where a row is next to a threshold.
    tolerance: float = 1e-12
    apart_max: float = 0.0
    #: Whether it takes one row that is no matrix.
    flat: bool = False


def made(make: Callable[[], Callable[[Array], Array]], example: Array) -> Scorer:
    started = time.perf_counter()
    score = make()
    score(example)
    return Scorer(score, time.perf_counter() - started)


def lightgbm_itself(booster: lightgbm.Booster, example: Array) -> Scorer:
    """`Booster.predict`, as most people call it."""
    return made(lambda: lambda rows: booster.predict(rows, raw_score=True, num_threads=1), example)  # type: ignore[arg-type, return-value]


def lleaves(booster: lightgbm.Booster, example: Array, folder: Path) -> Scorer:
    """Compiled by LLVM for this processor. One row wants all trees in one block, its documentation says."""
    import lleaves as library

    path = folder / "model.txt"
    booster.save_model(str(path))

    def make() -> Callable[[Array], Array]:
        model = library.Model(str(path))
        blocks = {"fblocksize": model.num_trees()} if len(example) == 1 else {}
        model.compile(raw_score=True, **blocks)
        return lambda rows: model.predict(rows, n_jobs=1)  # type: ignore[no-any-return]

    return made(make, example)


def tl2cgen(booster: lightgbm.Booster, example: Array, folder: Path) -> Scorer:
    """Compiled by the C compiler."""
    import tl2cgen as library
    import treelite

    def make() -> Callable[[Array], Array]:
        model, path = treelite.frontend.from_lightgbm(booster), folder / "model.so"
        library.export_lib(model, toolchain="gcc", libpath=path, params={"parallel_comp": 4})
        predictor = library.Predictor(path, nthread=1)
        return lambda rows: predictor.predict(
            library.DMatrix(rows, dtype="float64"), pred_margin=True
        ).ravel()

    return made(make, example)


def onnxruntime(booster: lightgbm.Booster, example: Array) -> Scorer:
    """The tree operator of ONNX, whose rows, thresholds and scores are 32-bit floats. Rows and raw scores are
    converted inside the call; the operator's own logistic function was taken out of the model.
    """
    import onnxmltools
    import onnxruntime as library
    from onnxmltools.convert.common.data_types import FloatTensorType

    def make() -> Callable[[Array], Array]:
        inputs = [("rows", FloatTensorType([None, example.shape[1]]))]
        model = onnxmltools.convert_lightgbm(booster, initial_types=inputs, zipmap=False)
        for attribute in (one for node in model.graph.node for one in node.attribute):
            if attribute.name == "post_transform":
                attribute.s = b"NONE"
        options = library.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = library.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return lambda rows: session.run(["probabilities"], {"rows": rows.astype(np.float32)})[0][:, 1]  # type: ignore[no-any-return]

    return replace(made(make, example), tolerance=1e-5, apart_max=0.005)


def xgboost_itself(booster: Any, example: Array) -> Scorer:
    """`inplace_predict`, its fastest call, which makes no DMatrix; 32-bit floats, as in our reading of its
    models.
    """
    return made(lambda: lambda rows: booster.inplace_predict(rows, predict_type="margin"), example)


def numpy_logistic(weights: Array) -> Callable[[Array], list[float]]:
    """All candidates of one row: a product of a matrix and a vector, and the logistic function."""
    return lambda row: (1.0 / (1.0 + np.exp(-(weights @ row)))).tolist()


def sklearn_logistic(weights: Array) -> Callable[[Array], list[float]]:
    """All candidates of one row as the classes of one linear model, and scipy's logistic function."""
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression()
    model.coef_, model.intercept_ = weights, np.zeros(len(weights))
    model.classes_ = np.arange(max(2, len(weights)))
    return lambda row: expit(model.decision_function(row.reshape(1, -1))).ravel().tolist()  # type: ignore[no-any-return]
