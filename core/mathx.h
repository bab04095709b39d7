/* Arithmetic whose result is the same bits on every build and machine (docs/decisions/0002-decision.md, "exp"). */
#ifndef ONEVOICE_MATHX_H
#define ONEVOICE_MATHX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define OV_LN2 0.6931471805599453

/* p * 2^k for p from 0.7 to 1.5, exactly as ldexp, without a call where the result is a normal number. */
static inline double ov_scale(double p, int64_t k) {
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double power;
    if (k < -1021 || k > 1023) return ldexp(p, (int)k);
    memcpy(&power, &bits, 8);
    return p * power;
}

/* e to the x. The C library's exp differs in the last bit between libraries; nothing here does. */
static inline double ov_exp(double x) {
    if (x != x)
        return x;
    if (x > 709.782712893384)
        return INFINITY;
    if (x < -745.1332191019412)
        return 0.0;
    double scaled = x * 1.4426950408889634 + 0.5;
    int64_t whole = (int64_t)scaled;
    whole -= (double)whole > scaled; /* floor, which portable x86-64 has no instruction for */
    double k = (double)whole;
    double r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return ov_scale(p, whole);
}

/* decay(k) of docs/decisions/0001-record.md: the weight of a bucket `granules` older than now's. */
static inline double ov_decay(int64_t granules, int64_t granularity_ms, int64_t half_life_ms) {
    return ov_exp(-((double)granules * (double)granularity_ms) * OV_LN2 / (double)half_life_ms);
}

/* Sums of the fold wrap modulo 2^64: the one rule for overflow that leaves addition commutative and associative. */
static inline int64_t ov_add(int64_t a, int64_t b) {
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static inline int64_t ov_add_capped(int64_t a, int64_t b) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static inline int64_t ov_multiply_capped(int64_t a, int64_t b) {
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return product;
}

/* floor(a / b) for b > 0; C's own division rounds toward zero. */
static inline int64_t ov_floor_div(int64_t a, int64_t b) {
    int64_t quotient = a / b;
    return quotient - (a % b < 0);
}

#endif
