/* Any bytes as a PROXY header: what is read does not depend on how many bytes are there, and stays within them. */
#include <stdlib.h>
#include <string.h>

#include "bytes/proxy_header.h"

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_proxy_header whole, part;
    enum sl_proxy_status status = sl_proxy_header_read(data, size, &whole);
    if (status == SL_PROXY_DONE) {
        const char *identity;
        size_t room;
        if (sl_proxy_header_identity(data, whole.length, &identity, &room) && identity) {
            const uint8_t *at = (const uint8_t *)identity;
            require(at >= data && room <= whole.length && (size_t)(at - data) <= whole.length - room);
        }
        require(whole.length > 0 && whole.length <= size && whole.length <= SL_PROXY_HEADER_MOST);
        require(whole.source.family == 0 || whole.source.family == 4 || whole.source.family == 6);
    }
    if (status == SL_PROXY_MORE) require(size < SL_PROXY_HEADER_MOST);
    for (size_t length = 0; length <= size && length <= SL_PROXY_HEADER_MOST; length++) {
        enum sl_proxy_status so_far = sl_proxy_header_read(data, length, &part);
        if (status == SL_PROXY_DONE && length < whole.length) require(so_far == SL_PROXY_MORE);
        if (status == SL_PROXY_DONE && length >= whole.length)
            require(so_far == SL_PROXY_DONE && memcmp(&part, &whole, sizeof part) == 0);
        if (so_far == SL_PROXY_BROKEN) require(status == SL_PROXY_BROKEN);
    }
    return 0;
}
