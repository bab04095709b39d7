"""XXH64, the only hash of the core, and the bucket that experiments and holdouts draw from it."""

from libc.stdint cimport uint32_t

from core._types cimport hash64_t, octet_t


cdef extern from "xxh64.h" nogil:
    # XXH64 of `size` bytes at `data`; the seed is 0 wherever a format or a decision is concerned.
    hash64_t xxh64_c "ov_xxh64"(const octet_t* data, size_t size, hash64_t seed) noexcept
    # XXH64 of a record (size >= 64) as if its checksum field were zero: what that field must hold.
    hash64_t record_checksum "ov_record_checksum"(const octet_t* record, size_t size) noexcept
    # bucket(salt, key) of decision 0002, in [0, 1000000), without joining salt and key.
    uint32_t bucket_c "ov_bucket"(
        const octet_t* salt, size_t salt_size, const octet_t* key, size_t key_size
    ) noexcept
    # A salt made ready for many keys of 16 bytes; plain bytes that own nothing.
    ctypedef struct Salted "ov_xxh_stream":
        pass
    void salt_take "ov_salt_take"(Salted* salted, const octet_t* salt, size_t salt_size) noexcept
    # bucket(salt, key) of a key of 16 bytes.
    uint32_t salted_bucket "ov_salted_bucket"(const Salted* salted, const octet_t* key) noexcept
