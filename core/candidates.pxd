"""What a decision walks over: placements, their candidates, and the rules around them, as C arrays."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from core.hashing cimport Salted
from core.memory cimport Pool
from core.output cimport Piece
from core.rules cimport Tables

# A range of a list of numbers; owned by the pool.
ctypedef struct Numbers:
    const uint32_t* items
    uint32_t count

ctypedef struct Weight:
    uint32_t position            # literal that is 1 when the weight applies
    double factor

ctypedef struct Offer:
    int64_t valid_from           # ms, inclusive
    int64_t valid_until          # ms, exclusive
    int64_t priority
    double value
    double lever
    int32_t eligibility          # literal position of "definitely true", -1: always
    int32_t model                # -1: none
    int32_t group                # exclusive group, -1: none
    const Weight* weights
    uint32_t weight_count

# The factors of the context weights that apply, multiplied in order.
cdef inline double context_weight(const Offer* offer, const uint8_t* literals) noexcept nogil:
    cdef double weight = 1.0
    cdef uint32_t i
    for i in range(offer.weight_count):
        if literals[offer.weights[i].position]:
            weight = weight * offer.weights[i].factor
    return weight


ctypedef struct Guard:
    uint32_t passes              # literal position of "definitely false"
    uint8_t reason

ctypedef struct Treatment:
    uint32_t offer
    Numbers blocks               # one per slot of the placement; NO_BLOCK: none; above FILLS: a fill
    Numbers suppressions         # guards, then exclusions: the order of step 3b
    Numbers caps
    Numbers brand_safety
    Piece head                   # {"offer":ID,"treatment":ID,"blocks":{

ctypedef struct Slot:
    Piece key                    # "NAME":
    uint32_t name                # dense number of the name over all placements

ctypedef struct Placement:
    int32_t purpose              # -1: none needed
    bint at_hub
    bint allow_repeat
    int64_t max_age_ms           # 0: none
    double diversity             # its strength, 0 to 1
    int diverse_by               # core.diversity's BY_*
    const Slot* slots
    uint32_t slot_count
    Numbers treatments           # by offer ascending
    Numbers holdouts             # in id order
    Numbers experiments          # in id order
    Piece key                    # "ID":
    Piece fallback               # {"offer":null,"treatment":null,"blocks":{...},"fallback":true,"reason":

ctypedef struct Purpose:
    uint32_t slot
    bint gpc

# Blocks that a slot takes by their tags.
ctypedef struct Fill:
    Numbers blocks               # in the order in which they are tried
    bint sampled
    Salted salt

cdef enum:
    NO_BLOCK = 0xFFFFFFFF        # -1; and -2 - n for fill n, so all fills are above FILLS
    FILLS = 0x7FFFFFFF
    FILL_BLOCKS_MAX = 256


@cython.final
cdef class Candidates:
    cdef Pool _pool
    cdef Offer* offers
    cdef Guard* guards
    cdef Numbers tag_guards      # guards with block tags in the order of step 6c
    cdef Treatment* treatments
    cdef Placement* placements
    cdef Fill* fills
    cdef Purpose* purposes
    cdef readonly uint32_t offer_count
    cdef readonly uint32_t placement_count
    cdef readonly dict slot_names      # slot name -> dense number
    cdef readonly list block_guards    # per block: places in tag_guards, ascending

    cdef Numbers _numbers(self, items) except *
    cdef Piece _piece(self, bytes text) except *
    cdef _build_offers(self, list offers, Tables tables)
    cdef _build_guards(self, list guards, size_t block_count, Tables tables)
    cdef _build_treatments(self, document)
    cdef _build_fills(self, list fills)
    cdef _build_purposes(self, list purposes)
    cdef build_placements(self, document, list fallbacks)
