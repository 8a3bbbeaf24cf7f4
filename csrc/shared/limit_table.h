/* Places that every source holds at once, over all workers of one gateway: a table in shared memory, without locks.
 *
 * A row counts for one source (a user, an IPv4 address, an IPv6 /64), known by a 64-bit keyed hash. Each worker owns a
 * column: it writes its own cells and reads all others. The sum over the columns is what the source holds. When a
 * worker dies the supervisor zeroes its column, and its share is free again (DESIGN.md section 3).
 *
 *   +----------------------------+ 0
 *   | header                     | magic, version, columns, the key of the hash
 *   +----------------------------+ SL_LIMITS_WORDS_AT
 *   | u64 words[SL_LIMITS_ROWS]  | whose each row is: tag:47 version:16 leaving:1; buckets of eight, a cache line each
 *   +----------------------------+ SL_LIMITS_COLUMNS_AT
 *   | column of worker 0         | SL_LIMITS_COLUMN_ROWS rows of SL_LIMITS_CELLS u32: the rows, then 64 overflow rows,
 *   +----------------------------+ then the gateway's row (all sources together)
 *   | column of worker 1 ...     | whole pages each: a page has one writer
 *   +----------------------------+
 *
 * The laws:
 *
 * - enter adds to the own cell first, then sums, and takes back what is too much. All of that is sequentially
 *   consistent, so of two that enter at once the later one sees the earlier: more than `max` are never let in. Two that
 *   meet at the last place may both be refused.
 * - A source may use 16 rows, two buckets. It may come to own two of them when two workers claim at once; every sum
 *   goes over all 16, so that does no harm.
 * - A row is taken from its source only when all its cells are zero: it is marked `leaving`, looked at once more, and
 *   then given away or given back. A source that enters reads the word after adding: a row that changed hands between
 *   is left alone, and another one is sought. A mark left by a dead worker is lifted by the next one that reads it.
 * - When all 16 rows count for others, one of 64 overflow rows is used, shared by strangers: they are refused sooner.
 *   What a source still holds there is not seen once it has got a row of its own.
 * - Nothing read from the table is trusted: geometry is checked once and kept outside, rows and kinds are checked at
 *   each call, and whatever the cells hold, the worst is a wrong refusal or a limit that does not hold.
 */
#ifndef SLUICE_LIMIT_TABLE_H
#define SLUICE_LIMIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define SL_LIMITS_MAGIC 0x5354494d494c4c53ull
enum {
    SL_LIMITS_VERSION = 1,
    SL_LIMITS_ROWS = 16384,        /* of sources */
    SL_LIMITS_BUCKET = 8,          /* rows */
    SL_LIMITS_OVERFLOW = 64,       /* rows shared by sources that found no place */
    SL_LIMITS_COLUMN_ROWS = 16512, /* of sources, of the overflow, the gateway's, the rest of the page */
    SL_LIMITS_CELLS = 8,           /* of a row: one for each kind */
    SL_LIMITS_WORDS_AT = 4096,
    SL_LIMITS_COLUMNS_AT = 135168,
    SL_LIMITS_COLUMN_SIZE = 528384,
    SL_LIMITS_COLUMNS_MAX = 1024,
};

/* Kinds of places. */
enum sl_limit {
    SL_LIMIT_TUNNELS = 0,     /* tunnels, from the moment their request is about to be connected */
    SL_LIMIT_REQUESTS = 1,    /* requests that are under way and not answered yet */
    SL_LIMIT_LOOKUPS = 2,     /* names asked of DNS a moment ago */
    SL_LIMIT_DIALS = 3,       /* connection attempts that began a moment ago */
    SL_LIMIT_PROVISIONAL = 4, /* tunnels held until the name inside them is judged */
    SL_LIMIT_CONNECTIONS = 5, /* HTTP/2 connections that carry no tunnel */
    SL_LIMIT_WAITING = 6,     /* requests that wait for a place among those under way */
    SL_LIMIT_HANDSHAKES = 7,  /* TLS handshakes with clients under way; of the gateway alone */
    SL_LIMIT_COUNT = 8,
};

struct sl_limits_header {
    uint64_t magic;
    uint32_t version;
    uint32_t columns;
    uint64_t key[2]; /* random: no client can aim at a row */
};

/* One worker's view; private memory. */
struct sl_limits {
    uint8_t *words;   /* u64 each */
    uint8_t *columns; /* of every worker */
    uint32_t count;   /* columns */
    uint32_t own;     /* the column that this worker writes */
    uint64_t key[2];
};

/* Bytes of a table for so many workers; 0 when there are none or too many. */
size_t sl_limits_size(uint32_t columns);
/* Looks at a table of `size` bytes as worker `own`. Returns 1, or 0 when it is not one of this version and geometry. */
int sl_limits_attach(struct sl_limits *limits, void *memory, size_t size, uint32_t own);
/* The hash of a source's name: SipHash-2-4 under the table's key. */
uint64_t sl_limits_source(const struct sl_limits *limits, const void *name, size_t length);
/* One more of `kind` for `source`, if that makes at most `max`. Returns a handle for sl_limits_leave; 0 = refused. */
uint32_t sl_limits_enter(const struct sl_limits *limits, uint64_t source, unsigned kind, uint32_t max);
/* The same for the gateway as a whole. */
uint32_t sl_limits_enter_gateway(const struct sl_limits *limits, unsigned kind, uint32_t max);
/* Undoes one enter of this worker. Returns 1, or 0 when this worker holds nothing there, and nothing is changed. */
int sl_limits_leave(const struct sl_limits *limits, uint32_t handle, unsigned kind);
/* Places of a source over all workers, of all sources together, and of this worker in all its rows. */
uint64_t sl_limits_held(const struct sl_limits *limits, uint64_t source, unsigned kind);
uint64_t sl_limits_held_by_gateway(const struct sl_limits *limits, unsigned kind);
uint64_t sl_limits_held_by_worker(const struct sl_limits *limits, unsigned kind);

#endif
