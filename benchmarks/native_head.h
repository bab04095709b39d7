/* How the generated C of native.py reads a record; RULE_COUNT and WORD_LIST are defined before. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include "xxh64.h"
enum { RULES = RULE_COUNT };
typedef struct { uint64_t hash; const char *text; uint32_t length, number; } word;
static const word WORDS[] = { WORD_LIST };
enum { WORD_COUNT = sizeof(WORDS) / sizeof(WORDS[0]) };
typedef struct { uint64_t value; uint32_t heap; uint8_t kind, flags; uint16_t count; } slot_t;

static inline slot_t slot_of(const unsigned char *record, uint32_t number) {
    slot_t slot = {0, 0, 0, 0, 0};
    uint16_t count;
    memcpy(&count, record + 6, 2);
    if (number < count) memcpy(&slot, record + 64 + 16 * (size_t)number, 16);
    return slot;
}
static inline void read_i(const unsigned char *record, uint32_t number, uint32_t *known, int64_t *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 2;
    *out = (int64_t)slot.value;
}
static inline void read_f(const unsigned char *record, uint32_t number, uint32_t *known, double *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 3;
    memcpy(out, &slot.value, 8);
}
static inline void read_b(const unsigned char *record, uint32_t number, uint32_t *known, uint32_t *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 1;
    *out = slot.value != 0;
}
static inline void read_s(const unsigned char *record, uint32_t number, uint32_t *known, uint32_t *out,
                          const unsigned char **text, uint32_t *length) {
    slot_t slot = slot_of(record, number);
    uint32_t low = 0;
    *known = slot.kind == 4;
    *out = 63;
    *length = 0;
    if (!*known) return;
    memcpy(length, record + slot.heap + 16, 4);
    *text = record + slot.heap + 20;
    for (uint32_t step = 32; step > 0; step >>= 1)
        if (low + step < WORD_COUNT && WORDS[low + step].hash <= slot.value) low += step;
    if (WORDS[low].hash == slot.value && WORDS[low].length == *length && memcmp(WORDS[low].text, *text, *length) == 0)
        *out = WORDS[low].number;
}
static inline uint32_t contains(const unsigned char *text, uint32_t length, const char *part, uint32_t size) {
    uint32_t hit = 0;
    for (uint32_t i = 0; i + size <= length; i++) hit |= memcmp(text + i, part, size) == 0;
    return hit;
}
