"""Trees of a bundle: checked as a whole, then held as the arrays that trees.h reads."""

cimport cython
from libc.math cimport INFINITY, isfinite, isnan
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from core.memory cimport Pool

from core import bundle
from core.check_programs import fail

TREES_MAX = 10_000
LEAVES_MAX = 4_096
ENTRIES_MAX = 4_000_000
INPUTS_MAX = 4_096


@cython.final
cdef class Ensemble:
    """The tables of one model. Raises BundleError at the first index, bound or order that is not as
    `core/bundle.py` says: after that no row can make trees.h read outside of them.
    """

    def __cinit__(self, str path not None, trees not None):
        self._pool = Pool()
        self._count(path, trees)
        self._lists(path, trees)
        self.trees.words = <const uint32_t*>self._array(
            f"{path}.words", trees.words, 4, self.trees.entry_count
        )
        self.trees.wide = <const uint64_t*>self._array(
            f"{path}.keeps", trees.keeps, 8, self.trees.entry_count
        )
        self._thresholds(f"{path}.thresholds", trees.thresholds)
        self._entries(path)
        self._sets(path, trees.sets, trees.bits)
        self._narrow()

    def __reduce__(self):
        raise TypeError("an Ensemble holds addresses and cannot be pickled")

    cdef const void* _array(self, str path, bytes content, size_t size, size_t count) except NULL:
        """A copy of an array of `count` elements of `size` bytes."""
        cdef void* copy
        if <size_t>len(content) != size * count:
            fail(path, f"{size * count} bytes", len(content))
        copy = self._pool.take(count, size)
        memcpy(copy, <const char*>content, size * count)
        return copy

    cdef int _count(self, str path, trees) except -1:
        """Trees, their words and their leaves."""
        cdef uint32_t* tree_words
        cdef uint32_t* word_leaves
        cdef const double* leaves
        cdef uint32_t words = 0, first = 0
        cdef size_t i, k
        if trees.library not in (bundle.LIGHTGBM, bundle.XGBOOST):
            fail(f"{path}.library", "0 or 1", trees.library)
        if not isfinite(<double>trees.base):
            fail(f"{path}.base", "a finite number", trees.base)
        if len(trees.leaf_counts) > TREES_MAX:
            fail(f"{path}.leaf_counts", f"at most {TREES_MAX} trees", len(trees.leaf_counts))
        for count in trees.leaf_counts:
            if not 1 <= count <= LEAVES_MAX:
                fail(f"{path}.leaf_counts", f"1 to {LEAVES_MAX} leaves", count)
            words += <uint32_t>((count + OV_WORD_BITS - 1) // OV_WORD_BITS)
        self.trees.library = trees.library
        self.trees.base = trees.base
        self.trees.tree_count = <uint32_t>len(trees.leaf_counts)
        self.trees.word_count = words
        tree_words = <uint32_t*>self._pool.take(<size_t>self.trees.tree_count + 1, sizeof(uint32_t))
        word_leaves = <uint32_t*>self._pool.take(<size_t>words + 1, sizeof(uint32_t))
        words = 0
        for i, count in enumerate(trees.leaf_counts):
            tree_words[i] = words
            for k in range(0, <size_t>count, OV_WORD_BITS):
                word_leaves[words] = first + <uint32_t>k
                words += 1
            first += <uint32_t>count
        tree_words[self.trees.tree_count] = words
        word_leaves[words] = first
        self.trees.tree_words = tree_words
        self.trees.word_leaves = word_leaves
        leaves = <const double*>self._array(f"{path}.leaves", trees.leaves, 8, first)
        for i in range(first):
            if not isfinite(leaves[i]):
                fail(f"{path}.leaves", "finite numbers", leaves[i])
        self.trees.leaves = leaves
        return 0

    cdef int _lists(self, str path, trees) except -1:
        """Where the lists of each column begin and end."""
        cdef ov_column* columns
        cdef uint32_t numeric = 0, category, missing, zero
        cdef size_t i
        if len(trees.columns) > INPUTS_MAX:
            fail(f"{path}.columns", f"at most {INPUTS_MAX} columns", len(trees.columns))
        for i, column in enumerate(trees.columns):
            for count in (column.numeric, column.category, column.missing, column.zero):
                if not 0 <= count <= ENTRIES_MAX:
                    fail(f"{path}.columns[{i}]", f"0 to {ENTRIES_MAX} entries", count)
        sums = [
            sum([getattr(column, name) for column in trees.columns])
            for name in ("numeric", "category", "missing", "zero")
        ]
        if sum(sums) > ENTRIES_MAX:
            fail(f"{path}.columns", f"at most {ENTRIES_MAX} entries", sum(sums))
        columns = <ov_column*>self._pool.take(len(trees.columns), sizeof(ov_column))
        category = sums[0]
        missing = category + <uint32_t>sums[1]
        zero = missing + <uint32_t>sums[2]
        self.trees.first_set = category
        self.trees.entry_count = zero + <uint32_t>sums[3]
        for i, column in enumerate(trees.columns):
            columns[i].numeric = numeric
            columns[i].category = category
            columns[i].missing = missing
            columns[i].zero = zero
            numeric += <uint32_t>column.numeric
            category += <uint32_t>column.category
            missing += <uint32_t>column.missing
            zero += <uint32_t>column.zero
            columns[i].numeric_end = numeric
            columns[i].category_end = category
            columns[i].missing_end = missing
            columns[i].zero_end = zero
            columns[i].zero_is_missing = column.zero_is_missing
            columns[i].has_special = column.zero_is_missing or column.category > 0
            columns[i].of_offer = i < <size_t>len(trees.inputs) and trees.inputs[i].column >= 0
        self.trees.columns = columns
        self.trees.column_count = <uint32_t>len(trees.columns)
        return 0

    cdef int _thresholds(self, str path, bytes content) except -1:
        """Ascending in each column, and infinity, above which nothing is, after each column's."""
        cdef const double* given = <const double*>self._array(path, content, 8, self.trees.first_set)
        cdef double* thresholds
        cdef uint32_t c, i
        thresholds = <double*>self._pool.take(
            <size_t>self.trees.first_set + self.trees.column_count, sizeof(double)
        )
        for c in range(self.trees.column_count):
            for i in range(self.trees.columns[c].numeric, self.trees.columns[c].numeric_end):
                if isnan(given[i]) or (i > self.trees.columns[c].numeric and given[i] < given[i - 1]):
                    fail(path, "ascending numbers in each column", given[i])
                thresholds[i + c] = given[i]
            thresholds[self.trees.columns[c].numeric_end + c] = INFINITY
        self.trees.thresholds = thresholds
        return 0

    cdef int _entries(self, str path) except -1:
        """Entries are of words that there are, and keep their tree's last leaf."""
        cdef uint64_t* kept = <uint64_t*>self._pool.take(self.trees.word_count, sizeof(uint64_t))
        cdef uint32_t i, last, tree
        for tree in range(self.trees.tree_count):
            last = self.trees.tree_words[tree + 1] - 1
            kept[last] = <uint64_t>1 << (self.trees.word_leaves[last + 1] - self.trees.word_leaves[last] - 1)
        for i in range(self.trees.entry_count):
            if self.trees.words[i] >= self.trees.word_count:
                fail(f"{path}.words", f"a number below {self.trees.word_count}", self.trees.words[i])
            if ~self.trees.wide[i] & kept[self.trees.words[i]]:
                fail(f"{path}.keeps", "entries that keep a tree's last leaf", hex(self.trees.wide[i]))
        return 0

    cdef int _sets(self, str path, bytes sets, bytes bits) except -1:
        cdef uint32_t count = 0, c, i
        cdef uint64_t held = <uint64_t>len(bits) // 4
        for c in range(self.trees.column_count):
            count += self.trees.columns[c].category_end - self.trees.columns[c].category
        self.trees.sets = <const ov_set*>self._array(f"{path}.sets", sets, sizeof(ov_set), count)
        self.trees.bits = <const uint32_t*>self._array(f"{path}.bits", bits, 4, held)
        for i in range(count):
            if <uint64_t>self.trees.sets[i].begin + self.trees.sets[i].count > held:
                fail(f"{path}.sets", f"a part of {held} words", self.trees.sets[i].begin)
        return 0

    cdef int _narrow(self) except -1:
        """Half the memory to go through, where no tree needs more."""
        cdef uint32_t* narrow
        cdef uint32_t i
        for i in range(self.trees.word_count):
            if self.trees.word_leaves[i + 1] - self.trees.word_leaves[i] > OV_NARROW_BITS:
                return 0
        if self.trees.word_count != self.trees.tree_count:
            return 0
        narrow = <uint32_t*>self._pool.take(self.trees.entry_count, sizeof(uint32_t))
        for i in range(self.trees.entry_count):
            narrow[i] = <uint32_t>self.trees.wide[i]
        self.trees.narrow = narrow
        return 0
