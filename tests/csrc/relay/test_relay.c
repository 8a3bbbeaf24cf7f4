/* The relay on real sockets, copying: AF_UNIX pairs and TCP over loopback. How it splices is in test_splice.c.
 *
 * The unit is included with its system calls and its allocator replaced, so that a test can count them, cut them
 * short, interrupt them and let them fail; its names get a prefix because the ordinary object is linked as well. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    unsigned recvs, sends;        /* calls made */
    unsigned interrupt;           /* that many calls fail with EINTR first */
    size_t send_most;             /* a send takes at most this much; 0 = no limit */
    unsigned sends_until_blocked; /* after that many sends the sink would block; 0 = no limit */
    int no_memory;                /* malloc fails */
    size_t asked;                 /* the last size asked of malloc */
    int flags;                    /* all flags a send was given */
} hook;

static ssize_t hooked_recv(int fd, void *data, size_t size, int flags)
{
    hook.recvs++;
    if (hook.interrupt && hook.interrupt--) return errno = EINTR, -1;
    return recv(fd, data, size, flags);
}

static ssize_t hooked_send(int fd, const void *data, size_t size, int flags)
{
    hook.sends++;
    hook.flags |= flags;
    if (hook.interrupt && hook.interrupt--) return errno = EINTR, -1;
    if (hook.sends_until_blocked && --hook.sends_until_blocked == 0) return errno = EAGAIN, -1;
    return send(fd, data, hook.send_most && size > hook.send_most ? hook.send_most : size, flags);
}

static void *hooked_malloc(size_t size)
{
    hook.asked = size;
    return hook.no_memory ? NULL : malloc(size);
}

#define recv hooked_recv
#define send hooked_send
#define malloc hooked_malloc
#define sl_plain_table hooked_plain_table
#define sl_leg_into_pipe hooked_into_pipe
#define sl_leg_out_of_pipe hooked_out_of_pipe
#define sl_pump hooked_pump
#define sl_direction_free hooked_direction_free
#define sl_direction_preload hooked_direction_preload
#define sl_direction_answer hooked_direction_answer
#define sl_direction_unpipe hooked_direction_unpipe
#include "../../csrc/relay/leg.c"
#include "../../csrc/relay/relay.c"
#undef recv
#undef send
#undef malloc

#include "relay_tunnel.h"

static void order_and_end(enum kind kind, unsigned seed)
{
    struct tunnel *t = tunnel_new(kind);
    srand(seed);
    for (unsigned n = 0; n < 3000 && !check_failures; n++) {
        enum sl_pump_status status;
        if (rand() % 3 == 0) client_puts(t, (size_t)rand() % 30000);
        hook.send_most = rand() % 2 ? 0 : (size_t)rand() % 900 + 1;
        hook.interrupt = rand() % 8 ? 0 : (unsigned)rand() % 3;
        size_t size = (size_t)rand() % SCRATCH + 1, budget = (size_t)rand() % 100000;
        status = pump_by(t, size, budget);
        CHECK(status == SL_PUMP_DRY || status == SL_PUMP_FULL || status == SL_PUMP_BUDGET);
        CHECK_EQ(status == SL_PUMP_FULL, t->direction.pending != NULL);
        if (rand() % 4 == 0) server_takes(t, (size_t)rand() % 60000);
    }
    CHECK(t->put > 100000);
    shutdown(t->client, SHUT_WR);
    finish(t);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DONE);
    tunnel_free(t);
}

TEST(bytes_keep_their_order_and_the_end_comes_last)
{
    for (unsigned seed = 1; seed <= 4; seed++) {
        order_and_end(UNIX, seed);
        order_and_end(TCP, seed);
    }
}

TEST(a_full_sink_stops_the_reading)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = tunnel_new(kind);
        fill(t);
        client_puts(t, 1000);
        size_t left = t->direction.pending_to - t->direction.pending_from;
        unsigned recvs = hook.recvs;
        for (int i = 0; i < 5; i++) CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK_EQ(hook.recvs, recvs);
        CHECK_EQ(t->direction.pending_to - t->direction.pending_from, left);
        shutdown(t->client, SHUT_WR);
        finish(t);
        tunnel_free(t);
    }
}

/* The pending buffer is as large as what was left, and half of it goes back when half has left. */
TEST(pending_memory_is_no_larger_than_what_is_left)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 3000);
    hook.send_most = 1000;
    hook.sends_until_blocked = 2;
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
    CHECK_EQ(hook.asked, 2000);
    hook.sends_until_blocked = 2;
    hook.send_most = 999;
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
    CHECK_EQ(hook.asked, 2000);
    CHECK_EQ(t->direction.pending_from, 999);
    hook.sends_until_blocked = 2;
    hook.send_most = 1;
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
    CHECK_EQ(hook.asked, 1000);
    CHECK_EQ(t->direction.pending_from, 0);
    hook.no_memory = 1; /* giving back needs memory; without it the larger buffer serves on */
    hook.sends_until_blocked = 2;
    hook.send_most = 900;
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
    CHECK_EQ(t->direction.pending_from, 900);
    hook.sends_until_blocked = 0;
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
    CHECK(!t->direction.pending);
    CHECK(server_takes(t, 3000) > 0);
    CHECK_EQ(t->got, 3000);
    tunnel_free(t);
}

TEST(preloaded_bytes_go_first)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = tunnel_new(kind);
        uint8_t data[700];
        for (size_t i = 0; i < sizeof data; i++) data[i] = pattern(i);
        CHECK(sl_direction_preload(&t->direction, data, 0));
        CHECK(!t->direction.pending);
        CHECK(sl_direction_preload(&t->direction, data, 500));
        CHECK(sl_direction_preload(&t->direction, data + 500, 200));
        t->put = 700;
        client_puts(t, 5000);
        shutdown(t->client, SHUT_WR);
        CHECK_EQ(pump(t, 0), SL_PUMP_BUDGET);
        CHECK_EQ(t->direction.bytes, 700);
        CHECK(!t->direction.pending);
        finish(t);
        tunnel_free(t);
    }
}

TEST(an_answer_goes_first_and_is_no_payload)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = tunnel_new(kind);
        uint8_t data[700];
        for (size_t i = 0; i < sizeof data; i++) data[i] = pattern(i);
        CHECK(sl_direction_answer(&t->direction, data, 500));
        CHECK(sl_direction_answer(&t->direction, data + 500, 100));
        CHECK(sl_direction_preload(&t->direction, data + 600, 100));
        t->put = 700;
        for (hook.send_most = 250; t->direction.pending;) CHECK_EQ(pump(t, 0), SL_PUMP_BUDGET);
        hook.send_most = 0;
        CHECK_EQ(t->direction.answers, 0);
        CHECK_EQ(t->direction.bytes, 100);
        client_puts(t, 1000);
        until_readable(t->from);
        CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
        CHECK_EQ(t->direction.bytes, t->put - 600);
        tunnel_free(t);
    }
}

TEST(preload_is_bounded_and_survives_want_of_memory)
{
    struct sl_direction direction = {0};
    uint8_t *data = calloc(1, (1 << 20) + 1);
    REQUIRE(data);
    CHECK(!sl_direction_preload(&direction, data, (1 << 20) + 1));
    CHECK(sl_direction_preload(&direction, data, 1 << 20));
    CHECK(!sl_direction_preload(&direction, data, 1));
    sl_direction_free(&direction);
    CHECK(sl_direction_preload(&direction, data, 10));
    hook.no_memory = 1;
    CHECK(!sl_direction_preload(&direction, data, 10));
    CHECK_EQ(direction.pending_to, 10);
    hook.no_memory = 0;
    sl_direction_free(&direction);
    sl_direction_free(&direction);
    free(data);
}

TEST(the_end_waits_for_pending_bytes)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = tunnel_new(kind);
        fill(t);
        shutdown(t->client, SHUT_WR);
        CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
        CHECK(!t->direction.done);
        CHECK(server_takes(t, 4000) != 0);
        finish(t);
        CHECK(t->direction.ended && t->direction.done);
        /* Half-closed, not closed: the other direction still carries. */
        CHECK_EQ(send(t->server, "x", 1, MSG_NOSIGNAL), 1);
        until_readable(t->to);
        CHECK_EQ(recv(t->to, t->scratch, 1, 0), 1);
        tunnel_free(t);
    }
}

/* The caller closes both sockets next: that end is the sink's. */
TEST(the_end_of_the_last_direction_is_left_to_closing)
{
    struct tunnel *t = tunnel_new(TCP);
    client_puts(t, 100);
    shutdown(t->client, SHUT_WR);
    until_readable(t->from);
    t->direction.last = t->direction.hangup = 1;
    CHECK_EQ(pump(t, ALL), SL_PUMP_DONE);
    CHECK(t->direction.done);
    CHECK_EQ(t->direction.bytes, 100);
    until_readable(t->server);
    server_takes(t, 100);
    CHECK_EQ(server_takes(t, 1), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DONE);
    tunnel_free(t);
}

TEST(a_reset_source_is_no_end)
{
    for (int with_bytes = 0; with_bytes < 2; with_bytes++) {
        struct tunnel *t = tunnel_new(TCP);
        uint8_t byte;
        enum sl_pump_status status;
        if (with_bytes) client_puts(t, 100);
        set_linger_0(t->client);
        close(t->client);
        until_readable(t->from);
        t->direction.hangup = 1;
        for (int i = 0; i < 3; i++) { /* the kernel reports it once: we report it again */
            errno = 0;
            status = pump(t, ALL);
            CHECK_EQ(status, SL_PUMP_SOURCE_RESET);
            CHECK_EQ(errno, ECONNRESET);
        }
        CHECK(!t->direction.done);
        if (t->direction.bytes) { /* what came before it went through */
            until_readable(t->server);
            CHECK_EQ(server_takes(t, 100), 100);
        }
        CHECK_EQ(recv(t->server, &byte, 1, 0), -1);
        CHECK_EQ(errno, EAGAIN);
        t->client = dup(t->from);
        tunnel_free(t);
    }
}

TEST(a_reset_sink_is_told_apart)
{
    for (enum kind kind = UNIX; kind <= TCP; kind++) {
        struct tunnel *t = tunnel_new(kind);
        set_linger_0(t->server);
        close(t->server);
        if (kind == TCP) until_readable(t->to);
        client_puts(t, 100);
        until_readable(t->from);
        for (int i = 0; i < 3; i++) {
            errno = 0;
            CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
            CHECK(errno == EPIPE || errno == ECONNRESET);
        }
        CHECK_EQ(t->direction.bytes, 0);
        CHECK(hook.flags & MSG_NOSIGNAL);
        t->server = dup(t->to);
        tunnel_free(t);
    }
}

TEST(a_sink_that_is_reset_while_bytes_are_pending)
{
    struct tunnel *t = tunnel_new(TCP);
    fill(t);
    set_linger_0(t->server);
    close(t->server);
    until_readable(t->to);
    CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
    CHECK(t->direction.pending);
    CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
    t->server = dup(t->to);
    tunnel_free(t);
}

TEST(the_end_cannot_be_carried_to_a_reset_sink)
{
    struct tunnel *t = tunnel_new(TCP);
    set_linger_0(t->server);
    close(t->server);
    until_readable(t->to);
    shutdown(t->client, SHUT_WR);
    until_readable(t->from);
    CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
    CHECK(!t->direction.done);
    CHECK_EQ(pump(t, ALL), SL_PUMP_SINK_RESET);
    t->server = dup(t->to);
    tunnel_free(t);
}

TEST(what_is_done_stays_done)
{
    struct tunnel *t = tunnel_new(TCP);
    client_puts(t, 100);
    shutdown(t->client, SHUT_WR);
    finish(t);
    set_linger_0(t->server);
    close(t->server); /* a second shutdown() would fail now */
    until_readable(t->to);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DONE);
    t->server = dup(t->to);
    tunnel_free(t);
}

TEST(a_budget_is_not_overrun)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 3000);
    CHECK_EQ(pump(t, 0), SL_PUMP_BUDGET);
    CHECK_EQ(hook.recvs, 0);
    CHECK_EQ(pump(t, 1000), SL_PUMP_BUDGET);
    CHECK_EQ(t->direction.bytes, 1000);
    CHECK_EQ(pump_by(t, 300, 700), SL_PUMP_BUDGET);
    CHECK_EQ(t->direction.bytes, 1700);
    CHECK_EQ(pump(t, 1300), SL_PUMP_BUDGET);
    CHECK_EQ(t->direction.bytes, 3000);
    CHECK_EQ(pump(t, 1), SL_PUMP_DRY);
    shutdown(t->client, SHUT_WR);
    finish(t);
    tunnel_free(t);
}

TEST(interrupted_calls_are_made_again)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 500);
    hook.interrupt = 3; /* two at recv(), or three: all before the first byte moves */
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
    CHECK_EQ(t->direction.bytes, 500);
    CHECK_EQ(hook.recvs, 4);
    client_puts(t, 500);
    hook.sends_until_blocked = 1;
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
    hook.interrupt = 3;
    hook.sends = 0;
    CHECK_EQ(pump(t, 0), SL_PUMP_BUDGET); /* at send() */
    CHECK_EQ(hook.sends, 4);
    CHECK_EQ(t->direction.bytes, 1000);
    tunnel_free(t);
}

TEST(no_memory_for_pending_bytes_is_final)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 3000);
    hook.send_most = 1000;
    hook.sends_until_blocked = 2;
    hook.no_memory = 1;
    CHECK_EQ(pump(t, ALL), SL_PUMP_INTERNAL);
    CHECK_EQ(errno, ENOMEM);
    CHECK(!t->direction.pending);
    CHECK_EQ(t->direction.bytes, 1000);
    hook.no_memory = 0;
    hook.sends_until_blocked = 0;
    client_puts(t, 100);
    CHECK_EQ(pump(t, ALL), SL_PUMP_INTERNAL); /* a gap in the stream must not be carried on from */
    CHECK_EQ(t->direction.bytes, 1000);
    tunnel_free(t);
}

TEST(a_scratch_of_nothing_reads_no_false_end)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 10);
    CHECK_EQ(pump_by(t, 0, ALL), SL_PUMP_INTERNAL);
    CHECK(!t->direction.ended);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
    CHECK_EQ(t->direction.bytes, 10);
    tunnel_free(t);
}

/* One message costs one recv() and one send(). */
TEST(a_short_read_is_dry_without_asking_again)
{
    struct tunnel *t = tunnel_new(UNIX);
    client_puts(t, 64);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
    CHECK_EQ(hook.recvs, 1);
    CHECK_EQ(hook.sends, 1);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY); /* a call too many */
    CHECK_EQ(hook.recvs, 2);
    CHECK_EQ(hook.sends, 1);
    tunnel_free(t);
}

/* Bytes and the end in one report: epoll says it once, so the caller's `hangup` must be enough to get it all. */
TEST(an_end_reported_together_with_bytes_is_not_missed)
{
    for (int reset = 0; reset < 2; reset++) {
        struct tunnel *t = tunnel_new(TCP);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
        struct pollfd gone = {.fd = t->from, .events = POLLRDHUP};
        int epoll = epoll_create1(0);
        REQUIRE(epoll >= 0);
        client_puts(t, 200);
        until_readable(t->from);
        if (reset) set_linger_0(t->client);
        close(t->client);
        CHECK_EQ(poll(&gone, 1, 10000), 1);
        CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, t->from, &event), 0);
        CHECK_EQ(epoll_wait(epoll, &event, 1, 1000), 1);
        CHECK(event.events & EPOLLRDHUP);
        t->direction.hangup = 1;
        CHECK_EQ(pump(t, ALL), reset ? SL_PUMP_SOURCE_RESET : SL_PUMP_DONE);
        CHECK(reset || t->direction.bytes == 200);
        CHECK_EQ(epoll_wait(epoll, &event, 1, 0), 0); /* nothing more would have come */
        close(epoll);
        t->client = dup(t->from);
        tunnel_free(t);
    }
}

TEST(blocking_sockets_are_not_waited_for)
{
    struct tunnel *t = tunnel_new(TCP);
    fcntl(t->from, F_SETFL, 0);
    fcntl(t->to, F_SETFL, 0);
    CHECK_EQ(pump(t, ALL), SL_PUMP_DRY);
    fill(t);
    shutdown(t->client, SHUT_WR);
    finish(t);
    tunnel_free(t);
}

int main(void)
{
    RUN(bytes_keep_their_order_and_the_end_comes_last);
    RUN(a_full_sink_stops_the_reading);
    RUN(pending_memory_is_no_larger_than_what_is_left);
    RUN(preloaded_bytes_go_first);
    RUN(an_answer_goes_first_and_is_no_payload);
    RUN(preload_is_bounded_and_survives_want_of_memory);
    RUN(the_end_waits_for_pending_bytes);
    RUN(the_end_of_the_last_direction_is_left_to_closing);
    RUN(a_reset_source_is_no_end);
    RUN(a_reset_sink_is_told_apart);
    RUN(a_sink_that_is_reset_while_bytes_are_pending);
    RUN(the_end_cannot_be_carried_to_a_reset_sink);
    RUN(what_is_done_stays_done);
    RUN(a_budget_is_not_overrun);
    RUN(interrupted_calls_are_made_again);
    RUN(no_memory_for_pending_bytes_is_final);
    RUN(a_scratch_of_nothing_reads_no_false_end);
    RUN(a_short_read_is_dry_without_asking_again);
    RUN(an_end_reported_together_with_bytes_is_not_missed);
    RUN(blocking_sockets_are_not_waited_for);
    return CHECK_REPORT();
}
