/* Requests a second, over all workers of one gateway: a table in shared memory, without locks.
 *
 * A row counts for one source of one limit, known by the keyed hash of limit_table.h. It is one word: a tag, and the
 * moment at which the source's debt is paid (the generic cell rate algorithm, ITU-T I.371, virtual scheduling). A limit
 * of N a second lets N pass at once, and one more each 1/N s, as the limiter of Linkerd's proxy does.
 *
 *   u64 rows[SL_RATES_ROWS]   tag:24 time:40, time in 1/16 us; buckets of eight, a cache line each; then the shared rows
 *
 * The laws:
 *
 * - A row whose moment has passed is worth as much as none: nothing has to be given back, and it is taken from its
 *   source when another one needs it. A moment further ahead than any debt can be is not one, so neither the wrap of
 *   the clock after 19 hours nor what a broken worker wrote is taken for a debt.
 * - A source may use 16 rows, two buckets. Two workers that meet it at once may both claim one; the first one counts
 *   from then on, and one request more has passed.
 * - When all 16 rows are in debt for others, one of 64 rows is used that strangers share: they are refused sooner.
 * - A limit is never exceeded by workers that are late: the moment only moves on, by compare and exchange.
 */
#ifndef SLUICE_RATE_TABLE_H
#define SLUICE_RATE_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SL_RATES_SOURCES = 16384,
    SL_RATES_BUCKET = 8,   /* rows */
    SL_RATES_SHARED = 64,  /* rows of sources that found no place */
    SL_RATES_ROWS = 16896, /* of sources, the shared ones, the rest of the page */
    SL_RATES_SIZE = 135168,
    SL_RATES_MOST = 16000000, /* requests a second; above it a limit is as high as this */
};

/* One worker's view; private memory. */
struct sl_rates {
    uint8_t *rows; /* u64 each */
};

/* Looks at a table: SL_RATES_SIZE bytes that were zero once. Returns 1, or 0 for another size. */
int sl_rates_attach(struct sl_rates *rates, void *memory, size_t size);
/* One request of `source` at a limit of so many a second, at `now` in milliseconds of one clock of all workers. Returns
 * 1 where it may pass, and is counted; 0 where it may not, or `per_second` is 0. */
int sl_rates_take(const struct sl_rates *rates, uint64_t source, uint32_t per_second, uint64_t now);

#endif
