/* The loops that turn attribute values into literals and literals into rules, without branches that depend on data.
 *
 * Literals are bytes, 0 or 1. Plane: conditions' true literals, then their false literals, then nodes. Conditions of one attribute stand
 * side by side in groups that are padded to OV_LANES positions, so their loops have no remainders and are plain vector code.
 */
#ifndef ONEVOICE_TABLES_H
#define ONEVOICE_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OV_LANES = 16 };

/* Nodes of one level, operator and arity. Outputs are consecutive literals from `output` on. */
typedef struct {
    uint32_t is_or;
    uint32_t arity;
    uint32_t count;
    uint32_t output;
    const uint32_t *inputs; /* count x arity literal positions, all below `output` */
} ov_node_group;

/* How many of the ascending `bounds` are at or below the key: a binary search whose steps do not depend on data. */
static inline size_t ov_rank(const int64_t *bounds, size_t count, int64_t key) {
    const int64_t *base = bounds;
    size_t left = count;
    if (count == 0) return 0;
    while (left > 1) {
        size_t half = left / 2;
        base += half & (0 - (size_t)(base[half - 1] <= key));
        left -= half;
    }
    return (size_t)(base - bounds) + (*base <= key);
}

/* Where a hash stands among ascending ones: the first that is not below it. */
static inline size_t ov_find_hash(const uint64_t *hashes, size_t count, uint64_t hash) {
    const uint64_t *base = hashes;
    size_t left = count;
    if (count == 0) return 0;
    while (left > 1) {
        size_t half = left / 2;
        base += half & (0 - (size_t)(base[half - 1] < hash));
        left -= half;
    }
    return (size_t)(base - hashes) + (*base < hash);
}

/* `low <= rank <= low + span` for `count` conditions, a multiple of OV_LANES, by one unsigned compare each: rank - low wraps where
 * rank < low. `valid` is 0 where the attribute is missing or no number, `known` where it is missing. */
#define OV_RANGE_TESTS(name, type)                                                                                          \
    static inline void name(type rank, const type *restrict low, const type *restrict span, size_t count, uint8_t valid,     \
                            uint8_t known, uint8_t *restrict is_true, uint8_t *restrict is_false) {                          \
        for (size_t i = 0; i < count; i += OV_LANES)                                                                         \
            for (size_t j = i; j < i + OV_LANES; j++) {                                                                      \
                uint8_t hit = ((type)(rank - low[j]) <= span[j]) & valid;                                                    \
                is_true[j] = hit;                                                                                            \
                is_false[j] = (hit ^ 1) & known;                                                                             \
            }                                                                                                                \
    }
OV_RANGE_TESTS(ov_range_tests_8, uint8_t)
OV_RANGE_TESTS(ov_range_tests_16, uint16_t)
OV_RANGE_TESTS(ov_range_tests_32, uint32_t)

/* A row of verdicts that is known in advance, into both planes; `count` is a multiple of OV_LANES. */
static inline void ov_copy_row(const uint8_t *restrict row, size_t count, uint8_t *restrict is_true, uint8_t *restrict is_false) {
    for (size_t i = 0; i < count; i += OV_LANES)
        for (size_t j = i; j < i + OV_LANES; j++) {
            is_true[j] = row[j];
            is_false[j] = row[j] ^ 1;
        }
}

/* The numbers of the rules whose literal is 1, ascending; `hits` has room for one more than there are. Written always and kept if it
 * holds: a branch on a rule's outcome would often be mispredicted. */
static inline uint32_t ov_collect(const uint32_t *restrict numbers, const uint32_t *restrict refs, uint32_t count,
                                  const uint8_t *restrict lit, uint32_t *restrict hits) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        hits[found] = numbers[i];
        found += lit[refs[i]];
    }
    return found;
}

#define OV_GATHER_2(name, OP)                                                                             \
    static inline void name(const uint32_t *restrict in, size_t count, const uint8_t *lit, uint8_t *out) { \
        for (size_t i = 0; i < count; i++, in += 2) out[i] = lit[in[0]] OP lit[in[1]];                     \
    }
#define OV_GATHER_3(name, OP)                                                                             \
    static inline void name(const uint32_t *restrict in, size_t count, const uint8_t *lit, uint8_t *out) { \
        for (size_t i = 0; i < count; i++, in += 3) out[i] = lit[in[0]] OP lit[in[1]] OP lit[in[2]];       \
    }
#define OV_GATHER_4(name, OP)                                                                                        \
    static inline void name(const uint32_t *restrict in, size_t count, const uint8_t *lit, uint8_t *out) {            \
        for (size_t i = 0; i < count; i++, in += 4) out[i] = (lit[in[0]] OP lit[in[1]]) OP (lit[in[2]] OP lit[in[3]]); \
    }
#define OV_GATHER_N(name, OP)                                                                                           \
    static inline void name(const uint32_t *restrict in, size_t count, size_t arity, const uint8_t *lit, uint8_t *out) { \
        for (size_t i = 0; i < count; i++, in += arity) {                                                                \
            uint8_t value = lit[in[0]];                                                                                  \
            for (size_t j = 1; j < arity; j++) value = value OP lit[in[j]];                                              \
            out[i] = value;                                                                                              \
        }                                                                                                                \
    }

OV_GATHER_2(ov_and_2, &)
OV_GATHER_3(ov_and_3, &)
OV_GATHER_4(ov_and_4, &)
OV_GATHER_N(ov_and_n, &)
OV_GATHER_2(ov_or_2, |)
OV_GATHER_3(ov_or_3, |)
OV_GATHER_4(ov_or_4, |)
OV_GATHER_N(ov_or_n, |)

static inline void ov_run_nodes(const ov_node_group *groups, size_t group_count, uint8_t *lit) {
    for (size_t g = 0; g < group_count; g++) {
        const ov_node_group *group = &groups[g];
        const uint32_t *in = group->inputs;
        uint8_t *out = lit + group->output;
        size_t count = group->count;
        switch ((group->arity < 5 ? group->arity : 5) * 2 + group->is_or) {
            case 4: ov_and_2(in, count, lit, out); break;
            case 5: ov_or_2(in, count, lit, out); break;
            case 6: ov_and_3(in, count, lit, out); break;
            case 7: ov_or_3(in, count, lit, out); break;
            case 8: ov_and_4(in, count, lit, out); break;
            case 9: ov_or_4(in, count, lit, out); break;
            default:
                if (group->is_or) ov_or_n(in, count, group->arity, lit, out);
                else ov_and_n(in, count, group->arity, lit, out);
        }
    }
}

#endif
