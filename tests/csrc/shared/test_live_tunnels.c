/* The live-tunnel table: taking and giving back, texts that do not fit, the sequence lock, and what a dead worker leaves. */
#include "check.h"
#include "shared/segment.h"

#include <stdlib.h>

enum { TUNNELS = 4 };

static struct sl_segment *opened(void)
{
    size_t size = sl_segment_size(TUNNELS);
    struct sl_segment *segment = calloc(1, size); /* exactly as large: the sanitizer sees every byte beyond */
    if (!segment || !sl_segment_prepare(segment, size, TUNNELS) || !sl_segment_open(segment, size, 41, 1000)) abort();
    return segment;
}

static struct sl_tunnel *records(struct sl_segment *segment)
{
    return (struct sl_tunnel *)(void *)((char *)segment + SL_SEGMENT_TUNNELS_AT);
}

TEST(a_record_is_taken_filled_and_given_back)
{
    struct sl_segment *segment = opened();
    struct sl_tunnel *tunnel = sl_tunnel_take(segment, 7);
    REQUIRE(tunnel == records(segment));
    CHECK_EQ(tunnel->number, 7);
    CHECK_EQ(tunnel->state, SL_TUNNEL_OPEN);
    CHECK_EQ(tunnel->sequence_lock & 1, 1);
    sl_tunnel_set_user(tunnel, "ci", 2);
    sl_tunnel_set_name(tunnel, "a.example", 9);
    sl_tunnel_done(tunnel);
    CHECK_EQ(tunnel->sequence_lock & 1, 0);
    CHECK_EQ(segment->tunnels_listed, 1);
    CHECK_EQ(segment->tunnels_high, 1);
    sl_tunnel_bytes(tunnel, 11, 12);
    CHECK_EQ(tunnel->bytes_up, 11);
    CHECK_EQ(tunnel->bytes_down, 12);
    CHECK_EQ(tunnel->sequence_lock & 1, 0);
    sl_tunnel_release(segment, tunnel);
    CHECK_EQ(tunnel->state, SL_TUNNEL_FREE);
    CHECK_EQ(segment->tunnels_listed, 0);
    free(segment);
}

TEST(a_record_given_back_is_the_next_one_taken_and_has_nothing_of_before)
{
    struct sl_segment *segment = opened();
    struct sl_tunnel *first = sl_tunnel_take(segment, 1), *second = sl_tunnel_take(segment, 2);
    uint64_t lock;
    sl_tunnel_set_name(first, "secret.example", 14);
    sl_tunnel_set_user(first, "ci", 2);
    sl_tunnel_bytes(first, 5, 5);
    sl_tunnel_done(first);
    sl_tunnel_done(second);
    lock = first->sequence_lock;
    sl_tunnel_release(segment, first);
    CHECK(sl_tunnel_take(segment, 3) == first);
    CHECK(first->sequence_lock > lock);
    CHECK_EQ(first->number, 3);
    CHECK_EQ(first->bytes_up, 0);
    CHECK_EQ(first->name_length, 0);
    CHECK_EQ(first->user_length, 0);
    for (unsigned i = 0; i < SL_TUNNEL_NAME; i++) CHECK_EQ(first->name[i], 0);
    free(segment);
}

/* More tunnels than records: they live on unlisted, and are counted. */
TEST(a_full_table_lists_no_more_and_takes_again_after_a_release)
{
    struct sl_segment *segment = opened();
    struct sl_tunnel *taken[TUNNELS];
    for (unsigned i = 0; i < TUNNELS; i++) {
        taken[i] = sl_tunnel_take(segment, i + 1);
        REQUIRE(taken[i]);
        for (unsigned j = 0; j < i; j++) CHECK(taken[i] != taken[j]);
    }
    CHECK(!sl_tunnel_take(segment, 9));
    CHECK(!sl_tunnel_take(segment, 10));
    CHECK_EQ(segment->tunnels_unlisted, 2);
    CHECK_EQ(segment->tunnels_listed, TUNNELS);
    sl_tunnel_release(segment, taken[2]);
    sl_tunnel_release(segment, taken[0]);
    CHECK(sl_tunnel_take(segment, 11) == taken[0]);
    CHECK(sl_tunnel_take(segment, 12) == taken[2]);
    CHECK(!sl_tunnel_take(segment, 13));
    free(segment);
}

TEST(a_tunnel_without_a_record_is_no_case_of_its_own)
{
    struct sl_segment *segment = opened();
    sl_tunnel_edit(NULL);
    sl_tunnel_set_user(NULL, "a", 1);
    sl_tunnel_set_identity(NULL, "a", 1);
    sl_tunnel_set_name(NULL, "a", 1);
    sl_tunnel_bytes(NULL, 1, 2);
    sl_tunnel_done(NULL);
    sl_tunnel_release(segment, NULL);
    CHECK_EQ(segment->tunnels_listed, 0);
    CHECK_EQ(segment->tunnels_free, 0);
    free(segment);
}

TEST(texts_that_do_not_fit_are_cut_and_marked)
{
    struct sl_segment *segment = opened();
    struct sl_tunnel *tunnel = sl_tunnel_take(segment, 1);
    char text[300];
    memset(text, 'x', sizeof text);
    sl_tunnel_set_user(tunnel, text, SL_TUNNEL_USER);
    sl_tunnel_set_name(tunnel, text, SL_TUNNEL_NAME);
    CHECK_EQ(tunnel->flags, 0);
    CHECK_EQ(tunnel->user_length, SL_TUNNEL_USER);
    CHECK_EQ(tunnel->name_length, SL_TUNNEL_NAME);
    sl_tunnel_set_user(tunnel, text, SL_TUNNEL_USER + 1);
    sl_tunnel_set_name(tunnel, text, sizeof text);
    CHECK_EQ(tunnel->flags, SL_TUNNEL_USER_CUT | SL_TUNNEL_NAME_CUT);
    CHECK_EQ(tunnel->user_length, SL_TUNNEL_USER);
    CHECK_EQ(tunnel->name_length, SL_TUNNEL_NAME);
    CHECK(memcmp(tunnel->name, text, SL_TUNNEL_NAME) == 0);
    sl_tunnel_set_identity(tunnel, text, SL_TUNNEL_IDENTITY + 1);
    CHECK(tunnel->flags & SL_TUNNEL_IDENTITY_CUT);
    CHECK_EQ(tunnel->identity_length, SL_TUNNEL_IDENTITY);
    sl_tunnel_set_identity(tunnel, "shop/cart", 9);
    CHECK_EQ(tunnel->identity_length, 9);
    sl_tunnel_set_user(tunnel, "ab", 2);
    sl_tunnel_set_name(tunnel, NULL, 5);
    CHECK_EQ(tunnel->flags, 0);
    CHECK_EQ(tunnel->user_length, 2);
    CHECK_EQ(tunnel->name_length, 0);
    free(segment);
}

/* Every edit leaves another even number behind: a reader that saw the one before looks again. */
TEST(the_lock_is_odd_while_a_record_changes)
{
    struct sl_segment *segment = opened();
    struct sl_tunnel *tunnel = sl_tunnel_take(segment, 1);
    uint64_t before;
    sl_tunnel_done(tunnel);
    before = tunnel->sequence_lock;
    sl_tunnel_edit(tunnel);
    CHECK_EQ(tunnel->sequence_lock, before + 1);
    sl_tunnel_edit(tunnel); /* an edit within an edit changes nothing */
    CHECK_EQ(tunnel->sequence_lock, before + 1);
    sl_tunnel_done(tunnel);
    CHECK_EQ(tunnel->sequence_lock, before + 2);
    free(segment);
}

TEST(the_next_worker_finds_an_empty_table)
{
    struct sl_segment *segment = opened();
    size_t size = sl_segment_size(TUNNELS);
    struct sl_tunnel *half;
    sl_tunnel_done(sl_tunnel_take(segment, 1));
    half = sl_tunnel_take(segment, 2); /* its worker died while it wrote */
    CHECK_EQ(half->sequence_lock & 1, 1);
    sl_tunnel_release(segment, records(segment));
    REQUIRE(sl_segment_open(segment, size, 42, 2000));
    CHECK_EQ(segment->tunnels_high, 0);
    CHECK_EQ(segment->tunnels_listed, 0);
    CHECK_EQ(segment->tunnels_free, 0);
    for (unsigned i = 0; i < TUNNELS; i++) {
        CHECK_EQ(records(segment)[i].state, SL_TUNNEL_FREE);
        CHECK_EQ(records(segment)[i].number, 0);
        CHECK_EQ(records(segment)[i].sequence_lock & 1, 0);
    }
    CHECK(sl_tunnel_take(segment, 1) == records(segment));
    CHECK(sl_tunnel_take(segment, 2) == records(segment) + 1);
    free(segment);
}

TEST(a_corrupted_table_is_emptied_within_its_bounds)
{
    struct sl_segment *segment = opened();
    size_t size = sl_segment_size(TUNNELS);
    memset(records(segment), 0xff, TUNNELS * sizeof(struct sl_tunnel));
    segment->tunnels_high = ~0u;
    segment->tunnels_free = ~0u;
    REQUIRE(sl_segment_open(segment, size, 42, 2000));
    for (unsigned i = 0; i < TUNNELS; i++) CHECK_EQ(records(segment)[i].state, SL_TUNNEL_FREE);
    for (unsigned i = 0; i < TUNNELS; i++) CHECK(sl_tunnel_take(segment, i + 1));
    CHECK(!sl_tunnel_take(segment, 9));
    free(segment);
}

TEST(a_segment_without_records_lists_nothing)
{
    size_t size = sl_segment_size(0);
    struct sl_segment *segment = calloc(1, size);
    REQUIRE(segment && sl_segment_prepare(segment, size, 0) && sl_segment_open(segment, size, 41, 1));
    CHECK(!sl_tunnel_take(segment, 1));
    CHECK_EQ(segment->tunnels_unlisted, 1);
    free(segment);
}

int main(void)
{
    RUN(a_record_is_taken_filled_and_given_back);
    RUN(a_record_given_back_is_the_next_one_taken_and_has_nothing_of_before);
    RUN(a_full_table_lists_no_more_and_takes_again_after_a_release);
    RUN(a_tunnel_without_a_record_is_no_case_of_its_own);
    RUN(texts_that_do_not_fit_are_cut_and_marked);
    RUN(the_lock_is_odd_while_a_record_changes);
    RUN(the_next_worker_finds_an_empty_table);
    RUN(a_corrupted_table_is_emptied_within_its_bounds);
    RUN(a_segment_without_records_lists_nothing);
    return CHECK_REPORT();
}
