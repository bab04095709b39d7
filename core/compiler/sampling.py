"""Draws of distributions that are the same on every machine: hashed uniforms, the core's exp and a logarithm
of its own (docs/decisions/0008-scoring.md, "Draws")."""

import math
import struct
from collections.abc import Iterator
from typing import Final

from core.hashing import xxh64
from core.mathx import exp

LN2: Final = 0.6931471805599453
_SERIES: Final = [1.0 / n for n in range(23, 0, -2)]


def uniforms(model: str, offer: str, sample: int) -> Iterator[float]:
    """Numbers above 0 and below 1, each of its own hash."""
    head = model.encode() + b"\0" + offer.encode() + b"\0"
    number = 0
    while True:
        yield ((xxh64(head + struct.pack("<II", sample, number)) >> 11) + 0.5) * 2.0**-53
        number += 1


def log(x: float) -> float:
    """Natural logarithm of a positive number: `2 * atanh((m - 1) / (m + 1)) + e * LN2`, m near 1."""
    m, e = math.frexp(x)
    if m < 0.7071067811865476:
        m, e = m * 2.0, e - 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = _SERIES[0]
    for coefficient in _SERIES[1:]:
        p = p * z + coefficient
    return 2.0 * s * p + e * LN2


def gaussian(numbers: Iterator[float]) -> float:
    """A standard normal number by Marsaglia's polar method (SIAM Review, 1964)."""
    while True:
        a, b = 2.0 * next(numbers) - 1.0, 2.0 * next(numbers) - 1.0
        s = a * a + b * b
        if 0.0 < s < 1.0:
            return a * math.sqrt(-2.0 * log(s) / s)


def gamma(numbers: Iterator[float], shape: float) -> float:
    """A gamma number of scale 1 (Marsaglia and Tsang, ACM TOMS, 2000)."""
    if shape < 1.0:
        above = gamma(numbers, shape + 1.0)
        return above * exp(log(next(numbers)) / shape)
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        z = gaussian(numbers)
        v = 1.0 + c * z
        v = v * v * v
        if v > 0.0 and log(next(numbers)) < 0.5 * z * z + d - d * v + d * log(v):
            return d * v


def gaussian_draw(model: str, offer: str, sample: int, mean: float, deviation: float) -> float:
    return mean + deviation * gaussian(uniforms(model, offer, sample))


def beta_draw(model: str, offer: str, sample: int, alpha: float, beta: float) -> float:
    """x / (x + y) of two gamma numbers; 0.5 where both are too small to tell."""
    numbers = uniforms(model, offer, sample)
    x = gamma(numbers, alpha)
    y = gamma(numbers, beta)
    return x / (x + y) if x + y > 0.0 else 0.5
