"""Matching many profiles at once (docs/decisions/0004-bundle-and-tables.md).

A block of profiles is read one by one, each leaving one bit at the rank of each number and at each string
that conditions ask for; then every condition, node and rule is a few operations on vectors that hold a bit
for each profile of the block. Blocks are independent of each other, so threads take them in turns, without
the GIL.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from core._types cimport octet_t
from core.conditions cimport (
    MATCH,
    GeneralTest,
    HasTest,
    ProgramTest,
    RangeGroup,
    TextGroup,
    TextLiteral,
    find_literal,
    ov_rank,
    ov_run_program,
    part_holds,
)
from core.generals cimport G_FALSE, G_TRUE, Generals
from core.memory cimport Pool
from core.record cimport FAULT_NONE, check_record, require
from core.rules cimport Root, Tables, ov_node_group
from core.values cimport OV_FLOAT, OV_MISSING, OV_STRING, Attributes, ov_entry, ov_next_entry, ov_value

from core.errors import RecordError, RequestError

cdef extern from "lanes.h":
    void ov_set_lane(ov_lanes* at, uint32_t lane) noexcept nogil
    bint ov_any_lane(const ov_lanes* at) noexcept nogil
    ov_lanes ov_first_lanes(uint32_t count) noexcept nogil
    void ov_sum_ranks(ov_lanes* ranks, size_t count) noexcept nogil
    void ov_rank_lanes(
        const ov_lanes* ranks, size_t low, size_t span, ov_lanes known, ov_lanes* is_true, ov_lanes* is_false
    ) noexcept nogil
    void ov_more_lanes(ov_lanes* into, const ov_lanes* lanes, const ov_lanes* without) noexcept nogil
    bint ov_has_lane(const ov_lanes* at, uint32_t lane) noexcept nogil
    void ov_or_lanes(ov_lanes* into, const ov_lanes* lanes) noexcept nogil
    void ov_false_lanes(const ov_lanes* is_true, const ov_lanes* known, ov_lanes* is_false) noexcept nogil
    void ov_make_quads(const ov_lanes* lanes, size_t quads, ov_lanes* tables) noexcept nogil
    void ov_quad_lanes(const ov_lanes* tables, size_t quads, const uint8_t* set, ov_lanes* out) noexcept nogil
    void ov_node_lanes(const ov_node_group* groups, size_t group_count, ov_lanes* plane) noexcept nogil

cdef extern from "threads.h":
    enum: OV_THREADS_MAX
    void ov_on_threads(
        void (*work)(void* argument, size_t number) noexcept nogil, void* argument, size_t count
    ) noexcept nogil
    size_t ov_take_next(size_t* counter) noexcept nogil

cdef extern from "bits.h":
    int ov_lowest_bit(uint64_t word) noexcept nogil
    int ov_bit_count(uint64_t word) noexcept nogil

cdef enum:
    BLOCK_WORDS = 2
    # Half-bytes of a set: above, a group lists the conditions that each string makes true.
    QUADS_MAX = 64

#: Bytes of an answer; ask for fewer profiles at once where it would be larger.
cdef size_t ANSWER_BYTES_MAX = 1 << 30
MATCHES_BYTES_MAX = ANSWER_BYTES_MAX
THREADS_MAX = OV_THREADS_MAX


@cython.final
cdef class Matches:
    """Which rules hold for which profiles.

    `bits` has a row for each rule, padded to 16 bytes; bit p of a row, the lowest of the first byte first,
    says whether the rule is definitely true of profile p.
    """

    cdef const uint64_t* _row(self, size_t rule) except NULL:
        if rule >= self.rule_count:
            raise IndexError(f"expected a rule below {self.rule_count}, got {rule}")
        return <const uint64_t*>PyBytes_AS_STRING(self.bits) + rule * self._words

    def profiles_of(self, size_t rule):
        """The profiles of which a rule holds, ascending."""
        cdef const uint64_t* row = self._row(rule)
        cdef size_t i
        cdef uint64_t word
        cdef list found = []
        for i in range(self._words):
            word = row[i]
            while word != 0:
                found.append(i * 64 + <size_t>ov_lowest_bit(word))
                word &= word - 1
        return found

    def rules_of(self, size_t profile):
        """The rules that hold for a profile, ascending."""
        cdef size_t rule
        if profile >= self.profile_count:
            raise IndexError(f"expected a profile below {self.profile_count}, got {profile}")
        return [
            rule for rule in range(self.rule_count)
            if self._row(rule)[profile >> 6] >> (profile & 63) & 1
        ]

    def count(self, size_t rule):
        """How many profiles a rule holds for."""
        cdef const uint64_t* row = self._row(rule)
        cdef size_t i
        cdef size_t found = 0
        for i in range(self._words):
            found += <size_t>ov_bit_count(row[i])
        return found

    def __reduce__(self):
        raise TypeError("Matches belong to the call that made them; pickle their bits")


@cython.final
cdef class Batch:
    """The tables of an engine, made ready for blocks of profiles."""

    def __cinit__(self, Tables tables not None, Attributes attributes not None):
        cdef size_t i
        cdef const RangeGroup* ranges = tables.conditions.ranges
        cdef const TextGroup* texts = tables.conditions.texts
        cdef size_t range_count = tables.conditions.range_counts[<size_t>MATCH]
        cdef size_t text_count = tables.conditions.text_counts[<size_t>MATCH]
        self._pool = Pool()
        self._tables = tables
        self._attributes = attributes
        self._generals = []
        self._rank_begins = <size_t*>self._pool.take(range_count, sizeof(size_t))
        self._string_begins = <size_t*>self._pool.take(text_count, sizeof(size_t))
        self._sets = <QuadSets*>self._pool.take(text_count, sizeof(QuadSets))
        self._scratch = <Scratch*>self._pool.take(OV_THREADS_MAX, sizeof(Scratch))
        for i in range(range_count):
            self._rank_begins[i] = self._rank_total
            self._rank_total += <size_t>ranges[i].bound_count + 2
        for i in range(text_count):
            self._string_begins[i] = self._string_total
            self._string_total += (<size_t>texts[i].literal_count + 3) // 4 * 4
            self._build_sets(i)

    def __reduce__(self):
        raise TypeError("a Batch holds addresses and cannot be pickled")

    cdef int _build_sets(self, size_t number) except -1:
        """The literals that make each condition true, as half-bytes, where there are few enough."""
        cdef const TextGroup* group = &self._tables.conditions.texts[number]
        cdef QuadSets* sets = &self._sets[number]
        cdef const TextLiteral* literal
        cdef uint8_t* found
        cdef size_t i, k
        sets.quads = (group.literal_count + 3) // 4
        if sets.quads > QUADS_MAX or (group.rows == NULL and not group.many):
            return 0
        found = <uint8_t*>self._pool.take(<size_t>group.count * sets.quads, 1)
        for i in range(group.literal_count):
            if group.rows != NULL:
                for k in range(group.count):
                    if group.rows[i * group.count + k]:
                        found[k * sets.quads + i // 4] |= <uint8_t>(1 << (i & 3))
            else:
                literal = &group.literals[i]
                for k in range(literal.hit_count):
                    found[(literal.hits[k] - group.begin) * sets.quads + i // 4] |= <uint8_t>(1 << (i & 3))
        sets.sets = found
        self._quads_max = max(self._quads_max, sets.quads)
        return 0

    cdef int _take_scratch(self, Scratch* scratch) except -1:
        cdef Tables tables = self._tables
        cdef size_t ranges = tables.conditions.range_counts[<size_t>MATCH]
        cdef size_t texts = tables.conditions.text_counts[<size_t>MATCH]
        scratch.values = <ov_value*>self._pool.take(self._attributes.count, sizeof(ov_value))
        scratch.plane = <ov_lanes*>self._pool.take(tables.literal_count, sizeof(ov_lanes))
        scratch.ranks = <ov_lanes*>self._pool.take(self._rank_total, sizeof(ov_lanes))
        scratch.rank_known = <ov_lanes*>self._pool.take(ranges, sizeof(ov_lanes))
        scratch.strings = <ov_lanes*>self._pool.take(self._string_total, sizeof(ov_lanes))
        scratch.text_known = <ov_lanes*>self._pool.take(texts, sizeof(ov_lanes))
        scratch.quads = <ov_lanes*>self._pool.take(16 * self._quads_max, sizeof(ov_lanes))
        scratch.touched = <uint32_t*>self._pool.take(self._string_total, sizeof(uint32_t))
        scratch.touched_counts = <uint32_t*>self._pool.take(texts, sizeof(uint32_t))
        scratch.number = self._scratch_count
        scratch.unknown = <uint8_t*>self._pool.take(tables.generals.count, 1)
        scratch.least = <ov_lanes*>self._pool.take(tables.root_counts[<size_t>MATCH], sizeof(ov_lanes))
        scratch.wanted = <ov_lanes*>self._pool.take(
            tables.conditions.general_counts[<size_t>MATCH], sizeof(ov_lanes)
        )
        self._generals.append(tables.generals.twin())
        if tables.index.rule_count > 0:
            scratch.found = <ov_lanes*>self._pool.take(tables.rule_count, sizeof(ov_lanes))
            scratch.rows = <const uint64_t**>self._pool.take(tables.index.access_count, sizeof(uint64_t*))
            scratch.marks = <uint64_t*>self._pool.take(tables.index.mark_words, sizeof(uint64_t))
            scratch.marked = <uint32_t*>self._pool.take(tables.index.rule_count, sizeof(uint32_t))
        return 0

    cdef Matches match(self, list records, const ov_value* values, int64_t now, size_t threads):
        """Match records (bytes-like or None); `values` holds the context's already."""
        cdef Job job
        cdef Py_buffer* buffers
        cdef Packed* packed
        cdef Matches matches = Matches.__new__(Matches)
        cdef size_t count = <size_t>len(records)
        cdef size_t held = 0
        cdef size_t i, size
        cdef size_t blocks = (count + OV_BLOCK - 1) // OV_BLOCK
        threads = max(<size_t>1, min(threads, min(blocks, <size_t>OV_THREADS_MAX)))
        size = self._tables.rule_count * blocks * BLOCK_WORDS * 8
        if size > ANSWER_BYTES_MAX:
            raise RequestError(
                path="$.records", expected=f"an answer of at most {MATCHES_BYTES_MAX} bytes", got=str(size)
            )
        while self._scratch_count < threads:
            self._take_scratch(&self._scratch[self._scratch_count])
            self._scratch_count += 1
        for i in range(threads):
            memcpy(self._scratch[i].values, values, self._attributes.count * sizeof(ov_value))
        matches.rule_count, matches.profile_count = self._tables.rule_count, count
        matches._words = blocks * BLOCK_WORDS
        matches.bits = PyBytes_FromStringAndSize(NULL, size)
        memset(&job, 0, sizeof(Job))
        buffers = <Py_buffer*>calloc(count + 1, sizeof(Py_buffer))
        packed = <Packed*>calloc(count + 1, sizeof(Packed))
        try:
            if buffers == NULL or packed == NULL:
                raise MemoryError
            for i in range(count):
                if records[i] is not None:
                    PyObject_GetBuffer(records[i], &buffers[held], PyBUF_SIMPLE)
                    packed[i].record = <const octet_t*>buffers[held].buf
                    packed[i].size = <size_t>buffers[held].len
                    held += 1
            job.batch = <void*>self
            job.packed, job.count, job.now = packed, count, now
            job.out, job.words = <uint64_t*>PyBytes_AS_STRING(matches.bits), matches._words
            for i in range(threads):
                self._scratch[i].damaged = count
            with nogil:
                ov_on_threads(_work, &job, threads)
            if self._raised is not None:
                raised, self._raised = self._raised, None
                raise raised
            self._refuse_damaged(&job, threads)
        finally:
            for i in range(held):
                PyBuffer_Release(&buffers[i])
            free(buffers)
            free(packed)
        return matches

    cdef int _refuse_damaged(self, const Job* job, size_t threads) except -1:
        """Raise RecordError for the first record that is none."""
        cdef size_t first = job.count
        cdef size_t i
        cdef int fault = FAULT_NONE
        for i in range(threads):
            if self._scratch[i].damaged < first:
                first, fault = self._scratch[i].damaged, self._scratch[i].fault
        if first == job.count:
            return 0
        try:
            return require(fault, job.packed[first].size)
        except RecordError as error:
            path = f"$.records[{first}]{error.path[1:]}"
            raise RecordError(path=path, expected=error.expected, got=error.got) from error

    cdef void _run(self, Job* job, Scratch* scratch) noexcept nogil:
        """Take blocks until there are none."""
        cdef size_t blocks = (job.count + OV_BLOCK - 1) // OV_BLOCK
        cdef size_t block = ov_take_next(&job.next_block)
        while block < blocks:
            if self._check_block(job, block, scratch):
                self._run_block(job, block, scratch)
            block = ov_take_next(&job.next_block)

    cdef bint _check_block(self, const Job* job, size_t block, Scratch* scratch) noexcept nogil:
        """Check the records of a block before any of them is read."""
        cdef size_t at
        cdef int fault
        for at in range(block * OV_BLOCK, min((block + 1) * OV_BLOCK, job.count)):
            if job.packed[at].record == NULL:
                continue
            fault = check_record(job.packed[at].record, job.packed[at].size)
            if fault != FAULT_NONE:
                if at < scratch.damaged:
                    scratch.damaged, scratch.fault = at, fault
                return False
        return True

    cdef void _run_block(self, Job* job, size_t block, Scratch* scratch) noexcept nogil:
        """Match the profiles of one block and write its two words of each rule's row."""
        cdef size_t begin = block * OV_BLOCK
        cdef uint32_t lanes = <uint32_t>min(<size_t>OV_BLOCK, job.count - begin)
        cdef uint32_t lane, rule
        cdef size_t i
        cdef ov_lanes all_lanes = ov_first_lanes(lanes)
        cdef ov_lanes* plane = scratch.plane
        cdef uint32_t n = self._tables.conditions.width
        cdef const HasTest* has
        for i in range(self._tables.conditions.has_counts[<size_t>MATCH]):
            memset(&plane[self._tables.conditions.has[i].position], 0, sizeof(ov_lanes))
        for i in range(self._tables.conditions.program_counts[<size_t>MATCH]):
            memset(&plane[self._tables.conditions.programs[i].position], 0, sizeof(ov_lanes))
            memset(&plane[self._tables.conditions.programs[i].position + n], 0, sizeof(ov_lanes))
        for i in range(self._tables.conditions.general_counts[<size_t>MATCH]):
            memset(&plane[self._tables.conditions.generals[i].position], 0, sizeof(ov_lanes))
            memset(&plane[self._tables.conditions.generals[i].position + n], 0, sizeof(ov_lanes))
        for i in range(self._tables.conditions.text_counts[<size_t>MATCH]):
            memset(
                &plane[self._tables.conditions.texts[i].begin], 0,
                self._tables.conditions.texts[i].count * sizeof(ov_lanes),
            )
        for lane in range(lanes):
            self._attributes.load_record(job.packed[begin + lane].record, job.now, True, scratch.values)
            self._scatter(scratch, lane, job.now)
        plane[0] = all_lanes
        memset(&plane[n], 0, sizeof(ov_lanes))
        for i in range(self._tables.conditions.has_counts[<size_t>MATCH]):
            has = &self._tables.conditions.has[i]
            ov_false_lanes(&plane[has.position], &all_lanes, &plane[has.position + n])
        for i in range(self._tables.conditions.range_counts[<size_t>MATCH]):
            self._gather_range(&self._tables.conditions.ranges[i], i, scratch)
        for i in range(self._tables.conditions.text_counts[<size_t>MATCH]):
            self._gather_text(&self._tables.conditions.texts[i], i, scratch)
        ov_node_lanes(self._tables.groups, self._tables.group_counts[<size_t>MATCH], plane)
        if self._tables.conditions.general_counts[<size_t>MATCH] > 0:
            if self._want_generals(scratch, &all_lanes):
                self._settle_block(job, begin, lanes, scratch)
            self._open_nodes(plane)
        for i in range(self._tables.eager_count):
            memcpy(
                job.out + self._tables.eager[i] * job.words + block * BLOCK_WORDS,
                &plane[self._tables.eager_true[i]], sizeof(ov_lanes),
            )
        if self._tables.index.rule_count > 0:
            for rule in range(self._tables.rule_count):
                if self._tables.index.holds(rule):
                    memcpy(
                        job.out + rule * job.words + block * BLOCK_WORDS,
                        &scratch.found[rule], sizeof(ov_lanes),
                    )
                    memset(&scratch.found[rule], 0, sizeof(ov_lanes))

    cdef void _scatter(self, Scratch* scratch, uint32_t lane, int64_t now) noexcept nogil:
        """Leave the bits of one profile, whose values are in the scratch."""
        cdef uint32_t n = self._tables.conditions.width
        cdef const ov_value* value
        cdef const RangeGroup* group
        cdef const HasTest* has
        cdef const ProgramTest* program
        cdef size_t i, rank
        cdef int verdict
        cdef uint32_t found, k
        for i in range(self._tables.conditions.range_counts[<size_t>MATCH]):
            group = &self._tables.conditions.ranges[i]
            value = &scratch.values[group.attribute]
            if value.type == OV_MISSING:
                continue
            ov_set_lane(&scratch.rank_known[i], lane)
            if value.type != OV_FLOAT or value.real == value.real:
                rank = ov_rank(group.bounds, group.bound_count, value.number)
                ov_set_lane(&scratch.ranks[self._rank_begins[i] + rank], lane)
        for i in range(self._tables.conditions.text_counts[<size_t>MATCH]):
            value = &scratch.values[self._tables.conditions.texts[i].attribute]
            if value.type != OV_MISSING:
                self._scatter_text(&self._tables.conditions.texts[i], i, value, scratch, lane)
        for i in range(self._tables.conditions.has_counts[<size_t>MATCH]):
            has = &self._tables.conditions.has[i]
            if scratch.values[has.attribute].held:
                ov_set_lane(&scratch.plane[has.position], lane)
        for i in range(self._tables.conditions.program_counts[<size_t>MATCH]):
            program = &self._tables.conditions.programs[i]
            verdict = ov_run_program(program.steps, program.step_count, scratch.values, now)
            if verdict == 1:
                ov_set_lane(&scratch.plane[program.position], lane)
            elif verdict == 0:
                ov_set_lane(&scratch.plane[program.position + n], lane)
        if self._tables.index.rule_count > 0:
            self._tables.index.search(
                scratch.values, now, scratch.unknown, scratch.rows, scratch.marks, scratch.marked
            )
            found = self._tables.index.drain(scratch.marks, scratch.marked)
            if self._tables.index.rests:
                for k in range(found):
                    if self._tables.index.rests_on_general(scratch.marked[k]):
                        found = self._settle_found(scratch, now, found)
                        break
            for k in range(found):
                ov_set_lane(&scratch.found[scratch.marked[k]], lane)

    cdef void _scatter_text(
        self, const TextGroup* group, size_t number, const ov_value* value, Scratch* scratch, uint32_t lane
    ) noexcept nogil:
        cdef const char* at = value.text
        cdef ov_entry entry
        cdef uint16_t _i
        cdef uint32_t i
        ov_set_lane(&scratch.text_known[number], lane)
        if group.many:
            for _i in range(value.count):
                at = ov_next_entry(at, &entry)
                if entry.seen > value.cut:
                    i = find_literal(group, entry.hash, entry.text, entry.length)
                    if i < group.literal_count:
                        _touch(scratch, number, self._string_begins[number], i, lane)
            return
        if value.type != OV_STRING:  # empty ranges alone
            return
        i = find_literal(group, <uint64_t>value.number, value.text, value.length)
        if i < group.literal_count:
            _touch(scratch, number, self._string_begins[number], i, lane)
            if self._sets[number].sets != NULL:
                return
        for i in range(group.part_count):
            if part_holds(&group.parts[i], value.text, value.length):
                ov_set_lane(&scratch.plane[group.parts[i].position], lane)

    # General conditions: the vectors say of which profiles they are asked, then the GIL is held.

    cdef uint32_t _settle_found(
        self, Scratch* scratch, int64_t now, uint32_t found
    ) noexcept with gil:
        """Of the rules that the index found for the profile at hand, those that hold; returns how many."""
        cdef Generals generals = self._generals[scratch.number]
        try:
            generals.begin(scratch.values, now)
            return self._tables.index.settle(scratch.values, now, generals, scratch.marked, found)
        except BaseException as error:
            self._raised = error
            return 0

    cdef bint _want_generals(self, Scratch* scratch, const ov_lanes* all_lanes) noexcept nogil:
        """Note for which profiles each general condition makes a difference (`Tables._settle`); leaves the
        conditions at 0.
        """
        cdef const GeneralTest* tests = self._tables.conditions.generals
        cdef size_t count = self._tables.conditions.general_counts[<size_t>MATCH]
        cdef ov_lanes* plane = scratch.plane
        cdef uint32_t n = self._tables.conditions.width
        cdef const Root* root
        cdef size_t i, k
        cdef bint any_wanted = False
        for i in range(self._tables.root_counts[<size_t>MATCH]):
            scratch.least[i] = plane[self._tables.roots[i].position]
        for i in range(count):
            memset(&scratch.wanted[i], 0, sizeof(ov_lanes))
            plane[tests[i].position] = plane[tests[i].position + n] = all_lanes[0]
        self._open_nodes(plane)
        for i in range(self._tables.root_counts[<size_t>MATCH]):
            root = &self._tables.roots[i]
            for k in range(root.test_count):
                # A root that rests on many counts as resting on all, those of a trace too.
                if root.tests[k] < count:
                    ov_more_lanes(
                        &scratch.wanted[root.tests[k]], &plane[root.position], &scratch.least[i]
                    )
        for i in range(count):
            any_wanted |= ov_any_lane(&scratch.wanted[i])
            memset(&plane[tests[i].position], 0, sizeof(ov_lanes))
            memset(&plane[tests[i].position + n], 0, sizeof(ov_lanes))
        return any_wanted

    cdef void _settle_block(
        self, const Job* job, size_t begin, uint32_t lanes, Scratch* scratch
    ) noexcept with gil:
        """Evaluate the general conditions that are wanted, profile by profile, into the plane."""
        cdef Generals generals = self._generals[scratch.number]
        cdef const GeneralTest* tests = self._tables.conditions.generals
        cdef size_t count = self._tables.conditions.general_counts[<size_t>MATCH]
        cdef uint32_t n = self._tables.conditions.width
        cdef uint32_t lane
        cdef uint8_t state
        cdef size_t i
        cdef bint loaded
        try:
            for lane in range(lanes):
                loaded = False
                for i in range(count):
                    if not ov_has_lane(&scratch.wanted[i], lane):
                        continue
                    if not loaded:
                        self._attributes.load_record(
                            job.packed[begin + lane].record, job.now, True, scratch.values
                        )
                        generals.begin(scratch.values, job.now)
                        loaded = True
                    state = generals.ask(tests[i].number)
                    if state == G_TRUE:
                        ov_set_lane(&scratch.plane[tests[i].position], lane)
                    elif state == G_FALSE:
                        ov_set_lane(&scratch.plane[tests[i].position + n], lane)
        except BaseException as error:
            self._raised = error

    cdef void _open_nodes(self, ov_lanes* plane) noexcept nogil:
        """Run the nodes that rest on general conditions."""
        cdef size_t i, begin
        for i in range(<size_t>MATCH + 1):
            begin = self._tables.open_groups[i]
            ov_node_lanes(&self._tables.groups[begin], self._tables.group_counts[i] - begin, plane)

    cdef void _gather_range(
        self, const RangeGroup* group, size_t number, Scratch* scratch
    ) noexcept nogil:
        cdef ov_lanes* ranks = scratch.ranks + self._rank_begins[number]
        cdef ov_lanes known = scratch.rank_known[number]
        cdef ov_lanes* is_true = scratch.plane + group.begin
        cdef ov_lanes* is_false = is_true + self._tables.conditions.width
        cdef size_t i, low, span
        ov_sum_ranks(ranks, <size_t>group.bound_count + 1)
        for i in range(group.members):
            if group.width == 1:
                low, span = (<const uint8_t*>group.low)[i], (<const uint8_t*>group.span)[i]
            elif group.width == 2:
                low, span = (<const uint16_t*>group.low)[i], (<const uint16_t*>group.span)[i]
            else:
                low, span = (<const uint32_t*>group.low)[i], (<const uint32_t*>group.span)[i]
            ov_rank_lanes(ranks, low, span, known, &is_true[i], &is_false[i])
        memset(ranks, 0, (<size_t>group.bound_count + 1) * sizeof(ov_lanes))
        memset(&scratch.rank_known[number], 0, sizeof(ov_lanes))

    cdef void _gather_text(self, const TextGroup* group, size_t number, Scratch* scratch) noexcept nogil:
        cdef ov_lanes* strings = scratch.strings + self._string_begins[number]
        cdef const uint32_t* touched = scratch.touched + self._string_begins[number]
        cdef const QuadSets* sets = &self._sets[number]
        cdef const TextLiteral* literal
        cdef ov_lanes* is_true = scratch.plane + group.begin
        cdef uint32_t n = self._tables.conditions.width
        cdef size_t i, k
        if sets.sets != NULL:
            ov_make_quads(strings, sets.quads, scratch.quads)
            for i in range(group.count):
                ov_quad_lanes(scratch.quads, sets.quads, sets.sets + i * sets.quads, &is_true[i])
        else:
            for i in range(scratch.touched_counts[number]):
                literal = &group.literals[touched[i]]
                for k in range(literal.hit_count):
                    ov_or_lanes(&scratch.plane[literal.hits[k]], &strings[touched[i]])
        for i in range(group.count):
            ov_false_lanes(&is_true[i], &scratch.text_known[number], &is_true[i + n])
        for i in range(scratch.touched_counts[number]):
            memset(&strings[touched[i]], 0, sizeof(ov_lanes))
        scratch.touched_counts[number] = 0
        memset(&scratch.text_known[number], 0, sizeof(ov_lanes))


cdef void _work(void* argument, size_t number) noexcept with gil:
    """The GIL is held only to have a reference to the batch, which the caller keeps alive as well."""
    cdef Job* job = <Job*>argument
    cdef Batch batch = <Batch>job.batch
    with nogil:
        batch._run(job, &batch._scratch[number])


cdef void _touch(
    Scratch* scratch, size_t number, size_t begin, uint32_t literal, uint32_t lane
) noexcept nogil:
    """Note that the profile of a lane has a literal of a text group."""
    if not ov_any_lane(&scratch.strings[begin + literal]):
        scratch.touched[begin + scratch.touched_counts[number]] = literal
        scratch.touched_counts[number] += 1
    ov_set_lane(&scratch.strings[begin + literal], lane)
