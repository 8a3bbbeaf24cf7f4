/* The table of limit_table.h: finding, claiming and giving away rows; entering and leaving. */
#include "shared/limit_table.h"

#include <stdatomic.h>
#include <string.h>

enum {
    BUCKETS = SL_LIMITS_ROWS / SL_LIMITS_BUCKET,
    PLACES = 2 * SL_LIMITS_BUCKET, /* rows that one source may use */
    FIRST_OVERFLOW = SL_LIMITS_ROWS,
    GATEWAY = SL_LIMITS_ROWS + SL_LIMITS_OVERFLOW,
    LAST_ROW = GATEWAY,
    NOWHERE = SL_LIMITS_COLUMN_ROWS,
    ATTEMPTS = 4, /* to enter a row before it changes hands */
    /* Bits of a hash: the buckets and the overflow row come from the low ones, the tag is what lies above 17. */
    BUCKET_BITS = 11,
    OVERFLOW_SHIFT = 2 * BUCKET_BITS,
    TAG_SHIFT = 17,
};

#define LEAVING 1ull
#define VERSION_STEP 2ull
#define VERSION_MASK 0x1fffeull

_Static_assert(1 << BUCKET_BITS == BUCKETS, "a bucket number is so many bits");
_Static_assert(SL_LIMITS_WORDS_AT + SL_LIMITS_ROWS * 8 == SL_LIMITS_COLUMNS_AT, "the columns follow the words");
_Static_assert(SL_LIMITS_COLUMN_ROWS * SL_LIMITS_CELLS * 4 == SL_LIMITS_COLUMN_SIZE, "a column is its rows");
_Static_assert(SL_LIMITS_COLUMNS_AT % 4096 == 0 && SL_LIMITS_COLUMN_SIZE % 4096 == 0, "a column is whole pages");
_Static_assert((int)LAST_ROW < (int)SL_LIMITS_COLUMN_ROWS, "every row has its cells");
_Static_assert((int)SL_LIMIT_COUNT <= (int)SL_LIMITS_CELLS, "every kind has its cell");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "shared memory knows no locks");

size_t sl_limits_size(uint32_t columns)
{
    if (columns == 0 || columns > SL_LIMITS_COLUMNS_MAX) return 0;
    return SL_LIMITS_COLUMNS_AT + (size_t)columns * SL_LIMITS_COLUMN_SIZE;
}

int sl_limits_attach(struct sl_limits *limits, void *memory, size_t size, uint32_t own)
{
    struct sl_limits_header header;

    if (size < sizeof header || (uintptr_t)memory % 64) return 0;
    memcpy(&header, memory, sizeof header);
    if (header.magic != SL_LIMITS_MAGIC || header.version != SL_LIMITS_VERSION) return 0;
    if (sl_limits_size(header.columns) != size || own >= header.columns) return 0;
    limits->words = (uint8_t *)memory + SL_LIMITS_WORDS_AT;
    limits->columns = (uint8_t *)memory + SL_LIMITS_COLUMNS_AT;
    limits->count = header.columns;
    limits->own = own;
    memcpy(limits->key, header.key, sizeof limits->key);
    return 1;
}

/* SipHash-2-4 (Aumasson and Bernstein, 2012): short inputs, and an attacker who chooses them. */

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static uint64_t little_endian(const uint8_t *bytes, size_t length)
{
    uint64_t word = 0;
    for (size_t i = 0; i < length; i++) word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

uint64_t sl_limits_source(const struct sl_limits *limits, const void *name, size_t length)
{
    const uint8_t *bytes = name;
    uint64_t k0 = limits->key[0], k1 = limits->key[1], word;
    uint64_t v[4] = {k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull, k0 ^ 0x6c7967656e657261ull,
                     k1 ^ 0x7465646279746573ull};
    size_t at = 0;

    for (; length - at >= 8; at += 8) {
        word = little_endian(bytes + at, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)length << 56 | little_endian(bytes + at, length - at);
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Cells and words. Every access is sequentially consistent but where a comment says why it need not be. */

static _Atomic uint64_t *word_of(const struct sl_limits *t, uint32_t row)
{
    return (_Atomic uint64_t *)(void *)t->words + row;
}

static _Atomic uint32_t *cell_of(const struct sl_limits *t, uint32_t column, uint32_t row, unsigned kind)
{
    uint8_t *base = t->columns + (size_t)column * SL_LIMITS_COLUMN_SIZE;
    return (_Atomic uint32_t *)(void *)base + (size_t)row * SL_LIMITS_CELLS + kind;
}

static uint64_t row_sum(const struct sl_limits *t, uint32_t row, unsigned kind)
{
    uint64_t sum = 0;
    for (uint32_t column = 0; column < t->count; column++) sum += atomic_load(cell_of(t, column, row, kind));
    return sum;
}

static int is_idle(const struct sl_limits *t, uint32_t row)
{
    for (uint32_t column = 0; column < t->count; column++)
        for (unsigned kind = 0; kind < SL_LIMIT_COUNT; kind++)
            if (atomic_load(cell_of(t, column, row, kind)) != 0) return 0;
    return 1;
}

/* The own cell plus one; 0 when it can count no further. This worker is its only writer: no read-modify-write. */
static int add(const struct sl_limits *t, uint32_t row, unsigned kind)
{
    _Atomic uint32_t *cell = cell_of(t, t->own, row, kind);
    uint32_t held = atomic_load_explicit(cell, memory_order_relaxed);

    if (held == UINT32_MAX) return 0;
    atomic_store(cell, held + 1);
    return 1;
}

/* No decision depends on a cell that has become smaller: a worker that sees it late refuses, or keeps a row. */
static int take_back(const struct sl_limits *t, uint32_t row, unsigned kind)
{
    _Atomic uint32_t *cell = cell_of(t, t->own, row, kind);
    uint32_t held = atomic_load_explicit(cell, memory_order_relaxed);

    if (held == 0) return 0;
    atomic_store_explicit(cell, held - 1, memory_order_release);
    return 1;
}

/* Rows of a source. */

/* The two buckets of a source; they differ. */
static void buckets_of(uint64_t source, uint32_t bucket[2])
{
    bucket[0] = (uint32_t)source % BUCKETS;
    bucket[1] = (uint32_t)(source >> BUCKET_BITS) % BUCKETS;
    if (bucket[0] == bucket[1]) bucket[1] ^= 1;
}

static uint32_t row_at(const uint32_t bucket[2], unsigned place)
{
    return bucket[place / SL_LIMITS_BUCKET] * SL_LIMITS_BUCKET + place % SL_LIMITS_BUCKET;
}

/* Never 0: that is a row that was never taken. */
static uint64_t tag_of(uint64_t source)
{
    uint64_t tag = source >> TAG_SHIFT;
    return tag ? tag : 1;
}

/* The word that follows `word`: its version makes sure that a word once replaced is not met again while it matters. */
static uint64_t successor(uint64_t word, uint64_t tag, uint64_t leaving)
{
    return tag << TAG_SHIFT | ((word + VERSION_STEP) & VERSION_MASK) | leaving;
}

static int replace(const struct sl_limits *t, uint32_t row, uint64_t word, uint64_t by)
{
    return atomic_compare_exchange_strong(word_of(t, row), &word, by);
}

/* A row that counts for `tag`, and its word; NOWHERE when there is none. */
static uint32_t find(const struct sl_limits *t, const uint32_t bucket[2], uint64_t tag, uint64_t *word)
{
    for (unsigned place = 0; place < PLACES; place++) {
        uint32_t row = row_at(bucket, place);
        uint64_t seen = atomic_load(word_of(t, row));

        if (seen >> TAG_SHIFT != tag) continue;
        if (seen & LEAVING) {
            /* Another worker was about to give it away, and may be dead: the row stays where it is. */
            uint64_t kept = successor(seen, tag, 0);
            if (!replace(t, row, seen, kept)) continue;
            seen = kept;
        }
        *word = seen;
        return row;
    }
    return NOWHERE;
}

/* Takes a row for `tag` that counts for no source; 0 when it does, or when another worker was faster. */
static int take(const struct sl_limits *t, uint32_t row, uint64_t tag, uint64_t *word)
{
    uint64_t seen = atomic_load(word_of(t, row)), before = seen >> TAG_SHIFT;

    if (before) {
        uint64_t leaving = successor(seen, before, LEAVING);
        if (!is_idle(t, row) || !replace(t, row, seen, leaving)) return 0;
        if (!is_idle(t, row)) {
            replace(t, row, leaving, successor(leaving, before, 0));
            return 0;
        }
        seen = leaving;
    }
    *word = successor(seen, tag, 0);
    return replace(t, row, seen, *word);
}

/* A new row for `tag`, in the bucket that has more room; NOWHERE when both are full. */
static uint32_t claim(const struct sl_limits *t, const uint32_t bucket[2], uint64_t tag, uint64_t *word)
{
    unsigned room[2] = {0, 0}, start;

    for (unsigned place = 0; place < PLACES; place++) {
        uint32_t row = row_at(bucket, place);
        room[place / SL_LIMITS_BUCKET] += atomic_load(word_of(t, row)) >> TAG_SHIFT == 0 || is_idle(t, row);
    }
    start = room[1] > room[0] ? SL_LIMITS_BUCKET : 0;
    for (unsigned i = 0; i < PLACES; i++) {
        uint32_t row = row_at(bucket, (start + i) % PLACES);
        if (take(t, row, tag, word)) return row;
    }
    return NOWHERE;
}

static uint64_t source_sum(const struct sl_limits *t, const uint32_t bucket[2], uint64_t tag, unsigned kind)
{
    uint64_t sum = 0;
    for (unsigned place = 0; place < PLACES; place++) {
        uint32_t row = row_at(bucket, place);
        if (atomic_load(word_of(t, row)) >> TAG_SHIFT == tag) sum += row_sum(t, row, kind);
    }
    return sum;
}

/* A row that never changes hands. */
static uint32_t enter_fixed(const struct sl_limits *t, uint32_t row, unsigned kind, uint32_t max)
{
    if (!add(t, row, kind)) return 0;
    if (row_sum(t, row, kind) > max) {
        take_back(t, row, kind);
        return 0;
    }
    return row + 1;
}

uint32_t sl_limits_enter(const struct sl_limits *t, uint64_t source, unsigned kind, uint32_t max)
{
    uint64_t tag = tag_of(source), word = 0;
    uint32_t bucket[2];

    if (kind >= SL_LIMIT_COUNT) return 0;
    buckets_of(source, bucket);
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint32_t row = find(t, bucket, tag, &word);
        if (row == NOWHERE) row = claim(t, bucket, tag, &word);
        if (row == NOWHERE) break;
        if (!add(t, row, kind)) return 0;
        if (atomic_load(word_of(t, row)) == word) {
            if (source_sum(t, bucket, tag, kind) <= max) return row + 1;
            take_back(t, row, kind);
            return 0;
        }
        take_back(t, row, kind);
    }
    return enter_fixed(t, FIRST_OVERFLOW + (uint32_t)(source >> OVERFLOW_SHIFT) % SL_LIMITS_OVERFLOW, kind, max);
}

uint32_t sl_limits_enter_gateway(const struct sl_limits *t, unsigned kind, uint32_t max)
{
    return kind < SL_LIMIT_COUNT ? enter_fixed(t, GATEWAY, kind, max) : 0;
}

int sl_limits_leave(const struct sl_limits *t, uint32_t handle, unsigned kind)
{
    if (handle == 0 || handle - 1 > LAST_ROW || kind >= SL_LIMIT_COUNT) return 0;
    return take_back(t, handle - 1, kind);
}

uint64_t sl_limits_held(const struct sl_limits *t, uint64_t source, unsigned kind)
{
    uint32_t bucket[2];

    if (kind >= SL_LIMIT_COUNT) return 0;
    buckets_of(source, bucket);
    return source_sum(t, bucket, tag_of(source), kind);
}

uint64_t sl_limits_held_by_gateway(const struct sl_limits *t, unsigned kind)
{
    return kind < SL_LIMIT_COUNT ? row_sum(t, GATEWAY, kind) : 0;
}

uint64_t sl_limits_held_by_worker(const struct sl_limits *t, unsigned kind)
{
    uint64_t sum = 0;

    if (kind >= SL_LIMIT_COUNT) return 0;
    for (uint32_t row = 0; row <= LAST_ROW; row++)
        sum += atomic_load_explicit(cell_of(t, t->own, row, kind), memory_order_relaxed);
    return sum;
}
