/* Times and counts of HTTP routes in a segment: places, what a worker takes over, and what they leave to others. */
#include "check.h"
#include "shared/segment.h"

#include <stdlib.h>

enum { TUNNELS = 4 };

/* Exactly as large as it says: the sanitizer sees every byte beyond. */
static struct sl_segment *fresh(void)
{
    struct sl_segment *segment = calloc(1, sl_segment_size(TUNNELS));
    if (!segment || !sl_segment_prepare(segment, sl_segment_size(TUNNELS), TUNNELS)) abort();
    return segment;
}

static struct sl_segment *opened(void)
{
    struct sl_segment *segment = fresh();
    if (sl_segment_open(segment, sl_segment_size(TUNNELS), 41, 1000) != segment) abort();
    return segment;
}

static struct sl_labelled *entries(struct sl_segment *segment)
{
    return (struct sl_labelled *)(void *)((char *)segment + SL_SEGMENT_LABELLED_AT);
}

static struct sl_route_times *routes(struct sl_segment *segment)
{
    return (struct sl_route_times *)(void *)((char *)segment + SL_SEGMENT_ROUTES_AT);
}

TEST(times_of_a_route_are_one_place_for_good)
{
    struct sl_segment *segment = opened();
    sl_segment_observe_route(segment, 17, SL_STATUS_2XX, 100);
    sl_segment_observe_route(segment, SL_RULE_SLOT_NONE, SL_STATUS_NONE, 201);
    sl_segment_observe_route(segment, 17, SL_STATUS_2XX, 101);
    CHECK_EQ(segment->routes_used, 2);
    CHECK(routes(segment)[0].key == (SL_ROUTE_TIMES_KEY | 17 << 8 | SL_STATUS_2XX));
    CHECK(routes(segment)[1].key == (SL_ROUTE_TIMES_KEY | (uint64_t)SL_RULE_SLOT_NONE << 8));
    CHECK_EQ(routes(segment)[0].times.count, 2);
    CHECK_EQ(routes(segment)[0].times.sum_us, 201);
    CHECK_EQ(routes(segment)[0].times.buckets[1], 1);
    REQUIRE(sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 2000));
    sl_segment_observe_route(segment, 17, SL_STATUS_2XX, 1);
    CHECK_EQ(segment->routes_used, 2);
    CHECK_EQ(routes(segment)[0].times.count, 3);
    free(segment);
}

TEST(every_route_and_class_has_room)
{
    struct sl_segment *segment = opened();
    for (unsigned slot = 0; slot <= SL_RULE_SLOTS + 1; slot++) {
        for (unsigned i = 0; i < SL_STATUS_CLASS_COUNT; i++)
            sl_segment_observe_route(segment, slot > SL_RULE_SLOTS ? SL_RULE_SLOT_NONE : slot, (enum sl_status_class)i,
                                     1);
    }
    CHECK_EQ(segment->routes_used, SL_ROUTE_TIMES_MAX);
    sl_segment_observe_route(segment, SL_RULE_SLOTS + 1, (enum sl_status_class)99, 1); /* counts as others */
    CHECK_EQ(routes(segment)[0].times.count, 2);
    free(segment);
}

TEST(the_next_worker_gives_up_times_that_were_corrupted)
{
    struct sl_segment *segment = opened();
    sl_segment_observe_route(segment, 1, SL_STATUS_2XX, 1);
    sl_segment_observe_route(segment, 2, SL_STATUS_2XX, 1);
    routes(segment)[1].key = routes(segment)[0].key;
    segment->routes_used = 0xffffffff;
    memset((char *)segment + SL_SEGMENT_ROUTE_INDEX_AT, 0xee, 2 * SL_ROUTE_TIMES_MAX);
    REQUIRE(sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 2000));
    CHECK_EQ(segment->routes_used, 1);
    sl_segment_observe_route(segment, 2, SL_STATUS_2XX, 1);
    CHECK_EQ(routes(segment)[1].times.count, 1);
    free(segment);
}

TEST(a_route_is_a_label_of_some_families)
{
    struct sl_segment *segment = opened();
    uint64_t key = sl_route_key(SL_FAMILY_HTTP_REQUESTS, SL_METHOD_GET, SL_STATUS_2XX, 3, 4);
    uint64_t *value = sl_segment_labelled(segment, key);
    CHECK(value != sl_segment_labelled(segment, key + 1));
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT + 2);
    REQUIRE(sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 2000));
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT + 2);
    CHECK(sl_segment_labelled(segment, key) == value);
    free(segment);
}

TEST(routes_leave_half_of_the_table_to_others)
{
    struct sl_segment *segment = opened();
    for (unsigned i = 0; i < SL_LABELLED_MAX; i++)
        ++*sl_segment_labelled(segment, sl_route_key(SL_FAMILY_HTTP_REQUESTS, i & 7, 2, 0, i >> 3));
    CHECK_EQ(segment->labelled_used, SL_LABELLED_MAX / 2);
    CHECK_EQ(entries(segment)[SL_FAMILY_HTTP_REQUESTS].value, SL_LABELLED_MAX / 2 + SL_FAMILY_COUNT);
    ++*sl_segment_labelled(segment, sl_label_key(SL_FAMILY_LIMITED, 1, 0, 0, 0));
    CHECK_EQ(segment->labelled_used, SL_LABELLED_MAX / 2 + 1);
    free(segment);
}

TEST(methods_and_classes)
{
    CHECK_EQ(sl_method_of("GET", 3), SL_METHOD_GET);
    CHECK_EQ(sl_method_of("PATCH", 5), SL_METHOD_PATCH);
    CHECK_EQ(sl_method_of("get", 3), SL_METHOD_OTHER);
    CHECK_EQ(sl_method_of("GETS", 4), SL_METHOD_OTHER);
    CHECK_EQ(sl_method_of("", 0), SL_METHOD_OTHER);
    CHECK_EQ(sl_method_of("other", 5), SL_METHOD_OTHER);
    CHECK_EQ(sl_status_class_of(0), SL_STATUS_NONE);
    CHECK_EQ(sl_status_class_of(100), SL_STATUS_1XX);
    CHECK_EQ(sl_status_class_of(599), SL_STATUS_5XX);
    CHECK_EQ(sl_status_class_of(600), SL_STATUS_NONE);
}

int main(void)
{
    RUN(times_of_a_route_are_one_place_for_good);
    RUN(every_route_and_class_has_room);
    RUN(the_next_worker_gives_up_times_that_were_corrupted);
    RUN(a_route_is_a_label_of_some_families);
    RUN(routes_leave_half_of_the_table_to_others);
    RUN(methods_and_classes);
    return CHECK_REPORT();
}
