/* Any bytes as a host name and as a policy pattern: the canonical form is one, and canonicalising it again changes
 * nothing. */
#include <stdlib.h>
#include <string.h>

#include "bytes/name.h"

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[SL_NAME_BUFFER], again[SL_NAME_BUFFER];
    size_t length, again_length;
    struct sl_addr address;
    int wildcard;
    enum sl_name_status status = sl_name_canonical(data, size, out, &length, &address);
    require(status != SL_NAME_INTERNAL && status < SL_NAME_STATUS_COUNT);
    require((address.family != 0) == (status == SL_NAME_ADDRESS));
    if (status == SL_NAME_OK) {
        require(length > 0 && length <= SL_NAME_MAX && out[length] == 0 && strlen(out) == length);
        require(sl_name_canonical((const uint8_t *)out, length, again, &again_length, &address) == SL_NAME_OK);
        require(again_length == length && memcmp(out, again, length) == 0);
    }
    enum sl_name_status pattern = sl_name_pattern(data, size, out, &length, &wildcard);
    require(pattern != SL_NAME_INTERNAL);
    if (!wildcard && pattern != SL_NAME_BAD_WILDCARD) require(pattern == status);
    if (pattern == SL_NAME_OK) require(length <= SL_NAME_MAX && out[length] == 0);
    return 0;
}
