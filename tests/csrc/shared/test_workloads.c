/* The table of workloads: addresses found as they were put, changed while readers look, and broken tables refused. */
#include "check.h"
#include "shared/workloads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct fixture {
    void *memory;
    size_t size;
    struct sl_workloads table;
};

static struct sl_addr address(const char *text)
{
    struct sl_addr found = {0};
    if (!sl_addr_parse(text, strlen(text), &found)) CHECK_FAIL("not an address: %s", text);
    return found;
}

static struct sl_workload_entry entry_of(const char *addr, const char *pod, uint64_t mark)
{
    return (struct sl_workload_entry){
        .addr = address(addr), .pod = mark, .texts = {"shop", "cart", pod, "Deployment", "cart"}};
}

static int open_table(struct fixture *f, uint32_t addresses, size_t records)
{
    f->size = sl_workloads_size(addresses, 2, records);
    f->memory = calloc(1, f->size ? f->size : 1);
    return f->memory && sl_workloads_prepare(f->memory, f->size, addresses, 2, records) &&
           sl_workloads_open(&f->table, f->memory, f->size);
}

static enum sl_workload_status find(const struct fixture *f, const char *text, const struct sl_workload **found)
{
    struct sl_addr addr = address(text);
    return sl_workloads_find(&f->table, &addr, found);
}

TEST(finds_what_was_put)
{
    struct fixture f;
    const struct sl_workload *found;
    const uint32_t selectors[] = {9, 2, 5};
    REQUIRE(open_table(&f, 4, 4096));
    struct sl_workload_entry entry = entry_of("10.0.0.1", "cart-1", 7);
    entry.selectors = selectors;
    entry.selector_count = 3;
    CHECK_EQ(find(&f, "10.0.0.1", &found), SL_WORKLOAD_OUTSIDE);
    CHECK(sl_workloads_put(f.memory, &entry));
    REQUIRE(find(&f, "10.0.0.1", &found) == SL_WORKLOAD_KNOWN);
    CHECK_STR(sl_workload_text(found, SL_WORKLOAD_NAMESPACE), "shop");
    CHECK_STR(sl_workload_text(found, SL_WORKLOAD_ACCOUNT), "cart");
    CHECK_STR(sl_workload_text(found, SL_WORKLOAD_POD), "cart-1");
    CHECK_STR(sl_workload_text(found, SL_WORKLOAD_OWNER_KIND), "Deployment");
    CHECK_STR(sl_workload_text(found, SL_WORKLOAD_OWNER), "cart");
    REQUIRE(found->selector_count == 3);
    CHECK_EQ(found->selectors[0], 2);
    CHECK_EQ(found->selectors[1], 5);
    CHECK_EQ(found->selectors[2], 9);
    CHECK_EQ(found->pod, 7);
    CHECK_EQ(sl_workloads_known(&f.table), 1);
    free(f.memory);
}

TEST(a_mapped_address_is_the_ipv4_address)
{
    struct fixture f;
    const struct sl_workload *found;
    REQUIRE(open_table(&f, 4, 4096));
    struct sl_workload_entry entry = entry_of("::ffff:10.0.0.1", "cart-1", 7);
    CHECK(sl_workloads_put(f.memory, &entry));
    CHECK_EQ(find(&f, "10.0.0.1", &found), SL_WORKLOAD_KNOWN);
    CHECK_EQ(find(&f, "::ffff:10.0.0.1", &found), SL_WORKLOAD_KNOWN);
    CHECK_EQ(find(&f, "::a00:1", &found), SL_WORKLOAD_OUTSIDE);
    free(f.memory);
}

TEST(an_address_changes_hands_and_is_free_again)
{
    struct fixture f;
    const struct sl_workload *before, *found;
    REQUIRE(open_table(&f, 4, 4096));
    struct sl_workload_entry entry = entry_of("10.0.0.1", "cart-1", 7), next = entry_of("10.0.0.1", "till-1", 8);
    struct sl_workload_entry gone = {.addr = address("10.0.0.1"), .texts = {"", "", "", "", ""}};
    CHECK(sl_workloads_put(f.memory, &entry));
    REQUIRE(find(&f, "10.0.0.1", &before) == SL_WORKLOAD_KNOWN);
    CHECK(sl_workloads_put(f.memory, &next));
    REQUIRE(find(&f, "10.0.0.1", &found) == SL_WORKLOAD_KNOWN);
    CHECK_EQ(found->pod, 8);
    CHECK_STR(sl_workload_text(before, SL_WORKLOAD_POD), "cart-1"); /* a reader keeps what it has found */
    CHECK_EQ(found->sequence, 2);
    CHECK(sl_workloads_put(f.memory, &gone));
    CHECK_EQ(find(&f, "10.0.0.1", &found), SL_WORKLOAD_OUTSIDE);
    CHECK(found == NULL);
    CHECK_EQ(sl_workloads_known(&f.table), 0);
    CHECK_EQ(sl_workloads_changes(&f.table), 3);
    free(f.memory);
}

TEST(addresses_of_pods_without_one_are_unknown)
{
    struct fixture f;
    const struct sl_workload *found;
    struct sl_prefix four, six;
    REQUIRE(open_table(&f, 4, 4096));
    CHECK_EQ(sl_prefix_parse("10.0.0.0/8", 10, &four), 1);
    CHECK_EQ(sl_prefix_parse("2001:db8::/32", 13, &six), 1);
    CHECK(sl_workloads_network(f.memory, &four));
    CHECK(sl_workloads_network(f.memory, &six));
    CHECK(!sl_workloads_network(f.memory, &six));
    CHECK_EQ(find(&f, "10.9.9.9", &found), SL_WORKLOAD_UNKNOWN);
    CHECK_EQ(find(&f, "::ffff:10.9.9.9", &found), SL_WORKLOAD_UNKNOWN);
    CHECK_EQ(find(&f, "2001:db8::1", &found), SL_WORKLOAD_UNKNOWN);
    CHECK_EQ(find(&f, "192.0.2.1", &found), SL_WORKLOAD_OUTSIDE);
    struct sl_workload_entry entry = entry_of("10.9.9.9", "cart-1", 7);
    CHECK(sl_workloads_put(f.memory, &entry));
    CHECK_EQ(find(&f, "10.9.9.9", &found), SL_WORKLOAD_KNOWN);
    free(f.memory);
}

TEST(has_an_end)
{
    struct fixture f;
    const struct sl_workload *found;
    struct sl_workload_entry entry = entry_of("10.0.0.0", "cart-1", 7);
    size_t one = sl_workload_size(&entry);
    REQUIRE(open_table(&f, 8, 9 * one));
    for (uint8_t i = 0; i < 8; i++) {
        entry.addr.bytes[3] = i;
        CHECK(sl_workloads_put(f.memory, &entry));
    }
    entry.addr = address("10.0.1.0");
    CHECK(!sl_workloads_put(f.memory, &entry)); /* no slot */
    entry.addr = address("10.0.0.3");
    CHECK(sl_workloads_put(f.memory, &entry));  /* one that it has */
    CHECK(!sl_workloads_put(f.memory, &entry)); /* no room for its record */
    CHECK_EQ(find(&f, "10.0.0.7", &found), SL_WORKLOAD_KNOWN);
    free(f.memory);

    char endless[SL_WORKLOAD_TEXT + 2];
    memset(endless, 'a', sizeof endless - 1);
    endless[sizeof endless - 1] = 0;
    entry.texts[SL_WORKLOAD_POD] = endless;
    CHECK_EQ(sl_workload_size(&entry), 0);
    entry.texts[SL_WORKLOAD_POD] = "cart-1";
    entry.selector_count = SL_WORKLOAD_SELECTORS + 1;
    CHECK_EQ(sl_workload_size(&entry), 0);
    CHECK_EQ(sl_workloads_size(SL_WORKLOADS_MOST + 1, 0, 0), 0);
    CHECK_EQ(sl_workloads_size(1, SL_WORKLOADS_NETWORKS + 1, 0), 0);
}

TEST(refuses_tables_of_another_shape)
{
    struct fixture f;
    struct sl_workloads none;
    REQUIRE(open_table(&f, 8, 4096));
    struct sl_workloads_header *header = f.memory;
    CHECK(!sl_workloads_open(&none, f.memory, f.size - 8));
    CHECK(!sl_workloads_open(&none, f.memory, 16));
    CHECK(!sl_workloads_open(&none, NULL, 0));
    header->slots = 24;
    CHECK(!sl_workloads_open(&none, f.memory, f.size));
    header->slots = 1u << 31;
    CHECK(!sl_workloads_open(&none, f.memory, f.size));
    header->slots = 16;
    header->networks = SL_WORKLOADS_NETWORKS + 1;
    CHECK(!sl_workloads_open(&none, f.memory, f.size));
    header->networks = 0;
    header->slots_at = f.size;
    CHECK(!sl_workloads_open(&none, f.memory, f.size));
    free(f.memory);
}

/* Every byte of a table spoiled in turn: a look-up ends, and reads nothing outside (under ASan). */
TEST(survives_a_corrupted_table)
{
    struct fixture f;
    const struct sl_workload *found;
    REQUIRE(open_table(&f, 4, 512));
    const uint32_t selectors[] = {1, 2};
    struct sl_workload_entry entry = entry_of("10.0.0.1", "cart-1", 7);
    entry.selectors = selectors;
    entry.selector_count = 2;
    REQUIRE(sl_workloads_put(f.memory, &entry));
    unsigned char *bytes = f.memory;
    size_t length = 0;
    for (size_t i = 0; i < f.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct sl_workloads table;
            struct sl_addr addr = address("10.0.0.1");
            bytes[i] = (unsigned char)(bytes[i] ^ 1u << bit);
            if (sl_workloads_open(&table, f.memory, f.size) &&
                sl_workloads_find(&table, &addr, &found) == SL_WORKLOAD_KNOWN) {
                for (unsigned t = 0; t < SL_WORKLOAD_TEXT_COUNT; t++) length += strlen(sl_workload_text(found, t));
                for (uint32_t s = 0; s < found->selector_count; s++) length += found->selectors[s];
            }
            bytes[i] = (unsigned char)(bytes[i] ^ 1u << bit);
        }
    CHECK(length > 0);
    free(f.memory);
}

/* Thousands of puts and frees against a plain array. */
TEST(says_what_a_plain_array_says)
{
    enum { ADDRESSES = 2000, PUTS = 20000 };
    static uint64_t wanted[ADDRESSES];
    struct fixture f;
    const struct sl_workload *found;
    uint64_t random = 1;
    REQUIRE(open_table(&f, ADDRESSES, PUTS * 128));
    for (unsigned i = 0; i < PUTS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        unsigned which = (unsigned)(random >> 33) % ADDRESSES;
        struct sl_workload_entry entry = entry_of("10.0.0.0", "cart-1", random >> 40 & 3);
        entry.addr.bytes[2] = (uint8_t)(which >> 8);
        entry.addr.bytes[3] = (uint8_t)which;
        REQUIRE(sl_workloads_put(f.memory, &entry));
        wanted[which] = entry.pod;
    }
    unsigned known = 0;
    for (unsigned which = 0; which < ADDRESSES; which++) {
        struct sl_addr addr = address("10.0.0.0");
        addr.bytes[2] = (uint8_t)(which >> 8);
        addr.bytes[3] = (uint8_t)which;
        enum sl_workload_status status = sl_workloads_find(&f.table, &addr, &found);
        CHECK_EQ(status, wanted[which] ? SL_WORKLOAD_KNOWN : SL_WORKLOAD_OUTSIDE);
        if (found) CHECK_EQ(found->pod, wanted[which]);
        known += wanted[which] != 0;
    }
    CHECK_EQ(sl_workloads_known(&f.table), known);
    free(f.memory);
}

struct race {
    struct fixture f;
    atomic_int over;
    unsigned long looks, torn;
};

/* Pod `a` is always of account `a`, pod `b` of account `b`: a reader that sees a mixture has a torn record. */
static void *look(void *argument)
{
    struct race *race = argument;
    const struct sl_workload *found;
    while (!atomic_load(&race->over)) {
        struct sl_addr addr = address("10.0.0.1");
        race->looks++;
        if (sl_workloads_find(&race->f.table, &addr, &found) != SL_WORKLOAD_KNOWN ||
            strcmp(sl_workload_text(found, SL_WORKLOAD_POD), sl_workload_text(found, SL_WORKLOAD_ACCOUNT)) != 0 ||
            found->selectors[0] != found->pod)
            race->torn++;
    }
    return NULL;
}

TEST(readers_never_see_half_a_record)
{
    enum { PUTS = 100000 };
    static struct race race;
    pthread_t reader;
    uint32_t selector;
    REQUIRE(open_table(&race.f, 2, (size_t)PUTS * 128));
    for (unsigned i = 0; i < PUTS; i++) {
        struct sl_workload_entry entry = entry_of("10.0.0.1", i % 2 ? "a" : "bcd", 1 + i % 2);
        entry.texts[SL_WORKLOAD_ACCOUNT] = entry.texts[SL_WORKLOAD_POD];
        selector = 1 + i % 2;
        entry.selectors = &selector;
        entry.selector_count = 1;
        REQUIRE(sl_workloads_put(race.f.memory, &entry));
        if (i == 0) REQUIRE(pthread_create(&reader, NULL, look, &race) == 0);
    }
    atomic_store(&race.over, 1);
    pthread_join(reader, NULL);
    CHECK(race.looks > 0);
    CHECK_EQ(race.torn, 0);
    free(race.f.memory);
}

int main(void)
{
    RUN(finds_what_was_put);
    RUN(a_mapped_address_is_the_ipv4_address);
    RUN(an_address_changes_hands_and_is_free_again);
    RUN(addresses_of_pods_without_one_are_unknown);
    RUN(has_an_end);
    RUN(refuses_tables_of_another_shape);
    RUN(survives_a_corrupted_table);
    RUN(says_what_a_plain_array_says);
    RUN(readers_never_see_half_a_record);
    return CHECK_REPORT();
}
