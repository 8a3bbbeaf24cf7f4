/* Any bytes as a path and as a query: a normal form stays as it is when it is made again, and holds only what it may. */
#include <stdlib.h>
#include <string.h>

#include "bytes/target.h"

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096) return 0;
    size_t length, again_length, room = 3 * size + 1;
    char *out = malloc(room), *again = malloc(3 * room);
    int doubtful, again_doubtful;
    require(out && again);
    enum sl_target_status status = sl_path_normal(data, size, out, room, &length, &doubtful);
    require(status != SL_TARGET_INTERNAL && status != SL_TARGET_TOO_LONG);
    if (status == SL_TARGET_OK) {
        require(length > 0 && out[0] == '/');
        for (size_t i = 0; i < length; i++) require(out[i] > ' ' && out[i] < 0x7f && !strchr("?#\\\"<>", out[i]));
        require(sl_path_normal((uint8_t *)out, length, again, 3 * room, &again_length, &again_doubtful) ==
                SL_TARGET_OK);
        require(again_length == length && memcmp(out, again, length) == 0 && again_doubtful == doubtful);
    }
    struct sl_query_value value;
    size_t name = size ? data[0] % 4 : 0;
    if (name < size && sl_query_find(data + 1, size - 1, (const char *)data, name, &value)) {
        size_t read = 0;
        while (sl_query_next(&value) >= 0) read++;
        require(read < size);
    }
    free(out);
    free(again);
    return 0;
}
