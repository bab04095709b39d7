"""Arithmetic whose result is the same bits on every build and machine; see mathx.h for why."""

from libc.stdint cimport int64_t

from core._types cimport millis_t


cdef extern from "mathx.h" nogil:
    # e to the x as decision 0002 defines it.
    double exp_c "ov_exp"(double x) noexcept
    # Weight of a bucket `granules` older than now's: exp(-(granules * granularity) * LN2 / half life).
    double decay "ov_decay"(int64_t granules, millis_t granularity_ms, millis_t half_life_ms) noexcept
    # a + b modulo 2^64.
    int64_t add_wrapping "ov_add"(int64_t a, int64_t b) noexcept
    # a + b and a * b, held at the ends of int64.
    int64_t add_capped "ov_add_capped"(int64_t a, int64_t b) noexcept
    int64_t multiply_capped "ov_multiply_capped"(int64_t a, int64_t b) noexcept
    # floor(a / b) for b > 0.
    int64_t floor_div "ov_floor_div"(int64_t a, int64_t b) noexcept
