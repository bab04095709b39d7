"""One answer at a time (docs/decisions/0002-decision.md, "Output"); `core.kernel` has the steps for one
placement. `core.decide` answers one request with it, `core.decide_batch` many with several.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from core.answers cimport R_UNKNOWN_PLACEMENT, Answer
from core.kernel cimport Kernel, Situation
from core.memory cimport Pool

import msgspec


@cython.final
cdef class Answering:
    """The kernel of one bundle and what its answers begin with."""

    def __cinit__(self, document not None, revision, str content_hash not None):
        cdef bytes head
        self._pool = Pool()
        self.kernel = Kernel(document)
        self._stale_after_ms = document.stale_after_ms
        self._answered = <uint8_t*>self._pool.take(len(document.placements), 1)
        head = (
            b',"bundle":' + msgspec.json.encode({"revision": revision, "hash": content_hash})
            + b',"profile":{"sequence":'
        )
        self._head.text = self._pool.copy(head)
        self._head.length = <uint32_t>len(head)

    def __reduce__(self):
        raise TypeError("Answering holds addresses and cannot be pickled")

    cdef int answer(self, const Question* question) except -1:
        self.scores = [] if question.traced else None
        self.begin(question)
        while self._next < question.asked_count:
            try:
                self.go_on(question)
            except Exception:
                if not self._inside:
                    raise
                self.fail()
        return 0

    cdef int begin(self, const Question* question) except -1 nogil:
        cdef const Situation* situation = &question.situation
        self.kernel.decision_id = question.decision_id
        self.kernel.out.clear()
        self.kernel.answers.clear()
        self._next = 0
        self._inside = False
        self.kernel.out.raw(b'{"id":', 6)
        self.kernel.out.utf8(question.decision_id.text, question.decision_id.length)
        self.kernel.out.raw(b',"now":', 7)
        self.kernel.out.timestamp(situation.now_ms)
        self.kernel.out.piece(self._head)
        self.kernel.out.integer(<int64_t>situation.sequence)
        self.kernel.out.literal(b',"age_ms":')
        self.kernel.out.integer(situation.age_ms)
        self.kernel.out.literal(b',"stale":')
        self.kernel.out.boolean(self.is_stale(situation))
        self.kernel.out.literal(b',"starter":')
        self.kernel.out.boolean(situation.starter)
        return self.kernel.out.literal(b'},"placements":{')

    cdef int go_on(self, const Question* question) except -1 nogil:
        cdef Answer* answer
        while self._next < question.asked_count:
            self._next = self._next + 1
            answer = self._begin_answer(self._next - 1, &question.asked[self._next - 1])
            if answer == NULL:
                continue
            if question.traced:
                with gil:
                    self._begin_scores()
            if answer.placement < 0:
                continue
            if question.is_fallback:
                self.kernel.write_fallback(answer, question.cause)
            else:
                self._inside = True
                self.kernel.answer(answer, &question.situation)
                self._inside = False
        return 0

    cdef Answer* _begin_answer(self, uint32_t number, const Asked* asked) except? NULL nogil:
        """The answer of a placement with its key written; NULL where it was answered already.

        An unknown one is answered here.
        """
        cdef Answer* answer
        if asked.repeated or (asked.placement >= 0 and self._answered[asked.placement]):
            return NULL
        answer = self.kernel.answers.begin(number)
        if self.kernel.answers.answer_count > 1:
            self.kernel.out.raw(b",", 1)
        if asked.placement >= 0:
            answer.placement = asked.placement
            self._answered[asked.placement] = 1
            self.kernel.out.piece(self.kernel.candidates.placements[asked.placement].key)
            return answer
        answer.cause.reason = R_UNKNOWN_PLACEMENT
        self.kernel.out.utf8(asked.name.text, asked.name.length)
        self.kernel.out.literal(b':{"offer":null,"treatment":null,"blocks":{},"fallback":true,"reason":')
        self.kernel.write_end(answer)
        return answer

    cdef int _begin_scores(self) except -1:
        self.kernel.scored = []
        self.kernel.arbitration.ranked = []
        self.scores.append((self.kernel.scored, self.kernel.arbitration.ranked))
        return 0

    cdef bint is_inside(self) noexcept nogil:
        return self._inside

    cdef int fail(self) except -1:
        self._inside = False
        return self.kernel.fail()

    cdef bint is_stale(self, const Situation* situation) noexcept nogil:
        return situation.age_ms > self._stale_after_ms

    cdef void clear(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.kernel.answers.answer_count):
            if self.kernel.answers.answers[i].placement >= 0:
                self._answered[self.kernel.answers.answers[i].placement] = 0
        self.kernel.clear()
