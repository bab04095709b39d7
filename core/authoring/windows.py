"""How finely a windowed or decaying aggregate is kept when the catalogue does not say."""

from typing import Final

from core.authoring.text import UNITS_MS

GRANULES_MAX: Final = 64
GRANULES_AIM: Final = 60
#: A decaying aggregate without a window keeps this many buckets in a half life.
GRANULES_PER_HALF_LIFE: Final = 8

_S, _M, _H, _D = (UNITS_MS[unit] for unit in "smhd")
NICE_MS: Final[tuple[int, ...]] = (
    *(n * _S for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * _M for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(n * _H for n in (1, 2, 3, 4, 6, 8, 12)),
    *(n * _D for n in (1, 2, 3, 5, 7, 10, 14, 15, 30)),
)


def window_granularity_ms(window_ms: int) -> int:
    """The smallest nice unit that divides the window into at most 60 parts; without one, the finest whole
    division into at most 60."""
    nice = next((unit for unit in NICE_MS if unit * GRANULES_AIM >= window_ms and window_ms % unit == 0), 0)
    return nice or next(window_ms // parts for parts in range(GRANULES_AIM, 0, -1) if window_ms % parts == 0)


def half_life_granularity_ms(half_life_ms: int) -> int:
    """The smallest nice unit of at least an eighth of the half life, 30 days at most."""
    return next((unit for unit in NICE_MS if unit * GRANULES_PER_HALF_LIFE >= half_life_ms), NICE_MS[-1])
