"""How large and how deep a general expression is as it is evaluated: a part counts wherever it is used."""

from collections.abc import Sequence

from core.bundle import G_SEGMENT, GENERAL_SIZE_MAX, Part


def sizes_of(parts: Sequence[Part]) -> list[int]:
    """By part what one evaluation of it goes through, up to a little over the limit. A segment counts where
    it stands; what names it counts one, for it is evaluated once."""
    sizes: list[int] = []
    for part in parts:
        below = sum(1 if parts[at].op == G_SEGMENT else sizes[at] for at in part.operands)
        sizes.append(min(1 + below, GENERAL_SIZE_MAX + 1))
    return sizes


def measure(parts: Sequence[Part]) -> tuple[int, int]:
    """Size and depth of the whole; no part may name one that comes after it."""
    sizes = sizes_of(parts)
    total = sizes[-1] + sum(size for part, size in zip(parts, sizes, strict=True) if part.op == G_SEGMENT)
    depths: list[int] = []
    for part in parts:
        depths.append(1 + max((depths[at] for at in part.operands), default=0))
    return total, depths[-1]
