"""Inputs changed at random: flipped bits, odd numbers, cut, repeated and spliced parts."""

import random
from collections.abc import Sequence
from typing import Final

LENGTH_MAX: Final = 64 * 1024
ODD: Final = (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff" * 8)
CHANGES_MAX: Final = 8


def changed(inputs: Sequence[bytes], draw: random.Random) -> bytes:
    """One of the inputs after a few changes."""
    data = bytearray(draw.choice(inputs))
    for _ in range(draw.randint(1, CHANGES_MAX)):
        at = draw.randrange(len(data) + 1)
        part = draw.randint(0, min(len(data) - at, 1 << draw.randrange(8)))
        match draw.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                odd = draw.choice(ODD)
                data[at : at + len(odd)] = odd
            case 2:
                del data[at : at + part]
            case 3:
                data[at:at] = data[at : at + part] * draw.randint(1, 20)
            case 4:
                other = draw.choice(inputs)
                start = draw.randrange(len(other) + 1)
                data[at : at + part] = other[start : start + 1 + part]
            case _:
                data[at : at + part] = draw.randbytes(part)
    return bytes(data[:LENGTH_MAX])
