"""Many requests answered at one moment, on several threads, without the GIL.

Three passes: requests are taken apart with the GIL, answered without it, and their decisions made with it.
Each thread has an `Answering` of its own, tables included: what a decision writes to lies beside what it
reads.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from core._types cimport octet_t
from core.answering cimport Answering, Asked, Question
from core.answers cimport Decision, Names
from core.output cimport Output
from core.questions cimport Questions
from core.record cimport require_record

from core.errors import RecordError, RequestError

cdef extern from "threads.h":
    enum: OV_THREADS_MAX
    void ov_on_threads(
        void (*work)(void* argument, size_t number) noexcept nogil, void* argument, size_t count
    ) noexcept nogil
    size_t ov_take_next(size_t* counter) noexcept nogil


cdef enum:
    KEPT_BYTES_MAX = 16777216  # memory that a thread's answers keep from one batch to the next


@cython.final
cdef class DecideBatch:
    """Batches over one checked bundle."""

    def __cinit__(self, document not None, revision, str content_hash not None):
        self._document = document
        self._revision = revision
        self._content_hash = content_hash
        self._lines = []
        self._kept = []

    def __reduce__(self):
        raise TypeError("a DecideBatch holds addresses and cannot be pickled")

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
    ):
        cdef size_t count = <size_t>len(requests), i
        cdef Py_buffer* buffers
        cdef Question* asking
        cdef Asked* asked
        if <size_t>len(records) != count:
            raise RequestError(path="$.records", expected=f"{count} records", got=str(len(records)))
        if not 1 <= threads <= <size_t>OV_THREADS_MAX:
            raise RequestError(path="$.threads", expected=f"1 to {OV_THREADS_MAX}", got=str(threads))
        if count == 0:
            return []
        for i, request in enumerate(requests):
            questions.require(request, now_ms, <Py_ssize_t>i)
        buffers = <Py_buffer*>calloc(count + 1, sizeof(Py_buffer))
        asking = <Question*>calloc(count + 1, sizeof(Question))
        asked = <Asked*>calloc(sum([len(one.placements) for one in requests]) + 1, sizeof(Asked))
        self._work.count, self._work.next = count, 0
        self._work.questions = asking
        self._work.results = <Result*>calloc(count + 1, sizeof(Result))
        try:
            if buffers == NULL or asking == NULL or asked == NULL or self._work.results == NULL:
                raise MemoryError
            self._ask(questions, buffers, asking, asked, records, requests, now_ms, at_edge)
            self._run(min(threads, count))
            return self._decisions(engine, names, requests)
        finally:
            if buffers != NULL:
                for i in range(count):
                    PyBuffer_Release(&buffers[i])
            for kept in self._kept:
                (<Output>kept).clear_large(KEPT_BYTES_MAX)
            free(buffers)
            free(asking)
            free(asked)
            free(self._work.results)

    cdef int _ask(
        self, Questions questions, Py_buffer* buffers, Question* into, Asked* asked, list records,
        list requests, now_ms, bint at_edge,
    ) except -1:
        cdef size_t i
        for i in range(self._work.count):
            if requests[i].trace:
                path = f"$.requests[{i}].trace"
                raise RequestError(path=path, expected="no trace in a batch", got="one")
            if records[i] is not None:
                PyObject_GetBuffer(records[i], &buffers[i], PyBUF_SIMPLE)
                try:
                    require_record(<const octet_t*>buffers[i].buf, <size_t>buffers[i].len)
                except RecordError as error:
                    where = f"$.records[{i}]" + error.path.removeprefix("$")
                    raise RecordError(path=where, expected=error.expected, got=error.got) from error
            questions.take(
                &into[i], asked, <const octet_t*>buffers[i].buf, requests[i], now_ms, at_edge, <Py_ssize_t>i
            )
            into[i].situation.in_batch = True
            asked += into[i].asked_count
        return 0

    cdef int _run(self, size_t threads) except -1:
        while <size_t>len(self._lines) < threads:
            self._lines.append(Answering(self._document, self._revision, self._content_hash))
            self._kept.append(Output())
        self._raised = None
        with nogil:
            ov_on_threads(_on_thread, <void*>self, threads)
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        return 0

    cdef list _decisions(self, engine, Names names, list requests):
        cdef size_t i
        cdef const Result* result
        cdef const Question* question
        cdef Decision decision
        cdef const char* block
        cdef list made = []
        for i in range(self._work.count):
            result = &self._work.results[i]
            question = &self._work.questions[i]
            block = (<Output>self._kept[result.line])._text + result.at
            decision = Decision.__new__(Decision)
            decision.body = PyBytes_FromStringAndSize(block, <Py_ssize_t>result.body_size)
            decision.fill(
                PyBytes_FromStringAndSize(block + result.body_size, <Py_ssize_t>result.packed_size),
                result.answer_count, result.refusal_count, result.assigned_count,
            )
            decision.belong(engine, names, requests[i])
            decision.note(
                question.situation.now_ms, question.situation.sequence, question.situation.age_ms,
                question.situation.starter, result.stale,
            )
            made.append(decision)
        return made


cdef void _on_thread(void* argument, size_t number) noexcept with gil:
    """Answer question after question. The thread's state is made here and kept while it works, so that an
    exception finds its way through code that lets the GIL go and takes it again.
    """
    cdef DecideBatch batch = <DecideBatch>argument
    cdef Answering line = batch._lines[number]
    cdef Output kept = batch._kept[number]
    cdef const Question* question = NULL
    cdef Result* result = NULL
    cdef bint done = False
    try:
        while not done:
            try:
                with nogil:
                    if question != NULL:  # after a fault inside a placement
                        line.go_on(question)
                        _keep(line, kept, number, question, result)
                    done = _answer_others(line, kept, number, &batch._work, &question, &result)
            except Exception:
                if question == NULL or not line.is_inside():
                    raise
                line.fail()
    except BaseException as error:
        line.clear()
        batch._raised = error
        batch._work.next = batch._work.count


cdef bint _answer_others(
    Answering line,
    Output kept,
    size_t number,
    Work* work,
    const Question** question,
    Result** result,
) except -1 nogil:
    """Answer what no thread has taken yet; True when all are."""
    cdef size_t at = ov_take_next(&work.next)
    while at < work.count:
        question[0] = &work.questions[at]
        result[0] = &work.results[at]
        line.begin(question[0])
        line.go_on(question[0])
        _keep(line, kept, number, question[0], result[0])
        at = ov_take_next(&work.next)
    question[0] = NULL
    return True


cdef int _keep(
    Answering line, Output kept, size_t number, const Question* question, Result* result
) except -1 nogil:
    """Put an answer behind those that the thread has made; the line is then free for the next."""
    cdef char* block
    line.kernel.out.raw(b"}}", 2)
    result.line = number
    result.at = kept._size
    result.body_size = line.kernel.out._size
    result.packed_size = line.kernel.answers.packed_size()
    result.answer_count = line.kernel.answers.answer_count
    result.refusal_count = line.kernel.answers.refusal_count
    result.assigned_count = line.kernel.answers.assigned_count
    result.stale = line.is_stale(&question.situation)
    block = kept.room(result.body_size + result.packed_size)
    memcpy(block, line.kernel.out._text, result.body_size)
    line.kernel.answers.copy_to(block + result.body_size)
    line.clear()
    return 0
