/* The field Forwarded: whose address it tells, and what is not such a list. */
#include <stdlib.h>
#include <string.h>

#include "bytes/forwarded.h"
#include "check.h"

struct row {
    const char *value;
    enum sl_forwarded_status status;
    const char *client; /* NULL: none */
    uint16_t port;
};

static const struct row ROWS[] = {
    {"for=192.0.2.43", SL_FORWARDED_FOUND, "192.0.2.43", 0},
    {"For=\"192.0.2.43\"", SL_FORWARDED_FOUND, "192.0.2.43", 0},
    {"for=192.0.2.43:4711", SL_FORWARDED_FOUND, "192.0.2.43", 4711},
    {"for=\"[2001:db8:cafe::17]:4711\"", SL_FORWARDED_FOUND, "2001:db8:cafe::17", 4711},
    {"for=\"[2001:db8::1]\"", SL_FORWARDED_FOUND, "2001:db8::1", 0},
    {"for=2001:db8::1", SL_FORWARDED_FOUND, "2001:db8::1", 0},
    {"for=\"192.0.2\\.43\"", SL_FORWARDED_FOUND, "192.0.2.43", 0},
    {"for=192.0.2.60;proto=http;by=203.0.113.43", SL_FORWARDED_FOUND, "192.0.2.60", 0},
    {"by=203.0.113.43 ; for=192.0.2.60", SL_FORWARDED_FOUND, "192.0.2.60", 0},
    /* The last hop is the peer's own word. */
    {"for=10.0.0.1, for=192.0.2.60", SL_FORWARDED_FOUND, "192.0.2.60", 0},
    {"for=10.0.0.1,by=_gw", SL_FORWARDED_NONE, NULL, 0},
    {"for=unknown", SL_FORWARDED_NONE, NULL, 0},
    {"for=_hidden", SL_FORWARDED_NONE, NULL, 0},
    {"proto=https", SL_FORWARDED_NONE, NULL, 0},
    {"", SL_FORWARDED_BROKEN, NULL, 0},
    {",", SL_FORWARDED_BROKEN, NULL, 0},
    {"for", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"\"", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"192.0.2.43", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"192.0.2.43\\", SL_FORWARDED_BROKEN, NULL, 0},
    {"=192.0.2.43", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43;for=192.0.2.44", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43;", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43,", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43 x", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.256", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=example.com", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43:", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43:65536", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=192.0.2.43:4x", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"[2001:db8::1\"", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"[192.0.2.43]\"", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"[2001:db8::1]x\"", SL_FORWARDED_BROKEN, NULL, 0},
    {"\"for\"=192.0.2.43", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=\"192.0.2.43\x01\"", SL_FORWARDED_BROKEN, NULL, 0},
    {"for=1111111111111111111111111111111111111111111111111111111111111111111111111", SL_FORWARDED_BROKEN, NULL, 0},
};

/* Of memory that ends with the value: a byte read behind it is the sanitizer's to find. */
static enum sl_forwarded_status read_exactly(const char *value, struct sl_forwarded *out)
{
    size_t length = strlen(value);
    uint8_t *copy = malloc(length ? length : 1);
    enum sl_forwarded_status status;
    memcpy(copy, value, length);
    status = sl_forwarded_read(copy, length, out);
    free(copy);
    return status;
}

TEST(every_row)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct sl_forwarded found;
        char text[SL_ADDR_TEXT];
        CHECK_EQ(read_exactly(ROWS[i].value, &found), ROWS[i].status);
        CHECK_EQ(found.client.family != 0, ROWS[i].client != NULL);
        if (ROWS[i].client && found.client.family) {
            sl_addr_format(&found.client, text);
            CHECK_STR(text, ROWS[i].client);
        }
        CHECK_EQ(found.port, ROWS[i].port);
    }
}

int main(void)
{
    RUN(every_row);
    return CHECK_REPORT();
}
