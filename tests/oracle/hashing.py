"""XXH64 as its specification describes it, and the bucket of a unit key."""

from typing import Final

MASK: Final = 2**64 - 1
PRIME_1: Final = 0x9E3779B185EBCA87
PRIME_2: Final = 0xC2B2AE3D27D4EB4F
PRIME_3: Final = 0x165667B19E3779F9
PRIME_4: Final = 0x85EBCA77C2B2AE63
PRIME_5: Final = 0x27D4EB2F165667C5
BUCKETS: Final = 1_000_000


def bucket(salt: str, key: bytes) -> int:
    """The bucket of a unit key under one salt, from 0 to 999,999."""
    high_half = xxh64(salt.encode() + b"\0" + key) >> 32
    return high_half * BUCKETS >> 32


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md)."""
    stripes = len(data) // 32
    if stripes:
        accumulators = [(PRIME_1 + PRIME_2) & MASK, PRIME_2, 0, -PRIME_1 & MASK]
        for stripe in range(stripes):
            for lane in range(4):
                accumulators[lane] = _round(accumulators[lane], _word(data, stripe * 32 + lane * 8, 8))
        result = 0
        for accumulator, turn in zip(accumulators, (1, 7, 12, 18), strict=True):
            result = (result + _rotate(accumulator, turn)) & MASK
        for accumulator in accumulators:
            result = ((result ^ _round(0, accumulator)) * PRIME_1 + PRIME_4) & MASK
    else:
        result = PRIME_5
    result = (result + len(data)) & MASK

    position = stripes * 32
    while position + 8 <= len(data):
        result = (_rotate(result ^ _round(0, _word(data, position, 8)), 27) * PRIME_1 + PRIME_4) & MASK
        position += 8
    if position + 4 <= len(data):
        result = (
            _rotate(result ^ (_word(data, position, 4) * PRIME_1 & MASK), 23) * PRIME_2 + PRIME_3
        ) & MASK
        position += 4
    for byte in data[position:]:
        result = (_rotate(result ^ (byte * PRIME_5 & MASK), 11) * PRIME_1) & MASK

    result = ((result ^ result >> 33) * PRIME_2) & MASK
    result = ((result ^ result >> 29) * PRIME_3) & MASK
    return result ^ result >> 32


def _round(accumulator: int, word: int) -> int:
    return _rotate((accumulator + word * PRIME_2) & MASK, 31) * PRIME_1 & MASK


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def _word(data: bytes, position: int, size: int) -> int:
    return int.from_bytes(data[position : position + size], "little")
