/* The table of rate_table.h. */
#include "shared/rate_table.h"

#include <stdatomic.h>

enum {
    BUCKETS = SL_RATES_SOURCES / SL_RATES_BUCKET,
    PLACES = 2 * SL_RATES_BUCKET, /* rows that one source may use */
    ATTEMPTS = 64,                /* to be faster than other workers */
    /* Bits of a hash: the buckets and the shared row come from the low ones, the tag from the high ones. */
    BUCKET_BITS = 11,
    SHARED_SHIFT = 2 * BUCKET_BITS,
    TAG_SHIFT = 40,
    TICKS = 16000, /* in a millisecond */
};

#define TIME_MASK ((1ull << TAG_SHIFT) - 1)
#define SECOND (1000ull * TICKS)
#define LONGEST (2 * SECOND) /* that a debt may take */

_Static_assert(1 << BUCKET_BITS == BUCKETS, "a bucket number is so many bits");
_Static_assert(SL_RATES_SOURCES + SL_RATES_SHARED <= SL_RATES_ROWS, "the shared rows follow");
_Static_assert(SL_RATES_ROWS * 8 == SL_RATES_SIZE && SL_RATES_SIZE % 4096 == 0, "whole pages");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory knows no locks");

int sl_rates_attach(struct sl_rates *rates, void *memory, size_t size)
{
    if (size != SL_RATES_SIZE || (uintptr_t)memory % 64) return 0;
    rates->rows = memory;
    return 1;
}

static _Atomic uint64_t *word_of(const struct sl_rates *t, uint32_t row)
{
    return (_Atomic uint64_t *)(void *)t->rows + row;
}

/* Ticks until the debt of a row is paid; 0 when it is. */
static uint64_t debt_of(uint64_t word, uint64_t now)
{
    uint64_t ahead = (word - now) & TIME_MASK;
    return word && ahead <= LONGEST ? ahead : 0;
}

/* The row of a source; else one that is free for it, in the bucket that has more of them; else one that it shares. And
 * what it holds. */
static uint32_t find(const struct sl_rates *t, uint64_t source, uint64_t tag, uint64_t now, uint64_t *word)
{
    uint32_t bucket[2] = {(uint32_t)source % BUCKETS, (uint32_t)(source >> BUCKET_BITS) % BUCKETS};
    uint32_t vacant[2] = {0, 0}, room[2] = {0, 0};
    uint64_t held[2] = {0, 0};
    if (bucket[0] == bucket[1]) bucket[1] ^= 1;
    for (uint32_t place = 0; place < PLACES; place++) {
        uint32_t which = place / SL_RATES_BUCKET, row = bucket[which] * SL_RATES_BUCKET + place % SL_RATES_BUCKET;
        uint64_t seen = atomic_load_explicit(word_of(t, row), memory_order_relaxed);
        if (seen >> TAG_SHIFT == tag) {
            *word = seen;
            return row;
        }
        if (debt_of(seen, now)) continue;
        vacant[which] = row;
        held[which] = seen;
        room[which]++;
    }
    if (room[0] || room[1]) {
        *word = held[room[1] > room[0]];
        return vacant[room[1] > room[0]];
    }
    uint32_t shared = SL_RATES_SOURCES + (uint32_t)(source >> SHARED_SHIFT) % SL_RATES_SHARED;
    *word = atomic_load_explicit(word_of(t, shared), memory_order_relaxed);
    return shared;
}

int sl_rates_take(const struct sl_rates *t, uint64_t source, uint32_t per_second, uint64_t now)
{
    uint64_t tag = source >> TAG_SHIFT, ticks = now * TICKS & TIME_MASK, word = 0;
    if (per_second == 0) return 0;
    if (per_second > SL_RATES_MOST) per_second = SL_RATES_MOST;
    uint64_t each = (SECOND + per_second - 1) / per_second;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        uint32_t row = find(t, source, tag, ticks, &word);
        uint64_t debt = debt_of(word, ticks) + each;
        if (debt > each * per_second) return 0;
        uint64_t paid = tag << TAG_SHIFT | ((ticks + debt) & TIME_MASK);
        if (atomic_compare_exchange_strong(word_of(t, row), &word, paid)) return 1;
    }
    return 0;
}
