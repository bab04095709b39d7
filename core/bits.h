/* Bits of 64-bit words. */
#ifndef ONEVOICE_BITS_H
#define ONEVOICE_BITS_H

#include <stdint.h>

/* The place of the lowest bit that is set; the word is not 0. */
static inline int ov_lowest_bit(uint64_t word) { return __builtin_ctzll(word); }

static inline int ov_bit_count(uint64_t word) { return __builtin_popcountll(word); }

/* Ask for a line of memory that will be read soon; NULL and wrong addresses do no harm. */
static inline void ov_prefetch(const void *at) { __builtin_prefetch(at); }

#endif
