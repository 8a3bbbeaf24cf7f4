/* The relay on real sockets, splicing: AF_UNIX pairs and TCP over loopback, through pipes of a pool.
 *
 * The units are included with their system calls replaced, so that a test can count splices, cut them short, interrupt
 * them and let them fail; their names get a prefix because the ordinary objects are linked too. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    unsigned ins, outs;          /* splices made into and out of a pipe */
    unsigned recvs;
    unsigned interrupt;          /* that many calls fail with EINTR first */
    size_t most;                 /* a splice moves at most this much; 0 = no limit */
    unsigned outs_until_blocked; /* after that many splices out of a pipe the sink would block; 0 = no limit */
    int refuse_in, refuse_out;   /* the errno of every splice into, out of a pipe */
} hook;

static int is_socket(int fd)
{
    int type;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
}

static ssize_t hooked_splice(int from, loff_t *from_at, int to, loff_t *to_at, size_t size, unsigned flags)
{
    int into_pipe = is_socket(from);
    if (into_pipe) hook.ins++;
    else hook.outs++;
    if (hook.interrupt && hook.interrupt--) return errno = EINTR, -1;
    if (into_pipe ? hook.refuse_in : hook.refuse_out) return errno = into_pipe ? hook.refuse_in : hook.refuse_out, -1;
    if (!into_pipe && hook.outs_until_blocked && --hook.outs_until_blocked == 0) return errno = EAGAIN, -1;
    return splice(from, from_at, to, to_at, hook.most && size > hook.most ? hook.most : size, flags);
}

static ssize_t hooked_recv(int fd, void *data, size_t size, int flags)
{
    hook.recvs++;
    return recv(fd, data, size, flags);
}

#define splice hooked_splice
#define recv hooked_recv
#define sl_pipe_pool_init hooked_pool_init
#define sl_pipe_pool_free hooked_pool_free
#define sl_pipe_pool_limit hooked_pool_limit
#define sl_pipe_take hooked_take
#define sl_pipe_give hooked_give
#define sl_pipe_fill hooked_fill
#define sl_pipe_drain hooked_drain
#define sl_pipe_read hooked_read
#define sl_pipe_put hooked_put
#define sl_pipe_move hooked_move
#define sl_pipe_unfit hooked_unfit
#define sl_pump hooked_pump
#define sl_direction_free hooked_direction_free
#define sl_direction_unpipe hooked_direction_unpipe
#define sl_direction_preload hooked_direction_preload
#include "../../csrc/pipe_pool.c"
#include "../../csrc/relay.c"
#undef splice
#undef recv

#include "relay_tunnel.h"

enum { BULK = 3 * SL_PIPE_SIZE };

static struct sl_pipe_counts counts;
static struct sl_pipe_pool pool;

static struct tunnel *spliced_tunnel(enum kind kind)
{
    struct tunnel *t = tunnel_between(kind, 1 << 20, SMALL);
    memset(&counts, 0, sizeof counts);
    sl_pipe_pool_init(&pool, &counts, 4);
    t->direction.pool = &pool;
    fcntl(t->client, F_SETFL, O_NONBLOCK);
    return t;
}

static void spliced_free(struct tunnel *t)
{
    tunnel_free(t);
    CHECK_EQ(counts.busy, 0);
    CHECK_EQ(counts.begun, counts.ended);
    sl_pipe_pool_free(&pool);
    CHECK_EQ(counts.idle, 0);
}

static void until_splicing(struct tunnel *t)
{
    for (unsigned turns = 0; t->direction.way != SL_SPLICING; turns++) {
        REQUIRE(turns < 10000);
        client_puts(t, 2 * SCRATCH);
        enum sl_pump_status status = pump(t, ALL);
        REQUIRE(status == SL_PUMP_DRY || status == SL_PUMP_FULL);
        server_takes(t, SIZE_MAX);
    }
    CHECK_EQ(counts.begun, 1);
}

/* Splices until the sink is full and a pipe holds bytes. */
static void until_piped(struct tunnel *t)
{
    until_splicing(t);
    for (unsigned turns = 0; !t->direction.pipe; turns++) {
        REQUIRE(turns < 10000);
        client_puts(t, 2 * SCRATCH);
        if (!sl_direction_waits(&t->direction)) pump(t, ALL);
        else server_takes(t, SIZE_MAX), pump(t, 0);
    }
    CHECK(t->direction.pipe->held);
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
}

/* Pumps until the source is dry, the server taking all. */
static void until_dry(struct tunnel *t)
{
    enum sl_pump_status status;
    unsigned turns = 0;
    do {
        status = pump(t, ALL);
        server_takes(t, SIZE_MAX);
        REQUIRE(++turns < 10000);
    } while (status != SL_PUMP_DRY || t->got < t->put);
}

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
        status = sl_pump(&t->direction, t->from, t->to, t->scratch, size, budget);
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
        if (piped) until_piped(t);
        else until_splicing(t);
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
    while (read(t->direction.pipe->out, taken, sizeof taken) > 0)
        ;
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
    signal(SIGPIPE, SIG_IGN); /* as the worker does: splice(2) has no MSG_NOSIGNAL */
    RUN(spliced_bytes_keep_their_order_and_the_end_comes_last);
    RUN(small_messages_are_never_spliced);
    RUN(a_quiet_direction_holds_no_pipe_and_goes_back_to_copying);
    RUN(a_full_sink_keeps_the_pipe_and_stops_the_reading);
    RUN(copied_bytes_that_wait_go_before_the_first_splice);
    RUN(a_source_reset_in_bulk_is_no_end);
    RUN(a_sink_reset_in_bulk_closes_the_pipe_with_its_bytes);
    RUN(an_ended_tunnel_closes_the_pipe_with_its_bytes);
    RUN(a_source_that_cannot_be_spliced_is_copied);
    RUN(a_sink_that_cannot_be_spliced_to_gets_the_pipe_copied);
    RUN(without_a_pipe_bulk_is_copied_and_counted);
    RUN(urgent_data_do_not_stop_bulk);
    RUN(blocking_sockets_are_not_spliced);
    RUN(a_pipe_that_holds_less_than_it_should_is_an_error);
    RUN(a_pipe_is_given_back_and_its_bytes_keep_their_place);
    RUN(a_pipe_that_cannot_be_given_back_stays);
    RUN(a_pipe_that_cannot_be_read_ends_the_direction);
    RUN(a_budget_holds_for_splices_too);
    return CHECK_REPORT();
}
