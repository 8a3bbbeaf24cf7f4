/* Any bytes as the field Forwarded: what is found is an address, and nothing is read behind the value. */
#include <stdlib.h>

#include "bytes/forwarded.h"

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_forwarded found;
    enum sl_forwarded_status status = sl_forwarded_read(data, size, &found);
    require(status <= SL_FORWARDED_FOUND);
    require((status == SL_FORWARDED_FOUND) == (found.client.family != 0));
    require(found.client.family == 0 || found.client.family == 4 || found.client.family == 6);
    require(status == SL_FORWARDED_FOUND || found.port == 0);
    return 0;
}
