/* Any bytes as the answer to a DNS question: the name asked for is the first byte's choice, so that mutation of the rest
 * alone can reach the records. */
#include <stdlib.h>
#include <string.h>

#include "bytes/dns_answer.h"

static void require(int condition)
{
    if (!condition) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a", "x.test", "www.example.com", "_a.b.c.d.e"};
    /* A header and a question that fit are put before the bytes, or the records would hardly ever be reached. */
    uint8_t message[8192] = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0};
    size_t length = 12;
    struct sl_dns_answer out;

    if (size < 2 || size > 4096) return 0;
    const char *name = names[data[0] & 3];
    unsigned type = data[0] & 4 ? SL_DNS_AAAA : SL_DNS_A;
    if (data[0] & 8) {
        sl_dns_answer_read(data + 1, size - 1, name, strlen(name), type, &out);
        return 0;
    }
    message[7] = data[1];
    for (const char *at = name; *at; at += strcspn(at, ".") + (at[strcspn(at, ".")] == '.')) {
        size_t label = strcspn(at, ".");
        message[length++] = (uint8_t)label;
        memcpy(message + length, at, label);
        length += label;
    }
    length += 2; /* the root, and the type's high byte */
    message[length++] = (uint8_t)type;
    length++;
    message[length++] = 1;
    memcpy(message + length, data + 2, size - 2);
    length += size - 2;
    enum sl_dns_status status = sl_dns_answer_read(message, length, name, strlen(name), type, &out);
    require(status <= SL_DNS_REFUSED);
    if (status == SL_DNS_FOUND) {
        require(out.count > 0 && out.count <= SL_DNS_ADDRESSES && out.ttl <= UINT32_MAX >> 1);
        for (unsigned i = 0; i < out.count; i++) require(out.addresses[i].family == (type == SL_DNS_A ? 4 : 6));
    }
    return 0;
}
