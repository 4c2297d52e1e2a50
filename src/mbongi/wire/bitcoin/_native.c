/* The hashes that a share costs, in compiled code: coinbase, merkle branch and header in one call; and the branch itself,
   of a template's thousands of transactions.

   Its twins in Python are work_hash.py and hashing.py, used where this was not compiled; tests hold them together.
   SHA-256 is FIPS 180-4; where the processor has the SHA extensions of x86, its instructions do the rounds. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define HASH_BYTES 32
#define HEADER_BYTES 80
#define BLOCK_BYTES 64
#define COINBASE_PARTS 3

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t START[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

typedef void (*compress_t)(uint32_t state[8], const uint8_t *block);

static uint32_t be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_be32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static void put_le32(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

#define ROTATE(x, n) ((x) >> (n) | (x) << (32 - (n)))

#define ROUND(a, b, c, d, e, f, g, h, i)                                                                      \
    do {                                                                                                      \
        uint32_t first = (h) + (ROTATE(e, 6) ^ ROTATE(e, 11) ^ ROTATE(e, 25)) + K[i] + w[i];                  \
        first += (g) ^ ((e) & ((f) ^ (g)));                                                                   \
        (d) += first;                                                                                         \
        (h) = first + (ROTATE(a, 2) ^ ROTATE(a, 13) ^ ROTATE(a, 22)) + (((a) & (b)) | ((c) & ((a) | (b))));   \
    } while (0)

static void compress_portable(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = be32(block + 4 * i);
    for (int i = 16; i < 64; i++) {
        uint32_t near = w[i - 2], far = w[i - 15];
        w[i] = w[i - 16] + w[i - 7] + (ROTATE(near, 17) ^ ROTATE(near, 19) ^ near >> 10) +
               (ROTATE(far, 7) ^ ROTATE(far, 18) ^ far >> 3);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; i += 8) {
        ROUND(a, b, c, d, e, f, g, h, i);
        ROUND(h, a, b, c, d, e, f, g, i + 1);
        ROUND(g, h, a, b, c, d, e, f, i + 2);
        ROUND(f, g, h, a, b, c, d, e, i + 3);
        ROUND(e, f, g, h, a, b, c, d, i + 4);
        ROUND(d, e, f, g, h, a, b, c, i + 5);
        ROUND(c, d, e, f, g, h, a, b, i + 6);
        ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

static int has_sha(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 29));
}

__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha(uint32_t state[8], const uint8_t *block) {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(abcd, efgh, 8), cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), swap);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i sum = _mm_add_epi32(w[i & 3], _mm_loadu_si128((const __m128i *)(K + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
        if (i < 12) { /* the words of four rounds on take the place of these */
            __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
            next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
            w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
        }
    }
    abef = _mm_shuffle_epi32(_mm_add_epi32(abef, abef_before), 0x1B);
    cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, cdgh_before), 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(abef, cdgh, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(cdgh, abef, 8));
}
#else
static int has_sha(void) { return 0; }
#define compress_sha compress_portable
#endif

static compress_t compress = compress_portable;

typedef struct {
    uint32_t state[8];
    uint8_t rest[BLOCK_BYTES];
    uint64_t bytes;
} sha256_t;

static void sha_begin(sha256_t *sha) {
    memcpy(sha->state, START, sizeof START);
    sha->bytes = 0;
}

static void sha_add(sha256_t *sha, const uint8_t *data, size_t size) {
    size_t held = sha->bytes % BLOCK_BYTES;
    sha->bytes += size;
    if (held) {
        size_t part = BLOCK_BYTES - held < size ? BLOCK_BYTES - held : size;
        memcpy(sha->rest + held, data, part);
        data += part, size -= part;
        if (held + part < BLOCK_BYTES)
            return;
        compress(sha->state, sha->rest);
    }
    for (; size >= BLOCK_BYTES; data += BLOCK_BYTES, size -= BLOCK_BYTES)
        compress(sha->state, data);
    memcpy(sha->rest, data, size);
}

static void sha_end(sha256_t *sha, uint8_t out[HASH_BYTES]) {
    size_t held = sha->bytes % BLOCK_BYTES;
    sha->rest[held++] = 0x80;
    if (held > BLOCK_BYTES - 8) {
        memset(sha->rest + held, 0, BLOCK_BYTES - held);
        compress(sha->state, sha->rest);
        held = 0;
    }
    memset(sha->rest + held, 0, BLOCK_BYTES - 8 - held);
    put_be32(sha->rest + 56, (uint32_t)(sha->bytes >> 29));
    put_be32(sha->rest + 60, (uint32_t)(sha->bytes << 3));
    compress(sha->state, sha->rest);
    for (int i = 0; i < 8; i++)
        put_be32(out + 4 * i, sha->state[i]);
}

/* The second SHA-256: ends one that runs, and hashes what it gave. */
static void sha_end_twice(sha256_t *sha, uint8_t out[HASH_BYTES]) {
    sha_end(sha, out);
    sha_begin(sha);
    sha_add(sha, out, HASH_BYTES);
    sha_end(sha, out);
}

typedef struct {
    const char *at;
    Py_ssize_t size;
} bytes_t;

static int take_bytes(PyObject *const *arguments, bytes_t *found, int count) {
    for (int i = 0; i < count; i++) {
        char *at;
        if (PyBytes_AsStringAndSize(arguments[i], &at, &found[i].size) < 0)
            return -1;
        found[i].at = at;
    }
    return 0;
}

static int take_numbers(PyObject *const *arguments, uint32_t *found, int count) {
    for (int i = 0; i < count; i++) {
        unsigned long value = PyLong_AsUnsignedLong(arguments[i]);
        if (value == (unsigned long)-1 && PyErr_Occurred())
            return -1;
        if (value > UINT32_MAX) {
            PyErr_SetString(PyExc_OverflowError, "a header's number is above 32 bits");
            return -1;
        }
        found[i] = (uint32_t)value;
    }
    return 0;
}

/* before, extranonce, after, branch */
static int root_of(PyObject *const *arguments, uint8_t root[HASH_BYTES]) {
    bytes_t parts[COINBASE_PARTS + 1];
    if (take_bytes(arguments, parts, COINBASE_PARTS + 1) < 0)
        return -1;
    const bytes_t branch = parts[COINBASE_PARTS];
    if (branch.size % HASH_BYTES) {
        PyErr_Format(PyExc_ValueError, "merkle branch of %zd bytes; expected a multiple of 32", branch.size);
        return -1;
    }
    sha256_t sha;
    sha_begin(&sha);
    for (int i = 0; i < COINBASE_PARTS; i++)
        sha_add(&sha, (const uint8_t *)parts[i].at, (size_t)parts[i].size);
    sha_end_twice(&sha, root);
    for (Py_ssize_t at = 0; at < branch.size; at += HASH_BYTES) {
        sha_begin(&sha);
        sha_add(&sha, root, HASH_BYTES);
        sha_add(&sha, (const uint8_t *)branch.at + at, HASH_BYTES);
        sha_end_twice(&sha, root);
    }
    return 0;
}

static int check_count(Py_ssize_t found, Py_ssize_t expected) {
    if (found != expected)
        PyErr_Format(PyExc_TypeError, "%zd arguments; expected %zd", found, expected);
    return found == expected ? 0 : -1;
}

static PyObject *merkle_root(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    uint8_t root[HASH_BYTES];
    (void)module;
    if (check_count(count, COINBASE_PARTS + 1) < 0 || root_of(arguments, root) < 0)
        return NULL;
    return PyBytes_FromStringAndSize((const char *)root, HASH_BYTES);
}

/* before, extranonce, after, branch, previous_hash, version, time_s, bits, nonce */
static PyObject *hashed_header(PyObject *module, PyObject *const *arguments, Py_ssize_t count) {
    uint8_t header[HEADER_BYTES], hash[HASH_BYTES];
    uint32_t numbers[4];
    bytes_t previous;
    sha256_t sha;
    (void)module;
    if (check_count(count, COINBASE_PARTS + 6) < 0 || root_of(arguments, header + 36) < 0 ||
        take_bytes(arguments + COINBASE_PARTS + 1, &previous, 1) < 0 ||
        take_numbers(arguments + COINBASE_PARTS + 2, numbers, 4) < 0)
        return NULL;
    if (previous.size != HASH_BYTES)
        return PyErr_Format(PyExc_ValueError, "previous hash of %zd bytes; expected 32", previous.size);
    put_le32(header, numbers[0]);
    memcpy(header + 4, previous.at, HASH_BYTES);
    for (int i = 1; i < 4; i++)
        put_le32(header + 64 + 4 * i, numbers[i]);
    sha_begin(&sha);
    sha_add(&sha, header, HEADER_BYTES);
    sha_end_twice(&sha, hash);
    return Py_BuildValue("(y#y#)", header, (Py_ssize_t)HEADER_BYTES, hash, (Py_ssize_t)HASH_BYTES);
}

/* The ids after the coinbase's, one after the other: the hashes that lead from it to the root, likewise */
static PyObject *coinbase_branch(PyObject *module, PyObject *others) {
    bytes_t ids;
    (void)module;
    if (take_bytes(&others, &ids, 1) < 0)
        return NULL;
    if (ids.size % HASH_BYTES || ids.size > PY_SSIZE_T_MAX - HASH_BYTES)
        return PyErr_Format(PyExc_ValueError, "ids of %zd bytes; expected a multiple of 32", ids.size);
    uint8_t *level = PyMem_Malloc((size_t)ids.size + HASH_BYTES); /* room for a last one that is repeated */
    uint8_t branch[8 * sizeof ids.size * HASH_BYTES];             /* a level halves its count */
    if (!level)
        return PyErr_NoMemory();
    memcpy(level, ids.at, (size_t)ids.size);
    size_t depth = 0;
    for (size_t count = (size_t)ids.size / HASH_BYTES; count; count /= 2) {
        memcpy(branch + HASH_BYTES * depth++, level, HASH_BYTES);
        if (count % 2 == 0) { /* without the first an odd number is left */
            memcpy(level + HASH_BYTES * count, level + HASH_BYTES * (count - 1), HASH_BYTES);
        }
        for (size_t i = 0; i < count / 2; i++) {
            sha256_t sha;
            sha_begin(&sha);
            sha_add(&sha, level + HASH_BYTES * (2 * i + 1), 2 * HASH_BYTES);
            sha_end_twice(&sha, level + HASH_BYTES * i);
        }
    }
    PyMem_Free(level);
    return PyBytes_FromStringAndSize((const char *)branch, (Py_ssize_t)(HASH_BYTES * depth));
}

static PyObject *use_extensions(PyObject *module, PyObject *wish) {
    int wished = PyObject_IsTrue(wish);
    (void)module;
    if (wished < 0)
        return NULL;
    int used = wished && has_sha();
    compress = used ? compress_sha : compress_portable;
    return PyBool_FromLong(used);
}

static PyMethodDef methods[] = {
    {"merkle_root", (PyCFunction)(void (*)(void))merkle_root, METH_FASTCALL, "See work_hash.merkle_root."},
    {"hashed_header", (PyCFunction)(void (*)(void))hashed_header, METH_FASTCALL, "See work_hash.hashed_header."},
    {"coinbase_branch", coinbase_branch, METH_O, "See hashing.coinbase_branch."},
    {"use_extensions", use_extensions, METH_O, "Use the processor's SHA instructions or not; says whether."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    compress = has_sha() ? compress_sha : compress_portable;
    return PyModule_Create(&definition);
}
