/* Which workload an address belongs to (DECISIONS.md section 8): a table in shared memory that its one writer, the
 * supervisor, fills and every worker reads without a lock.
 *
 *   +----------+------------+---------------------------+---------------------------------------------+
 *   | header   | networks   | slots: u32, by the hash   | records, one behind the other; never        |
 *   |          | of pods    | of the address            | changed, never moved       | room for more  |
 *   +----------+------------+---------------------------+---------------------------------------------+
 *                              |  0 = free, else where         ^
 *                              +-- its record begins / 8 ------+
 *
 * A table belongs to one generation, as the selectors of its records are indexes of that generation's image; a reload
 * brings another table. Within a generation it grows by deltas: sl_workloads_put() writes a new record behind the last
 * one, and only then stores its place into the slot of its address. So a reader sees the old record or the new one, both
 * whole, and may keep what it has found as long as the table is mapped. A slot is never freed: an address that belongs to
 * nothing has a record whose `pod` is 0. `changes` counts the puts and each record has the number of its own, so that a
 * reader can tell that something has changed, and what is new. When there is no room left, the writer makes a larger table
 * of the same generation.
 *
 * Readers map it read-only (F_SEAL_FUTURE_WRITE) and check every place that they follow: a broken table is UNKNOWN. */
#ifndef SLUICE_WORKLOADS_H
#define SLUICE_WORKLOADS_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"

#define SL_WORKLOADS_MAGIC UINT64_C(0x31736c776577736c)

enum {
    SL_WORKLOADS_VERSION = 1,
    SL_WORKLOADS_MOST = 1000000,  /* addresses */
    SL_WORKLOADS_NETWORKS = 1024, /* address blocks of pods */
    SL_WORKLOAD_SELECTORS = 512,  /* of one workload */
    SL_WORKLOAD_TEXT = 512,       /* bytes of one text */
};

enum sl_workload_text {
    SL_WORKLOAD_NAMESPACE,
    SL_WORKLOAD_ACCOUNT,
    SL_WORKLOAD_POD,
    SL_WORKLOAD_OWNER_KIND,
    SL_WORKLOAD_OWNER,
    SL_WORKLOAD_TEXT_COUNT
};

struct sl_workloads_header {
    uint64_t magic;
    uint32_t version;
    uint32_t slots;      /* a power of two */
    uint64_t size;       /* bytes of the table */
    uint64_t slots_at;   /* bytes */
    uint64_t records_at; /* bytes */
    uint64_t used;       /* bytes, of the whole table: where the next record begins; the writer's */
    uint64_t changes;    /* records written so far */
    uint32_t addresses;  /* slots in use */
    uint32_t known;      /* of these, addresses that belong to a pod */
    uint32_t networks;
    uint32_t reserved;
};

/* A record as it lies in the table; its selectors and texts follow, the texts each with a NUL. */
struct sl_workload {
    uint64_t sequence; /* the number of the change that wrote it, from 1 */
    uint64_t pod;      /* a mark of the pod: another one is another pod; 0 = the address belongs to nothing */
    struct sl_addr addr;
    uint8_t pad[3];
    uint32_t size;                          /* bytes, a multiple of 8 */
    uint32_t selector_count;                /* indexes of SELECTORS in the image, ascending */
    uint32_t texts[SL_WORKLOAD_TEXT_COUNT]; /* bytes from the record's begin; texts may be "" */
    uint32_t selectors[];
};

/* ---- readers ----------------------------------------------------------------------------------------------------- */

struct sl_workloads {
    const struct sl_workloads_header *header; /* NULL: none */
    size_t size;
};

enum sl_workload_status {
    SL_WORKLOAD_OUTSIDE = 0, /* not a pod's address, as far as is known */
    SL_WORKLOAD_UNKNOWN,     /* an address of a pod, and no pod has it; or the table is broken */
    SL_WORKLOAD_KNOWN,
};

/* Takes mapped memory as a table. Returns 1, or 0 where it is none. */
int sl_workloads_open(struct sl_workloads *table, const void *base, size_t size);
/* The workload of an address; an IPv4-mapped one counts as the IPv4 address it is. *out is set when KNOWN, else NULL. */
enum sl_workload_status sl_workloads_find(const struct sl_workloads *table, const struct sl_addr *addr,
                                          const struct sl_workload **out);
/* A text of a record that was found; never NULL. */
const char *sl_workload_text(const struct sl_workload *workload, enum sl_workload_text which);
/* Addresses that belong to a pod. */
uint32_t sl_workloads_known(const struct sl_workloads *table);
/* The number of the last change. */
uint64_t sl_workloads_changes(const struct sl_workloads *table);

/* ---- the writer -------------------------------------------------------------------------------------------------- */

struct sl_workload_entry {
    struct sl_addr addr;
    uint64_t pod; /* 0: the address belongs to nothing from here on */
    const char *texts[SL_WORKLOAD_TEXT_COUNT];
    const uint32_t *selectors; /* in any order, each once */
    uint32_t selector_count;
};

/* Bytes of one record; 0 when the entry is too large for one. */
size_t sl_workload_size(const struct sl_workload_entry *entry);
/* Bytes of a table for so many addresses (at most SL_WORKLOADS_MOST), networks (at most SL_WORKLOADS_NETWORKS) and bytes of
 * records; 0 when it cannot be that large. */
size_t sl_workloads_size(uint32_t addresses, uint32_t networks, size_t records);
/* Prepares zeroed memory of that size. Returns 1, or 0 when `size` is another. */
int sl_workloads_prepare(void *base, size_t size, uint32_t addresses, uint32_t networks, size_t records);
/* An address block of pods; before the table is shared. Returns 1, or 0 when there is no room. */
int sl_workloads_network(void *base, const struct sl_prefix *block);
/* Writes who an address belongs to. Returns 1, or 0 when there is no room for it or the entry is too large. */
int sl_workloads_put(void *base, const struct sl_workload_entry *entry);

#endif
