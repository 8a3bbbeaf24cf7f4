/* Legs: the plain table on real sockets, and the relay over a table that delivers one byte and makes it wait at every
 * call. */
#include "check.h"
#include "one_byte_leg.h"

#include "relay/pipe_pool.h"
#include "relay/relay.h"

#include <sys/epoll.h>

static struct {
    int unused;
} hook;

#include "relay_tunnel.h"

static void plain_bytes(void)
{
    struct tunnel *t = tunnel_new(TCP);
    struct sl_leg from = sl_plain_leg(t->from), to = sl_plain_leg(t->to);
    struct iovec parts[2] = {{.iov_base = t->scratch, .iov_len = 3}, {.iov_base = t->scratch + 10, .iov_len = 90}};
    client_puts(t, 40);
    until_readable(t->from);
    CHECK_EQ(sl_leg_peek(&from, t->scratch, 100), 40);
    CHECK_EQ(sl_leg_receive(&from, t->scratch, 20), 20);
    CHECK_EQ(t->scratch[19], pattern(19));
    CHECK_EQ(sl_leg_receive_parts(&from, parts, 2), 20);
    CHECK_EQ(t->scratch[2], pattern(22));
    CHECK_EQ(t->scratch[10], pattern(23));
    CHECK(sl_leg_receive(&from, t->scratch, 20) == -1 && errno == EAGAIN);
    CHECK(sl_leg_peek(&from, t->scratch, 20) == -1 && errno == EAGAIN);
    for (size_t i = 0; i < 20; i++) t->scratch[i] = pattern(i);
    CHECK_EQ(sl_leg_send(&to, t->scratch, 10, 1), 10);
    parts[0] = (struct iovec){.iov_base = t->scratch + 10, .iov_len = 4};
    parts[1] = (struct iovec){.iov_base = t->scratch + 14, .iov_len = 6};
    CHECK_EQ(sl_leg_send_parts(&to, parts, 2), 10);
    CHECK_EQ(sl_leg_end_writing(&to), 0);
    while (t->got < 20) {
        until_readable(t->server);
        REQUIRE(server_takes(t, 20 - t->got) > 0);
    }
    until_readable(t->server);
    CHECK_EQ(server_takes(t, 1), 0);
    tunnel_free(t);
}

static void plain_says_nothing_else(void)
{
    struct tunnel *t = tunnel_new(TCP);
    struct sl_leg leg = sl_plain_leg(t->from);
    CHECK_EQ(sl_leg_advance(&leg), SL_LEG_READY);
    CHECK_EQ(sl_plain_table.advance(&leg), SL_LEG_READY);
    CHECK_EQ(sl_plain_table.wants(&leg), 0);
    CHECK_EQ(sl_leg_pending(&leg), 0);
    CHECK_EQ(sl_plain_table.pending(&leg), 0);
    CHECK(sl_leg_reason(&leg) == NULL);
    CHECK_EQ(sl_leg_events(&leg, EPOLLOUT), EPOLLOUT);
    CHECK(sl_leg_fills_pipes(&leg) && sl_leg_drains_pipes(&leg));
    tunnel_free(t);
}

/* close() ends, reset() resets where SO_LINGER is 0; either once. */
static void ends(int clean)
{
    struct tunnel *t = tunnel_new(TCP);
    struct sl_leg leg = sl_plain_leg(dup(t->to));
    set_linger_0(t->to);
    close(t->to);
    CHECK_EQ(sl_leg_send(&leg, "x", 1, 0), 1);
    (clean ? sl_leg_close : sl_leg_reset)(&leg);
    CHECK_EQ(leg.fd, -1);
    sl_leg_close(&leg);
    sl_leg_reset(&leg);
    t->to = dup(t->server);
    until_readable(t->server);
    if (clean) {
        CHECK_EQ(recv(t->server, t->scratch, 2, 0), 1);
        until_readable(t->server);
        CHECK_EQ(recv(t->server, t->scratch, 2, 0), 0);
    } else {
        ssize_t n = recv(t->server, t->scratch, 2, 0);
        if (n > 0) n = (until_readable(t->server), recv(t->server, t->scratch, 2, 0));
        CHECK(n == -1 && errno == ECONNRESET);
    }
    tunnel_free(t);
}

static void closing_ends(void)
{
    ends(1);
}

static void resetting_resets(void)
{
    ends(0);
}

static void events(void)
{
    struct tunnel *t = tunnel_new(TCP);
    struct sl_leg leg = one_byte_leg(t->from);
    one_byte_of(&leg)->wants = SL_RECEIVE_WANTS_WRITE;
    CHECK_EQ(sl_leg_events(&leg, EPOLLOUT), EPOLLOUT | EPOLLIN);
    CHECK_EQ(sl_leg_events(&leg, EPOLLIN), EPOLLIN);
    one_byte_of(&leg)->wants = SL_SEND_WANTS_READ;
    CHECK_EQ(sl_leg_events(&leg, EPOLLIN), EPOLLIN | EPOLLOUT);
    CHECK_EQ(sl_leg_events(&leg, EPOLLOUT), EPOLLOUT);
    one_byte_of(&leg)->wants = 0;
    CHECK_EQ(sl_leg_events(&leg, EPOLLOUT), EPOLLOUT);
    CHECK(!sl_leg_fills_pipes(&leg) && !sl_leg_drains_pipes(&leg));
    CHECK(sl_leg_into_pipe(&leg, NULL, 1) == -1 && sl_pipe_unfit(errno));
    CHECK(sl_leg_out_of_pipe(&leg, NULL, 1, 0) == -1 && sl_pipe_unfit(errno));
    one_byte_free(&leg);
    tunnel_free(t);
}

/* What was peeked at stays, grows by a byte with each look, and is received without waiting. */
static void peek_of_its_own(void)
{
    struct tunnel *t = tunnel_new(TCP);
    struct sl_leg leg = one_byte_leg(t->from);
    client_puts(t, 5);
    until_readable(t->from);
    for (ssize_t n = 1; n <= 5; n++) CHECK_EQ(sl_leg_peek(&leg, t->scratch, 100), n);
    CHECK_EQ(sl_leg_peek(&leg, t->scratch, 100), 5);
    CHECK_EQ(t->scratch[4], pattern(4));
    CHECK(!sl_leg_pending(&leg)); /* it has seen all */
    for (size_t n = 0; n < 5; n++) {
        CHECK_EQ(sl_leg_receive(&leg, t->scratch, 100), 1);
        CHECK_EQ(t->scratch[0], pattern(n));
        CHECK(sl_leg_pending(&leg)); /* until it is asked */
    }
    CHECK(sl_leg_receive(&leg, t->scratch, 100) == -1 && errno == EAGAIN);
    CHECK(!sl_leg_pending(&leg));
    one_byte_free(&leg);
    tunnel_free(t);
}

static int watched(const struct sl_leg *leg)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    int epoll = epoll_create1(0);
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, leg->fd, &event), 0);
    return epoll;
}

/* The relay, driven by edges alone: a source that is dry is asked again when an edge says so, and so is a sink that is full.
 * `by`: 1: the source delivers single bytes, 2: the sink takes them, 3: both. */
static void by_edges(unsigned by, size_t size)
{
    struct tunnel *t = tunnel_between(TCP, 1 << 20, 1 << 20);
    struct sl_leg from = by & 1 ? one_byte_leg(t->from) : sl_plain_leg(t->from);
    struct sl_leg to = by & 2 ? one_byte_leg(t->to) : sl_plain_leg(t->to);
    struct sl_pipe_counts counts = {.idle = 0};
    struct sl_pipe_pool pool;
    struct epoll_event event;
    enum sl_pump_status status = SL_PUMP_DRY;
    int source = watched(&from), sink = watched(&to);
    sl_pipe_pool_init(&pool, &counts, 4);
    t->direction.pool = &pool;
    client_puts(t, size);
    shutdown(t->client, SHUT_WR);
    for (unsigned turns = 0; status != SL_PUMP_DONE; turns++) {
        uint32_t events;
        REQUIRE(!check_failures && turns < 50000);
        REQUIRE(status == SL_PUMP_DRY || status == SL_PUMP_FULL);
        REQUIRE(epoll_wait(status == SL_PUMP_DRY ? source : sink, &event, 1, 10000) == 1);
        events = sl_leg_events(status == SL_PUMP_DRY ? &from : &to, event.events);
        if (events & (EPOLLRDHUP | EPOLLHUP)) t->direction.hangup |= status == SL_PUMP_DRY;
        if (events & (status == SL_PUMP_DRY ? EPOLLIN : EPOLLOUT))
            status = sl_pump(&t->direction, &from, &to, t->scratch, SCRATCH, ALL);
        server_takes(t, SIZE_MAX);
    }
    while (t->got < t->put) {
        until_readable(t->server);
        REQUIRE(server_takes(t, SIZE_MAX) != 0);
    }
    until_readable(t->server);
    CHECK_EQ(server_takes(t, 1), 0);
    CHECK_EQ(counts.begun, 0);
    if (by & 1) one_byte_free(&from);
    if (by & 2) one_byte_free(&to);
    close(source), close(sink);
    tunnel_free(t);
    sl_pipe_pool_free(&pool);
}

static void relay_from_one_byte(void)
{
    by_edges(1, 5000);
}

static void relay_to_one_byte(void)
{
    by_edges(2, 5000);
}

static void relay_between_one_bytes(void)
{
    by_edges(3, 5000);
}

static void relay_of_nothing(void)
{
    by_edges(3, 0);
}

int main(void)
{
    RUN(plain_bytes);
    RUN(plain_says_nothing_else);
    RUN(closing_ends);
    RUN(resetting_resets);
    RUN(events);
    RUN(peek_of_its_own);
    RUN(relay_from_one_byte);
    RUN(relay_to_one_byte);
    RUN(relay_between_one_bytes);
    RUN(relay_of_nothing);
    return CHECK_REPORT();
}
