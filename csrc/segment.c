/* The shared segment of segment.h: preparing it, reaping a dead worker's gauges, and the names of the counters. */
#include "segment.h"

#include <stddef.h>
#include <string.h>

_Static_assert(offsetof(struct sl_segment, counters) == 64, "the header is 64 bytes, as drawn in segment.h");
_Static_assert(sizeof(struct sl_segment) <= SL_SEGMENT_SIZE, "the counters fit the segment");
_Static_assert(_Alignof(struct sl_segment) == 8, "every counter is an aligned 64-bit word");

#define COUNTER_TEXT(name, text, help) {text, help},
static const struct {
    const char *name, *help;
} COUNTERS[SL_COUNTER_COUNT] = {SL_COUNTERS(COUNTER_TEXT)};

/* Nothing but, perhaps, the version: a worker killed while it prepared the segment leaves that behind. */
static int is_blank(const struct sl_segment *segment)
{
    const unsigned char *bytes = (const unsigned char *)segment;

    if (segment->magic != 0 || (segment->version != 0 && segment->version != SL_SEGMENT_VERSION))
        return 0;
    for (size_t i = offsetof(struct sl_segment, pid); i < sizeof *segment; i++)
        if (bytes[i])
            return 0;
    return 1;
}

int sl_segment_attach(struct sl_segment *segment, uint32_t pid)
{
    uint64_t magic = __atomic_load_n(&segment->magic, __ATOMIC_ACQUIRE);

    if (is_blank(segment)) {
        segment->version = SL_SEGMENT_VERSION;
        /* Last: whoever sees the magic sees a prepared segment. */
        __atomic_store_n(&segment->magic, SL_SEGMENT_MAGIC, __ATOMIC_RELEASE);
    } else if (magic != SL_SEGMENT_MAGIC || segment->version != SL_SEGMENT_VERSION)
        return 0;
    __atomic_store_n(&segment->pid, pid, __ATOMIC_RELAXED);
    return 1;
}

void sl_segment_reap(struct sl_segment *segment)
{
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++) {
        size_t length = strlen(COUNTERS[i].name);
        if (length > 5 && strcmp(COUNTERS[i].name + length - 5, "_open") == 0)
            __atomic_store_n(&segment->counters[i], 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&segment->pid, 0, __ATOMIC_RELAXED);
}

const char *sl_segment_counter_name(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].name : NULL;
}

const char *sl_segment_counter_help(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].help : NULL;
}
