/* The table of workloads. See workloads.h. */
#include <string.h>

#include "shared/workloads.h"

enum { UNIT = 8, LEAST_SLOTS = 16 };

static uint64_t mixed(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

static uint32_t hash_of(const struct sl_addr *addr)
{
    uint64_t words[2];
    memcpy(words, addr->bytes, sizeof words);
    return (uint32_t)mixed(words[0] + mixed(words[1] + addr->family));
}

static int same(const struct sl_addr *one, const struct sl_addr *other)
{
    return one->family == other->family && memcmp(one->bytes, other->bytes, sizeof one->bytes) == 0;
}

static size_t round_up(size_t size)
{
    return (size + UNIT - 1) / UNIT * UNIT;
}

/* At most half of them are in use. */
static uint32_t slots_for(uint32_t addresses)
{
    uint32_t slots = LEAST_SLOTS;
    while (slots < 2 * addresses) slots *= 2;
    return slots;
}

static size_t slots_at(uint32_t networks)
{
    return round_up(sizeof(struct sl_workloads_header) + networks * sizeof(struct sl_prefix));
}

static const struct sl_prefix *networks_of(const void *base)
{
    return (const struct sl_prefix *)((const char *)base + sizeof(struct sl_workloads_header));
}

int sl_workloads_open(struct sl_workloads *table, const void *base, size_t size)
{
    const struct sl_workloads_header *header = base;
    *table = (struct sl_workloads){NULL, 0};
    if (!base || size < sizeof *header) return 0;
    if (header->magic != SL_WORKLOADS_MAGIC || header->version != SL_WORKLOADS_VERSION || header->size != size)
        return 0;
    if (header->slots < LEAST_SLOTS || header->slots & (header->slots - 1) || header->slots > 4 * SL_WORKLOADS_MOST)
        return 0;
    if (header->networks > SL_WORKLOADS_NETWORKS || header->slots_at < slots_at(header->networks) ||
        header->slots_at % UNIT || header->slots_at > size)
        return 0;
    if (header->records_at < header->slots_at + header->slots * sizeof(uint32_t) || header->records_at > size) return 0;
    *table = (struct sl_workloads){header, size};
    return 1;
}

/* A record, NULL where it does not lie whole in the table. */
static const struct sl_workload *record_at(const struct sl_workloads_header *header, size_t size, uint32_t place)
{
    size_t at = (size_t)place * UNIT;
    if (at < header->records_at || at > size || size - at < sizeof(struct sl_workload)) return NULL;
    const struct sl_workload *found = (const void *)((const char *)header + at);
    if (found->size > size - at || found->selector_count > SL_WORKLOAD_SELECTORS) return NULL;
    size_t texts = sizeof *found + found->selector_count * sizeof(uint32_t);
    if (found->size <= texts || ((const char *)found)[found->size - 1]) return NULL;
    for (unsigned i = 0; i < SL_WORKLOAD_TEXT_COUNT; i++)
        if (found->texts[i] < texts || found->texts[i] >= found->size) return NULL;
    return found;
}

static const uint32_t *slots_of(const struct sl_workloads_header *header)
{
    return (const uint32_t *)(const void *)((const char *)header + header->slots_at);
}

/* The slot of an address, or the free one where it belongs; *found is its record. Returns `slots` when there is neither, or
 * a record is broken. */
static uint32_t slot_of(const struct sl_workloads_header *header, size_t size, const struct sl_addr *addr,
                        const struct sl_workload **found)
{
    const uint32_t *slots = slots_of(header);
    uint32_t mask = header->slots - 1, at = hash_of(addr) & mask;
    *found = NULL;
    for (uint32_t i = 0; i < header->slots; i++, at = (at + 1) & mask) {
        uint32_t place = __atomic_load_n(&slots[at], __ATOMIC_ACQUIRE);
        if (!place) return at;
        const struct sl_workload *record = record_at(header, size, place);
        if (!record) break;
        if (same(&record->addr, addr)) {
            *found = record;
            return at;
        }
    }
    return header->slots;
}

enum sl_workload_status sl_workloads_find(const struct sl_workloads *table, const struct sl_addr *addr,
                                          const struct sl_workload **out)
{
    const struct sl_workloads_header *header = table->header;
    const struct sl_workload *found;
    struct sl_addr plain = sl_addr_unmapped(addr);
    *out = NULL;
    if (!header) return SL_WORKLOAD_OUTSIDE;
    if (slot_of(header, table->size, &plain, &found) == header->slots) return SL_WORKLOAD_UNKNOWN;
    if (found && found->pod) {
        *out = found;
        return SL_WORKLOAD_KNOWN;
    }
    for (uint32_t i = 0; i < header->networks; i++)
        if (sl_prefix_contains(&networks_of(header)[i], &plain)) return SL_WORKLOAD_UNKNOWN;
    return SL_WORKLOAD_OUTSIDE;
}

const char *sl_workload_text(const struct sl_workload *workload, enum sl_workload_text which)
{
    return (const char *)workload + workload->texts[which];
}

uint32_t sl_workloads_known(const struct sl_workloads *table)
{
    return table->header ? __atomic_load_n(&table->header->known, __ATOMIC_RELAXED) : 0;
}

uint64_t sl_workloads_changes(const struct sl_workloads *table)
{
    return table->header ? __atomic_load_n(&table->header->changes, __ATOMIC_ACQUIRE) : 0;
}

size_t sl_workload_size(const struct sl_workload_entry *entry)
{
    if (entry->selector_count > SL_WORKLOAD_SELECTORS) return 0;
    size_t size = sizeof(struct sl_workload) + entry->selector_count * sizeof(uint32_t);
    for (unsigned i = 0; i < SL_WORKLOAD_TEXT_COUNT; i++) {
        size_t length = strlen(entry->texts[i]);
        if (length > SL_WORKLOAD_TEXT) return 0;
        size += length + 1;
    }
    return round_up(size);
}

size_t sl_workloads_size(uint32_t addresses, uint32_t networks, size_t records)
{
    size_t most = (size_t)UINT32_MAX * UNIT / 2; /* what a slot can point to, with room for all before the records */
    if (addresses > SL_WORKLOADS_MOST || networks > SL_WORKLOADS_NETWORKS || records > most) return 0;
    return slots_at(networks) + round_up(slots_for(addresses) * sizeof(uint32_t)) + round_up(records);
}

int sl_workloads_prepare(void *base, size_t size, uint32_t addresses, uint32_t networks, size_t records)
{
    struct sl_workloads_header *header = base;
    if (!size || size != sl_workloads_size(addresses, networks, records)) return 0;
    header->version = SL_WORKLOADS_VERSION;
    header->slots = slots_for(addresses);
    header->size = size;
    header->slots_at = slots_at(networks);
    header->records_at = header->used = header->slots_at + round_up(header->slots * sizeof(uint32_t));
    header->magic = SL_WORKLOADS_MAGIC;
    return 1;
}

int sl_workloads_network(void *base, const struct sl_prefix *block)
{
    struct sl_workloads_header *header = base;
    struct sl_prefix *at = (struct sl_prefix *)((char *)base + sizeof *header) + header->networks;
    if ((const char *)(at + 1) > (const char *)base + header->slots_at) return 0;
    *at = *block;
    header->networks++;
    return 1;
}

/* Insertion sort: they are few, and most often in order. */
static void write_selectors(struct sl_workload *record, const struct sl_workload_entry *entry)
{
    for (uint32_t i = 0; i < entry->selector_count; i++) {
        uint32_t at = i;
        for (; at > 0 && record->selectors[at - 1] > entry->selectors[i]; at--)
            record->selectors[at] = record->selectors[at - 1];
        record->selectors[at] = entry->selectors[i];
    }
}

static void write_record(struct sl_workload *record, const struct sl_workload_entry *entry, size_t size)
{
    record->pod = entry->pod;
    record->addr = entry->addr;
    record->size = (uint32_t)size;
    record->selector_count = entry->selector_count;
    write_selectors(record, entry);
    size_t at = sizeof *record + entry->selector_count * sizeof(uint32_t);
    for (unsigned i = 0; i < SL_WORKLOAD_TEXT_COUNT; i++) {
        size_t length = strlen(entry->texts[i]) + 1;
        record->texts[i] = (uint32_t)at;
        memcpy((char *)record + at, entry->texts[i], length);
        at += length;
    }
    memset((char *)record + at, 0, size - at);
}

int sl_workloads_put(void *base, const struct sl_workload_entry *entry)
{
    struct sl_workloads_header *header = base;
    const struct sl_workload *before;
    struct sl_workload_entry plain = *entry;
    plain.addr = sl_addr_unmapped(&entry->addr);
    size_t size = sl_workload_size(entry);
    if (!size || size > header->size - header->used) return 0;
    uint32_t slot = slot_of(header, header->size, &plain.addr, &before);
    if (slot == header->slots || (!before && header->addresses >= header->slots / 2)) return 0;

    struct sl_workload *record = (void *)((char *)base + header->used);
    record->sequence = header->changes + 1;
    write_record(record, &plain, size);
    uint32_t *slots = (uint32_t *)(void *)((char *)base + header->slots_at);
    __atomic_store_n(&slots[slot], (uint32_t)(header->used / UNIT), __ATOMIC_RELEASE);
    header->used += size;
    if (!before) header->addresses++;
    uint32_t known = header->known + (entry->pod != 0) - (before && before->pod);
    __atomic_store_n(&header->known, known, __ATOMIC_RELAXED);
    __atomic_store_n(&header->changes, record->sequence, __ATOMIC_RELEASE);
    return 1;
}
