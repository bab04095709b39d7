"""The numbers of the definition: shares in millionths, `exp`, and how a number is written."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Final

LN2: Final = 0.6931471805599453
MILLION: Final = 1_000_000
SUM_MAX: Final = 2**62

_TAYLOR: Final = [float(Fraction(1, math.factorial(n))) for n in range(13, -1, -1)]


def millionths(value: float) -> int:
    """`value * 1e6` as doubles, rounded half to even, held between -2^62 and 2^62."""
    scaled = float(value) * 1e6
    if math.isinf(scaled):
        return SUM_MAX if scaled > 0 else -SUM_MAX
    return max(-SUM_MAX, min(SUM_MAX, round(scaled)))


def exp(x: float) -> float:
    """The definition's own exponential, so that every build has the same last bit (0002, "exp")."""
    if math.isnan(x):
        return math.nan
    if x > 709.782712893384:
        return math.inf
    if x < -745.1332191019412:
        return 0.0
    k = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = _TAYLOR[0]
    for coefficient in _TAYLOR[1:]:
        p = p * r + coefficient
    try:
        return math.ldexp(p, k)
    except OverflowError:
        return math.inf


def log(x: float) -> float:
    """The definition's own logarithm of a positive number (0008, "Draws")."""
    m, e = math.frexp(x)
    if m < 0.7071067811865476:
        m, e = 2.0 * m, e - 1
    s = (m - 1.0) / (m + 1.0)
    p = 0.0
    for n in range(23, 0, -2):
        p = p * (s * s) + 1.0 / n
    return 2.0 * s * p + e * LN2


def decay(granules: int, granularity_ms: int, half_life_ms: int) -> float:
    """What remains of a bucket `granules` old."""
    return exp(float(-(granules * granularity_ms)) * LN2 / float(half_life_ms))


def number_text(value: float) -> str:
    """A number in a text slot: shortest digits that read back the same, no trailing `.0`."""
    if isinstance(value, int):
        return str(value)
    text = repr(value)
    return text.removesuffix(".0")


def json_number(value: float) -> str:
    """A number as msgspec writes it in JSON: shortest digits, exponents without plus sign or leading zero."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "null"
    digits, has_exponent, exponent = repr(value).partition("e")
    if not has_exponent:
        return digits
    if exponent == "-05":
        return format(Decimal(repr(value)), "f")
    return f"{digits}e{int(exponent)}"
