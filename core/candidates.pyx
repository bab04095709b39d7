"""What a decision walks over: placements, their candidates, and the rules around them, as C arrays built
from a checked bundle.
"""

cimport cython
from libc.stdint cimport int32_t, uint32_t

from core._types cimport octet_t
from core.hashing cimport salt_take
from core.memory cimport Pool
from core.output cimport Piece
from core.rules cimport Tables

import msgspec

from core import bundle


@cython.final
cdef class Candidates:
    """Offers, guards, treatments, placements and purposes of one bundle; `tables` knows where a rule's
    literals are.
    """

    def __cinit__(self, document not None, Tables tables not None):
        self._pool = Pool()
        self.offer_count = <uint32_t>len(document.offers)
        self.placement_count = <uint32_t>len(document.placements)
        self._build_offers(document.offers, tables)
        self._build_guards(document.guards, len(document.blocks), tables)
        self._build_treatments(document)
        self._build_fills(document.fills)
        self._build_purposes(document.purposes)

    def __reduce__(self):
        raise TypeError("Candidates hold addresses and cannot be pickled")

    cdef Numbers _numbers(self, items) except *:
        cdef uint32_t* block = <uint32_t*>self._pool.take(len(items), sizeof(uint32_t))
        cdef Numbers numbers
        for i, item in enumerate(items):
            block[<size_t>i] = <uint32_t><int32_t>item
        numbers.items = block
        numbers.count = <uint32_t>len(items)
        return numbers

    cdef Piece _piece(self, bytes text) except *:
        cdef Piece piece
        piece.text = self._pool.copy(text)
        piece.length = <uint32_t>len(text)
        return piece

    cdef _build_offers(self, list offers, Tables tables):
        cdef Offer* target
        cdef Weight* weights
        self.offers = <Offer*>self._pool.take(len(offers), sizeof(Offer))
        for i, offer in enumerate(offers):
            target = &self.offers[<size_t>i]
            target.valid_from = offer.valid_from_ms
            target.valid_until = offer.valid_until_ms
            target.priority = offer.priority
            target.value = offer.value
            target.lever = offer.lever
            target.eligibility = -1
            if offer.eligibility >= 0:
                target.eligibility = <int32_t>tables.rule_true[<size_t>offer.eligibility]
            target.model = offer.model
            target.group = offer.exclusive_group
            weights = <Weight*>self._pool.take(len(offer.weights), sizeof(Weight))
            for k, (rule, factor) in enumerate(offer.weights):
                weights[<size_t>k].position = tables.rule_true[<size_t>rule]
                weights[<size_t>k].factor = factor
            target.weights = weights
            target.weight_count = <uint32_t>len(offer.weights)

    cdef _build_guards(self, list guards, size_t block_count, Tables tables):
        self.guards = <Guard*>self._pool.take(len(guards), sizeof(Guard))
        for i, guard in enumerate(guards):
            self.guards[<size_t>i].passes = tables.rule_false[<size_t>guard.rule]
            self.guards[<size_t>i].reason = guard.reason
        by_tags = [i for i, guard in enumerate(guards) if guard.block_tags]
        by_tags.sort(key=lambda i: (guards[i].kind, guards[i].id))
        self.tag_guards = self._numbers(by_tags)
        self.block_guards = [[] for _ in range(block_count)]
        for place, i in enumerate(by_tags):
            for block in sorted(set(guards[i].blocks)):
                self.block_guards[block].append(place)

    cdef _build_treatments(self, document):
        cdef Treatment* target
        self.treatments = <Treatment*>self._pool.take(len(document.treatments), sizeof(Treatment))
        for i, treatment in enumerate(document.treatments):
            target = &self.treatments[<size_t>i]
            target.offer = treatment.offer
            target.blocks = self._numbers(treatment.blocks)
            target.suppressions = self._numbers(treatment.suppressions + treatment.exclusions)
            target.caps = self._numbers(treatment.caps)
            target.brand_safety = self._numbers(treatment.brand_safety)
            target.head = self._piece(
                b'{"offer":' + msgspec.json.encode(document.offers[treatment.offer].id)
                + b',"treatment":' + msgspec.json.encode(treatment.id) + b',"blocks":{'
            )

    cdef _build_fills(self, list fills):
        cdef bytes salt
        self.fills = <Fill*>self._pool.take(len(fills), sizeof(Fill))
        for i, fill in enumerate(fills):
            salt = fill.salt.encode()
            self.fills[<size_t>i].blocks = self._numbers(fill.blocks)
            self.fills[<size_t>i].sampled = fill.sampled
            salt_take(&self.fills[<size_t>i].salt, <const octet_t*><const char*>salt, <size_t>len(salt))

    cdef _build_purposes(self, list purposes):
        self.purposes = <Purpose*>self._pool.take(len(purposes), sizeof(Purpose))
        for i, purpose in enumerate(purposes):
            self.purposes[<size_t>i].slot = purpose.slot
            self.purposes[<size_t>i].gpc = purpose.gpc

    cdef build_placements(self, document, list fallbacks):
        """The placements; `fallbacks`: per placement the JSON inside the braces of its generic blocks."""
        cdef Placement* target
        cdef Slot* slots
        names = sorted({name for placement in document.placements for name, _ in placement.slots})
        holdouts = _holding(document.holdouts, len(document.placements))
        experiments = _holding(document.experiments, len(document.placements))
        self.slot_names = {name: i for i, name in enumerate(names)}
        self.placements = <Placement*>self._pool.take(self.placement_count, sizeof(Placement))
        for i, placement in enumerate(document.placements):
            target = &self.placements[<size_t>i]
            target.purpose = placement.purpose
            target.at_hub = placement.answered_at == bundle.ANSWERED_AT_HUB
            target.allow_repeat = placement.allow_repeat
            target.max_age_ms = placement.max_age_ms
            target.diversity = placement.diversity
            target.diverse_by = placement.diverse_by
            slots = <Slot*>self._pool.take(len(placement.slots), sizeof(Slot))
            for k, (name, _) in enumerate(placement.slots):
                slots[<size_t>k].key = self._piece(msgspec.json.encode(name) + b":")
                slots[<size_t>k].name = self.slot_names[name]
            target.slots = slots
            target.slot_count = <uint32_t>len(placement.slots)
            target.treatments = self._numbers(placement.treatments)
            target.holdouts = self._numbers(holdouts[i])
            target.experiments = self._numbers(experiments[i])
            target.key = self._piece(msgspec.json.encode(placement.id) + b":")
            target.fallback = self._piece(
                b'{"offer":null,"treatment":null,"blocks":{' + fallbacks[i] + b'},"fallback":true,"reason":'
            )


def _holding(items, count):
    """Per placement the indexes of the holdouts or experiments that hold it, in id order."""
    held = [[] for _ in range(count)]
    for i in sorted(range(len(items)), key=lambda i: items[i].id):
        placements = set(items[i].placements)
        if isinstance(items[i], bundle.Holdout) and items[i].is_global:
            placements = range(count)
        for placement in placements:
            held[placement].append(i)
    return held
