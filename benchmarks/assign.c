/* The limit of assignment: XXH64 (github.com/Cyan4973/xxHash, doc/xxhash_spec.md) of salt, zero and key in one piece, written
 * for this benchmark alone, and the first variant whose bound exceeds the bucket. */
#include <stdint.h>
#include <string.h>

#define P1 0x9E3779B185EBCA87ULL
#define P2 0xC2B2AE3D27D4EB4FULL
#define P3 0x165667B19E3779F9ULL
#define P4 0x85EBCA77C2B2AE63ULL
#define P5 0x27D4EB2F165667C5ULL
#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static uint64_t word(const uint8_t *p) { uint64_t x; memcpy(&x, p, 8); return x; }
static uint64_t turn(uint64_t lane, uint64_t x) { return ROTATE(lane + x * P2, 31) * P1; }

static uint64_t hash(const uint8_t *p, uint64_t size) {
    const uint8_t *end = p + size;
    uint64_t h = P5;
    if (size >= 32) {
        uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1;
        for (; end - p >= 32; p += 32) {
            a = turn(a, word(p)); b = turn(b, word(p + 8)); c = turn(c, word(p + 16)); d = turn(d, word(p + 24));
        }
        h = ROTATE(a, 1) + ROTATE(b, 7) + ROTATE(c, 12) + ROTATE(d, 18);
        h = (h ^ turn(0, a)) * P1 + P4; h = (h ^ turn(0, b)) * P1 + P4;
        h = (h ^ turn(0, c)) * P1 + P4; h = (h ^ turn(0, d)) * P1 + P4;
    }
    h += size;
    for (; end - p >= 8; p += 8) h = ROTATE(h ^ turn(0, word(p)), 27) * P1 + P4;
    if (end - p >= 4) { uint32_t x; memcpy(&x, p, 4); h = ROTATE(h ^ x * P1, 23) * P2 + P3; p += 4; }
    for (; p < end; p++) h = ROTATE(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2; h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

typedef struct {
    uint8_t traffic_salt[64], salt[64]; /* salt and its zero; the key goes behind */
    uint64_t traffic_size, size;        /* with the zero */
    uint32_t traffic, variants, upper[8];
} experiment;

static uint32_t bucket(uint8_t *salt, uint64_t size, const uint8_t *key) {
    memcpy(salt + size, key, 16);
    return (uint32_t)((hash(salt, size + 16) >> 32) * 1000000 >> 32);
}

/* The variant of each unit in each experiment, -1 for none; `found` holds units x experiments. */
void assign(experiment *them, int64_t count, const uint8_t *keys, int64_t units, int32_t *found) {
    for (int64_t unit = 0; unit < units; unit++, keys += 16)
        for (int64_t i = 0; i < count; i++) {
            experiment *e = &them[i];
            int32_t at = -1;
            if (bucket(e->traffic_salt, e->traffic_size, keys) < e->traffic) {
                uint32_t drawn = bucket(e->salt, e->size, keys);
                for (at = 0; drawn >= e->upper[at];) at++;
            }
            *found++ = at;
        }
}
