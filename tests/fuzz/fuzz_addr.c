/* Any bytes as an address, as a prefix and as raw address bits: what is read is written and read back the same, and the
 * guard gives a reason and a block that fit. */
#include <stdlib.h>
#include <string.h>

#include "bytes/addr.h"
#include "base/contract.h"

static void require(int condition)
{
    if (!condition) abort();
}

static void judge(const struct sl_addr *addr)
{
    char text[SL_ADDR_TEXT];
    struct sl_addr again, embedded;
    struct sl_prefix block;
    require(sl_addr_parse(text, sl_addr_format(addr, text), &again));
    require(memcmp(addr, &again, sizeof again) == 0);
    int reason = sl_guard_reason(addr, &block);
    require(reason == -1 || (reason >= SL_REASON_UNSPECIFIED && reason <= SL_REASON_EMBEDDED_IPV4));
    require(reason == -1 ? block.addr.family == 0 : sl_prefix_contains(&block, addr));
    if (sl_addr_embedded(addr, &embedded)) require(reason == SL_REASON_EMBEDDED_IPV4 && embedded.family == 4);
    for (unsigned length = 0; length < 256; length++) sl_nat64_embedded(addr, (uint8_t)length, &embedded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_addr addr;
    struct sl_prefix prefix;
    if (sl_addr_parse((const char *)data, size, &addr)) judge(&addr);
    if (sl_prefix_parse((const char *)data, size, &prefix) == 1) {
        require(sl_prefix_contains(&prefix, &prefix.addr));
        sl_guard_liftable(&prefix);
        sl_prefix_is_nat64(&prefix);
    }
    memset(&addr, 0, sizeof addr);
    if (size == 4 || size == 16) {
        memcpy(addr.bytes, data, size);
        addr.family = size == 4 ? 4 : 6;
        judge(&addr);
    }
    return 0;
}
