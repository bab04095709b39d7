"""The only ctypedefs of the core: what a number means, where its C type cannot say it."""

from libc.stdint cimport int64_t, uint64_t

ctypedef unsigned char octet_t  # one byte of a record, key or text
ctypedef uint64_t hash64_t  # XXH64, seed 0
ctypedef int64_t millis_t  # ms since 1970 UTC, or a span of ms
