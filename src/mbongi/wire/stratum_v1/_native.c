/* The usual mining.submit line straight into its fields, in compiled code.

   Its twin in Python is submits.py, which reads every line that is left here, and all of them where this was not
   compiled; tests hold the two together. Nothing is read past `end`, and the line is never changed. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define ID_DIGITS_MAX 20
#define EXTRANONCE_DIGITS_MAX 128
#define WORD_DIGITS 8
#define FIELDS_MIN 5
#define FIELDS_MAX 6

enum { WORKER, JOB, EXTRANONCE2, TIME, NONCE, VERSION };

typedef struct {
    const char *at;
    const char *end;
} span_t;

typedef struct {
    span_t id;
    span_t fields[FIELDS_MAX];
    int field_count;
} submit_t;

static void skip_blanks(span_t *rest) {
    while (rest->at < rest->end && (*rest->at == ' ' || *rest->at == '\t' || *rest->at == '\r' || *rest->at == '\n'))
        rest->at++;
}

/* The next character, blanks left out; whether it is this one, which is then taken. */
static int take(span_t *rest, char wanted) {
    skip_blanks(rest);
    if (rest->at == rest->end || *rest->at != wanted)
        return 0;
    rest->at++;
    return 1;
}

/* A text of printable ASCII without escapes. */
static int take_text(span_t *rest, span_t *found) {
    if (!take(rest, '"'))
        return 0;
    found->at = rest->at;
    while (rest->at < rest->end && *rest->at >= ' ' && *rest->at <= '~' && *rest->at != '"' && *rest->at != '\\')
        rest->at++;
    found->end = rest->at;
    return take(rest, '"') && found->end + 1 == rest->at;
}

/* A number without sign, fraction or leading zero. */
static int take_id(span_t *rest, span_t *found) {
    skip_blanks(rest);
    found->at = rest->at;
    while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9')
        rest->at++;
    found->end = rest->at;
    Py_ssize_t digits = found->end - found->at;
    return digits >= 1 && digits <= ID_DIGITS_MAX && (digits == 1 || *found->at != '0');
}

static int take_fields(span_t *rest, submit_t *found) {
    if (!take(rest, '['))
        return 0;
    do {
        if (found->field_count == FIELDS_MAX || !take_text(rest, &found->fields[found->field_count]))
            return 0;
        found->field_count++;
    } while (take(rest, ','));
    return take(rest, ']') && found->field_count >= FIELDS_MIN;
}

static int is_text(span_t text, const char *wanted) {
    size_t size = strlen(wanted);
    return (size_t)(text.end - text.at) == size && !memcmp(text.at, wanted, size);
}

/* An object of just id, method and params, each once and in any order, and nothing behind it. */
static int take_line(span_t rest, submit_t *found) {
    int methods = 0;
    span_t name, method;
    if (!take(&rest, '{'))
        return 0;
    do {
        if (!take_text(&rest, &name) || !take(&rest, ':'))
            return 0;
        if (is_text(name, "id")) {
            if (found->id.at || !take_id(&rest, &found->id))
                return 0;
        } else if (is_text(name, "method")) {
            if (methods++ || !take_text(&rest, &method) || !is_text(method, "mining.submit"))
                return 0;
        } else if (!is_text(name, "params") || found->field_count || !take_fields(&rest, found)) {
            return 0;
        }
    } while (take(&rest, ','));
    if (!take(&rest, '}'))
        return 0;
    skip_blanks(&rest);
    return rest.at == rest.end && found->id.at && methods && found->field_count;
}

static int digit_of(char character) {
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static int read_word(span_t text, unsigned long *found) {
    uint32_t value = 0;
    if (text.end - text.at != WORD_DIGITS)
        return 0;
    for (; text.at < text.end; text.at++) {
        int digit = digit_of(*text.at);
        if (digit < 0)
            return 0;
        value = value << 4 | (uint32_t)digit;
    }
    *found = value;
    return 1;
}

/* Bytes of a text of hex digits; how many, or -1. */
static Py_ssize_t read_bytes(span_t text, char found[EXTRANONCE_DIGITS_MAX / 2]) {
    Py_ssize_t digits = text.end - text.at;
    if (digits > EXTRANONCE_DIGITS_MAX || digits % 2)
        return -1;
    for (Py_ssize_t i = 0; i < digits / 2; i++) {
        int high = digit_of(text.at[2 * i]), low = digit_of(text.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        found[i] = (char)(high << 4 | low);
    }
    return digits / 2;
}

static span_t without_spaces(span_t text) {
    while (text.at < text.end && *text.at == ' ')
        text.at++;
    while (text.at < text.end && text.end[-1] == ' ')
        text.end--;
    return text;
}

/* data, Submit: the id as it came and the share, or None for a line of any other form */
static PyObject *read_submit(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    submit_t line = {0};
    char *data, extranonce2[EXTRANONCE_DIGITS_MAX / 2];
    Py_ssize_t size;
    unsigned long words[3];
    (void)module;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "%zd arguments; expected 2", count);
    if (PyBytes_AsStringAndSize(arguments[0], &data, &size) < 0)
        return NULL;
    if (!take_line((span_t){data, data + size}, &line))
        Py_RETURN_NONE;
    const span_t *fields = line.fields, worker = without_spaces(fields[WORKER]);
    Py_ssize_t extranonce2_size = read_bytes(fields[EXTRANONCE2], extranonce2);
    int rolls_version = line.field_count > VERSION;
    if (extranonce2_size < 0 || !read_word(fields[TIME], &words[0]) || !read_word(fields[NONCE], &words[1]) ||
        (rolls_version && !read_word(fields[VERSION], &words[2])))
        Py_RETURN_NONE;
    PyObject *bits = rolls_version ? PyLong_FromUnsignedLong(words[2]) : Py_NewRef(Py_None);
    if (!bits)
        return NULL;
    PyObject *share = PyObject_CallFunction(
        arguments[1], "s#s#y#kkN", worker.at, (Py_ssize_t)(worker.end - worker.at), fields[JOB].at,
        (Py_ssize_t)(fields[JOB].end - fields[JOB].at), extranonce2, extranonce2_size, words[0], words[1], bits);
    if (!share)
        return NULL;
    return Py_BuildValue("(y#N)", line.id.at, (Py_ssize_t)(line.id.end - line.id.at), share);
}

static PyMethodDef methods[] = {
    {"read_submit", (PyCFunction)(void (*)(void))read_submit, METH_FASTCALL, "See submits.decode_submit."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModule_Create(&definition);
}
