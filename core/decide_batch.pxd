"""Many requests answered at one moment, on several threads."""

cimport cython
from cpython.buffer cimport Py_buffer
from libc.stdint cimport uint32_t

from core.answering cimport Asked, Question
from core.answers cimport Names
from core.questions cimport Questions

# What is left of an answer until its Decision is made: the body, then what Answers packs.
ctypedef struct Result:
    size_t line              # of the thread that made it
    size_t at                # where it begins among the answers of that line
    size_t body_size
    size_t packed_size
    uint32_t answer_count
    uint32_t refusal_count
    uint32_t assigned_count
    bint stale


# A batch while it is answered.
ctypedef struct Work:
    size_t count
    size_t next              # taken by one thread after the other
    const Question* questions
    Result* results


@cython.final
cdef class DecideBatch:
    cdef object _document
    cdef object _revision
    cdef str _content_hash
    cdef list _lines         # an Answering for each thread
    cdef list _kept          # and an Output with the answers that it has made
    cdef Work _work
    cdef object _raised      # what ended a thread's work

    cdef list decide(
        self,
        engine,
        Names names,
        Questions questions,
        list records,
        list requests,
        now_ms,
        bint at_edge,
        size_t threads,
    )

    cdef int _ask(
        self, Questions questions, Py_buffer* buffers, Question* into, Asked* asked, list records,
        list requests, now_ms, bint at_edge,
    ) except -1
    cdef int _run(self, size_t threads) except -1
    cdef list _decisions(self, engine, Names names, list requests)
