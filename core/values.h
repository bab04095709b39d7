/* The value of one attribute during one decision, and the C loops that read such values.
 *
 * Values point into the record, the overlay's record, the request's context or the engine's pool; they live only as long as one decision.
 */
#ifndef ONEVOICE_VALUES_H
#define ONEVOICE_VALUES_H

#include <stdint.h>
#include <string.h>

enum { OV_MISSING = 0, OV_BOOL = 1, OV_INT = 2, OV_FLOAT = 3, OV_STRING = 4, OV_TIMESTAMP = 5, OV_STRINGS = 6, OV_DURATION = 7 };

typedef struct {
    uint8_t type;     /* OV_MISSING, or the attribute's declared type */
    uint8_t held;     /* 1: the record (or context) itself holds it; 0: a default, or missing */
    uint16_t count;   /* strings: entries at `text` */
    uint32_t length;  /* string: bytes at `text` */
    int64_t number;   /* bool, int, timestamp (ms); float: order-preserving key; string: the hash's bits */
    double real;      /* float */
    const char *text; /* string: UTF-8 bytes; strings: first entry {u64 hash, i64 last seen ms, u32 length, bytes, pad to 8} */
    int64_t cut;      /* strings: entries last seen at or before this (ms) are not read */
} ov_value;

typedef struct {
    uint64_t hash;
    int64_t seen;
    uint32_t length;
    const char *text;
} ov_entry;

/* Order-preserving key of a double that is not NaN; -0.0 counts as 0.0. */
static inline int64_t ov_float_key(double x) {
    int64_t bits;
    x = x + 0.0;
    memcpy(&bits, &x, 8);
    return bits >= 0 ? bits : bits ^ INT64_MAX;
}

/* Read the entry at `at`; returns where the next one begins. The caller has checked the bounds. */
static inline const char *ov_next_entry(const char *at, ov_entry *out) {
    memcpy(&out->hash, at, 8);
    memcpy(&out->seen, at + 8, 8);
    memcpy(&out->length, at + 16, 4);
    out->text = at + 20;
    return at + ((20 + (size_t)out->length + 7) & ~(size_t)7);
}

/* Code points of UTF-8 text: bytes that do not continue one. */
static inline int64_t ov_code_points(const char *text, uint32_t length) {
    int64_t count = 0;
    for (uint32_t i = 0; i < length; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static inline int ov_contains(const char *text, size_t length, const char *part, size_t part_length) {
    if (part_length == 0) return 1;
    while (length >= part_length) {
        const char *hit = memchr(text, part[0], length - part_length + 1);
        if (hit == NULL) return 0;
        if (memcmp(hit, part, part_length) == 0) return 1;
        length -= (size_t)(hit + 1 - text);
        text = hit + 1;
    }
    return 0;
}

static inline int ov_starts(const char *text, size_t length, const char *part, size_t part_length) {
    return length >= part_length && memcmp(text, part, part_length) == 0;
}

static inline int ov_ends(const char *text, size_t length, const char *part, size_t part_length) {
    return length >= part_length && memcmp(text + length - part_length, part, part_length) == 0;
}

/* Bytewise order: negative, zero, positive. */
static inline int ov_compare_text(const char *a, size_t a_length, const char *b, size_t b_length) {
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    if (order != 0) return order;
    return (a_length > b_length) - (a_length < b_length);
}

/* `count` decimal digits at `text` as a number, or -1. */
static inline int64_t ov_digits(const char *text, int count) {
    int64_t number = 0;
    for (int i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        number = number * 10 + (text[i] - '0');
    }
    return number;
}

/* Days since 1970 of a date; years begin on 1 March (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
static inline int64_t ov_days(int64_t year, int64_t month, int64_t day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Milliseconds since 1970 of an RFC 3339 time, cut to milliseconds; 0 if the text is none. Years 1 to 9999, no leap seconds. */
static inline int ov_parse_time(const char *text, size_t length, int64_t *ms) {
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second, fraction = 0, offset = 0, in_month;
    size_t at = 19;
    if (length < 20 || text[4] != '-' || text[7] != '-' || (text[10] | 32) != 't' || text[13] != ':' || text[16] != ':') return 0;
    year = ov_digits(text, 4), month = ov_digits(text + 5, 2), day = ov_digits(text + 8, 2);
    hour = ov_digits(text + 11, 2), minute = ov_digits(text + 14, 2), second = ov_digits(text + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1) return 0;
    in_month = month_days[month - 1] + (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    if (day > in_month || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    if (text[at] == '.') {
        size_t first = ++at;
        for (int64_t unit = 100; at < length && text[at] >= '0' && text[at] <= '9'; at++, unit /= 10) fraction += unit * (text[at] - '0');
        if (at == first || at - first > 9) return 0;
    }
    if (at + 1 == length && (text[at] | 32) == 'z') {
        offset = 0;
    } else if (at + 6 == length && (text[at] == '+' || text[at] == '-') && text[at + 3] == ':') {
        int64_t hours = ov_digits(text + at + 1, 2), minutes = ov_digits(text + at + 4, 2);
        if (hours < 0 || minutes < 0 || hours > 23 || minutes > 59) return 0;
        offset = (hours * 60 + minutes) * (text[at] == '-' ? -1 : 1);
    } else {
        return 0;
    }
    *ms = (((ov_days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + fraction;
    return 1;
}

#endif
