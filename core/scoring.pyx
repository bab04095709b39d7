"""Models that run in the core, in a fixed order of sums, with the core's own exp
(docs/decisions/0008-scoring.md).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport NAN
from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

from core._types cimport octet_t
from core.hashing cimport xxh64_c
from core.mathx cimport exp_c
from core.linear cimport LinearModels
from core.memory cimport Pool
from core.trees cimport (
    OV_TREE_OFFERS,
    Ensemble,
    ov_trees_half,
    ov_trees_lanes_size,
    ov_trees_offers,
    ov_trees_row,
    ov_trees_rows,
    ov_trees_state_size,
)
from core.values cimport OV_FLOAT, OV_MISSING, OV_STRING, ov_value

from core import bundle

cdef enum:
    KIND_LINEAR = 0
    KIND_LOGISTIC = 1
    KIND_TREES = 2
    KIND_UPLIFT = 3
    KIND_BANDIT = 4
    LINK_RAW = 0
    LINK_LOGISTIC = 1
    NOGIL_ROWS = 16          # fewer rows are done before another thread could begin


@cython.final
cdef class Models:
    """The models of one bundle, already checked by `core.check`; `groups`: by placement, the models of its
    offers; `offers`: the bundle's.
    """

    def __cinit__(self, list models not None, list groups not None, list offers not None):
        cdef size_t state = 0, columns = 0, i
        cdef dict numbers = {}  # (attribute, equals, missing's repr) -> number of the feature
        self._pool = Pool()
        self._ensembles = []
        self._round = 1
        self.count = <uint32_t>len(models)
        self.models = <Model*>self._pool.take(self.count, sizeof(Model))
        for i, model in enumerate(models):
            self._build(&self.models[i], <uint32_t>i, model, numbers)
        self._features = <Feature*>self._pool.take(len(numbers), sizeof(Feature))
        self._x = <double*>self._pool.take(len(numbers), sizeof(double))
        for i, (attribute, equals, missing) in enumerate(numbers):
            if attribute >= 0:
                self._build_feature(&self._features[i], attribute, equals, float(missing))
        self._build_groups(models, [*groups, list(range(len(models)))], numbers)
        for i in range(self.count):
            if self.models[i].trees != NULL:
                state = max(state, ov_trees_state_size(self.models[i].trees))
                columns = max(columns, self.models[i].trees.column_count)
        self._state = self._pool.take(state, 1)
        self._row = <double*>self._pool.take(columns, sizeof(double))
        self._build_offers(models, offers)
        self._linear = LinearModels(self._alike())

    def __reduce__(self):
        raise TypeError("Models hold addresses and cannot be pickled")

    def score(self, uint32_t model, row not None, bint raw=False):
        """Output of a model of trees for one row.

        Parameters
        ----------
        model : index in the bundle
        row : buffer of float64, one value for each of the trees' inputs in order
            NaN where missing; a string's place in the declared categories.
        raw : the raw score, without link and calibration
        """
        cdef Py_buffer buffer
        cdef const Model* found = self._model_of_trees(model)
        cdef double output
        PyObject_GetBuffer(row, &buffer, PyBUF_SIMPLE)
        try:
            if <size_t>buffer.len != found.trees.column_count * sizeof(double):
                size = found.trees.column_count * sizeof(double)
                raise ValueError(f"expected a row of {size} bytes, got {buffer.len}")
            output = ov_trees_row(found.trees, <const double*>buffer.buf, self._state)
            return output if raw else _finished(found, output)
        finally:
            PyBuffer_Release(&buffer)

    def score_rows(self, uint32_t model, rows not None, out not None, bint raw=False):
        """Outputs of a model of trees for many rows, each as `score` gives it.

        Parameters
        ----------
        model : index in the bundle
        rows : IN, contiguous float64, shape (rows, inputs)
        out : OUT, contiguous float64, shape (rows,)
        raw : as for `score`
        """
        cdef Py_buffer given
        cdef Py_buffer wanted
        cdef const Model* found = self._model_of_trees(model)
        PyObject_GetBuffer(rows, &given, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(out, &wanted, PyBUF_SIMPLE | PyBUF_WRITABLE)
            try:
                _score_rows(found, &given, &wanted, raw)
            finally:
                PyBuffer_Release(&wanted)
        finally:
            PyBuffer_Release(&given)

    cdef const Model* _model_of_trees(self, uint32_t model) except NULL:
        if model >= self.count or self.models[model].trees == NULL:
            raise ValueError(f"expected the index of a model of trees, got {model}")
        return &self.models[model]

    cdef list _alike(self):
        """Of each plain model what those that can be computed beside it have in common, and its numbers."""
        cdef const Model* model
        cdef uint32_t i, k
        found = []
        for i in range(self.count):
            model = &self.models[i]
            if not model.plain:
                found.append(None)
                continue
            terms = tuple([model.terms[k] for k in range(model.count)])
            weights = [model.weights[k] for k in range(model.count)]
            found.append((terms, bool(model.logistic), model.intercept, weights))
        return found

    cdef int _build(self, Model* target, uint32_t number, model, dict numbers) except -1:
        target.kind = model.kind
        target.logistic = model.kind == bundle.MODEL_LOGISTIC
        target.intercept = model.intercept
        target.treated = model.treated
        target.control = model.control
        target.column_count = <uint32_t>bundle.offer_columns(model)
        target.of_offer = target.column_count > 0
        target.plain = model.kind <= KIND_LOGISTIC and model.calibration is None and not target.of_offer
        self._build_terms(target, number, model.features, numbers)
        if model.trees is not None:
            self._build_trees(target, model.trees)
        if model.calibration is not None:
            self._build_calibration(target, model.calibration)
        return 0

    cdef int _build_terms(self, Model* target, uint32_t number, list items, dict numbers) except -1:
        """Its terms; `numbers` grows by what no model before has read. An offer's columns are its own."""
        cdef uint32_t* terms = <uint32_t*>self._pool.take(len(items), sizeof(uint32_t))
        cdef double* weights = <double*>self._pool.take(len(items), sizeof(double))
        cdef uint32_t* columns = <uint32_t*>self._pool.take(len(items), sizeof(uint32_t))
        for i, item in enumerate(items):
            key = _reads(item) if item.column < 0 else (-1, number, item.column)
            terms[<size_t>i] = numbers.setdefault(key, len(numbers))
            weights[<size_t>i] = item.weight
            if item.column >= 0:
                columns[<size_t>item.column] = terms[<size_t>i]
        target.columns = columns
        target.terms = terms
        target.weights = weights
        target.count = <uint32_t>len(items)
        return 0

    cdef int _build_feature(self, Feature* target, attribute, equals, missing) except -1:
        cdef bytes text
        target.attribute = attribute
        target.missing = missing
        if equals is not None:
            text = equals.encode()
            target.equals = True
            target.text = self._pool.copy(text)
            target.length = <uint32_t>len(text)
            target.hash = xxh64_c(<const octet_t*><const char*>text, len(text), 0)
        return 0

    cdef int _build_groups(self, list models, list groups, dict numbers) except -1:
        cdef uint32_t* features
        self._group_count = <uint32_t>len(groups)
        self._groups = <Group*>self._pool.take(len(groups), sizeof(Group))
        for i, group in enumerate(groups):
            read = [models[at] for at in group]
            read += [models[part] for model in read for part in (model.treated, model.control) if part >= 0]
            items = [item for model in read for item in model.features if item.column < 0]
            found = sorted({numbers[_reads(item)] for item in items})
            features = <uint32_t*>self._pool.take(len(found), sizeof(uint32_t))
            for k, number in enumerate(found):
                features[<size_t>k] = number
            self._groups[<size_t>i].features = features
            self._groups[<size_t>i].count = <uint32_t>len(found)
        return 0

    cdef int _build_trees(self, Model* target, trees) except -1:
        cdef Ensemble ensemble = Ensemble("$", trees)
        cdef Input* inputs = <Input*>self._pool.take(len(trees.inputs), sizeof(Input))
        for i, one in enumerate(trees.inputs):
            inputs[<size_t>i].attribute = <uint32_t>max(one.attribute, 0)
            self._build_categories(&inputs[<size_t>i], one.categories)
        self._ensembles.append(ensemble)
        target.trees = &ensemble.trees
        target.half = self._pool.take(ov_trees_state_size(target.trees) if target.of_offer else 0, 1)
        target.inputs = inputs
        target.link = trees.link
        target.scale = trees.scale
        return 0

    cdef int _build_categories(self, Input* target, list names) except -1:
        cdef Category* categories = <Category*>self._pool.take(len(names), sizeof(Category))
        cdef bytes text
        texts = [name.encode() for name in names]
        hashes = [xxh64_c(<const octet_t*><const char*>(<bytes>text), len(text), 0) for text in texts]
        for i, code in enumerate(sorted(range(len(names)), key=hashes.__getitem__)):
            text = texts[code]
            categories[<size_t>i].hash = hashes[code]
            categories[<size_t>i].text = self._pool.copy(text)
            categories[<size_t>i].length = <uint32_t>len(text)
            categories[<size_t>i].code = <uint32_t>code
        target.categories = categories
        target.count = <uint32_t>len(names)
        return 0

    cdef int _build_calibration(self, Model* target, calibration) except -1:
        cdef Calibration* built = <Calibration*>self._pool.take(1, sizeof(Calibration))
        built.a = calibration.a
        built.b = calibration.b
        built.x = self._doubles(calibration.x)
        built.y = self._doubles(calibration.y)
        built.count = <uint32_t>len(calibration.x)
        target.calibration = built
        return 0

    cdef double* _doubles(self, list values) except NULL:
        cdef double* copy = <double*>self._pool.take(len(values), sizeof(double))
        for i, value in enumerate(values):
            copy[<size_t>i] = value
        return copy

    cdef int _build_offers(self, list models, list offers) except -1:
        """What the offers are to the models that score them, and what an offer without attributes is."""
        cdef size_t i
        for i, model in enumerate(models):
            for part in (model.treated, model.control):
                self.models[i].of_offer |= part >= 0 and self.models[<size_t>part].of_offer
        self._offers = <OfferRead*>self._pool.take(len(offers), sizeof(OfferRead))
        self._nothing = <OfferRead*>self._pool.take(self.count, sizeof(OfferRead))
        for i, offer in enumerate(offers):
            if offer.model >= 0 and self.models[<size_t>offer.model].of_offer:
                self._build_read(&self._offers[i], models, offer.model, offer.columns)
        for i in range(self.count):
            if self.models[i].of_offer:
                self._build_read(&self._nothing[i], models, <int32_t>i, None)
        return 0

    cdef int _build_read(self, OfferRead* target, list models, int32_t model, columns) except -1:
        """`columns` None: what the model takes for missing."""
        cdef const Model* scorer
        found = models[model]
        first = 0
        for part, number in enumerate((found.treated, found.control) if found.treated >= 0 else (model,)):
            scorer = &self.models[<size_t>number]
            if not scorer.column_count:
                continue
            values = _missing(models[number]) if columns is None else columns[first:]
            target.columns[<size_t>part] = self._doubles(list(values[:scorer.column_count]))
            first += scorer.column_count
            if scorer.trees != NULL:
                self._build_words(target, part, scorer, models[number].trees)
        return 0

    cdef int _build_words(self, OfferRead* target, int part, const Model* model, trees) except -1:
        """What an offer's columns leave of the words."""
        cdef void* words = self._pool.take(ov_trees_state_size(model.trees), 1)
        for i, one in enumerate(trees.inputs):
            if one.column >= 0:
                self._row[<size_t>i] = target.columns[part][<size_t>one.column]
        ov_trees_half(model.trees, self._row, 1, words)
        target.words[part] = words
        return 0

    cdef void begin(self) noexcept nogil:
        self._round = self._round + 1

    cdef void read(self, uint32_t placement, const ov_value* values) noexcept nogil:
        cdef const Group* group = &self._groups[placement]
        cdef const Feature* feature
        cdef uint32_t i
        self._linear.begin()
        for i in range(group.count):
            feature = &self._features[group.features[i]]
            self._x[group.features[i]] = _input(feature, &values[feature.attribute])

    cdef void outputs(
        self,
        const int32_t* models,
        const uint32_t* offers,
        uint32_t count,
        const ov_value* values,
        double* out,
    ) noexcept nogil:
        cdef const Model* four[4]
        cdef double* wanted[4]
        cdef uint32_t plain = 0, i
        cdef Model* model
        cdef const OfferRead* read
        cdef Gathered gathered
        gathered.model = NULL
        gathered.count = 0
        for i in range(count):
            if models[i] < 0:
                out[i] = 1.0
                continue
            model = &self.models[models[i]]
            if model.plain and self._linear.seats[models[i]].lanes >= 0:
                out[i] = self._linear.output(self._linear.seats[models[i]], self._x)
                continue
            if model.plain:
                four[plain] = model
                wanted[plain] = &out[i]
                plain += 1
                if plain == 4:
                    _finish_four(four, self._x, wanted, 4)
                    plain = 0
                continue
            if not model.of_offer:
                out[i] = self.propensity(model, values)
                continue
            read = &self._nothing[models[i]] if offers == NULL else &self._offers[offers[i]]
            if model.trees == NULL:
                out[i] = self._offered(model, values, read, 0)
                continue
            if gathered.count == OV_TREE_OFFERS or gathered.model != model:
                self._join(&gathered, values)
                gathered.model = model
            gathered.words[gathered.count] = read.words[0]
            gathered.wanted[gathered.count] = &out[i]
            gathered.count = gathered.count + 1
        self._join(&gathered, values)
        _finish_four(four, self._x, wanted, plain)

    cdef void _join(self, Gathered* gathered, const ov_value* values) noexcept nogil:
        """Outputs of the offers that were gathered; none are left."""
        cdef double raw[OV_TREE_OFFERS]
        cdef uint32_t i
        if gathered.count == 0:
            return
        self._read_person(gathered.model, values)
        for i in range(gathered.count, <uint32_t>OV_TREE_OFFERS):
            gathered.words[i] = gathered.words[0]
        ov_trees_offers(gathered.model.trees, gathered.model.half, gathered.words, raw)
        for i in range(gathered.count):
            gathered.wanted[i][0] = _finished(gathered.model, raw[i])
        gathered.count = 0

    cdef void _read_person(self, Model* model, const ov_value* values) noexcept nogil:
        """What the person leaves of the trees' words, once a round."""
        cdef uint32_t i
        if model.half_at == self._round:
            return
        for i in range(model.trees.column_count):
            if not model.trees.columns[i].of_offer:
                self._row[i] = _column(&model.inputs[i], &values[model.inputs[i].attribute])
        ov_trees_half(model.trees, self._row, 0, model.half)
        model.half_at = self._round

    cdef double _offered(
        self, Model* model, const ov_value* values, const OfferRead* read, int part
    ) noexcept nogil:
        """The output of a model that reads the offer; `part`: of an uplift, treated 0, control 1; else 0."""
        cdef Gathered one
        cdef double total
        cdef uint32_t i
        if model.kind == KIND_UPLIFT:
            total = self._part(model.treated, values, read, 0)
            return _calibrated(model, total - self._part(model.control, values, read, 1))
        if model.trees != NULL:
            one.model = model
            one.count = 1
            one.words[0] = read.words[part]
            one.wanted[0] = &total
            self._join(&one, values)
            return total
        for i in range(model.column_count):
            self._x[model.columns[i]] = read.columns[part][i]
        total = _sum_terms(model, self._x, model.intercept, 0)
        return _calibrated(model, _logistic(total) if model.logistic else total)

    cdef double _part(
        self, int32_t model, const ov_value* values, const OfferRead* read, int part
    ) noexcept nogil:
        """The output of an uplift's part."""
        if self.models[model].of_offer:
            return self._offered(&self.models[model], values, read, part)
        return self.propensity(&self.models[model], values)

    cdef void vector(self, uint32_t model, double* out) noexcept nogil:
        cdef const Model* found = &self.models[model]
        cdef uint32_t i
        out[0] = found.intercept
        for i in range(found.count):
            out[i + 1] = found.weights[i] * self._x[found.terms[i]]

    cdef double propensity(self, Model* model, const ov_value* values) noexcept nogil:
        if model.remembered_at != self._round:  # one person, one context: many offers may share the model
            model.remembered = self._output(model, values)
            model.remembered_at = self._round
        return model.remembered

    cdef double _output(self, Model* model, const ov_value* values) noexcept nogil:
        cdef double total
        if model.kind == KIND_TREES:
            return _finished(model, self._trees_output(model, values))
        if model.kind == KIND_UPLIFT:
            total = self.propensity(&self.models[model.treated], values)
            return _calibrated(model, total - self.propensity(&self.models[model.control], values))
        if model.kind == KIND_BANDIT:
            return NAN  # what an arm is worth is drawn for each offer
        total = _sum_terms(model, self._x, model.intercept, 0)
        return _calibrated(model, _logistic(total) if model.logistic else total)

    cdef double _trees_output(self, const Model* model, const ov_value* values) noexcept nogil:
        cdef uint32_t i
        for i in range(model.trees.column_count):
            self._row[i] = _column(&model.inputs[i], &values[model.inputs[i].attribute])
        return ov_trees_row(model.trees, self._row, self._state)


cdef int _score_rows(const Model* model, Py_buffer* given, Py_buffer* wanted, bint raw) except -1:
    cdef size_t count = <size_t>wanted.len // sizeof(double)
    cdef size_t size = count * model.trees.column_count * sizeof(double)
    cdef void* scratch
    cdef const double* rows = <const double*>given.buf
    cdef double* out = <double*>wanted.buf
    if <size_t>wanted.len % sizeof(double) or <size_t>given.len != size:
        columns = model.trees.column_count
        raise ValueError(f"expected {count} rows of {columns} doubles, got {given.len} bytes")
    scratch = malloc(ov_trees_lanes_size(model.trees))
    if scratch == NULL:
        raise MemoryError
    if count < NOGIL_ROWS:
        _fill(model, rows, count, scratch, out, raw)
    else:
        with nogil:
            _fill(model, rows, count, scratch, out, raw)
    free(scratch)
    return 0


cdef void _fill(
    const Model* model, const double* rows, size_t count, void* scratch, double* out, bint raw
) noexcept nogil:
    cdef size_t i
    ov_trees_rows(model.trees, rows, count, scratch, out)
    if not raw and (model.link != LINK_RAW or model.calibration != NULL):
        for i in range(count):
            out[i] = _finished(model, out[i])


cdef inline double _finished(const Model* model, double raw) noexcept nogil:
    """The output of trees: link, then calibration."""
    if model.link == LINK_LOGISTIC:
        raw = 1.0 / (1.0 + exp_c(-(model.scale * raw)))
    elif model.link != LINK_RAW:
        raw = exp_c(raw)
    return _calibrated(model, raw)


cdef inline double _calibrated(const Model* model, double score) noexcept nogil:
    cdef const Calibration* map = model.calibration
    if map == NULL:
        return score
    return _on_line(map, score) if map.count else 1.0 / (1.0 + exp_c(map.a * score + map.b))


cdef double _on_line(const Calibration* map, double score) noexcept nogil:
    """Linear between points: `y0 + (y1 - y0) / (x1 - x0) * (s - x0)`, and level outside; NaN stays NaN."""
    cdef uint32_t low = 0, high = map.count - 1, middle
    if score != score:
        return score
    if score <= map.x[low]:
        return map.y[low]
    if score >= map.x[high]:
        return map.y[high]
    while high - low > 1:
        middle = (low + high) // 2
        if score < map.x[middle]:
            high = middle
        else:
            low = middle
    return map.y[low] + (map.y[high] - map.y[low]) / (map.x[high] - map.x[low]) * (score - map.x[low])


def _missing(model):
    """What the columns of an offer without attributes are."""
    if model.trees is not None:
        return [NAN] * bundle.offer_columns(model)
    return [item.missing for item in model.features if item.column >= 0]


def _reads(item):
    """What tells a term's feature from others; missing by its digits, for -0.0 equals 0.0."""
    return item.attribute, item.equals, repr(item.missing)


cdef inline double _logistic(double total) noexcept nogil:
    return 1.0 / (1.0 + exp_c(-total))


cdef inline double _sum_terms(
    const Model* model, const double* x, double total, uint32_t first
) noexcept nogil:
    """`total = total + weight * x` for each term from `first` on, in order."""
    cdef uint32_t i
    for i in range(first, model.count):
        total = total + model.weights[i] * x[model.terms[i]]
    return total


cdef inline void _sum_four(const Model** models, const double* x, double** out) noexcept nogil:
    """Four sums side by side: each is in its own order, and the processor does not wait for one of them."""
    cdef const Model* a = models[0]
    cdef const Model* b = models[1]
    cdef const Model* c = models[2]
    cdef const Model* d = models[3]
    cdef double total_a = a.intercept, total_b = b.intercept, total_c = c.intercept, total_d = d.intercept
    cdef uint32_t common = min(min(a.count, b.count), min(c.count, d.count)), i
    for i in range(common):
        total_a = total_a + a.weights[i] * x[a.terms[i]]
        total_b = total_b + b.weights[i] * x[b.terms[i]]
        total_c = total_c + c.weights[i] * x[c.terms[i]]
        total_d = total_d + d.weights[i] * x[d.terms[i]]
    out[0][0] = _sum_terms(a, x, total_a, common)
    out[1][0] = _sum_terms(b, x, total_b, common)
    out[2][0] = _sum_terms(c, x, total_c, common)
    out[3][0] = _sum_terms(d, x, total_d, common)


cdef inline void _finish_four(
    const Model** models, const double* x, double** out, uint32_t count
) noexcept nogil:
    """Outputs of up to four plain models."""
    cdef uint32_t i
    if count == 4:
        _sum_four(models, x, out)
    for i in range(count):
        if count < 4:
            out[i][0] = _sum_terms(models[i], x, models[i].intercept, 0)
        if models[i].logistic:
            out[i][0] = _logistic(out[i][0])


cdef inline double _input(const Feature* feature, const ov_value* value) noexcept nogil:
    if feature.equals:
        return 1.0 if _equals(feature, value) else 0.0
    if value.type == OV_MISSING:
        return feature.missing
    return value.real if value.type == OV_FLOAT else <double>value.number


cdef inline bint _equals(const Feature* feature, const ov_value* value) noexcept nogil:
    return (
        value.type != OV_MISSING
        and <uint64_t>value.number == feature.hash
        and value.length == feature.length
        and memcmp(value.text, feature.text, feature.length) == 0
    )


cdef inline double _column(const Input* column, const ov_value* value) noexcept nogil:
    """A value as a row of trees has it: NaN where it is missing."""
    if value.type == OV_MISSING:
        return NAN
    if value.type == OV_STRING:
        return _code(column, value)
    return value.real if value.type == OV_FLOAT else <double>value.number


cdef double _code(const Input* column, const ov_value* value) noexcept nogil:
    """The place of a string in the declared categories; NaN for another."""
    cdef uint64_t hash = <uint64_t>value.number
    cdef uint32_t low = 0, high = column.count, middle
    cdef const Category* category
    while low < high:
        middle = (low + high) // 2
        if column.categories[middle].hash < hash:
            low = middle + 1
        else:
            high = middle
    while low < column.count and column.categories[low].hash == hash:
        category = &column.categories[low]
        if category.length == value.length and memcmp(value.text, category.text, category.length) == 0:
            return <double>category.code
        low += 1
    return NAN
