/* The shared segment: what attach accepts, what reap clears, and that every counter has a name of its own. */
#include "check.h"
#include "segment.h"

#include <stdlib.h>

TEST(prepares_a_zeroed_segment_and_accepts_it_again)
{
    struct sl_segment *segment = calloc(1, SL_SEGMENT_SIZE);
    REQUIRE(segment);
    CHECK_EQ(sl_segment_attach(segment, 41), 1);
    CHECK(segment->magic == SL_SEGMENT_MAGIC);
    CHECK_EQ(segment->version, SL_SEGMENT_VERSION);
    CHECK_EQ(segment->pid, 41);
    segment->counters[SL_COUNTER_BYTES_UP] = 7;
    segment->generation = 3;
    CHECK_EQ(sl_segment_attach(segment, 42), 1);
    CHECK_EQ(segment->pid, 42);
    CHECK_EQ(segment->generation, 3);
    CHECK_EQ(segment->counters[SL_COUNTER_BYTES_UP], 7);
    free(segment);
}

TEST(finishes_what_a_killed_worker_began)
{
    struct sl_segment segment = {.version = SL_SEGMENT_VERSION};
    CHECK_EQ(sl_segment_attach(&segment, 43), 1);
    CHECK(segment.magic == SL_SEGMENT_MAGIC);
    CHECK_EQ(segment.pid, 43);
}

/* Any foreign byte makes it somebody else's, and it is left as it was. */
TEST(refuses_anything_else)
{
    struct sl_segment segment, before;
    for (size_t i = 0; i < sizeof segment; i++) {
        memset(&segment, 0, sizeof segment);
        ((unsigned char *)&segment)[i] = 0x5a;
        before = segment;
        CHECK_EQ(sl_segment_attach(&segment, 9), 0);
        CHECK(memcmp(&segment, &before, sizeof segment) == 0);
    }
    memset(&segment, 0, sizeof segment);
    REQUIRE(sl_segment_attach(&segment, 9));
    segment.version++;
    CHECK_EQ(sl_segment_attach(&segment, 9), 0);
}

TEST(reap_clears_gauges_and_keeps_counters)
{
    struct sl_segment segment = {0};
    REQUIRE(sl_segment_attach(&segment, 9));
    segment.generation = 12;
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++) segment.counters[i] = 100 + i;
    sl_segment_reap(&segment);
    CHECK_EQ(segment.pid, 0);
    CHECK_EQ(segment.generation, 12);
    CHECK_EQ(segment.counters[SL_COUNTER_CONNECTIONS_OPEN], 0);
    CHECK_EQ(segment.counters[SL_COUNTER_TUNNELS_OPEN], 0);
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++)
        if (i != SL_COUNTER_CONNECTIONS_OPEN && i != SL_COUNTER_TUNNELS_OPEN) CHECK_EQ(segment.counters[i], 100 + i);
    CHECK_EQ(sl_segment_attach(&segment, 10), 1);
}

/* Names become metric names: sluice_<name>. */
TEST(every_counter_has_a_name_and_help)
{
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++) {
        const char *name = sl_segment_counter_name(i), *help = sl_segment_counter_help(i);
        REQUIRE(name && help);
        CHECK_AT(name[0] >= 'a' && name[0] <= 'z', name);
        CHECK_AT(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name), name);
        CHECK_AT(strlen(help) > 3, name);
        for (unsigned j = 0; j < i; j++) CHECK_AT(strcmp(name, sl_segment_counter_name(j)) != 0, name);
    }
    CHECK(!sl_segment_counter_name(SL_COUNTER_COUNT));
    CHECK(!sl_segment_counter_help(SL_COUNTER_COUNT));
    CHECK(!sl_segment_counter_name(~0u));
}

int main(void)
{
    RUN(prepares_a_zeroed_segment_and_accepts_it_again);
    RUN(finishes_what_a_killed_worker_began);
    RUN(refuses_anything_else);
    RUN(reap_clears_gauges_and_keeps_counters);
    RUN(every_counter_has_a_name_and_help);
    return CHECK_REPORT();
}
