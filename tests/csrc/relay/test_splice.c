/* The relay, splicing: order and ends, pipes held and given back, resets, and budgets. */
#include "spliced_tunnel.h"

static void order_and_end(enum kind kind, unsigned seed)
{
    struct tunnel *t = spliced_tunnel(kind);
    srand(seed);
    for (unsigned n = 0; n < 3000 && !check_failures; n++) {
        enum sl_pump_status status;
        if (rand() % 3 == 0) client_puts(t, (size_t)rand() % BULK);
        hook.most = rand() % 2 ? 0 : (size_t)rand() % 100000 + 1;
        hook.interrupt = rand() % 8 ? 0 : (unsigned)rand() % 3;
        hook.outs_until_blocked = rand() % 8 ? 0 : (unsigned)rand() % 3 + 1;
        size_t size = rand() % 4 ? SCRATCH : (size_t)rand() % SCRATCH + 1, budget = (size_t)rand() % 600000;
        status = pump_by(t, size, budget);
        CHECK(status == SL_PUMP_DRY || status == SL_PUMP_FULL || status == SL_PUMP_BUDGET);
        CHECK_EQ(status == SL_PUMP_FULL, sl_direction_waits(&t->direction));
        CHECK_EQ(counts.busy, t->direction.pipe != NULL);
        if (rand() % 3 == 0) server_takes(t, (size_t)rand() % 600000);
    }
    CHECK(t->put > BULK);
    CHECK(counts.begun > 0 && hook.ins > 0 && hook.outs > 0);
    memset(&hook, 0, sizeof hook);
    shutdown(t->client, SHUT_WR);
    finish(t);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DONE);
    spliced_free(t);
}

TEST(spliced_bytes_keep_their_order_and_the_end_comes_last)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        order_and_end(UNIX, seed);
        order_and_end(TCP, seed);
    }
}

TEST(small_messages_are_never_spliced)
{
    struct tunnel *t = spliced_tunnel(TCP);
    for (int i = 0; i < 200; i++) {
        client_puts(t, 5000);
        until_readable(t->from);
        CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
        server_takes(t, SIZE_MAX);
    }
    CHECK_EQ(counts.begun, 0);
    CHECK_EQ(hook.ins + hook.outs, 0);
    shutdown(t->client, SHUT_WR);
    finish(t);
    spliced_free(t);
}

TEST(a_quiet_direction_holds_no_pipe_and_goes_back_to_copying)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = spliced_tunnel(kind);
        until_splicing(t);
        until_dry(t);
        CHECK(!t->direction.pipe && !t->direction.pending);
        CHECK_EQ(counts.idle, 1);
        for (int i = 0; i < LEAN_CALLS; i++) {
            client_puts(t, 100);
            until_readable(t->from);
            CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
            CHECK(!t->direction.pipe);
        }
        CHECK_EQ(t->direction.way, SL_COPYING);
        CHECK_EQ(counts.ended, 1);
        hook.ins = hook.recvs = 0;
        client_puts(t, 100);
        until_readable(t->from);
        CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
        CHECK_EQ(hook.ins, 0);
        CHECK_EQ(hook.recvs, 1);
        /* And bulk again. */
        counts.begun = counts.ended = 0;
        until_splicing(t);
        shutdown(t->client, SHUT_WR);
        finish(t);
        spliced_free(t);
    }
}

TEST(a_full_sink_keeps_the_pipe_and_stops_the_reading)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = spliced_tunnel(kind);
        until_piped(t);
        uint32_t held = t->direction.pipe->held;
        uint64_t bytes = t->direction.bytes;
        unsigned ins = hook.ins, recvs = hook.recvs;
        client_puts(t, 1000);
        for (int i = 0; i < 5; i++) CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK_EQ(hook.ins, ins);
        CHECK_EQ(hook.recvs, recvs);
        CHECK_EQ(t->direction.pipe->held, held);
        CHECK_EQ(t->direction.bytes, bytes); /* only what the sink took counts */
        CHECK_EQ(counts.busy, 1);
        shutdown(t->client, SHUT_WR);
        CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK(!t->direction.done && !t->direction.ended); /* the end waits for the piped bytes */
        finish(t);
        CHECK_EQ(counts.idle, 1);
        spliced_free(t);
    }
}

/* Copied bytes that wait leave before anything is spliced: a preload larger than the sink takes, and bulk behind it. */
TEST(copied_bytes_that_wait_go_before_the_first_splice)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = spliced_tunnel(kind);
        uint8_t *early = malloc(1 << 20);
        REQUIRE(early);
        for (size_t i = 0; i < 1 << 20; i++) early[i] = pattern(i);
        CHECK(sl_direction_preload(&t->direction, early, 1 << 20));
        free(early);
        t->put = 1 << 20;
        client_puts(t, BULK);
        CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK(t->direction.pending);
        CHECK_EQ(hook.ins + hook.recvs, 0);
        for (int n = 0; n < 50; n++) client_puts(t, BULK), until_dry(t);
        CHECK(counts.begun > 0);
        shutdown(t->client, SHUT_WR);
        finish(t);
        spliced_free(t);
    }
}

TEST(a_source_reset_in_bulk_is_no_end)
{
    for (int piped = 0; piped < 2; piped++) {
        struct tunnel *t = spliced_tunnel(TCP);
        if (piped)
            until_piped(t);
        else
            until_splicing(t);
        if (!piped) until_dry(t);
        set_linger_0(t->client);
        close(t->client);
        until_readable(t->from);
        t->direction.hangup = 1;
        enum sl_pump_status status;
        for (unsigned turns = 0; (status = pump(t, ALL)) == SL_PUMP_FULL; turns++) {
            REQUIRE(turns < 10000);
            until_readable(t->server);
            server_takes(t, SIZE_MAX);
        }
        CHECK_EQ(status, SL_PUMP_SOURCE_RESET);
        CHECK_EQ(pump(t, ALL), SL_PUMP_SOURCE_RESET);
        CHECK_EQ(errno, ECONNRESET);
        CHECK(!t->direction.done && !t->direction.ended);
        t->client = dup(t->from);
        spliced_free(t);
    }
}

TEST(a_sink_reset_in_bulk_closes_the_pipe_with_its_bytes)
{
    struct tunnel *t = spliced_tunnel(TCP);
    until_piped(t);
    uint64_t bytes = t->direction.bytes;
    set_linger_0(t->server);
    close(t->server);
    until_readable(t->to);
    for (int i = 0; i < 2; i++) CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
    CHECK(!t->direction.pipe);
    CHECK_EQ(t->direction.bytes, bytes);
    CHECK_EQ(counts.idle + counts.busy, 0);
    t->server = dup(t->to);
    spliced_free(t);
}

TEST(an_ended_tunnel_closes_the_pipe_with_its_bytes)
{
    struct tunnel *t = spliced_tunnel(TCP);
    until_piped(t);
    spliced_free(t); /* nothing is kept: CHECKs in it */
    CHECK_EQ(counts.ended, 1);
}

TEST(a_budget_holds_for_splices_too)
{
    struct tunnel *t = spliced_tunnel(UNIX);
    until_splicing(t);
    until_dry(t);
    client_puts(t, 9000);
    uint64_t bytes = t->direction.bytes;
    unsigned ins = hook.ins;
    CHECK_EQ(pump(t, 0), SL_PUMP_BUDGET);
    CHECK_EQ(hook.ins, ins);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(pump(t, 3000), SL_PUMP_BUDGET);
        CHECK_EQ(hook.ins, ins + (unsigned)i);
        CHECK_EQ(t->direction.bytes, bytes + 3000u * (unsigned)i);
        CHECK(!t->direction.pipe);
        server_takes(t, SIZE_MAX);
    }
    CHECK_EQ(pump(t, 1), SL_PUMP_DRY);
    shutdown(t->client, SHUT_WR);
    finish(t);
    spliced_free(t);
}

int main(void)
{
    RUN(spliced_bytes_keep_their_order_and_the_end_comes_last);
    RUN(small_messages_are_never_spliced);
    RUN(a_quiet_direction_holds_no_pipe_and_goes_back_to_copying);
    RUN(a_full_sink_keeps_the_pipe_and_stops_the_reading);
    RUN(copied_bytes_that_wait_go_before_the_first_splice);
    RUN(a_source_reset_in_bulk_is_no_end);
    RUN(a_sink_reset_in_bulk_closes_the_pipe_with_its_bytes);
    RUN(an_ended_tunnel_closes_the_pipe_with_its_bytes);
    RUN(a_budget_holds_for_splices_too);
    return CHECK_REPORT();
}
