/* The loops that turn attribute values into literals and literals into rules, without branches that depend on data.
 *
 * Literals are bytes, 0 or 1. Plane: conditions' true literals, then their false literals, then nodes.
 */
#ifndef ONEVOICE_TABLES_H
#define ONEVOICE_TABLES_H

#include <stddef.h>
#include <stdint.h>

/* Nodes of one level, operator and arity. Outputs are consecutive literals from `output` on. */
typedef struct {
    uint32_t is_or;
    uint32_t arity;
    uint32_t count;
    uint32_t output;
    const uint32_t *inputs; /* count x arity literal positions, all below `output` */
} ov_node_group;

/* lo <= key <= hi for `count` conditions at once: one unsigned compare, since key - lo wraps where key < lo. */
static inline void ov_range_tests(int64_t key, const int64_t *restrict lo, const uint64_t *restrict span, size_t count,
                                  uint8_t *restrict is_true, uint8_t *restrict is_false) {
    for (size_t i = 0; i < count; i++) {
        uint8_t hit = ((uint64_t)key - (uint64_t)lo[i]) <= span[i];
        is_true[i] = hit;
        is_false[i] = hit ^ 1;
    }
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
