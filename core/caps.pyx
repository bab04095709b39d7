"""Frequency caps: impressions of a record counted against limits (docs/decisions/0002-decision.md, step 3c).

The record's entries are chained by offer once a decision, when the first cap asks, so a candidate costs its
own entries only.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.assignment cimport contains
from core.hashing cimport xxh64_c
from core.mathx cimport add_capped, floor_div
from core.memory cimport Pool
from core.record cimport (
    IMPRESSIONS,
    IMPRESSIONS_LIMIT,
    SLOT_IMPRESSIONS,
    Impression,
    RecordSlot,
    impression_at,
    slot_at,
)

from core import bundle
from core.errors import BundleError

cdef enum:
    MINUTE_MS = 60000
    NONE = 0xFFFFFFFF


@cython.final
cdef class Caps:
    """The caps of one bundle, already checked, and the counts of the decision being made."""

    def __cinit__(self, list caps not None, list offers not None):
        cdef uint32_t i
        self._pool = Pool()
        self._cap_count = <uint32_t>len(caps)
        self._offer_count = <uint32_t>len(offers)
        self.caps = <Cap*>self._pool.take(len(caps), sizeof(Cap))
        self._totals = <int64_t*>self._pool.take(len(caps), sizeof(int64_t))
        self._shown = <Shown*>self._pool.take(IMPRESSIONS_LIMIT, sizeof(Shown))
        self._first = <int32_t*>self._pool.take(len(offers), sizeof(int32_t))
        for i in range(self._offer_count):
            self._first[i] = -1
        for i in range(self._cap_count):
            self._totals[i] = -1
            self._build(&self.caps[i], caps[i])
        self._index([offer.id for offer in offers])

    def __reduce__(self):
        raise TypeError("Caps hold addresses and cannot be pickled")

    cdef int _build(self, Cap* target, cap) except -1:
        cdef uint64_t* channels = <uint64_t*>self._pool.take(len(cap.channels), sizeof(uint64_t))
        cdef uint32_t* offers = <uint32_t*>self._pool.take(len(cap.offers), sizeof(uint32_t))
        for i, channel in enumerate(sorted(set(cap.channels))):
            channels[<size_t>i] = _hash(channel.encode())
            target.channel_count += 1
        for i, offer in enumerate(sorted(cap.offers)):
            offers[<size_t>i] = offer
        target.max = cap.max
        target.window_minutes = cap.window_minutes
        target.per_all = cap.per == bundle.PER_ALL
        target.channels = channels
        target.offers = offers
        target.offer_count = <uint32_t>len(cap.offers)
        target.rule = cap.when
        return 0

    cdef int _index(self, list ids) except -1:
        """Offer ids by hash, in a table at most half full.

        Equal hashes would count one offer's displays for another.
        """
        cdef uint64_t number
        cdef uint32_t cell
        cdef size_t cells = 2
        while cells < 2 * <size_t>self._offer_count:
            cells *= 2
        self._mask = <uint32_t>(cells - 1)
        self._hashes = <OfferHash*>self._pool.take(cells, sizeof(OfferHash))
        for cell in range(<uint32_t>cells):
            self._hashes[cell].offer = NONE
        for offer, name in enumerate(ids):
            number = _hash(name.encode())
            cell = <uint32_t>number & self._mask
            while self._hashes[cell].offer != NONE:
                if self._hashes[cell].hash == number:
                    raise BundleError(path=f"$.offers[{offer}]", expected="a hash of its own", got=name)
                cell = (cell + 1) & self._mask
            self._hashes[cell].hash = number
            self._hashes[cell].offer = offer
        return 0

    cdef uint32_t _offer_of(self, uint64_t number) noexcept nogil:
        cdef uint32_t cell = <uint32_t>number & self._mask
        while self._hashes[cell].offer != NONE:
            if self._hashes[cell].hash == number:
                return self._hashes[cell].offer
            cell = (cell + 1) & self._mask
        return NONE

    cdef void reset(self) noexcept nogil:
        cdef uint32_t i
        if not self._loaded:
            return
        for i in range(self._shown_count):
            self._first[self._shown[i].offer] = -1
        for i in range(self._cap_count):
            self._totals[i] = -1
        self._shown_count = 0
        self._loaded = False

    cdef void _load(self, const octet_t* record) noexcept nogil:
        """Chain the record's entries by offer; entries of offers that the bundle does not know are left
        out.
        """
        cdef RecordSlot slot = slot_at(record, SLOT_IMPRESSIONS)
        cdef Impression impression
        cdef Shown* shown
        cdef uint32_t i, offer
        cdef uint32_t count = 0
        self._loaded = True
        self._record = record
        if slot.kind != IMPRESSIONS:
            return
        for i in range(slot.count):
            impression = impression_at(record, slot, i)
            offer = self._offer_of(impression.offer)
            if offer == NONE:
                continue
            shown = &self._shown[count]
            shown.offer = offer
            shown.next = self._first[offer]
            shown.channel = impression.channel
            shown.minute = impression.minute
            shown.count = impression.impressions
            self._first[offer] = <int32_t>count
            count += 1
        self._shown_count = count

    cdef int64_t _count(self, const Cap* cap, uint32_t offer, int64_t minute) noexcept nogil:
        """Impressions of one offer within the cap's window and channels."""
        cdef int64_t total = 0
        cdef const Shown* shown
        cdef int32_t at = self._first[offer]
        while at >= 0:
            shown = &self._shown[at]
            at = shown.next
            if minute - cap.window_minutes < shown.minute <= minute and _in_channels(cap, shown.channel):
                total = add_capped(total, shown.count)
        return total

    cdef bint reached(self, uint32_t cap, uint32_t offer, const octet_t* record, int64_t now) noexcept nogil:
        cdef const Cap* c = &self.caps[cap]
        cdef int64_t minute = floor_div(now, MINUTE_MS)
        cdef uint32_t i
        if not self._loaded or self._record != record:
            self.reset()
            self._load(record)
        if self._shown_count == 0:
            return c.max <= 0
        if not c.per_all:
            return self._count(c, offer, minute) >= c.max
        if self._totals[cap] < 0:
            self._totals[cap] = 0
            for i in range(self._shown_count):
                # Each offer is counted once, at the entry that begins its chain.
                offer = self._shown[i].offer
                if self._first[offer] == <int32_t>i and contains(c.offers, c.offer_count, offer):
                    self._totals[cap] = add_capped(self._totals[cap], self._count(c, offer, minute))
        return self._totals[cap] >= c.max


cdef uint64_t _hash(bytes text):
    return xxh64_c(<const octet_t*><const char*>text, len(text), 0)


cdef inline bint _in_channels(const Cap* cap, uint64_t channel) noexcept nogil:
    cdef uint32_t i
    if cap.channel_count == 0:
        return True
    for i in range(cap.channel_count):
        if cap.channels[i] == channel:
            return True
    return False
