/* Whether bytes are UTF-8 (RFC 3629): shortest forms only, no surrogates, nothing above U+10FFFF. */
#ifndef ONEVOICE_UTF8_H
#define ONEVOICE_UTF8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline int ov_is_tail(unsigned char byte) {
    return (byte & 0xC0) == 0x80;
}

/* Bytes of the character that begins at p, of at most `left` bytes; 0 if none does. */
static inline size_t ov_utf8_step(const unsigned char *p, size_t left) {
    unsigned char lead = p[0];
    if (lead < 0x80)
        return 1;
    if (lead < 0xE0)
        return lead >= 0xC2 && left >= 2 && ov_is_tail(p[1]) ? 2 : 0;
    if (lead < 0xF0) {
        unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;
        unsigned char high = lead == 0xED ? 0x9F : 0xBF;
        return left >= 3 && low <= p[1] && p[1] <= high && ov_is_tail(p[2]) ? 3 : 0;
    }
    if (lead < 0xF5) {
        unsigned char low = lead == 0xF0 ? 0x90 : 0x80;
        unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;
        return left >= 4 && low <= p[1] && p[1] <= high && ov_is_tail(p[2]) && ov_is_tail(p[3]) ? 4 : 0;
    }
    return 0;
}

/* Whether fewer than eight bytes are ASCII: two words that overlap, or three bytes. */
static inline int ov_is_short_ascii(const unsigned char *p, size_t size) {
    uint32_t first, last;
    if (size < 4)
        return size == 0 || ((p[0] | p[size / 2] | p[size - 1]) & 0x80) == 0;
    memcpy(&first, p, 4);
    memcpy(&last, p + size - 4, 4);
    return ((first | last) & 0x80808080u) == 0;
}

static inline int ov_is_utf8(const unsigned char *p, size_t size) {
    while (size > 0) {
        uint64_t word;
        size_t step;
        if (size >= 8) {
            memcpy(&word, p, 8);
            if ((word & 0x8080808080808080ULL) == 0) {
                p += 8;
                size -= 8;
                continue;
            }
        } else if (ov_is_short_ascii(p, size)) {
            return 1;
        }
        step = ov_utf8_step(p, size);
        if (step == 0)
            return 0;
        p += step;
        size -= step;
    }
    return 1;
}

#endif
