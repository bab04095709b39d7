"""Draws of what is known of an arm, and of a decision (0008)."""

import math
import struct
from collections.abc import Callable, Mapping
from functools import cache
from itertools import count
from typing import Any, Final

from tests.oracle.hashing import xxh64
from tests.oracle.numbers import MILLION, exp, log

SAMPLES: Final = 128

Uniform = Callable[[], float]


def samples_of(model: Mapping[str, Any]) -> int:
    return SAMPLES if model["policy"] == "thompson" else 1


def decision_draw(decision_id: str, placement: str, model: str) -> tuple[int, int]:
    """The upper half of the hash as a bucket, and the lower half."""
    h = xxh64(f"{decision_id}\x00{placement}\x00{model}".encode())
    return (h >> 32) * MILLION >> 32, h % 2**32


def draw(model: str, offer: str, sample: int, arm: Mapping[str, Any]) -> float:
    """One draw of the posterior of an arm."""
    if arm.get("alpha") is not None:
        return _beta(model, offer, sample, float(arm["alpha"]), float(arm["beta"]))
    return float(arm["mean"]) + float(arm["deviation"]) * _gaussian(_uniform(model, offer, sample))


@cache
def _beta(model: str, offer: str, sample: int, alpha: float, beta: float) -> float:
    uniform = _uniform(model, offer, sample)
    x = _gamma(uniform, alpha)
    y = _gamma(uniform, beta)
    return x / (x + y) if x + y > 0.0 else 0.5


def _uniform(model: str, offer: str, sample: int) -> Uniform:
    numbers = count()

    def uniform() -> float:
        key = f"{model}\0{offer}\0".encode() + struct.pack("<II", sample, next(numbers))
        return ((xxh64(key) >> 11) + 0.5) * 2.0**-53

    return uniform


def _gaussian(uniform: Uniform) -> float:
    while True:
        a = 2.0 * uniform() - 1.0
        b = 2.0 * uniform() - 1.0
        s = a * a + b * b
        if 0.0 < s < 1.0:
            return a * math.sqrt(-2.0 * log(s) / s)


def _gamma(uniform: Uniform, shape: float) -> float:
    if shape < 1.0:
        larger = _gamma(uniform, shape + 1.0)
        return larger * exp(log(uniform()) / shape)
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        z = _gaussian(uniform)
        v = (1.0 + c * z) * (1.0 + c * z) * (1.0 + c * z)
        if v > 0.0 and log(uniform()) < 0.5 * z * z + d - d * v + d * log(v):
            return d * v
