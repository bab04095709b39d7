"""Durations, times, shares as people write them; granularities that follow from them."""

import pytest

from core.authoring.text import duration_ms, millionths, timestamp_ms
from core.authoring.windows import (
    GRANULES_AIM,
    NICE_MS,
    half_life_granularity_ms,
    window_granularity_ms,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("1s", 1_000),
        ("15m", 900_000),
        ("36h", 129_600_000),
        ("90d", 7_776_000_000),
        ("0s", 0),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "1", "d", "1.5d", "-1d", "1 d", "1w", "1d\n", "36526d", "9" * 16 + "d", "１d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-23T17:43:29Z", 1_795_455_809_000),
        ("2026-11-23T18:43:29.25+01:00", 1_795_455_809_250),
        ("2026-11-23T17:43:29.123999999Z", 1_795_455_809_123),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert timestamp_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23",
        "2026-11-23T17:43:29",
        "2026-11-23 17:43:29Z",
        "2026-02-29T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a time"):
        timestamp_ms(text)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, 0), (1.0, 1_000_000), (0.000249, 249), (0.2900001, 290_000), (0.0000005, 0), (0.0000015, 2)],
)
def test_shares_are_millionths_rounded_half_to_even(share: float, expected: int) -> None:
    assert millionths(share) == expected


@pytest.mark.parametrize(
    "window_ms", [1, 59, 60, 61, 1_000, 3_600_000, 3_661_000, 86_400_000, 365 * 86_400_000, 61 * 86_400_000]
)
def test_a_window_is_a_whole_number_of_granules(window_ms: int) -> None:
    granularity = window_granularity_ms(window_ms)
    assert window_ms % granularity == 0
    assert 1 <= window_ms // granularity <= GRANULES_AIM
    finer = [
        unit
        for unit in NICE_MS
        if unit < granularity and window_ms % unit == 0 and window_ms // unit <= GRANULES_AIM
    ]
    assert not finer


def test_a_half_life_is_kept_in_eighths() -> None:
    assert half_life_granularity_ms(7 * 86_400_000) == 86_400_000
    assert half_life_granularity_ms(8 * 3_600_000) == 3_600_000
    assert half_life_granularity_ms(1) == 1_000
    assert half_life_granularity_ms(36_525 * 86_400_000) == 30 * 86_400_000
