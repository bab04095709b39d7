/* The general evaluator: a strict stack machine for conditions that the tables cannot hold.
 *
 * Programs are type-checked when a bundle is loaded (core/check.py); what can still fail here is a missing attribute, an integer that
 * overflows or a division by zero, and each makes the whole condition an error.
 */
#ifndef ONEVOICE_PROGRAMS_H
#define ONEVOICE_PROGRAMS_H

#include "values.h"

enum { OV_STACK_MAX = 32 };

enum {
    OV_P_ATTRIBUTE = 0, OV_P_INT = 1, OV_P_FLOAT = 2, OV_P_STRING = 3, OV_P_BOOL = 4, OV_P_TIMESTAMP = 5, OV_P_DURATION = 6, OV_P_NOW = 7,
    OV_P_ADD = 10, OV_P_SUB = 11, OV_P_MUL = 12, OV_P_DIV = 13, OV_P_MOD = 14, OV_P_NEG = 15,
    OV_P_EQ = 20, OV_P_NE = 21, OV_P_LT = 22, OV_P_LE = 23, OV_P_GT = 24, OV_P_GE = 25,
    OV_P_SIZE = 30, OV_P_CONTAINS = 31, OV_P_STARTS = 32, OV_P_ENDS = 33, OV_P_IN = 34
};

typedef struct {
    uint32_t op;
    uint32_t attribute; /* OV_P_ATTRIBUTE */
    ov_value constant;  /* the constant that the step pushes */
} ov_step;

/* Milliseconds since 1970 of the years 1 to 9999, and the longest span between two times: as many nanoseconds as an int has. */
#define OV_TIME_MIN (-62135596800000LL)
#define OV_TIME_MAX 253402300799999LL
#define OV_SPAN_MAX (INT64_MAX / 1000000)

/* -1, 0, 1, or 2 where a NaN makes the two unordered. Mathematical values: 2^53 + 1 is not 2.0^53; but 2^63, which the largest int
 * becomes as a double, equals it, as in the specification's suite. */
static inline int ov_compare_int_real(int64_t i, double d) {
    int64_t whole;
    if (d != d) return 2;
    if (d >= 9223372036854775808.0) return i == INT64_MAX && d == 9223372036854775808.0 ? 0 : -1;
    if (d < -9223372036854775808.0) return 1;
    whole = (int64_t)d;
    if (i != whole) return i < whole ? -1 : 1;
    d -= (double)whole;
    return d > 0.0 ? -1 : d < 0.0 ? 1 : 0;
}

static inline int ov_compare_values(const ov_value *a, const ov_value *b) {
    if (a->type == OV_STRING) return ov_compare_text(a->text, a->length, b->text, b->length);
    if (a->type == OV_FLOAT) {
        int order;
        if (b->type == OV_FLOAT) {
            if (a->real != a->real || b->real != b->real) return 2;
            return (a->real > b->real) - (a->real < b->real);
        }
        order = ov_compare_int_real(b->number, a->real);
        return order == 2 ? 2 : -order;
    }
    if (b->type == OV_FLOAT) return ov_compare_int_real(a->number, b->real);
    return (a->number > b->number) - (a->number < b->number);
}

static inline void ov_set_number(ov_value *out, uint8_t type, int64_t number) {
    out->type = type;
    out->number = number;
}

/* `a OP b` into a; 0 on error. Timestamps and durations are milliseconds, so their sums are sums of integers. */
static inline int ov_arithmetic(uint32_t op, ov_value *a, const ov_value *b) {
    int64_t x = a->number, y = b->number, result = 0;
    if (a->type == OV_FLOAT) {
        double d = a->real, e = b->real;
        a->real = op == OV_P_ADD ? d + e : op == OV_P_SUB ? d - e : op == OV_P_MUL ? d * e : d / e;
        return op <= OV_P_DIV;
    }
    switch (op) {
        case OV_P_ADD: if (__builtin_add_overflow(x, y, &result)) return 0; break;
        case OV_P_SUB: if (__builtin_sub_overflow(x, y, &result)) return 0; break;
        case OV_P_MUL: if (__builtin_mul_overflow(x, y, &result)) return 0; break;
        default:
            if (y == 0 || (x == INT64_MIN && y == -1)) return 0;
            result = op == OV_P_DIV ? x / y : x % y;
    }
    if (a->type == OV_TIMESTAMP && b->type == OV_TIMESTAMP) {
        ov_set_number(a, OV_DURATION, result);
        return result >= -OV_SPAN_MAX && result <= OV_SPAN_MAX;
    }
    if (a->type == OV_TIMESTAMP || b->type == OV_TIMESTAMP) {
        ov_set_number(a, OV_TIMESTAMP, result);
        return result >= OV_TIME_MIN && result <= OV_TIME_MAX;
    }
    a->number = result;
    return 1;
}

static inline int64_t ov_size(const ov_value *v) {
    int64_t count = 0;
    const char *at = v->text;
    ov_entry entry;
    if (v->type == OV_STRING) return ov_code_points(v->text, v->length);
    for (uint16_t i = 0; i < v->count; i++) {
        at = ov_next_entry(at, &entry);
        count += entry.seen > v->cut;
    }
    return count;
}

static inline int ov_holds(const ov_value *strings, const ov_value *text) {
    const char *at = strings->text;
    ov_entry entry;
    for (uint16_t i = 0; i < strings->count; i++) {
        at = ov_next_entry(at, &entry);
        if (entry.seen > strings->cut && ov_compare_text(entry.text, entry.length, text->text, text->length) == 0) return 1;
    }
    return 0;
}

/* The bool of a comparison or test of a and b. */
static inline int ov_test(uint32_t op, const ov_value *a, const ov_value *b) {
    int order;
    switch (op) {
        case OV_P_CONTAINS: return ov_contains(a->text, a->length, b->text, b->length);
        case OV_P_STARTS: return ov_starts(a->text, a->length, b->text, b->length);
        case OV_P_ENDS: return ov_ends(a->text, a->length, b->text, b->length);
        case OV_P_IN: return ov_holds(b, a);
        default: break;
    }
    order = ov_compare_values(a, b);
    if (order == 2) return op == OV_P_NE;
    switch (op) {
        case OV_P_EQ: return order == 0;
        case OV_P_NE: return order != 0;
        case OV_P_LT: return order < 0;
        case OV_P_LE: return order <= 0;
        case OV_P_GT: return order > 0;
        default: return order >= 0;
    }
}

static inline int ov_negate(ov_value *v) {
    if (v->type == OV_FLOAT) {
        v->real = -v->real;
        return 1;
    }
    return !__builtin_sub_overflow((int64_t)0, v->number, &v->number);
}

/* Runs a checked program: 1 true, 0 false, -1 error. */
static inline int ov_run_program(const ov_step *steps, size_t count, const ov_value *values, int64_t now) {
    ov_value stack[OV_STACK_MAX];
    size_t top = 0; /* cells in use */
    for (size_t i = 0; i < count; i++) {
        const ov_step *step = &steps[i];
        uint32_t op = step->op;
        if (op == OV_P_ATTRIBUTE) {
            if (values[step->attribute].type == OV_MISSING) return -1;
            stack[top++] = values[step->attribute];
        } else if (op == OV_P_NOW) {
            ov_set_number(&stack[top++], OV_TIMESTAMP, now);
        } else if (op < OV_P_ADD) {
            stack[top++] = step->constant;
        } else if (op == OV_P_NEG) {
            if (!ov_negate(&stack[top - 1])) return -1;
        } else if (op == OV_P_SIZE) {
            ov_set_number(&stack[top - 1], OV_INT, ov_size(&stack[top - 1]));
        } else {
            ov_value *a = &stack[top - 2];
            const ov_value *b = &stack[--top];
            if (op < OV_P_EQ) {
                if (!ov_arithmetic(op, a, b)) return -1;
            } else {
                ov_set_number(a, OV_BOOL, ov_test(op, a, b));
            }
        }
    }
    return stack[0].number != 0;
}

#endif
