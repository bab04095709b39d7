/* Linear models side by side: OV_LINEAR_LANES models that read the same features in the same order, one lane each, so that each
 * model's sum keeps its own order and a vector takes them all a step further. The logistic function too, lane by lane the very bits of
 * mathx.h's ov_exp. AVX2 where the processor has it (asked at run time), the same C otherwise.
 */
#ifndef ONEVOICE_LINEAR_H
#define ONEVOICE_LINEAR_H

#include <stdint.h>
#include <string.h>

#include "mathx.h"

enum { OV_LINEAR_LANES = 8 };

/* Four lanes to a vector: compilers keep wider ones in memory where the processor has no registers for them. */
typedef double ov_linear_reals __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t ov_linear_words __attribute__((vector_size(32), aligned(8), may_alias));

#if defined(__GNUC__)
#define OV_LINEAR_INLINE static inline __attribute__((always_inline))
#else
#define OV_LINEAR_INLINE static inline
#endif

/* Adding it rounds a double of less than 2^51 to a whole number, which then stands in the lowest bits. */
#define OV_LINEAR_SHIFT 6755399441055744.0
/* Within these bounds e to the x is a normal number, and nothing of ov_exp's special cases is needed. */
#define OV_LINEAR_PLAIN 700.0

OV_LINEAR_INLINE int ov_linear_is_plain(const double *values) {
    int plain = 1;
    for (int lane = 0; lane < OV_LINEAR_LANES; lane++) plain &= (values[lane] > -OV_LINEAR_PLAIN) & (values[lane] < OV_LINEAR_PLAIN);
    return plain;
}

/* 1 / (1 + e to the -values), of plain ones. */
OV_LINEAR_INLINE void ov_linear_logistic(ov_linear_reals *values) {
    const ov_linear_reals zero = {0.0, 0.0, 0.0, 0.0};
    const ov_linear_reals one = zero + 1.0, shift = zero + OV_LINEAR_SHIFT;
    const ov_linear_reals x = -*values;
    const ov_linear_reals scaled = x * 1.4426950408889634 + 0.5;
    ov_linear_reals k = (scaled + shift) - shift;
    const ov_linear_words above = (ov_linear_words)(k > scaled);
    k = k - (ov_linear_reals)(above & (ov_linear_words)one); /* to the floor */
    const ov_linear_reals r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    ov_linear_reals p = zero + 1.0 / 6227020800.0;
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
    const ov_linear_words power = ((ov_linear_words)(k + shift) - (ov_linear_words)shift + 1023) << 52;
    *values = one / (one + p * (ov_linear_reals)power);
}

/* `weights`: OV_LINEAR_LANES for each term. `out` IN: the intercepts, OUT: the outputs. */
OV_LINEAR_INLINE void ov_linear_sums(const double *x, const uint32_t *terms, uint32_t count, const double *weights, int logistic, double *out) {
    ov_linear_reals low, high, weight;
    memcpy(&low, out, sizeof low);
    memcpy(&high, out + 4, sizeof high);
    for (uint32_t term = 0; term < count; term++, weights += OV_LINEAR_LANES) {
        const double value = x[terms[term]];
        memcpy(&weight, weights, sizeof weight);
        low = low + weight * value;
        memcpy(&weight, weights + 4, sizeof weight);
        high = high + weight * value;
    }
    memcpy(out, &low, sizeof low);
    memcpy(out + 4, &high, sizeof high);
    if (!logistic) return;
    if (!ov_linear_is_plain(out)) {
        for (int lane = 0; lane < OV_LINEAR_LANES; lane++) out[lane] = 1.0 / (1.0 + ov_exp(-out[lane]));
        return;
    }
    ov_linear_logistic(&low);
    ov_linear_logistic(&high);
    memcpy(out, &low, sizeof low);
    memcpy(out + 4, &high, sizeof high);
}

static void ov_linear_plain(const double *x, const uint32_t *terms, uint32_t count, const double *weights, int logistic, double *out) {
    ov_linear_sums(x, terms, count, weights, logistic, out);
}

#if defined(__x86_64__) && defined(__GNUC__)
#define OV_LINEAR_AVX2 1
__attribute__((target("avx2"))) static void ov_linear_avx2(const double *x, const uint32_t *terms, uint32_t count, const double *weights,
                                                           int logistic, double *out) {
    ov_linear_sums(x, terms, count, weights, logistic, out);
}
#endif

static void ov_linear_block(const double *x, const uint32_t *terms, uint32_t count, const double *weights, int logistic, double *out) {
#ifdef OV_LINEAR_AVX2
    if (__builtin_cpu_supports("avx2")) {
        ov_linear_avx2(x, terms, count, weights, logistic, out);
        return;
    }
#endif
    ov_linear_plain(x, terms, count, weights, logistic, out);
}

#endif
