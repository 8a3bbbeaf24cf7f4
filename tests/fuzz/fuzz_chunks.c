/* Any bytes as chunks: in pieces they are the same content, the same end and the same fault as whole. */
#include <stdlib.h>
#include <string.h>

#include "bytes/chunks.h"

struct result {
    enum sl_chunks_status status;
    size_t used, content;
    uint64_t sum;
    const char *fault;
};

static void require(int condition)
{
    if (!condition) abort();
}

static struct result read_in(const uint8_t *data, size_t length, size_t step)
{
    struct sl_chunks chunks = {0};
    struct result result = {.status = SL_CHUNKS_MORE};
    while (result.status != SL_CHUNKS_BROKEN && result.status != SL_CHUNKS_TRAILERS && result.used < length) {
        size_t part = length - result.used < step ? length - result.used : step, at = 0, size, used;
        result.status = sl_chunks_read(&chunks, data + result.used, part, &at, &size, &used);
        require(used <= part && size <= part && (result.status == SL_CHUNKS_DATA) == (size > 0));
        require(size == 0 || at + size == used);
        for (size_t i = 0; i < size; i++) result.sum = result.sum * 31 + data[result.used + at + i];
        result.content += size;
        result.used += used;
    }
    result.fault = chunks.fault;
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct result whole = read_in(data + 1, size - 1, size), pieces = read_in(data + 1, size - 1, data[0] % 16u + 1u);
    require(whole.used == pieces.used && whole.content == pieces.content && whole.sum == pieces.sum);
    require(whole.fault == pieces.fault && (whole.status == SL_CHUNKS_BROKEN) == (whole.fault != NULL));
    require((whole.status == SL_CHUNKS_TRAILERS) == (pieces.status == SL_CHUNKS_TRAILERS));
    return 0;
}
