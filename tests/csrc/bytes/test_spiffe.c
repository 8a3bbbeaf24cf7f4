/* SPIFFE IDs: their one spelling, and the parts of those that name a workload. */
#include "bytes/spiffe.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define SIXTEEN "aaaaaaaaaaaaaaaa"

struct row {
    const char *id, *domain; /* NULL domain: not an ID */
    const char *space, *account;
};

static const struct row ROWS[] = {
    {"spiffe://cluster.local/ns/shop/sa/cart", "cluster.local", "shop", "cart"},
    {"spiffe://a/ns/shop/sa/a.b-c", "a", "shop", "a.b-c"},
    {"spiffe://cluster.local/vm/42", "cluster.local", NULL, NULL},
    {"spiffe://cluster.local/ns/shop/sa/cart/x", "cluster.local", NULL, NULL},
    {"spiffe://cluster.local/ns/shop/x/cart", "cluster.local", NULL, NULL},
    {"spiffe://cluster.local/ns/shop", "cluster.local", NULL, NULL},
    {"spiffe://cluster.local/NS/shop/sa/cart", "cluster.local", NULL, NULL},
    {"spiffe://a/ns/" SIXTEEN SIXTEEN SIXTEEN SIXTEEN "/sa/cart", "a", NULL, NULL},
    {"", NULL, NULL, NULL},
    {"spiffe://", NULL, NULL, NULL},
    {"spiffe://cluster.local", NULL, NULL, NULL},
    {"spiffe://cluster.local/", NULL, NULL, NULL},
    {"spiffe:///ns/shop/sa/cart", NULL, NULL, NULL},
    {"SPIFFE://cluster.local/x", NULL, NULL, NULL},
    {"spiffe://Cluster.local/x", NULL, NULL, NULL},
    {"spiffe://cluster.local/x//y", NULL, NULL, NULL},
    {"spiffe://cluster.local/./y", NULL, NULL, NULL},
    {"spiffe://cluster.local/../y", NULL, NULL, NULL},
    {"spiffe://cluster.local/a%2fb", NULL, NULL, NULL},
    {"spiffe://cluster.local/x?y", NULL, NULL, NULL},
    {"https://cluster.local/ns/shop/sa/cart", NULL, NULL, NULL},
};

static int equal(const char *at, size_t length, const char *text)
{
    return text ? at && strlen(text) == length && memcmp(at, text, length) == 0 : at == NULL;
}

TEST(every_row)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct sl_spiffe found;
        size_t length = strlen(ROWS[i].id);
        char *copy = malloc(length ? length : 1);
        memcpy(copy, ROWS[i].id, length);
        CHECK_EQ(sl_spiffe_read(copy, length, &found), ROWS[i].domain != NULL);
        if (ROWS[i].domain) {
            CHECK(equal(found.domain, found.domain_length, ROWS[i].domain));
            CHECK(equal(found.namespace_, found.namespace_length, ROWS[i].space));
            CHECK(equal(found.account, found.account_length, ROWS[i].account));
        }
        free(copy);
    }
}

TEST(a_nul_is_in_no_id)
{
    struct sl_spiffe found;
    CHECK(!sl_spiffe_read("spiffe://a/b\0c", 14, &found));
    CHECK(!sl_spiffe_read("spiffe://a/b\0", 13, &found));
}

TEST(length)
{
    struct sl_spiffe found;
    char id[SL_SPIFFE_MOST + 1];
    memset(id, 'a', sizeof id);
    memcpy(id, "spiffe://d/", 11);
    CHECK(sl_spiffe_read(id, SL_SPIFFE_MOST, &found));
    CHECK(!sl_spiffe_read(id, SL_SPIFFE_MOST + 1, &found));
}

int main(void)
{
    RUN(every_row);
    RUN(a_nul_is_in_no_id);
    RUN(length);
    return CHECK_REPORT();
}
