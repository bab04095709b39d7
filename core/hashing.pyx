"""XXH64 and the bucket of a key, for Python callers; C callers use the functions of the .pxd."""

from core._types cimport octet_t
from core.hashing cimport bucket_c, xxh64_c


def xxh64(bytes data not None, seed=0):
    """XXH64 of `data`; `seed` is an integer in [0, 2^64)."""
    return xxh64_c(<const octet_t*><const char*>data, len(data), seed)


def bucket(str salt not None, bytes key not None):
    """Bucket of a key in [0, 1000000): `((XXH64(utf8(salt) + 0x00 + key) >> 32) * 1000000) >> 32`."""
    cdef bytes text = salt.encode()
    return bucket_c(<const octet_t*><const char*>text, len(text), <const octet_t*><const char*>key, len(key))
