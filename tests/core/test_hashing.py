"""XXH64 against published values and another implementation; the bucket and exp against their definitions."""

import math

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from core.hashing import bucket, xxh64
from core.mathx import exp
from tests.properties.profiles import examples

PRIME = 2654435761


def sanity_bytes(size: int) -> bytes:
    """The test buffer of xxHash's own sanity check."""
    state, out = PRIME, bytearray()
    for _ in range(size):
        out.append(state >> 56)
        state = state * 11400714785074694797 % 2**64
    return bytes(out)


@pytest.mark.parametrize(
    ("size", "seed", "expected"),
    [
        (0, 0, 0xEF46DB3751D8E999),
        (0, PRIME, 0xAC75FDA2929B17EF),
        (1, 0, 0xE934A84ADB052768),
        (1, PRIME, 0x5014607643A9B4C3),
        (4, 0, 0x9136A0DCA57457EE),
        (14, 0, 0x8282DCC4994E35C8),
        (14, PRIME, 0xC3BD6BF63DEB6DF0),
        (222, 0, 0xB641AE8CB691C174),
        (222, PRIME, 0x20CB8AB7AE10C14A),
    ],
)
def test_xxh64_gives_the_published_values(size: int, seed: int, expected: int) -> None:
    assert xxh64(sanity_bytes(size), seed) == expected


@examples(100)
@given(st.binary(max_size=300), st.integers(0, 2**64 - 1))
def test_xxh64_equals_the_reference_library(data: bytes, seed: int) -> None:
    assert xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed)


@examples(100)
@given(st.text(max_size=80), st.binary(max_size=80))
def test_bucket_is_the_scaled_upper_half_of_the_hash(salt: str, key: bytes) -> None:
    upper = xxhash.xxh64_intdigest(salt.encode() + b"\0" + key) >> 32
    assert bucket(salt, key) == upper * 1_000_000 >> 32
    assert 0 <= bucket(salt, key) < 1_000_000


def test_bucket_has_a_fixed_example() -> None:
    assert bucket("home-hero", bytes(range(16))) == 42_882


@pytest.mark.parametrize("arguments", [("text",), (b"", -1), (b"", 2**64), (None,)])
def test_xxh64_refuses_other_types_and_seeds(arguments: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        xxh64(*arguments)  # type: ignore[arg-type]


def exp_by_definition(x: float) -> float:
    """docs/decisions/0002-decision.md, "exp", word for word."""
    if math.isnan(x):
        return x
    if x > 709.782712893384:
        return math.inf
    if x < -745.1332191019412:
        return 0.0
    k = math.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10
    p = 0.0
    for n in range(13, -1, -1):
        p = p * r + 1 / math.factorial(n)
    return math.ldexp(p, k)


@examples(100)
@given(st.one_of(st.floats(-750, 715), st.floats(-1, 1), st.floats(allow_nan=False)))
def test_exp_equals_its_definition_bit_for_bit(x: float) -> None:
    assert exp(x) == exp_by_definition(x)


@examples(100)
@given(st.floats(-700, 700))
def test_exp_is_close_to_the_true_value(x: float) -> None:
    assert math.isclose(exp(x), math.exp(x), rel_tol=4e-16)


def test_exp_at_its_edges() -> None:
    assert math.isnan(exp(math.nan))
    assert exp(math.inf) == math.inf
    assert exp(-math.inf) == 0.0
    assert exp(0.0) == 1.0
    assert exp(709.782712893384) < math.inf
    assert exp(709.79) == math.inf
    assert exp(-745.14) == 0.0
