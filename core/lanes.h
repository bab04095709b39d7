/* Literals of a block of profiles: one bit a profile, OV_BLOCK profiles to a vector that every x86-64 and aarch64 has (SSE2, NEON).
 *
 * The plane has the positions of the plane of bytes in tables.h, with a vector where that has a byte.
 */
#ifndef ONEVOICE_LANES_H
#define ONEVOICE_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tables.h"

enum { OV_BLOCK = 128 };

typedef uint64_t ov_lanes __attribute__((vector_size(16), may_alias));

static inline void ov_set_lane(ov_lanes *at, uint32_t lane) { ((uint64_t *)at)[lane >> 6] |= (uint64_t)1 << (lane & 63); }

static inline int ov_any_lane(const ov_lanes *at) { return ((*at)[0] | (*at)[1]) != 0; }

/* The first `count` lanes. */
static inline ov_lanes ov_first_lanes(uint32_t count) {
    ov_lanes lanes = {0, 0};
    lanes[0] = count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
    lanes[1] = count >= 128 ? UINT64_MAX : count <= 64 ? 0 : ((uint64_t)1 << (count - 64)) - 1;
    return lanes;
}

/* From "profiles of rank r" to "profiles of rank r or more", in place. `ranks` has one vector more than there are ranks, which stays 0. */
static inline void ov_sum_ranks(ov_lanes *ranks, size_t count) {
    for (size_t r = count; r-- > 0;) ranks[r] |= ranks[r + 1];
}

/* A condition that holds on ranks [low, low + span]. */
static inline void ov_rank_lanes(const ov_lanes *ranks, size_t low, size_t span, ov_lanes known, ov_lanes *is_true, ov_lanes *is_false) {
    ov_lanes hit = ranks[low] & ~ranks[low + span + 1];
    *is_true = hit;
    *is_false = known & ~hit;
}

static inline int ov_has_lane(const ov_lanes *at, uint32_t lane) { return ((const uint64_t *)at)[lane >> 6] >> (lane & 63) & 1; }

/* Into `into` also the lanes of `lanes` that `without` does not have. */
static inline void ov_more_lanes(ov_lanes *into, const ov_lanes *lanes, const ov_lanes *without) { *into |= *lanes & ~*without; }

static inline void ov_or_lanes(ov_lanes *into, const ov_lanes *lanes) { *into |= *lanes; }

static inline void ov_false_lanes(const ov_lanes *is_true, const ov_lanes *known, ov_lanes *is_false) { *is_false = *known & ~*is_true; }

/* The profiles whose string is one of a set, for sets given as half-bytes, four strings each: first the unions of every four strings,
 * then one look-up for each half-byte (the method of four Russians). `tables`: 16 vectors for each `quads`; `lanes`: 4 * quads. */
static inline void ov_make_quads(const ov_lanes *lanes, size_t quads, ov_lanes *tables) {
    for (size_t q = 0; q < quads; q++, lanes += 4, tables += 16) {
        tables[0] = lanes[0] ^ lanes[0];
        for (size_t bit = 0; bit < 4; bit++)
            for (size_t i = 0; i < (size_t)1 << bit; i++) tables[((size_t)1 << bit) + i] = tables[i] | lanes[bit];
    }
}

static inline void ov_quad_lanes(const ov_lanes *tables, size_t quads, const uint8_t *set, ov_lanes *out) {
    ov_lanes found = *out;
    for (size_t q = 0; q < quads; q++) found |= tables[q * 16 + set[q]];
    *out = found;
}

static inline void ov_node_lanes(const ov_node_group *groups, size_t group_count, ov_lanes *plane) {
    for (size_t g = 0; g < group_count; g++) {
        const ov_node_group *group = &groups[g];
        const uint32_t *in = group->inputs;
        ov_lanes *out = plane + group->output;
        for (size_t i = 0; i < group->count; i++, in += group->arity) {
            ov_lanes value = plane[in[0]];
            if (group->is_or) {
                for (size_t j = 1; j < group->arity; j++) value |= plane[in[j]];
            } else {
                for (size_t j = 1; j < group->arity; j++) value &= plane[in[j]];
            }
            out[i] = value;
        }
    }
}

#endif
