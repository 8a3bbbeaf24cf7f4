/* The shared segment: preparing and taking it, what outlives a worker, labelled counters, histograms, and corruption. */
#include "check.h"
#include "shared/segment.h"

#include <stdlib.h>

enum { TUNNELS = 5 };

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

static struct sl_histogram *histogram(struct sl_segment *segment, enum sl_histogram_name which)
{
    return (struct sl_histogram *)(void *)((char *)segment + SL_SEGMENT_HISTOGRAMS_AT) + which;
}

TEST(prepares_a_zeroed_segment_for_one_worker_after_another)
{
    struct sl_segment *segment = fresh();
    size_t size = sl_segment_size(TUNNELS);
    CHECK(segment->magic == SL_SEGMENT_MAGIC);
    CHECK_EQ(segment->tunnel_capacity, TUNNELS);
    REQUIRE(sl_segment_open(segment, size, 41, 5000) == segment);
    CHECK_EQ(segment->pid, 41);
    CHECK_EQ(segment->start, 5000);
    segment->counters[SL_COUNTER_BYTES_UP] = 7;
    segment->generation = 3;
    REQUIRE(sl_segment_open(segment, size, 42, 6000) == segment);
    CHECK_EQ(segment->pid, 42);
    CHECK_EQ(segment->start, 6000);
    CHECK_EQ(segment->generation, 3);
    CHECK_EQ(segment->counters[SL_COUNTER_BYTES_UP], 7);
    free(segment);
}

/* Tunnel ids carry `start`: two workers of one slot never share it, whatever the clock does. */
TEST(start_grows_even_when_the_clock_does_not)
{
    struct sl_segment *segment = opened();
    CHECK_EQ(segment->start, 1000);
    sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 1000);
    CHECK_EQ(segment->start, 1001);
    sl_segment_open(segment, sl_segment_size(TUNNELS), 43, 12);
    CHECK_EQ(segment->start, 1002);
    free(segment);
}

TEST(refuses_what_is_not_a_prepared_segment_of_that_size)
{
    size_t size = sl_segment_size(TUNNELS);
    struct sl_segment *segment = calloc(1, size);
    REQUIRE(segment);
    CHECK(!sl_segment_open(segment, size, 9, 1));
    CHECK_EQ(sl_segment_prepare(segment, size - 1, TUNNELS), 0);
    CHECK_EQ(sl_segment_prepare(segment, size, SL_TUNNELS_MAX + 1u), 0);
    REQUIRE(sl_segment_prepare(segment, size, TUNNELS));
    CHECK(!sl_segment_open(segment, size - 1, 9, 1));
    CHECK(!sl_segment_open(segment, 64, 9, 1));
    segment->tunnel_capacity = ~0u;
    CHECK(!sl_segment_open(segment, size, 9, 1));
    segment->tunnel_capacity = TUNNELS;
    segment->version++;
    CHECK(!sl_segment_open(segment, size, 9, 1));
    segment->version--;
    segment->magic ^= 1;
    CHECK(!sl_segment_open(segment, size, 9, 1));
    free(segment);
}

static int is_gauge(unsigned counter)
{
    return counter == SL_COUNTER_CONNECTIONS_OPEN || counter == SL_COUNTER_TUNNELS_OPEN ||
           counter == SL_COUNTER_PIPES_IDLE || counter == SL_COUNTER_PIPES_BUSY ||
           counter == SL_COUNTER_HTTP2_CONNECTIONS_OPEN || counter == SL_COUNTER_HTTP2_STREAMS_OPEN ||
           counter == SL_COUNTER_PARENTS_OPEN;
}

TEST(reap_clears_gauges_and_keeps_counters)
{
    struct sl_segment *segment = opened();
    uint64_t *open = sl_segment_labelled(segment, sl_label_key(SL_FAMILY_TUNNELS_OPEN, SL_PROTOCOL_HTTP, 0, 0, 0));
    uint64_t *idle = sl_segment_labelled(segment, sl_label_key(SL_FAMILY_UPSTREAM_CONNECTIONS, 0, 0, 0, 0));
    uint64_t *ended = sl_segment_labelled(segment, sl_label_key(SL_FAMILY_TUNNELS, SL_PROTOCOL_HTTP, 0, 0, 0));
    *open = *idle = 5;
    *ended = 6;
    segment->generation = 12;
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++) segment->counters[i] = 100 + i;
    sl_segment_reap(segment, sl_segment_size(TUNNELS));
    CHECK_EQ(segment->pid, 0);
    CHECK_EQ(segment->generation, 12);
    CHECK_EQ(segment->counters[SL_COUNTER_CONNECTIONS_OPEN], 0);
    CHECK_EQ(segment->counters[SL_COUNTER_TUNNELS_OPEN], 0);
    CHECK_EQ(segment->counters[SL_COUNTER_PIPES_IDLE], 0);
    CHECK_EQ(segment->counters[SL_COUNTER_PIPES_BUSY], 0);
    CHECK_EQ(*open, 0);
    CHECK_EQ(*idle, 0);
    CHECK_EQ(*ended, 6);
    CHECK_EQ(segment->counters[SL_COUNTER_HTTP2_CONNECTIONS_OPEN], 0);
    CHECK_EQ(segment->counters[SL_COUNTER_HTTP2_STREAMS_OPEN], 0);
    CHECK_EQ(segment->counters[SL_COUNTER_PARENTS_OPEN], 0);
    for (unsigned i = 0; i < SL_COUNTER_COUNT; i++)
        if (!is_gauge(i)) CHECK_EQ(segment->counters[i], 100 + i);
    free(segment);
}

TEST(a_labelled_counter_is_one_place_for_good)
{
    struct sl_segment *segment = opened();
    uint64_t key = sl_label_key(SL_FAMILY_DECISIONS, SL_ALLOW, SL_PHASE_NAME, SL_REASON_RULE_ALLOW, 17);
    uint64_t *value = sl_segment_labelled(segment, key);
    uint64_t *other = sl_segment_labelled(segment, key + 0x10000);
    CHECK(value != other);
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT + 2);
    ++*value;
    CHECK(sl_segment_labelled(segment, key) == value);
    REQUIRE(sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 2000));
    CHECK(sl_segment_labelled(segment, key) == value);
    CHECK(sl_segment_labelled(segment, key + 0x10000) == other);
    CHECK_EQ(*value, 1);
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT + 2);
    free(segment);
}

TEST(labels_of_a_key_do_not_run_into_each_other)
{
    CHECK(sl_label_key(SL_FAMILY_DECISIONS, 0, 0, 0, 0) != 0);
    CHECK(sl_label_key(SL_FAMILY_DECISIONS, 0x1ff, 0, 0, 0) == sl_label_key(SL_FAMILY_DECISIONS, 0xff, 0, 0, 0));
    CHECK(sl_label_key(SL_FAMILY_DECISIONS, 1, 2, 3, 0x10004) == sl_label_key(SL_FAMILY_DECISIONS, 1, 2, 3, 4));
    CHECK(sl_label_key(SL_FAMILY_TUNNELS, 1, 2, 3, 4) == 0x0201020300040000ull);
}

/* A key without a place is counted in its family's overflow entry: sums stay right. */
TEST(a_full_table_loses_nothing)
{
    struct sl_segment *segment = opened();
    uint64_t total = 0, overflow;
    for (unsigned i = 0; i < SL_LABELLED_MAX + 100u; i++)
        ++*sl_segment_labelled(segment, sl_label_key(SL_FAMILY_BYTES, i & 1, i >> 16, 0, i >> 1));
    CHECK_EQ(segment->labelled_used, SL_LABELLED_MAX);
    overflow = entries(segment)[SL_FAMILY_BYTES].value;
    CHECK_EQ(overflow, 100 + SL_FAMILY_COUNT);
    for (unsigned i = 0; i < SL_LABELLED_MAX; i++) total += entries(segment)[i].value;
    CHECK_EQ(total, SL_LABELLED_MAX + 100);
    CHECK(sl_segment_labelled(segment, sl_label_key(SL_FAMILY_LIMITED, 1, 0, 0, 0)) ==
          &entries(segment)[SL_FAMILY_LIMITED].value);
    free(segment);
}

TEST(a_key_of_no_family_is_counted_somewhere)
{
    struct sl_segment *segment = opened();
    uint64_t keys[] = {0, 1, 0xffull << 56, sl_label_key(SL_FAMILY_COUNT, 0, 0, 0, 0), 0x0100000000000001ull};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) ++*sl_segment_labelled(segment, keys[i]);
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT);
    CHECK_EQ(entries(segment)[SL_FAMILY_PROTOCOL_ERRORS].value, 5);
    free(segment);
}

TEST(the_next_worker_gives_up_entries_that_were_corrupted)
{
    struct sl_segment *segment = opened();
    uint64_t first = sl_label_key(SL_FAMILY_LIMITED, 1, 0, 0, 0), second = sl_label_key(SL_FAMILY_LIMITED, 2, 0, 0, 0);
    *sl_segment_labelled(segment, first) = 8;
    *sl_segment_labelled(segment, second) = 9;
    entries(segment)[SL_FAMILY_COUNT + 1].key = first;
    entries(segment)[0].key = 77;
    segment->labelled_used = 0xffffffff;
    memset((char *)segment + SL_SEGMENT_INDEX_AT, 0xee, SL_LABELLED_INDEX * 2);
    REQUIRE(sl_segment_open(segment, sl_segment_size(TUNNELS), 42, 2000));
    CHECK_EQ(segment->labelled_used, SL_FAMILY_COUNT + 1);
    CHECK_EQ(*sl_segment_labelled(segment, first), 8);
    CHECK_EQ(*sl_segment_labelled(segment, second), 0);
    CHECK(entries(segment)[0].key == sl_label_key(0, 255, 255, 255, 0));
    free(segment);
}

TEST(buckets_double_from_100_microseconds)
{
    static const struct {
        uint64_t us;
        unsigned bucket;
    } cases[] = {{0, 0},
                 {1, 0},
                 {99, 0},
                 {100, 0},
                 {101, 1},
                 {200, 1},
                 {201, 2},
                 {400, 2},
                 {401, 3},
                 {800, 3},
                 {801, 4},
                 {100ull << 18, 18},
                 {(100ull << 18) + 1, 19},
                 {~0ull, 19}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sl_segment *segment = opened();
        sl_segment_observe(segment, SL_HISTOGRAM_TURN, cases[i].us);
        CHECK_EQ(histogram(segment, SL_HISTOGRAM_TURN)->buckets[cases[i].bucket], 1);
        CHECK(histogram(segment, SL_HISTOGRAM_TURN)->sum_us == cases[i].us);
        CHECK_EQ(histogram(segment, SL_HISTOGRAM_TURN)->count, 1);
        CHECK_EQ(histogram(segment, SL_HISTOGRAM_DNS)->count, 0);
        free(segment);
    }
}

TEST(an_observation_of_nothing_known_is_dropped)
{
    struct sl_segment *segment = opened();
    sl_segment_observe(segment, (enum sl_histogram_name)99, 1);
    for (unsigned i = 0; i < SL_HISTOGRAM_COUNT; i++) CHECK_EQ(histogram(segment, i)->count, 0);
    free(segment);
}

static void check_described(const char *(*name)(unsigned), const char *(*help)(unsigned), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(name(i) && help(i));
        CHECK_AT(name(i)[0] >= 'a' && name(i)[0] <= 'z', name(i));
        CHECK_AT(strspn(name(i), "abcdefghijklmnopqrstuvwxyz0123456789_ :") == strlen(name(i)), name(i));
        CHECK_AT(strlen(help(i)) > 3, name(i));
        for (unsigned j = 0; j < i; j++) CHECK_AT(strcmp(name(i), name(j)) != 0, name(i));
    }
    CHECK(!name(count) && !help(count) && !name(~0u) && !help(~0u));
}

/* Names become metric names: sluice_<name>. */
TEST(everything_counted_has_a_name_of_its_own_and_help)
{
    check_described(sl_segment_counter_name, sl_segment_counter_help, SL_COUNTER_COUNT);
    check_described(sl_histogram_text, sl_histogram_help, SL_HISTOGRAM_COUNT);
    check_described(sl_family_text, sl_family_help, SL_FAMILY_COUNT);
}

TEST(label_values_have_texts_and_numbers_out_of_range_read_as_other)
{
    const char *(*const texts[])(unsigned) = {sl_protocol_text,  sl_direction_text, sl_scope_text,
                                              sl_log_event_text, sl_rejudged_text,  sl_tunnel_state_text};
    const unsigned counts[] = {SL_PROTOCOL_COUNT,  SL_DIRECTION_COUNT, SL_SCOPE_COUNT,
                               SL_LOG_EVENT_COUNT, SL_REJUDGED_COUNT,  SL_TUNNEL_STATE_COUNT};
    for (size_t t = 0; t < sizeof counts / sizeof *counts; t++) {
        for (unsigned i = 0; i < counts[t]; i++) {
            CHECK(strlen(texts[t](i)) > 1);
            for (unsigned j = 0; j < i; j++) CHECK(strcmp(texts[t](i), texts[t](j)) != 0);
        }
        CHECK(strcmp(texts[t](counts[t]), "other") == 0);
        CHECK(strcmp(texts[t](~0u), "other") == 0);
    }
}

/* Readers that are not C take positions from these: every byte belongs to one field, in order. */
static void check_fields(struct sl_field_place (*field)(unsigned), size_t end)
{
    size_t at = 0;
    unsigned i = 0;
    for (struct sl_field_place place = field(0); place.name; place = field(++i)) {
        CHECK_AT(place.at == at, place.name);
        at = place.at + place.size;
    }
    CHECK_EQ(at, end);
    CHECK(!field(~0u).name);
}

TEST(fields_leave_no_gap)
{
    check_fields(sl_segment_field, SL_SEGMENT_COUNTERS_AT);
    check_fields(sl_tunnel_field, sizeof(struct sl_tunnel));
}

int main(void)
{
    RUN(fields_leave_no_gap);
    RUN(prepares_a_zeroed_segment_for_one_worker_after_another);
    RUN(start_grows_even_when_the_clock_does_not);
    RUN(refuses_what_is_not_a_prepared_segment_of_that_size);
    RUN(reap_clears_gauges_and_keeps_counters);
    RUN(a_labelled_counter_is_one_place_for_good);
    RUN(labels_of_a_key_do_not_run_into_each_other);
    RUN(a_full_table_loses_nothing);
    RUN(a_key_of_no_family_is_counted_somewhere);
    RUN(the_next_worker_gives_up_entries_that_were_corrupted);
    RUN(buckets_double_from_100_microseconds);
    RUN(an_observation_of_nothing_known_is_dropped);
    RUN(everything_counted_has_a_name_of_its_own_and_help);
    RUN(label_values_have_texts_and_numbers_out_of_range_read_as_other);
    return CHECK_REPORT();
}
