/* The extension around the generated C of native.py: `run` and `read_values` are defined before. */
static PyObject *numbers[RULES];
static int whole(const unsigned char *record, size_t size) {
    uint64_t checksum;
    uint32_t held;
    if (size < 64 || memcmp(record, "OV1R\x01\x00", 6) != 0) return 0;
    memcpy(&held, record + 48, 4);
    memcpy(&checksum, record + 56, 8);
    return held == size && checksum == ov_record_checksum(record, size);
}
static PyObject *list_of(const unsigned char *record) {
    values v;
    uint32_t hits[RULES + 1], n;
    read_values(record, &v);
    n = run(&v, hits);
    PyObject *list = PyList_New(n);
    if (list == NULL) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        Py_INCREF(numbers[hits[i]]);
        PyList_SET_ITEM(list, i, numbers[hits[i]]);
    }
    return list;
}
/* `match` trusts nothing but the slots' places: the checksum that a reader of this format must verify. */
static PyObject *match(PyObject *self, PyObject *record) {
    if (!PyBytes_Check(record) || !whole((const unsigned char *)PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))) {
        PyErr_SetString(PyExc_ValueError, "no record");
        return NULL;
    }
    return list_of((const unsigned char *)PyBytes_AS_STRING(record));
}
static PyObject *match_unverified(PyObject *self, PyObject *record) {
    return list_of((const unsigned char *)PyBytes_AS_STRING(record));
}
static PyMethodDef methods[] = {
    {"match", match, METH_O, ""}, {"match_unverified", match_unverified, METH_O, ""}, {NULL, NULL, 0, NULL}
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, MODULE_NAME, NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC MODULE_INIT(void) {
    for (int i = 0; i < RULES; i++) {
        numbers[i] = PyLong_FromLong(i);
        if (numbers[i] == NULL) return NULL;
    }
    return PyModule_Create(&definition);
}
