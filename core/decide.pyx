"""The decision: bundle, record, overlay, request and now in, JSON bytes out
(docs/decisions/0002-decision.md).

`Engine` loads a bundle and answers requests; `core.answering` makes an answer, `core.kernel` has the steps
for one placement.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t
from libc.string cimport memset

from core._types cimport octet_t
from core.answering cimport Answering, Question
from core.answers cimport Names
from core.answers cimport Decision as Answered
from core.batch cimport Batch
from core.conditions cimport MATCH
from core.decide_batch cimport DecideBatch
from core.kernel cimport Kernel, Situation, View
from core.questions cimport Questions
from core.record cimport require_record

import msgspec

from core import reasons, trace
from core.batch import MATCHES_BYTES_MAX, THREADS_MAX, Matches  # no-cython-lint
from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS, REFUSED_LOGGED_MAX, Decision  # no-cython-lint
from core.bundle import content_hash, decode_bundle
from core.check import check_bundle
from core.fold import FoldPlan, fold_overlay
from core.request import Request  # no-cython-lint


cdef bytes NO_UNIT_KEY = bytes(16)


@cython.final
cdef class Engine:
    """One bundle, checked as a whole, ready to decide.

    It has scratch memory of its own and is used by one thread at a time; a second one is refused with
    RuntimeError.
    """

    cdef readonly object revision
    cdef readonly str content_hash
    cdef readonly object document
    cdef readonly object fold_plan
    cdef Answering _answering
    cdef Kernel _kernel              # that of _answering
    cdef Names _names
    cdef Questions _questions
    cdef Batch _batch                # None until a batch is matched
    cdef DecideBatch _decide_batch   # None until a batch is decided
    cdef bint _busy
    cdef bint _batch_busy

    def __cinit__(self, bytes content not None, revision):
        document = decode_bundle(content)
        check_bundle(document)
        self.document = document
        self.revision = revision
        self.content_hash = content_hash(content)
        self.fold_plan = FoldPlan(document)
        self._answering = Answering(document, revision, self.content_hash)
        self._kernel = self._answering.kernel
        self._names = Names(document)
        names = [placement.id for placement in document.placements]
        self._questions = Questions(names, self._kernel.candidates)

    def __reduce__(self):
        raise TypeError("an Engine holds addresses and cannot be pickled")

    def decide(self, record, overlay, request not None, now_ms, *, at_edge=True):
        """Answer every placement of the request.

        Parameters
        ----------
        record : bytes-like or None
            A packed profile record; only read during the call.
        overlay : sequence of Event
            Events after the record's watermark, in any order.
        request : Request
        now_ms : int
            ms since 1970 UTC.
        at_edge : bool
            Whether an edge answers, which does not know placements of the hub.

        Raises
        ------
        RecordError
            The record is damaged.
        RequestError
            More than PLACEMENTS_MAX placements, or a unit key, id or time of another form.
        """
        cdef object folded = record
        self._enter()
        try:
            self._questions.require(request, now_ms, -1)
            if len(overlay):
                folded = fold_overlay(
                    record,
                    overlay,
                    self.fold_plan,
                    unit_key=request.unit_key,
                    now_ms=now_ms,
                    layout_id=self.document.layout_id,
                )
            return self._decide(folded, request, now_ms, at_edge)
        finally:
            self._leave()

    def fallback(self, request not None, now_ms, str reason not None, *, at_edge=True):
        """Answer every placement with its generic content, for `reason`: what a node does instead of
        deciding.
        """
        cdef Question question
        self._enter()
        try:
            self._questions.require(request, now_ms, -1)
            # Nothing is assigned, so the unit key need not even be one: what could not be decided answers.
            nobody = msgspec.structs.replace(request, unit_key=NO_UNIT_KEY)
            self._questions.take(&question, self._questions.asked, NULL, nobody, now_ms, at_edge, -1)
            question.is_fallback = True
            question.cause.reason = reasons.INDEX[reason]
            return self._answer(&question, request)
        finally:
            self._leave()

    def decide_batch(
        self, list records not None, list requests not None, now_ms, *, at_edge=True, size_t threads=1
    ):
        """Answer many requests at one moment, without the GIL.

        Each is answered as `decide` would without an overlay. Requests that share one `context` object are
        answered without taking the GIL at all, unless the catalogue has general conditions. May be called
        while another thread uses the engine for something else.

        Parameters
        ----------
        records : list of bytes-like or None
            The packed profile record for each request; only read during the call.
        requests : list of Request
            As many; none of them may ask for a trace.
        now_ms : int
            ms since 1970 UTC, the same for all.
        at_edge : bool
            As for `decide`.
        threads : int
            How many threads share the work, at most THREADS_MAX. Each keeps tables and scratch memory of its
            own from its first batch on.

        Returns
        -------
        list of Decision

        Raises
        ------
        RecordError
            A record is damaged; the path says which, the first if several are.
        RequestError
            A request is of another form; the path says which.
        """
        if self._batch_busy:
            raise RuntimeError("the engine is deciding a batch in another thread")
        self._batch_busy = True
        try:
            if self._decide_batch is None:
                self._decide_batch = DecideBatch(self.document, self.revision, self.content_hash)
            return self._decide_batch.decide(
                self, self._names, self._questions, records, requests, now_ms, at_edge, threads
            )
        finally:
            self._batch_busy = False

    def match(self, record, dict context not None, now_ms):
        """Indexes of the rules that are definitely true."""
        cdef Situation situation
        cdef Py_buffer buffer
        cdef const View* view
        self._enter()
        try:
            self._look_at(&situation, &buffer, record, context, now_ms)
            try:
                view = self._kernel.view(False, &situation, MATCH)
                return self._kernel.tables.matching(view.values, now_ms, view.literals)
            finally:
                PyBuffer_Release(&buffer)
        finally:
            self._leave()

    def match_batch(self, list records not None, now_ms, *, dict context=None, size_t threads=1):
        """Match many profiles at once, without the GIL.

        Parameters
        ----------
        records : list of bytes-like or None
            Packed profile records, None for nobody known; only read during the call.
        now_ms : int
            ms since 1970 UTC, the same for all.
        context : dict
            The request's facts, the same for all.
        threads : int
            How many threads share the work, at most THREADS_MAX.

        Returns
        -------
        Matches
            The same rules for each profile as `match` finds.

        Raises
        ------
        RecordError
            A record is damaged; the path says which, the first if several are.
        RequestError
            The answer would be larger than MATCHES_BYTES_MAX.
        """
        self._enter()
        try:
            if self._batch is None:
                self._batch = Batch(self._kernel.tables, self._kernel.attributes)
            # The context's strings and lists belong to `context` and the attributes, which last as long as
            # the call.
            return self._batch.match(
                records, self._kernel.context_values({} if context is None else context), now_ms, threads
            )
        finally:
            self._leave()

    def score(self, record, dict context not None, now_ms):
        """Outputs of the models, in the bundle's order, for a profile whatever it has consented to.

        Those that read the offer give what one without attributes would get.
        """
        cdef Situation situation
        cdef Py_buffer buffer
        self._enter()
        try:
            self._look_at(&situation, &buffer, record, context, now_ms)
            try:
                return self._kernel.score(&situation)
            finally:
                PyBuffer_Release(&buffer)
        finally:
            self._leave()

    cdef int _look_at(
        self, Situation* situation, Py_buffer* buffer, record, dict context, now_ms
    ) except -1:
        """A profile alone, whose buffer the caller releases. Raises RecordError if the record is damaged."""
        memset(situation, 0, sizeof(Situation))
        memset(buffer, 0, sizeof(Py_buffer))
        situation.now_ms = now_ms
        situation.context = <PyObject*>context
        if record is None:
            return 0
        PyObject_GetBuffer(record, buffer, PyBUF_SIMPLE)
        try:
            require_record(<const octet_t*>buffer.buf, <size_t>buffer.len)
        except BaseException:
            PyBuffer_Release(buffer)
            raise
        situation.record = <const octet_t*>buffer.buf
        return 0

    cdef int _enter(self) except -1:
        """Take the engine's scratch memory."""
        if self._busy:
            raise RuntimeError("the engine is deciding in another thread")
        self._busy = True
        return 0

    cdef int _leave(self) except -1:
        """Clear what was marked, so that the next call begins clean whatever happened."""
        self._answering.clear()
        self._kernel.scored = self._kernel.arbitration.ranked = None
        self._busy = False
        return 0

    cdef Answered _decide(self, record, request, now_ms, bint at_edge):
        cdef Question question
        cdef Py_buffer buffer
        if record is None:
            self._questions.take(&question, self._questions.asked, NULL, request, now_ms, at_edge, -1)
            return self._answer(&question, request)
        PyObject_GetBuffer(record, &buffer, PyBUF_SIMPLE)
        try:
            require_record(<const octet_t*>buffer.buf, <size_t>buffer.len)
            self._questions.take(
                &question, self._questions.asked, <const octet_t*>buffer.buf, request, now_ms, at_edge, -1
            )
            return self._answer(&question, request)
        finally:
            PyBuffer_Release(&buffer)

    cdef Answered _answer(self, const Question* question, request):
        cdef Answered decision = Answered.__new__(Answered)
        self._answering.answer(question)
        decision.fill(
            self._kernel.answers.pack(),
            self._kernel.answers.answer_count,
            self._kernel.answers.refusal_count,
            self._kernel.answers.assigned_count,
        )
        decision.belong(self, self._names, request)
        decision.note(
            question.situation.now_ms,
            question.situation.sequence,
            question.situation.age_ms,
            question.situation.starter,
            self._answering.is_stale(&question.situation),
        )
        self._kernel.out.raw(b"}", 1)
        if self._answering.scores is not None:
            self._write_trace(decision, &question.situation)
        self._kernel.out.raw(b"}", 1)
        decision.body = self._kernel.out.take()
        return decision

    cdef int _write_trace(self, Answered decision, const Situation* situation) except -1:
        cdef uint32_t i
        cdef bytes rows
        cdef list scores = self._answering.scores
        answered = [decision.answered(i, scores[i]) for i in range(decision._answer_count)]
        seen = {
            anonymous: trace.Seen(*self._kernel.explain(anonymous, situation))
            for anonymous in trace.views_needed(self.document, answered)
        }
        rows = msgspec.json.encode(
            trace.trace_rows(self.document, answered, seen.__getitem__, situation.now_ms)
        )
        self._kernel.out.literal(b',"trace":')
        return self._kernel.out.raw(rows, <size_t>len(rows))
