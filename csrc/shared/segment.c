/* The shared segment of segment.h: preparing it, a worker's taking it, labelled counters, and reaping. Records of live
 * tunnels are in live_tunnels.c, texts in segment_text.c. */
#include "shared/segment.h"

#include "relay/pipe_pool.h"

#include <string.h>

_Static_assert(offsetof(struct sl_segment, counters) == SL_SEGMENT_COUNTERS_AT, "the header is as drawn in segment.h");
_Static_assert(sizeof(struct sl_segment) <= SL_SEGMENT_HISTOGRAMS_AT, "the counters fit");
_Static_assert(SL_SEGMENT_HISTOGRAMS_AT + SL_HISTOGRAM_COUNT * sizeof(struct sl_histogram) <= SL_SEGMENT_LABELLED_AT,
               "the histograms fit");
_Static_assert(SL_SEGMENT_LABELLED_AT + SL_LABELLED_MAX * sizeof(struct sl_labelled) == SL_SEGMENT_INDEX_AT,
               "the labelled counters fit");
_Static_assert(SL_SEGMENT_INDEX_AT + SL_LABELLED_INDEX * sizeof(uint16_t) == SL_SEGMENT_LOGS_AT, "the index fits");
_Static_assert(SL_SEGMENT_LOGS_AT + SL_PENDING_LOGS * sizeof(struct sl_pending_log) == SL_SEGMENT_ROUTE_INDEX_AT,
               "the pending lines fit");
_Static_assert(SL_SEGMENT_ROUTE_INDEX_AT + SL_ROUTE_TIMES_MAX * sizeof(uint16_t) <= SL_SEGMENT_ROUTES_AT,
               "the index of routes fits");
_Static_assert(SL_SEGMENT_ROUTES_AT + SL_ROUTE_TIMES_MAX * sizeof(struct sl_route_times) <= SL_SEGMENT_TUNNELS_AT,
               "the times of routes fit");
_Static_assert(SL_COUNTER_SPLICES_ENDED - SL_COUNTER_PIPES_IDLE + 1 == sizeof(struct sl_pipe_counts) / sizeof(uint64_t),
               "a pool of pipes counts into the segment");
_Static_assert(sizeof(struct sl_tunnel) == 320, "a record is as said in segment.h");
_Static_assert(SL_LABELLED_MAX <= SL_LABELLED_INDEX / 2 && SL_LABELLED_MAX < 0xffff, "a probe always ends");
_Static_assert((SL_LABELLED_INDEX & (SL_LABELLED_INDEX - 1)) == 0, "a power of two");

static struct sl_labelled *labelled(struct sl_segment *segment)
{
    return (struct sl_labelled *)(void *)((char *)segment + SL_SEGMENT_LABELLED_AT);
}

static uint16_t *label_index(struct sl_segment *segment)
{
    return (uint16_t *)(void *)((char *)segment + SL_SEGMENT_INDEX_AT);
}

static struct sl_route_times *route_times(struct sl_segment *segment)
{
    return (struct sl_route_times *)(void *)((char *)segment + SL_SEGMENT_ROUTES_AT);
}

static uint16_t *route_index(struct sl_segment *segment)
{
    return (uint16_t *)(void *)((char *)segment + SL_SEGMENT_ROUTE_INDEX_AT);
}

static int has_route(uint64_t key)
{
    uint64_t family = (key >> 56) - 1;
    return family == SL_FAMILY_HTTP_REQUESTS || family == SL_FAMILY_HTTP_RETRIES;
}

static uint64_t overflow_key(unsigned family)
{
    return sl_label_key((enum sl_family)family, SL_LABEL_OTHER, SL_LABEL_OTHER, SL_LABEL_OTHER, SL_RULE_SLOT_OTHER);
}

static int is_gauge(uint64_t key)
{
    return key >> 56 == SL_FAMILY_TUNNELS_OPEN + 1 || key >> 56 == SL_FAMILY_UPSTREAM_CONNECTIONS + 1;
}

size_t sl_segment_size(uint32_t tunnels)
{
    return SL_SEGMENT_TUNNELS_AT + (size_t)tunnels * sizeof(struct sl_tunnel);
}

int sl_segment_prepare(void *base, size_t size, uint32_t tunnels)
{
    struct sl_segment *segment = base;

    if (tunnels > SL_TUNNELS_MAX || size < sl_segment_size(tunnels)) return 0;
    segment->version = SL_SEGMENT_VERSION;
    segment->tunnel_capacity = tunnels;
    for (unsigned i = 0; i < SL_FAMILY_COUNT; i++) labelled(segment)[i].key = overflow_key(i);
    segment->labelled_used = SL_FAMILY_COUNT;
    /* Last: a reader that sees the magic sees a prepared segment. */
    __atomic_store_n(&segment->magic, SL_SEGMENT_MAGIC, __ATOMIC_RELEASE);
    return 1;
}

static int is_prepared(const struct sl_segment *segment, size_t size)
{
    return size >= SL_SEGMENT_TUNNELS_AT && __atomic_load_n(&segment->magic, __ATOMIC_ACQUIRE) == SL_SEGMENT_MAGIC &&
           segment->version == SL_SEGMENT_VERSION && segment->tunnel_capacity <= SL_TUNNELS_MAX &&
           size >= sl_segment_size(segment->tunnel_capacity);
}

/* Gauges are a worker's own: none of them outlives it. */
static void clear_gauges(struct sl_segment *segment)
{
    struct sl_labelled *entries = labelled(segment);

    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++) {
        const char *name = sl_segment_counter_name(i);
        size_t length = strlen(name);
        if (length > 5 && strcmp(name + length - 5, "_open") == 0)
            __atomic_store_n(&segment->counters[i], 0, __ATOMIC_RELAXED);
    }
    for (unsigned i = 0; i < SL_LABELLED_MAX; i++) {
        if (entries[i].key == 0) break;
        if (is_gauge(entries[i].key)) __atomic_store_n(&entries[i].value, 0, __ATOMIC_RELAXED);
    }
}

/* The live records and all that a worker's death may have left half written. */
static void clear_tunnels(struct sl_segment *segment, size_t size)
{
    struct sl_tunnel *tunnels = (struct sl_tunnel *)(void *)((char *)segment + SL_SEGMENT_TUNNELS_AT);
    uint32_t high = segment->tunnels_high;

    if (high > (size - SL_SEGMENT_TUNNELS_AT) / sizeof *tunnels)
        high = (uint32_t)((size - SL_SEGMENT_TUNNELS_AT) / sizeof *tunnels);
    for (uint32_t i = 0; i < high; i++) {
        uint64_t even = (tunnels[i].sequence_lock + 1) & ~1ull;
        memset(&tunnels[i], 0, sizeof tunnels[i]);
        tunnels[i].sequence_lock = even;
    }
    segment->tunnels_high = segment->tunnels_free = segment->tunnels_listed = 0;
}

void sl_segment_reap(void *base, size_t size)
{
    struct sl_segment *segment = base;

    if (size < SL_SEGMENT_TUNNELS_AT) return;
    clear_gauges(segment);
    clear_tunnels(segment, size);
    __atomic_store_n(&segment->pid, 0, __ATOMIC_RELAXED);
}

static uint32_t index_slot(uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 50); /* Fibonacci hashing: the upper 14 bits */
}

/* Where a key is, or the empty place where it belongs. */
static uint16_t *find(struct sl_segment *segment, uint64_t key)
{
    const struct sl_labelled *entries = labelled(segment);
    uint16_t *index = label_index(segment);
    uint32_t i = index_slot(key);

    while (index[i] && entries[index[i] - 1].key != key) i = (i + 1) & (SL_LABELLED_INDEX - 1);
    return &index[i];
}

/* Entries that no worker can have written are given up: they end the list, as their values mean nothing. */
static void rebuild_index(struct sl_segment *segment)
{
    struct sl_labelled *entries = labelled(segment);
    uint32_t used = segment->labelled_used, i;

    memset(label_index(segment), 0, SL_LABELLED_INDEX * sizeof(uint16_t));
    for (i = 0; i < SL_FAMILY_COUNT; i++) entries[i].key = overflow_key(i);
    if (used > SL_LABELLED_MAX || used < SL_FAMILY_COUNT) used = SL_LABELLED_MAX;
    for (i = 0; i < used; i++) {
        uint64_t family = entries[i].key >> 56;
        uint16_t *place;
        if (family == 0 || family > SL_FAMILY_COUNT) break;
        if (entries[i].key & 0xffff && !has_route(entries[i].key)) break;
        place = find(segment, entries[i].key);
        if (*place) break;
        *place = (uint16_t)(i + 1);
    }
    if (i < used) memset(&entries[i], 0, (SL_LABELLED_MAX - i) * sizeof *entries);
    segment->labelled_used = i;
}

uint64_t *sl_segment_labelled(struct sl_segment *segment, uint64_t key)
{
    struct sl_labelled *entries = labelled(segment);
    uint64_t family = (key >> 56) - 1;
    uint16_t *place;

    if (family >= SL_FAMILY_COUNT || (key & 0xffff && !has_route(key)))
        return &entries[SL_FAMILY_PROTOCOL_ERRORS].value;
    place = find(segment, key);
    if (*place) return &entries[*place - 1].value;
    if (segment->labelled_used >= (has_route(key) ? SL_LABELLED_MAX / 2 : SL_LABELLED_MAX))
        return &entries[family].value;
    entries[segment->labelled_used].key = key;
    *place = (uint16_t)(segment->labelled_used + 1);
    __atomic_store_n(&segment->labelled_used, segment->labelled_used + 1, __ATOMIC_RELEASE);
    return &entries[*place - 1].value;
}

static void observe(struct sl_histogram *histogram, uint64_t microseconds)
{
    uint64_t steps = microseconds ? (microseconds - 1) / SL_BUCKET_FIRST_US : 0;
    unsigned bucket = steps ? 64 - (unsigned)__builtin_clzll(steps) : 0; /* 100 us: 0; up to 200: 1; up to 400: 2 */

    if (bucket >= SL_BUCKETS) bucket = SL_BUCKETS - 1;
    histogram->buckets[bucket]++;
    histogram->sum_us += microseconds;
    histogram->count++;
}

void sl_segment_observe(struct sl_segment *segment, enum sl_histogram_name which, uint64_t microseconds)
{
    if ((unsigned)which >= SL_HISTOGRAM_COUNT) return;
    observe((struct sl_histogram *)(void *)((char *)segment + SL_SEGMENT_HISTOGRAMS_AT) + which, microseconds);
}

/* ---- routes ------------------------------------------------------------------------------------------------------ */

/* Where the times of a route and class are in the index; `slot` is SL_RULE_SLOT_NONE or a slot. */
static size_t route_place(unsigned slot, unsigned class)
{
    if (slot == SL_RULE_SLOT_NONE)
        slot = SL_RULE_SLOTS + 1;
    else if (slot > SL_RULE_SLOTS)
        slot = SL_RULE_SLOT_OTHER;
    return (size_t)slot * SL_STATUS_CLASS_COUNT + (class < SL_STATUS_CLASS_COUNT ? class : SL_STATUS_NONE);
}

static uint64_t route_times_key(size_t place)
{
    uint64_t slot = place / SL_STATUS_CLASS_COUNT;
    if (slot > SL_RULE_SLOTS) slot = SL_RULE_SLOT_NONE;
    return SL_ROUTE_TIMES_KEY | slot << 8 | place % SL_STATUS_CLASS_COUNT;
}

/* As rebuild_index(). */
static void rebuild_routes(struct sl_segment *segment)
{
    struct sl_route_times *entries = route_times(segment);
    uint16_t *index = route_index(segment);
    uint32_t used = segment->routes_used, i;

    if (used > SL_ROUTE_TIMES_MAX) used = SL_ROUTE_TIMES_MAX;
    memset(index, 0, SL_ROUTE_TIMES_MAX * sizeof *index);
    for (i = 0; i < used; i++) {
        size_t place = route_place((unsigned)(entries[i].key >> 8 & 0xffff), (unsigned)(entries[i].key & 0xff));
        if (entries[i].key != route_times_key(place) || index[place]) break;
        index[place] = (uint16_t)(i + 1);
    }
    if (i < used) memset(&entries[i], 0, (used - i) * sizeof *entries);
    segment->routes_used = i;
}

void sl_segment_observe_route(struct sl_segment *segment, unsigned route_slot, enum sl_status_class class,
                              uint64_t microseconds)
{
    struct sl_route_times *entries = route_times(segment);
    size_t place = route_place(route_slot, class);
    uint16_t *index = &route_index(segment)[place];

    if (!*index) {
        uint32_t used = segment->routes_used;
        if (used >= SL_ROUTE_TIMES_MAX) return; /* there are as many as places: the worker's own count is damaged */
        entries[used].key = route_times_key(place);
        *index = (uint16_t)(used + 1);
        __atomic_store_n(&segment->routes_used, used + 1, __ATOMIC_RELEASE);
    }
    observe(&entries[*index - 1].times, microseconds);
}

/* ---- a worker ---------------------------------------------------------------------------------------------------- */

struct sl_segment *sl_segment_open(void *base, size_t size, uint32_t pid, uint64_t now)
{
    struct sl_segment *segment = base;

    if (!is_prepared(segment, size)) return NULL;
    rebuild_index(segment);
    rebuild_routes(segment);
    sl_segment_reap(segment, size);
    segment->start = now > segment->start ? now : segment->start + 1;
    __atomic_store_n(&segment->pid, pid, __ATOMIC_RELEASE);
    return segment;
}
