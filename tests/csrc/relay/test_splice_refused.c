/* The relay where splicing is not to be had: ends that cannot be spliced, no pipe, broken pipes, urgent data. */
#include "spliced_tunnel.h"

TEST(a_source_that_cannot_be_spliced_is_copied)
{
    static const int errors[] = {EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ENOMEM};
    for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct tunnel *t = spliced_tunnel(TCP);
        hook.refuse_in = errors[i];
        for (int n = 0; n < 20; n++) client_puts(t, 4 * SCRATCH), until_dry(t);
        CHECK_EQ(t->direction.way, SL_COPY_ONLY);
        CHECK_EQ(hook.ins, 1); /* asked once */
        CHECK_EQ(counts.refused, 1);
        shutdown(t->client, SHUT_WR);
        finish(t);
        spliced_free(t);
    }
}

TEST(a_sink_that_cannot_be_spliced_to_gets_the_pipe_copied)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = spliced_tunnel(kind);
        until_piped(t);
        hook.refuse_out = EINVAL;
        client_puts(t, BULK);
        CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK_EQ(t->direction.way, SL_COPY_ONLY);
        until_dry(t);
        CHECK(!sl_direction_waits(&t->direction));
        shutdown(t->client, SHUT_WR);
        finish(t);
        spliced_free(t);
    }
}

TEST(without_a_pipe_bulk_is_copied_and_counted)
{
    struct tunnel *t = spliced_tunnel(TCP);
    pool.most = 0;
    for (int n = 0; n < 20; n++) client_puts(t, 4 * SCRATCH), until_dry(t);
    CHECK_EQ(hook.ins, 0);
    CHECK_EQ(counts.begun, 0);
    CHECK(counts.refused > 0);
    pool.most = 4; /* and spliced when there is one again */
    until_splicing(t);
    sl_pipe_pool_limit(&pool, 0);
    for (int n = 0; n < 20; n++) client_puts(t, 4 * SCRATCH), until_dry(t);
    CHECK_EQ(t->direction.way, SL_COPYING);
    shutdown(t->client, SHUT_WR);
    finish(t);
    spliced_free(t);
}

TEST(urgent_data_do_not_stop_bulk)
{
    struct tunnel *t = spliced_tunnel(TCP);
    until_splicing(t);
    until_dry(t);
    client_puts(t, 1000);
    CHECK_EQ(send(t->client, "!", 1, MSG_OOB), 1); /* not of the stream: recv() leaves it out */
    struct pollfd urgent = {.fd = t->from, .events = POLLPRI};
    CHECK_EQ(poll(&urgent, 1, 10000), 1);
    client_puts(t, 1000);
    t->direction.urgent = 1;
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY); /* in one call, across the mark */
    CHECK_EQ(t->direction.bytes, t->put);
    until_dry(t);
    CHECK_EQ(t->direction.way, SL_COPY_ONLY);
    client_puts(t, 4 * SCRATCH);
    until_dry(t);
    CHECK_EQ(t->direction.way, SL_COPY_ONLY);
    shutdown(t->client, SHUT_WR);
    finish(t);
    spliced_free(t);
}

TEST(blocking_sockets_are_not_spliced)
{
    for (int sink = 0; sink < 2; sink++) {
        struct tunnel *t = spliced_tunnel(TCP);
        fcntl(sink ? t->to : t->from, F_SETFL, 0);
        for (int n = 0; n < 20; n++) client_puts(t, 4 * SCRATCH), until_dry(t);
        CHECK_EQ(hook.ins, 0);
        CHECK_EQ(t->direction.way, SL_COPY_ONLY);
        CHECK_EQ(counts.refused, 1);
        shutdown(t->client, SHUT_WR);
        finish(t);
        spliced_free(t);
    }
}

/* The kernel's word on what is left in a pipe counts more than ours. */
TEST(a_pipe_that_holds_less_than_it_should_is_an_error)
{
    struct tunnel *t = spliced_tunnel(TCP);
    until_piped(t);
    uint8_t taken[4096];
    hook.refuse_out = EINVAL; /* copies on from the pipe */
    while (read(t->direction.pipe->out, taken, sizeof taken) > 0);
    close(t->direction.pipe->in);
    t->direction.pipe->in = dup(t->direction.pipe->out);
    CHECK_EQ(pump(t, ALL), SL_PUMP_INTERNAL);
    CHECK_EQ(errno, EIO);
    CHECK_EQ(counts.busy, 0);
    spliced_free(t);
}

/* Behind bytes that were pending before, before those the source still holds, and with the end behind all of them. */
TEST(a_pipe_is_given_back_and_its_bytes_keep_their_place)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++)
        for (int twice = 0; twice < 2; twice++) {
            struct tunnel *t = spliced_tunnel(kind);
            until_piped(t);
            uint32_t held = t->direction.pipe->held;
            client_puts(t, BULK);
            CHECK_EQ(sl_direction_unpipe(&t->direction), 1);
            CHECK(!t->direction.pipe);
            CHECK_EQ(t->direction.pending_to - t->direction.pending_from, held);
            CHECK_EQ(counts.busy, 0);
            CHECK_EQ(counts.idle, 1);
            CHECK_EQ(sl_direction_unpipe(&t->direction), 0); /* a second time there is none */
            if (twice) { /* pending bytes and a pipe at once: the pipe's go behind */
                struct sl_pipe *pipe = sl_pipe_take(&pool);
                until_readable(t->from);
                REQUIRE(pipe && sl_pipe_fill(pipe, t->from, pipe->size) > 0);
                t->direction.pipe = pipe;
                CHECK_EQ(sl_direction_unpipe(&t->direction), 1);
                CHECK_EQ(counts.busy, 0);
            }
            CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
            until_dry(t);
            CHECK(!sl_direction_waits(&t->direction));
            shutdown(t->client, SHUT_WR);
            finish(t);
            spliced_free(t);
        }
}

TEST(a_pipe_that_cannot_be_given_back_stays)
{
    struct tunnel *t = spliced_tunnel(UNIX);
    until_piped(t);
    struct sl_pipe *pipe = t->direction.pipe;
    uint8_t *before = calloc(1, PRELOAD_MAX);
    if (!before || !sl_direction_preload(&t->direction, before, PRELOAD_MAX - pipe->held + 1)) abort();
    free(before);
    CHECK_EQ(sl_direction_unpipe(&t->direction), 0); /* more than 1 MiB would wait */
    CHECK(t->direction.pipe == pipe);
    CHECK_EQ(counts.busy, 1);
    spliced_free(t);
}

TEST(a_pipe_that_cannot_be_read_ends_the_direction)
{
    struct tunnel *t = spliced_tunnel(TCP);
    until_piped(t);
    t->direction.pipe->held++; /* one more than there is */
    CHECK_EQ(sl_direction_unpipe(&t->direction), 0);
    CHECK_EQ(counts.busy, 0);
    for (int i = 0; i < 2; i++) CHECK_EQ(pump(t, ALL), SL_PUMP_INTERNAL);
    spliced_free(t);
}

int main(void)
{
    RUN(a_source_that_cannot_be_spliced_is_copied);
    RUN(a_sink_that_cannot_be_spliced_to_gets_the_pipe_copied);
    RUN(without_a_pipe_bulk_is_copied_and_counted);
    RUN(urgent_data_do_not_stop_bulk);
    RUN(blocking_sockets_are_not_spliced);
    RUN(a_pipe_that_holds_less_than_it_should_is_an_error);
    RUN(a_pipe_is_given_back_and_its_bytes_keep_their_place);
    RUN(a_pipe_that_cannot_be_given_back_stays);
    RUN(a_pipe_that_cannot_be_read_ends_the_direction);
    return CHECK_REPORT();
}
