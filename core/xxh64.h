/* XXH64 as specified in the xxHash description (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md), written
 * anew for this core: little-endian hosts, no alignment asked of the input. */
#ifndef ONEVOICE_XXH64_H
#define ONEVOICE_XXH64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Onevoice's formats are read in place and need a little-endian host"
#endif

#define OV_XXH_1 0x9E3779B185EBCA87ULL
#define OV_XXH_2 0xC2B2AE3D27D4EB4FULL
#define OV_XXH_3 0x165667B19E3779F9ULL
#define OV_XXH_4 0x85EBCA77C2B2AE63ULL
#define OV_XXH_5 0x27D4EB2F165667C5ULL

static inline uint64_t ov_load64(const unsigned char *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

static inline uint32_t ov_load32(const unsigned char *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

static inline uint64_t ov_rotate(uint64_t value, int bits) {
    return (value << bits) | (value >> (64 - bits));
}

static inline uint64_t ov_xxh_round(uint64_t lane, uint64_t word) {
    return ov_rotate(lane + word * OV_XXH_2, 31) * OV_XXH_1;
}

static inline uint64_t ov_xxh_fold(uint64_t hash, uint64_t lane) {
    return (hash ^ ov_xxh_round(0, lane)) * OV_XXH_1 + OV_XXH_4;
}

static inline void ov_xxh_lanes(uint64_t lanes[4], uint64_t seed) {
    lanes[0] = seed + OV_XXH_1 + OV_XXH_2;
    lanes[1] = seed + OV_XXH_2;
    lanes[2] = seed;
    lanes[3] = seed - OV_XXH_1;
}

static inline void ov_xxh_stripe(uint64_t lanes[4], const unsigned char *p) {
    lanes[0] = ov_xxh_round(lanes[0], ov_load64(p));
    lanes[1] = ov_xxh_round(lanes[1], ov_load64(p + 8));
    lanes[2] = ov_xxh_round(lanes[2], ov_load64(p + 16));
    lanes[3] = ov_xxh_round(lanes[3], ov_load64(p + 24));
}

static inline uint64_t ov_xxh_join(const uint64_t lanes[4]) {
    uint64_t hash = ov_rotate(lanes[0], 1) + ov_rotate(lanes[1], 7) + ov_rotate(lanes[2], 12) + ov_rotate(lanes[3], 18);
    for (int lane = 0; lane < 4; lane++)
        hash = ov_xxh_fold(hash, lanes[lane]);
    return hash;
}

/* The last `size` (< 32) bytes and the avalanche; `hash` already holds the lanes and the total length. */
static inline uint64_t ov_xxh_finish(uint64_t hash, const unsigned char *p, size_t size) {
    for (; size >= 8; p += 8, size -= 8)
        hash = ov_rotate(hash ^ ov_xxh_round(0, ov_load64(p)), 27) * OV_XXH_1 + OV_XXH_4;
    if (size >= 4) {
        hash = ov_rotate(hash ^ ov_load32(p) * OV_XXH_1, 23) * OV_XXH_2 + OV_XXH_3;
        p += 4;
        size -= 4;
    }
    for (; size > 0; p++, size--)
        hash = ov_rotate(hash ^ *p * OV_XXH_5, 11) * OV_XXH_1;
    hash = (hash ^ (hash >> 33)) * OV_XXH_2;
    hash = (hash ^ (hash >> 29)) * OV_XXH_3;
    return hash ^ (hash >> 32);
}

static inline uint64_t ov_xxh64(const unsigned char *p, size_t size, uint64_t seed) {
    size_t left = size;
    uint64_t hash = seed + OV_XXH_5;
    if (size >= 32) {
        uint64_t lanes[4];
        ov_xxh_lanes(lanes, seed);
        for (; left >= 32; p += 32, left -= 32)
            ov_xxh_stripe(lanes, p);
        hash = ov_xxh_join(lanes);
    }
    return ov_xxh_finish(hash + size, p, left);
}

/* XXH64, seed 0, of a record of at least 64 bytes as if the eight bytes of its own checksum (56 to 63, the last word of
 * the second stripe) were zero: reading must not have to copy the record to blank them. */
static inline uint64_t ov_record_checksum(const unsigned char *p, size_t size) {
    size_t left = size - 64;
    uint64_t lanes[4];
    ov_xxh_lanes(lanes, 0);
    ov_xxh_stripe(lanes, p);
    lanes[0] = ov_xxh_round(lanes[0], ov_load64(p + 32));
    lanes[1] = ov_xxh_round(lanes[1], ov_load64(p + 40));
    lanes[2] = ov_xxh_round(lanes[2], ov_load64(p + 48));
    lanes[3] = ov_xxh_round(lanes[3], 0);
    for (p += 64; left >= 32; p += 32, left -= 32)
        ov_xxh_stripe(lanes, p);
    return ov_xxh_finish(ov_xxh_join(lanes) + size, p, left);
}

/* XXH64, seed 0, of bytes that come in parts: a salt from the bundle and a key from the record are hashed without joining them. */
typedef struct {
    uint64_t lanes[4];
    uint64_t size;           /* bytes taken so far */
    unsigned char rest[32];  /* the size % 32 bytes that fill no stripe yet */
} ov_xxh_stream;

static inline void ov_xxh_start(ov_xxh_stream *stream) {
    ov_xxh_lanes(stream->lanes, 0);
    stream->size = 0;
}

static inline void ov_xxh_take(ov_xxh_stream *stream, const unsigned char *p, size_t size) {
    size_t held = (size_t)(stream->size % 32);
    stream->size += size;
    if (held + size < 32) {
        memcpy(stream->rest + held, p, size);
        return;
    }
    if (held > 0) {
        size_t part = 32 - held;
        memcpy(stream->rest + held, p, part);
        ov_xxh_stripe(stream->lanes, stream->rest);
        p += part;
        size -= part;
    }
    for (; size >= 32; p += 32, size -= 32)
        ov_xxh_stripe(stream->lanes, p);
    memcpy(stream->rest, p, size);
}

static inline uint64_t ov_xxh_digest(const ov_xxh_stream *stream) {
    uint64_t hash = stream->size >= 32 ? ov_xxh_join(stream->lanes) : OV_XXH_5;
    return ov_xxh_finish(hash + stream->size, stream->rest, (size_t)(stream->size % 32));
}

/* Of a hash's upper half, an integer in [0, 1000000). */
static inline uint32_t ov_scaled(uint64_t hash) {
    return (uint32_t)(((hash >> 32) * 1000000u) >> 32);
}

/* bucket(salt, key) of docs/decisions/0002-decision.md. */
static inline uint32_t ov_bucket(const unsigned char *salt, size_t salt_size, const unsigned char *key, size_t key_size) {
    static const unsigned char separator = 0;
    ov_xxh_stream stream;
    ov_xxh_start(&stream);
    ov_xxh_take(&stream, salt, salt_size);
    ov_xxh_take(&stream, &separator, 1);
    ov_xxh_take(&stream, key, key_size);
    return ov_scaled(ov_xxh_digest(&stream));
}

/* What a bucket needs of its salt: the stream after salt and separator. Salts are hashed once a bundle and keys with
 * them many times a decision. */
static inline void ov_salt_take(ov_xxh_stream *salted, const unsigned char *salt, size_t salt_size) {
    static const unsigned char separator = 0;
    memset(salted, 0, sizeof *salted);
    ov_xxh_start(salted);
    ov_xxh_take(salted, salt, salt_size);
    ov_xxh_take(salted, &separator, 1);
}

/* bucket(salt, key) of a key of 16 bytes. */
static inline uint32_t ov_salted_bucket(const ov_xxh_stream *salted, const unsigned char *key) {
    unsigned char tail[48];
    size_t held = (size_t)(salted->size % 32), size = held + 16;
    uint64_t total = salted->size + 16, hash;
    const unsigned char *rest = tail;
    memcpy(tail, salted->rest, 32);
    memcpy(tail + held, key, 16);
    if (size >= 32) {
        uint64_t lanes[4] = {salted->lanes[0], salted->lanes[1], salted->lanes[2], salted->lanes[3]};
        ov_xxh_stripe(lanes, tail);
        hash = ov_xxh_join(lanes);
        rest += 32;
        size -= 32;
    } else {
        hash = total >= 32 ? ov_xxh_join(salted->lanes) : OV_XXH_5;
    }
    return ov_scaled(ov_xxh_finish(hash + total, rest, size));
}

#endif
