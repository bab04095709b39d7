/* Gradient-boosted trees as QuickScorer tables (docs/decisions/0008-scoring.md).
 *
 * A tree's leaves are bits, left to right, in one word of 64 or several. Every inner node that a row fails (goes right at) rules out
 * the leaves below its left child; the lowest bit that is left is the row's leaf. Nodes are kept by column in order of their
 * threshold, so a row's failed nodes are the beginning of each column's list. Source: Lucchese et al., "QuickScorer", SIGIR 2015;
 * several rows at once: Ye et al., "RapidScorer", KDD 2018.
 *
 * Everything was checked when the tables were loaded (trees.pyx): indexes are in range, and every entry keeps the last leaf
 * of its word's tree, so some bit is always left.
 */
#ifndef ONEVOICE_TREES_H
#define ONEVOICE_TREES_H

#include <stdint.h>
#include <string.h>

enum { OV_LIGHTGBM = 0, OV_XGBOOST = 1 };
enum { OV_TREE_OFFERS = 4, OV_TREE_LANES = 8, OV_WORD_BITS = 64, OV_NARROW_BITS = 32 };

/* LightGBM's kZeroThreshold: what lies this near to zero is zero to it. */
#define OV_TREE_ZERO ((double)1e-35f)

/* One column of a row. Each pair is a range of entries. */
typedef struct {
    uint32_t numeric, numeric_end;   /* nodes by ascending threshold: fails above it */
    uint32_t missing, missing_end;   /* nodes that a missing value fails */
    uint32_t zero, zero_end;         /* nodes that zero fails, where it counts as missing */
    uint32_t category, category_end; /* nodes that ask for membership in a set of categories */
    uint32_t zero_is_missing;        /* 1: zero takes the list `zero` instead of `numeric` */
    uint32_t has_special;            /* 1: zero is missing, or there are categories */
    uint32_t of_offer;               /* 1: the offer's, not the person's */
} ov_column;

/* The set of a categorical entry: `count` words of 32 categories from `begin`. */
typedef struct {
    uint32_t begin, count;
} ov_set;

/* All arrays are owned by the engine's pool. */
typedef struct {
    uint32_t library; /* OV_LIGHTGBM: sums of doubles; OV_XGBOOST: sums of floats */
    uint32_t column_count, tree_count, word_count, entry_count, first_set;
    double base; /* sums begin here */
    const ov_column *columns;
    const double *thresholds; /* of the numeric entries; infinity after each column's, so column c's begin at numeric + c */
    const uint32_t *words;    /* by entry: whose leaves */
    const uint64_t *wide;     /* by entry: the leaves it keeps */
    const uint32_t *narrow;   /* the same in 32 bits, where every tree has 32 leaves at most; else NULL */
    const ov_set *sets;       /* of the entries from first_set on */
    const uint32_t *bits;
    const uint32_t *tree_words;  /* by tree: its first word; one more at the end */
    const uint32_t *word_leaves; /* by word: the leaf of its lowest bit */
    const double *leaves;
} ov_trees;

#if defined(__GNUC__)
#define OV_INLINE static inline __attribute__((always_inline))
#else
#define OV_INLINE static inline
#endif

/* A value as the library sees it. `library` is a constant where this is called, so that nothing asks for it in the loops. */
OV_INLINE double ov_tree_value(uint32_t library, double x) {
    if (library == OV_XGBOOST) return (double)(float)x;
    return x >= -OV_TREE_ZERO && x <= OV_TREE_ZERO ? 0.0 : x;
}

OV_INLINE double ov_tree_sum(uint32_t library, double sum, double leaf) {
    /* A sum of two floats is exact enough in double for this to be the float sum. */
    return library == OV_XGBOOST ? (double)(float)(sum + leaf) : sum + leaf;
}

/* The category of a value, rounded toward zero; -1 for what is in no set. */
OV_INLINE int64_t ov_tree_category(uint32_t library, double x) {
    if (library == OV_XGBOOST) return x >= 0.0 && x < 16777216.0 ? (int64_t)x : -1;
    return x > -1.0 && x < 2147483648.0 ? (int64_t)x : -1;
}

/* Does the value's category fail the entry's set? LightGBM goes left inside of it, XGBoost outside. */
OV_INLINE int ov_tree_set_fails(const ov_trees *t, uint32_t library, uint32_t entry, int64_t category) {
    ov_set set = t->sets[entry - t->first_set];
    int inside = category >= 0 && (uint64_t)category / 32 < set.count && (t->bits[set.begin + category / 32] >> (category % 32) & 1);
    return inside == (library == OV_XGBOOST);
}

/* Does the value count as missing, so that it takes a list of its own? */
OV_INLINE int ov_tree_is_special(const ov_column *column, double x) {
    return x != x || (x == 0.0 && column->zero_is_missing);
}

#define OV_WORD uint64_t
#define OV_LANE int64_t
#define OV_NAME(name) name##_wide
#define OV_KEEPS wide
#define OV_LOWEST(word) ((uint32_t)__builtin_ctzll(word))
#include "trees_rows.h"
#undef OV_WORD
#undef OV_LANE
#undef OV_NAME
#undef OV_KEEPS
#undef OV_LOWEST

#define OV_WORD uint32_t
#define OV_LANE int32_t
#define OV_NAME(name) name##_narrow
#define OV_KEEPS narrow
#define OV_LOWEST(word) ((uint32_t)__builtin_ctz(word))
#include "trees_rows.h"
#undef OV_WORD
#undef OV_LANE
#undef OV_NAME
#undef OV_KEEPS
#undef OV_LOWEST

/* Bytes of scratch for one row, and for OV_TREE_LANES of them. */
static inline size_t ov_trees_state_size(const ov_trees *t) { return t->word_count * sizeof(uint64_t); }

static inline size_t ov_trees_lanes_size(const ov_trees *t) {
    return (size_t)OV_TREE_LANES * t->word_count * sizeof(uint64_t) + 64;
}

/* The raw score of one row of `column_count` values. */
static double ov_trees_row(const ov_trees *t, const double *row, void *state) {
    if (t->library == OV_XGBOOST)
        return t->narrow ? ov_trees_row_narrow(t, OV_XGBOOST, row, (uint32_t *)state)
                         : ov_trees_row_wide(t, OV_XGBOOST, row, (uint64_t *)state);
    return t->narrow ? ov_trees_row_narrow(t, OV_LIGHTGBM, row, (uint32_t *)state)
                     : ov_trees_row_wide(t, OV_LIGHTGBM, row, (uint64_t *)state);
}

OV_INLINE void ov_trees_lanes(const ov_trees *t, const double *rows, void *state, double *out) {
    if (t->library == OV_XGBOOST) {
        if (t->narrow)
            ov_trees_lanes_narrow(t, OV_XGBOOST, rows, (ov_lanes_narrow *)state, out);
        else
            ov_trees_lanes_wide(t, OV_XGBOOST, rows, (ov_lanes_wide *)state, out);
    } else if (t->narrow) {
        ov_trees_lanes_narrow(t, OV_LIGHTGBM, rows, (ov_lanes_narrow *)state, out);
    } else {
        ov_trees_lanes_wide(t, OV_LIGHTGBM, rows, (ov_lanes_wide *)state, out);
    }
}

static void ov_trees_lanes_plain(const ov_trees *t, const double *rows, void *state, double *out) {
    ov_trees_lanes(t, rows, state, out);
}

#if defined(__x86_64__) && defined(__GNUC__)
#define OV_TREES_AVX2 1
__attribute__((target("avx2"))) static void ov_trees_lanes_avx2(const ov_trees *t, const double *rows, void *state, double *out) {
    ov_trees_lanes(t, rows, state, out);
}
#endif

/* What the offer's columns (`of_offer`), or else the person's, leave of every word: `state`, ov_trees_state_size bytes. */
static void ov_trees_half(const ov_trees *t, const double *row, uint32_t of_offer, void *state) {
    if (t->narrow)
        ov_trees_half_narrow(t, t->library, row, of_offer, (uint32_t *)state);
    else
        ov_trees_half_wide(t, t->library, row, of_offer, (uint64_t *)state);
}

/* The raw scores of OV_TREE_OFFERS offers, from the person's half and the offers' halves: those of their whole rows. */
static void ov_trees_offers(const ov_trees *t, const void *person, const void *const *offers, double *out) {
    if (t->library == OV_XGBOOST) {
        if (t->narrow)
            ov_trees_offers_narrow(t, OV_XGBOOST, (const uint32_t *)person, offers, out);
        else
            ov_trees_offers_wide(t, OV_XGBOOST, (const uint64_t *)person, offers, out);
    } else if (t->narrow)
        ov_trees_offers_narrow(t, OV_LIGHTGBM, (const uint32_t *)person, offers, out);
    else
        ov_trees_offers_wide(t, OV_LIGHTGBM, (const uint64_t *)person, offers, out);
}

/* The raw scores of `count` rows, one after the other in memory; as each alone. `scratch`: ov_trees_lanes_size bytes. */
static void ov_trees_rows(const ov_trees *t, const double *rows, size_t count, void *scratch, double *out) {
    void *state = (void *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    void (*lanes)(const ov_trees *, const double *, void *, double *) = ov_trees_lanes_plain;
    size_t at = 0;
#ifdef OV_TREES_AVX2
    if (__builtin_cpu_supports("avx2")) lanes = ov_trees_lanes_avx2;
#endif
    for (; at + OV_TREE_LANES <= count; at += OV_TREE_LANES) lanes(t, rows + at * t->column_count, state, out + at);
    for (; at < count; at++) out[at] = ov_trees_row(t, rows + at * t->column_count, state);
}

#endif
