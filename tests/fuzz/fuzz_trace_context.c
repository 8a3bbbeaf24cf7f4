/* Any bytes as traceparent, and as tracestate in two values: what was read is written as it was, nothing is read behind a
 * value, and a list is sound only as far as each of its parts is. */
#include <stdlib.h>
#include <string.h>

#include "bytes/trace_context.h"

static void require(int condition)
{
    if (!condition) abort();
}

static void read_parent(const char *text, size_t size)
{
    struct sl_trace_context found, again;
    char written[SL_TRACEPARENT];
    int read = sl_traceparent_read(text, size, &found);

    require(read || (found.flags == 0 && found.trace_id[0] == 0 && found.span_id[0] == 0));
    if (!read) return;
    require(size >= SL_TRACEPARENT && size <= SL_TRACEPARENT_MOST && found.flags <= 3);
    sl_traceparent_write(&found, written);
    require(memcmp(written + 2, text + 2, SL_TRACEPARENT - 4) == 0);
    require(sl_traceparent_read(written, SL_TRACEPARENT, &again) && memcmp(&found, &again, sizeof found) == 0);
}

static void read_state(const char *text, size_t size)
{
    struct sl_tracestate whole = {0}, parts = {0}, alone = {0};
    const char *comma = size ? memchr(text, ',', size) : NULL;
    int sound = sl_tracestate_add(&whole, text, size), first;
    size_t split = comma ? (size_t)(comma - text) : size;

    require(sound == !whole.broken);
    require(!sound || (size <= SL_TRACESTATE_MOST && whole.members <= SL_TRACESTATE_MEMBERS));
    first = sl_tracestate_add(&parts, text, split);
    if (comma && split) require(sound == (first && sl_tracestate_add(&parts, comma + 1, size - split - 1)));
    require(!sound || sl_tracestate_add(&alone, text, split));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_parent((const char *)data, size);
    read_state((const char *)data, size);
    return 0;
}
