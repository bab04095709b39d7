"""The decision: bundle, record, overlay, request and now in, JSON bytes out
(docs/decisions/0002-decision.md).

`Engine` loads a bundle and answers requests; `core.kernel` has the steps for one placement.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memset

from core._types cimport octet_t
from core.answers cimport (
    CAUSE_NONE,
    PLACEMENTS_MAX,
    R_OK,
    R_UNKNOWN_PLACEMENT,
    Answer,
    Answers,
    Cause,
    Names,
)
from core.answers cimport Decision as Answered
from core.batch cimport Batch
from core.candidates cimport Placement
from core.kernel cimport Kernel, Situation, View
from core.memory cimport Pool
from core.output cimport YEAR_1_MS, YEAR_10000_MS, Output, Piece
from core.record cimport RecordHeader, header_at, require_record
from core.conditions cimport MATCH

import msgspec

from core import reasons, trace
from core.batch import MATCHES_BYTES_MAX, THREADS_MAX, Matches  # no-cython-lint
from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS, REFUSED_LOGGED_MAX, Decision  # no-cython-lint
from core.bundle import content_hash, decode_bundle
from core.check import check_bundle
from core.errors import RequestError
from core.fold import FoldPlan, fold_overlay
from core.request import Request  # no-cython-lint

cdef enum:
    UNIT_KEY_SIZE = 16


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
    cdef Kernel _kernel
    cdef Names _names
    cdef Pool _pool
    cdef dict _placements            # id -> index
    cdef Piece _head                 # ,"bundle":{...},"profile":{"sequence":
    cdef int64_t _stale_after_ms
    cdef uint8_t* _answered          # scratch: by placement
    cdef Batch _batch                # None until a batch is asked for
    cdef bint _busy

    def __cinit__(self, bytes content not None, revision):
        cdef bytes head
        document = decode_bundle(content)
        check_bundle(document)
        self.document = document
        self.revision = revision
        self.content_hash = content_hash(content)
        self.fold_plan = FoldPlan(document)
        self._kernel = Kernel(document)
        self._names = Names(document)
        self._pool = Pool()
        self._placements = {placement.id: i for i, placement in enumerate(document.placements)}
        self._stale_after_ms = document.stale_after_ms
        self._answered = <uint8_t*>self._pool.take(len(document.placements), 1)
        head = (
            b',"bundle":' + msgspec.json.encode({"revision": revision, "hash": self.content_hash})
            + b',"profile":{"sequence":'
        )
        self._head.text = self._pool.copy(head)
        self._head.length = <uint32_t>len(head)

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
        cdef Py_buffer buffer
        cdef object folded = record
        self._enter(request, now_ms)
        try:
            if len(overlay):
                folded = fold_overlay(
                    record,
                    overlay,
                    self.fold_plan,
                    unit_key=request.unit_key,
                    now_ms=now_ms,
                    layout_id=self.document.layout_id,
                )
            if folded is None:
                return self._decide(NULL, request, now_ms, at_edge)
            PyObject_GetBuffer(folded, &buffer, PyBUF_SIMPLE)
            try:
                require_record(<const octet_t*>buffer.buf, <size_t>buffer.len)
                return self._decide(<const octet_t*>buffer.buf, request, now_ms, at_edge)
            finally:
                PyBuffer_Release(&buffer)
        finally:
            self._leave()

    def fallback(self, request not None, now_ms, str reason not None, *, at_edge=True):
        """Answer every placement with its generic content, for `reason`: what a node does instead of
        deciding.
        """
        cdef Situation situation
        cdef Answer* answer
        cdef uint32_t i
        cdef Cause cause
        cdef list scores = None
        cause.kind = CAUSE_NONE
        cause.number = 0
        cause.reason = reasons.INDEX[reason]
        self._enter(request, now_ms)
        try:
            memset(&situation, 0, sizeof(Situation))
            situation.now_ms = now_ms
            situation.starter = True
            situation.at_edge = at_edge
            self._begin(request, &situation)
            for i in range(<uint32_t>len(request.placements)):
                answer = self._begin_answer(request, i, &situation)
                if answer != NULL and answer.placement >= 0:
                    self._kernel.write_fallback(answer, cause)
            if request.trace:
                scores = [([], [])] * self._kernel.answers.answer_count
            return self._finish(request, &situation, scores)
        finally:
            self._leave()

    def match(self, record, dict context not None, now_ms):
        """Indexes of the rules that are definitely true."""
        cdef Py_buffer buffer
        if self._busy:
            raise RuntimeError("the engine is deciding in another thread")
        self._busy = True
        try:
            if record is None:
                return self._match(NULL, context, now_ms)
            PyObject_GetBuffer(record, &buffer, PyBUF_SIMPLE)
            try:
                require_record(<const octet_t*>buffer.buf, <size_t>buffer.len)
                return self._match(<const octet_t*>buffer.buf, context, now_ms)
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
        if self._busy:
            raise RuntimeError("the engine is deciding in another thread")
        self._busy = True
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
        """Outputs of the models, in the bundle's order, for a profile whatever it has consented to."""
        cdef Py_buffer buffer
        if self._busy:
            raise RuntimeError("the engine is deciding in another thread")
        self._busy = True
        try:
            if record is None:
                return self._score(NULL, context, now_ms)
            PyObject_GetBuffer(record, &buffer, PyBUF_SIMPLE)
            try:
                require_record(<const octet_t*>buffer.buf, <size_t>buffer.len)
                return self._score(<const octet_t*>buffer.buf, context, now_ms)
            finally:
                PyBuffer_Release(&buffer)
        finally:
            self._leave()

    cdef list _score(self, const octet_t* record, dict context, int64_t now_ms):
        cdef Situation situation
        memset(&situation, 0, sizeof(Situation))
        situation.record = record
        situation.now_ms = now_ms
        return self._kernel.score(&situation, context)

    cdef list _match(self, const octet_t* record, dict context, int64_t now_ms):
        cdef Situation situation
        cdef const View* view
        memset(&situation, 0, sizeof(Situation))
        situation.record = record
        situation.now_ms = now_ms
        view = self._kernel.view(False, &situation, context, MATCH)
        return self._kernel.tables.matching(view.values, now_ms, view.literals)

    cdef int _enter(self, request, now_ms) except -1:
        """Refuse what no decision can be made of, and take the engine's scratch memory."""
        if self._busy:
            raise RuntimeError("the engine is deciding in another thread")
        count = len(request.placements)
        if count > PLACEMENTS_MAX:
            raise RequestError(path="$.placements", expected=f"at most {PLACEMENTS_MAX}", got=str(count))
        size = len(request.unit_key)
        if size != UNIT_KEY_SIZE:
            raise RequestError(path="$.unit_key", expected=f"{UNIT_KEY_SIZE} bytes", got=str(size))
        if not <int64_t>YEAR_1_MS <= now_ms < <int64_t>YEAR_10000_MS:
            raise RequestError(path="$.now", expected="a time of the years 1 to 9999", got=str(now_ms))
        self._busy = True
        self._kernel.decision_id = request.decision_id
        self._kernel.out.clear()
        self._kernel.answers.clear()
        return 0

    cdef void _leave(self) noexcept:
        """Clear what this decision marked, so that the next one begins clean whatever happened."""
        cdef Answers answers = self._kernel.answers
        cdef uint32_t i
        for i in range(answers.answer_count):
            if answers.answers[i].placement >= 0:
                self._answered[answers.answers[i].placement] = 0
        self._kernel.clear()
        self._busy = False

    # The body.

    cdef Answered _decide(self, const octet_t* record, request, int64_t now_ms, bint at_edge):
        cdef Situation situation
        cdef RecordHeader header
        cdef uint32_t i
        cdef Answer* answer
        cdef bytes unit_key = request.unit_key
        cdef list scores = None  # by answer, if a trace was asked for
        memset(&situation, 0, sizeof(Situation))
        situation.record = record
        situation.unit_key = <const octet_t*><const char*>unit_key
        situation.now_ms = now_ms
        situation.starter = record == NULL
        situation.named = request.named
        situation.opted_out = request.context.get("gpc") is True
        situation.at_edge = at_edge
        if record != NULL:
            header = header_at(record)
            situation.unit_key = header.unit_key
            situation.sequence = header.sequence
            # Both lie within the years that times are checked to, so the difference cannot overflow.
            situation.age_ms = max(0, now_ms - header.packed_at_ms)
        if request.trace:
            scores = []
        self._begin(request, &situation)
        for i in range(<uint32_t>len(request.placements)):
            answer = self._begin_answer(request, i, &situation)
            if answer == NULL:
                continue
            if scores is not None:
                self._kernel.scored = []
                self._kernel.arbitration.ranked = []
                scores.append((self._kernel.scored, self._kernel.arbitration.ranked))
            if answer.placement >= 0:
                self._kernel.answer(answer, &situation, request.context)
        return self._finish(request, &situation, scores)

    cdef int _begin(self, request, const Situation* situation) except -1:
        cdef Output out = self._kernel.out
        out.raw(b'{"id":', 6)
        try:
            out.string(request.decision_id)
        except UnicodeEncodeError as error:
            raise RequestError(path="$.decision_id", expected="text", got="a lone surrogate") from error
        out.raw(b',"now":', 7)
        out.timestamp(situation.now_ms)
        out.piece(self._head)
        out.integer(<int64_t>situation.sequence)
        out.literal(b',"age_ms":')
        out.integer(situation.age_ms)
        out.literal(b',"stale":')
        out.boolean(situation.age_ms > self._stale_after_ms)
        out.literal(b',"starter":')
        out.boolean(situation.starter)
        return out.literal(b'},"placements":{')

    cdef Answer* _begin_answer(self, request, uint32_t asked, const Situation* situation) except? NULL:
        """The answer of the next placement with its key written; NULL where it was answered already.

        An unknown one is answered here.
        """
        cdef Answer* answer
        cdef PyObject* found
        cdef uint32_t index
        cdef tuple names = request.placements
        cdef const Placement* placement
        cdef Output out = self._kernel.out
        found = PyDict_GetItemWithError(self._placements, names[asked])
        if found != NULL:
            index = <object>found
            placement = &self._kernel.candidates.placements[index]
            if not (placement.at_hub and situation.at_edge):
                if self._answered[index]:
                    return NULL
                answer = self._kernel.answers.begin(asked)
                answer.placement = <int32_t>index
                self._answered[index] = 1
                self._separate()
                out.piece(placement.key)
                return answer
        if names[asked] in names[:asked]:
            return NULL
        answer = self._kernel.answers.begin(asked)
        answer.cause.reason = R_UNKNOWN_PLACEMENT
        self._separate()
        try:
            out.string(names[asked])
        except UnicodeEncodeError as error:
            where = f"$.placements[{asked}]"
            raise RequestError(path=where, expected="text", got="a lone surrogate") from error
        out.literal(b':{"offer":null,"treatment":null,"blocks":{},"fallback":true,"reason":')
        self._kernel.write_end(answer)
        return answer

    cdef int _separate(self) except -1:
        """A comma before every placement but the first."""
        return self._kernel.out.raw(b",", 1) if self._kernel.answers.answer_count > 1 else 0

    cdef Answered _finish(self, request, const Situation* situation, list scores):
        cdef Answers answers = self._kernel.answers
        cdef Answered decision = Answered.__new__(Answered)
        cdef uint32_t i
        for i in range(answers.answer_count):
            decision.known += answers.answers[i].placement >= 0
            decision.fallbacks += answers.answers[i].cause.reason != R_OK
        decision._engine = self
        decision._names = self._names
        decision._request = request
        decision._packed = answers.pack()
        decision._answer_count = answers.answer_count
        decision._refusal_count = answers.refusal_count
        decision._assigned_count = answers.assigned_count
        decision._now_ms = situation.now_ms
        decision._sequence = situation.sequence
        decision._age_ms = situation.age_ms
        decision._starter = situation.starter
        decision._stale = situation.age_ms > self._stale_after_ms
        self._kernel.out.raw(b"}", 1)
        if scores is not None:
            self._write_trace(decision, situation, scores)
        self._kernel.out.raw(b"}", 1)
        decision.body = self._kernel.out.take()
        return decision

    cdef int _write_trace(self, Answered decision, const Situation* situation, list scores) except -1:
        cdef uint32_t i
        cdef bytes rows
        answered = [decision.answered(i, scores[i]) for i in range(decision._answer_count)]
        context = decision._request.context
        seen = {
            anonymous: trace.Seen(*self._kernel.explain(anonymous, situation, context))
            for anonymous in trace.views_needed(self.document, answered)
        }
        rows = msgspec.json.encode(
            trace.trace_rows(self.document, answered, seen.__getitem__, situation.now_ms)
        )
        self._kernel.out.literal(b',"trace":')
        return self._kernel.out.raw(rows, <size_t>len(rows))
