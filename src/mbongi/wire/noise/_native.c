/* Short frames of Stratum V2 sealed and opened in one call: ChaCha20-Poly1305 (RFC 8439) without associated data, for a
   header and one block of payload.

   Its twin in Python is transport.py on the `cryptography` package, which does what is left here, and everything where
   this was not compiled; tests hold the two together. No branch and no index depends on a key or on what is sealed, but
   for a header's length, which whoever sees the bytes knows; tags are compared in constant time. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define KEY_BYTES 32
#define TAG_BYTES 16
#define HEADER_BYTES 6
#define SEALED_HEADER_BYTES (HEADER_BYTES + TAG_BYTES)
#define PAYLOAD_BYTES_MAX 1024 /* above it the package's instructions for vectors outweigh its calls */
#define BLOCK_BYTES 64
#define LANES 4
#define PARTS_BYTES (LANES * BLOCK_BYTES)

static uint32_t le32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_le32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)value, at[1] = (uint8_t)(value >> 8), at[2] = (uint8_t)(value >> 16), at[3] = (uint8_t)(value >> 24);
}

static void put_le64(uint8_t *at, uint64_t value) {
    put_le32(at, (uint32_t)value);
    put_le32(at + 4, (uint32_t)(value >> 32));
}

/* ChaCha20 (RFC 8439, 2.3), four blocks at a time: a vector holds one word of each. */

typedef uint32_t lanes_t __attribute__((vector_size(4 * LANES)));

typedef struct {
    uint64_t message; /* the nonce: 32 zero bits, then this */
    uint32_t number;  /* of the block within the message */
} block_t;

#define ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define QUARTER(a, b, c, d)                                                                                   \
    do {                                                                                                      \
        a += b, d ^= a, d = ROTATE(d, 16);                                                                    \
        c += d, b ^= c, b = ROTATE(b, 12);                                                                    \
        a += b, d ^= a, d = ROTATE(d, 8);                                                                     \
        c += d, b ^= c, b = ROTATE(b, 7);                                                                     \
    } while (0)

static void chacha(const uint8_t key[KEY_BYTES], const block_t blocks[LANES], uint8_t out[PARTS_BYTES]) {
    static const uint32_t constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    lanes_t start[16], x[16];
    for (int lane = 0; lane < LANES; lane++) {
        for (int i = 0; i < 4; i++)
            start[i][lane] = constants[i];
        for (int i = 0; i < 8; i++)
            start[4 + i][lane] = le32(key + 4 * i);
        start[12][lane] = blocks[lane].number;
        start[13][lane] = 0;
        start[14][lane] = (uint32_t)blocks[lane].message;
        start[15][lane] = (uint32_t)(blocks[lane].message >> 32);
    }
    memcpy(x, start, sizeof x);
    for (int i = 0; i < 10; i++) {
        QUARTER(x[0], x[4], x[8], x[12]);
        QUARTER(x[1], x[5], x[9], x[13]);
        QUARTER(x[2], x[6], x[10], x[14]);
        QUARTER(x[3], x[7], x[11], x[15]);
        QUARTER(x[0], x[5], x[10], x[15]);
        QUARTER(x[1], x[6], x[11], x[12]);
        QUARTER(x[2], x[7], x[8], x[13]);
        QUARTER(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; i++) {
        x[i] += start[i];
        for (int lane = 0; lane < LANES; lane++)
            put_le32(out + BLOCK_BYTES * lane + 4 * i, x[i][lane]);
    }
}

/* Poly1305 (RFC 8439, 2.5) in five limbs of 26 bits. */

#define LIMB 0x3ffffff

typedef struct {
    uint32_t r[5], h[5];
    uint8_t added[TAG_BYTES];
} poly_t;

static void split(const uint8_t block[16], uint32_t top, uint32_t limbs[5]) {
    limbs[0] = le32(block) & LIMB;
    limbs[1] = le32(block + 3) >> 2 & LIMB;
    limbs[2] = le32(block + 6) >> 4 & LIMB;
    limbs[3] = le32(block + 9) >> 6 & LIMB;
    limbs[4] = le32(block + 12) >> 8 | top;
}

static void poly_begin(poly_t *poly, const uint8_t key[KEY_BYTES]) {
    static const uint32_t clamp[5] = {0x3ffffff, 0x3ffff03, 0x3ffc0ff, 0x3f03fff, 0x00fffff};
    memset(poly, 0, sizeof *poly);
    split(key, 0, poly->r);
    for (int i = 0; i < 5; i++)
        poly->r[i] &= clamp[i];
    memcpy(poly->added, key + 16, TAG_BYTES);
}

static void poly_block(poly_t *poly, const uint8_t block[16]) {
    const uint32_t *r = poly->r;
    uint32_t added[5], *h = poly->h;
    uint64_t sums[5], carry = 0;
    split(block, 1u << 24, added);
    for (int i = 0; i < 5; i++)
        h[i] += added[i];
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
        sums[i] = 0;
#pragma GCC unroll 5
        for (int j = 0; j < 5; j++) /* 2^130 is 5 in this field */
            sums[i] += (uint64_t)h[j] * (j <= i ? r[i - j] : 5 * r[5 + i - j]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < 5; i++) {
        sums[i] += carry;
        h[i] = (uint32_t)sums[i] & LIMB;
        carry = sums[i] >> 26;
    }
    carry = h[0] + 5 * carry;
    h[0] = (uint32_t)carry & LIMB;
    h[1] += (uint32_t)(carry >> 26);
}

/* Adds data, filled up with zeros to a multiple of 16 bytes. */
static void poly_add(poly_t *poly, const uint8_t *data, size_t size) {
    uint8_t last[16] = {0};
    for (; size >= 16; data += 16, size -= 16)
        poly_block(poly, data);
    if (size) {
        memcpy(last, data, size);
        poly_block(poly, last);
    }
}

static void poly_end(poly_t *poly, uint8_t tag[TAG_BYTES]) {
    uint32_t *h = poly->h, less[5], carry = 0;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5; i++) {
            h[i] += carry;
            carry = h[i] >> 26;
            h[i] &= LIMB;
        }
        carry *= 5;
    }
    h[0] += carry;
    carry = 5; /* h - (2^130 - 5) is h + 5 without its 130th bit */
    for (int i = 0; i < 5; i++) {
        less[i] = h[i] + carry;
        carry = less[i] >> 26;
        less[i] &= LIMB;
    }
    const uint32_t is_above = 0u - carry;
    uint32_t words[4];
    for (int i = 0; i < 5; i++)
        h[i] = (h[i] & ~is_above) | (less[i] & is_above);
    words[0] = h[0] | h[1] << 26;
    words[1] = h[1] >> 6 | h[2] << 20;
    words[2] = h[2] >> 12 | h[3] << 14;
    words[3] = h[3] >> 18 | h[4] << 8;
    uint64_t sum = 0;
    for (int i = 0; i < 4; i++) {
        sum = (sum >> 32) + words[i] + le32(poly->added + 4 * i);
        put_le32(tag + 4 * i, (uint32_t)sum);
    }
}

/* The construction (RFC 8439, 2.8), with nothing associated. */
static void tag_of(const uint8_t one_time_key[KEY_BYTES], const uint8_t *sealed, size_t size, uint8_t tag[TAG_BYTES]) {
    poly_t poly;
    uint8_t lengths[16] = {0};
    poly_begin(&poly, one_time_key);
    poly_add(&poly, sealed, size);
    put_le64(lengths + 8, size);
    poly_block(&poly, lengths);
    poly_end(&poly, tag);
}

static int is_same_tag(const uint8_t one[TAG_BYTES], const uint8_t two[TAG_BYTES]) {
    uint8_t difference = 0;
    for (int i = 0; i < TAG_BYTES; i++)
        difference |= one[i] ^ two[i];
    return !difference;
}

/* out = in, with the key stream of a message from its first block on; `first` is that block, of the first four. */
static void apply(const uint8_t key[KEY_BYTES], uint64_t message, const uint8_t first[BLOCK_BYTES], const uint8_t *in,
                  size_t size, uint8_t *out) {
    uint8_t stream[PARTS_BYTES];
    const uint8_t *ahead = first;
    size_t held = BLOCK_BYTES;
    for (uint32_t number = 2; size; number += LANES) {
        size_t part = size < held ? size : held;
        for (size_t i = 0; i < part; i++)
            out[i] = in[i] ^ ahead[i];
        in += part, out += part, size -= part;
        if (!size)
            break;
        block_t blocks[LANES];
        for (uint32_t lane = 0; lane < LANES; lane++)
            blocks[lane] = (block_t){message, number + lane};
        chacha(key, blocks, stream);
        ahead = stream, held = PARTS_BYTES;
    }
}

/* What a header and its payload need of the key stream: of each the one-time key and the first block. */
enum { HEADER_KEY, HEADER_STREAM, PAYLOAD_KEY, PAYLOAD_STREAM };

static void frame_stream(const uint8_t key[KEY_BYTES], uint64_t count, uint8_t parts[PARTS_BYTES]) {
    const block_t blocks[LANES] = {{count, 0}, {count, 1}, {count + 1, 0}, {count + 1, 1}};
    chacha(key, blocks, parts);
}

static size_t payload_size(const uint8_t header[HEADER_BYTES]) {
    return header[3] | (size_t)header[4] << 8 | (size_t)header[5] << 16;
}

static int take(PyObject *const *arguments, Py_ssize_t found, Py_ssize_t expected, const uint8_t **key,
                uint64_t *count, const uint8_t **data, size_t *size) {
    char *key_at, *data_at;
    Py_ssize_t key_size, data_size;
    if (found != expected) {
        PyErr_Format(PyExc_TypeError, "%zd arguments; expected %zd", found, expected);
        return -1;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &key_at, &key_size) < 0 ||
        PyBytes_AsStringAndSize(arguments[2], &data_at, &data_size) < 0)
        return -1;
    if (key_size != KEY_BYTES) {
        PyErr_Format(PyExc_ValueError, "a key of %zd bytes; expected 32", key_size);
        return -1;
    }
    *count = PyLong_AsUnsignedLongLong(arguments[1]);
    if (*count == (uint64_t)-1 && PyErr_Occurred())
        return -1;
    *key = (const uint8_t *)key_at, *data = (const uint8_t *)data_at, *size = (size_t)data_size;
    return 0;
}

/* key, count, frame: the frame sealed as messages count and count + 1; None where it is not whole, empty or too long */
static PyObject *seal_frame(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count) {
    const uint8_t *key, *frame;
    uint64_t count;
    size_t size;
    (void)module;
    if (take(arguments, argument_count, 3, &key, &count, &frame, &size) < 0)
        return NULL;
    if (size <= HEADER_BYTES || size > HEADER_BYTES + PAYLOAD_BYTES_MAX || payload_size(frame) != size - HEADER_BYTES)
        Py_RETURN_NONE;
    PyObject *sealed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(size + 2 * TAG_BYTES));
    if (!sealed)
        return NULL;
    uint8_t parts[PARTS_BYTES], *header = (uint8_t *)PyBytes_AsString(sealed), *payload = header + SEALED_HEADER_BYTES;
    frame_stream(key, count, parts);
    for (int i = 0; i < HEADER_BYTES; i++)
        header[i] = frame[i] ^ parts[BLOCK_BYTES * HEADER_STREAM + i];
    tag_of(parts + BLOCK_BYTES * HEADER_KEY, header, HEADER_BYTES, header + HEADER_BYTES);
    size -= HEADER_BYTES;
    apply(key, count + 1, parts + BLOCK_BYTES * PAYLOAD_STREAM, frame + HEADER_BYTES, size, payload);
    tag_of(parts + BLOCK_BYTES * PAYLOAD_KEY, payload, size, payload + size);
    return sealed;
}

/* key, count, data, at, payload_bytes_max: extension field, message type, payload and end of the frame that begins at
   `at`; None where it is not whole, empty or too long, or a tag does not fit */
static PyObject *open_frame(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count) {
    const uint8_t *key, *data;
    uint64_t count;
    size_t size;
    (void)module;
    if (take(arguments, argument_count, 5, &key, &count, &data, &size) < 0)
        return NULL;
    const size_t at = PyLong_AsSize_t(arguments[3]);
    if (at == (size_t)-1 && PyErr_Occurred())
        return NULL;
    const size_t longest = PyLong_AsSize_t(arguments[4]);
    if (longest == (size_t)-1 && PyErr_Occurred())
        return NULL;
    if (at > size || size - at < SEALED_HEADER_BYTES)
        Py_RETURN_NONE;
    const uint8_t *sealed = data + at, *payload = sealed + SEALED_HEADER_BYTES;
    const size_t left = size - at - SEALED_HEADER_BYTES;
    uint8_t parts[PARTS_BYTES], tag[TAG_BYTES], header[HEADER_BYTES];
    frame_stream(key, count, parts);
    tag_of(parts + BLOCK_BYTES * HEADER_KEY, sealed, HEADER_BYTES, tag);
    if (!is_same_tag(tag, sealed + HEADER_BYTES))
        Py_RETURN_NONE;
    for (int i = 0; i < HEADER_BYTES; i++)
        header[i] = sealed[i] ^ parts[BLOCK_BYTES * HEADER_STREAM + i];
    const size_t length = payload_size(header);
    if (!length || length > longest || length > PAYLOAD_BYTES_MAX || left < length + TAG_BYTES)
        Py_RETURN_NONE;
    tag_of(parts + BLOCK_BYTES * PAYLOAD_KEY, payload, length, tag);
    if (!is_same_tag(tag, payload + length))
        Py_RETURN_NONE;
    PyObject *opened = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (!opened)
        return NULL;
    apply(key, count + 1, parts + BLOCK_BYTES * PAYLOAD_STREAM, payload, length, (uint8_t *)PyBytes_AsString(opened));
    const Py_ssize_t end = (Py_ssize_t)(at + SEALED_HEADER_BYTES + length + TAG_BYTES);
    return Py_BuildValue("(iiNn)", header[0] | header[1] << 8, header[2], opened, end);
}

/* one-time key, data of whole blocks of 16 bytes: their tag; so that the published vectors can be put to it */
static PyObject *poly1305(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count) {
    char *key, *data;
    Py_ssize_t key_size, size;
    uint8_t tag[TAG_BYTES];
    poly_t poly;
    (void)module;
    if (argument_count != 2)
        return PyErr_Format(PyExc_TypeError, "%zd arguments; expected 2", argument_count);
    if (PyBytes_AsStringAndSize(arguments[0], &key, &key_size) < 0 ||
        PyBytes_AsStringAndSize(arguments[1], &data, &size) < 0)
        return NULL;
    if (key_size != KEY_BYTES || size % 16)
        return PyErr_Format(PyExc_ValueError, "a key of %zd bytes, data of %zd; expected 32, whole blocks", key_size, size);
    poly_begin(&poly, (const uint8_t *)key);
    poly_add(&poly, (const uint8_t *)data, (size_t)size);
    poly_end(&poly, tag);
    return PyBytes_FromStringAndSize((const char *)tag, TAG_BYTES);
}

static PyMethodDef methods[] = {
    {"seal_frame", (PyCFunction)(void (*)(void))seal_frame, METH_FASTCALL, "See transport.encrypt_frame."},
    {"open_frame", (PyCFunction)(void (*)(void))open_frame, METH_FASTCALL, "See transport.FrameDecryptor."},
    {"poly1305", (PyCFunction)(void (*)(void))poly1305, METH_FASTCALL, "A tag by itself, for tests."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModule_Create(&definition);
}
