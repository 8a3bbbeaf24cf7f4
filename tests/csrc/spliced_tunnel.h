/* Tunnels on real sockets that splice: AF_UNIX pairs and TCP over loopback, through pipes of a pool.
 *
 * The units are included with their system calls replaced, so that a test can count splices, cut them short, interrupt
 * them and let them fail; their names get a prefix because the ordinary objects are linked as well. */
#ifndef SLUICE_SPLICED_TUNNEL_H
#define SLUICE_SPLICED_TUNNEL_H

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
    unsigned ins, outs; /* splices made into and out of a pipe */
    unsigned recvs;
    unsigned interrupt;          /* that many calls fail with EINTR first */
    size_t most;                 /* a splice moves at most this much; 0 = no limit */
    unsigned outs_until_blocked; /* after that many splices out of a pipe the sink would block; 0 = no limit */
    int refuse_in, refuse_out;   /* the errno of every splice into, out of a pipe */
} hook;

static inline int is_socket(int fd)
{
    int type;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
}

static inline ssize_t hooked_splice(int from, loff_t *from_at, int to, loff_t *to_at, size_t size, unsigned flags)
{
    int into_pipe = is_socket(from);
    if (into_pipe)
        hook.ins++;
    else
        hook.outs++;
    if (hook.interrupt && hook.interrupt--) return errno = EINTR, -1;
    if (into_pipe ? hook.refuse_in : hook.refuse_out) return errno = into_pipe ? hook.refuse_in : hook.refuse_out, -1;
    if (!into_pipe && hook.outs_until_blocked && --hook.outs_until_blocked == 0) return errno = EAGAIN, -1;
    return splice(from, from_at, to, to_at, hook.most && size > hook.most ? hook.most : size, flags);
}

static inline ssize_t hooked_recv(int fd, void *data, size_t size, int flags)
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
#define sl_plain_table hooked_plain_table
#define sl_leg_into_pipe hooked_into_pipe
#define sl_leg_out_of_pipe hooked_out_of_pipe
#define sl_pump hooked_pump
#define sl_direction_free hooked_direction_free
#define sl_direction_unpipe hooked_direction_unpipe
#define sl_direction_preload hooked_direction_preload
#define sl_direction_answer hooked_direction_answer
#include "../../csrc/relay/pipe_pool.c"
#include "../../csrc/relay/leg.c"
#include "../../csrc/relay/relay.c"
#undef splice
#undef recv

#include "relay_tunnel.h"

enum { BULK = 3 * SL_PIPE_SIZE };

static struct sl_pipe_counts counts;
static struct sl_pipe_pool pool;

static inline struct tunnel *spliced_tunnel(enum kind kind)
{
    struct tunnel *t = tunnel_between(kind, 1 << 20, SMALL);
    memset(&counts, 0, sizeof counts);
    sl_pipe_pool_init(&pool, &counts, 4);
    t->direction.pool = &pool;
    fcntl(t->client, F_SETFL, O_NONBLOCK);
    return t;
}

static inline void spliced_free(struct tunnel *t)
{
    tunnel_free(t);
    CHECK_EQ(counts.busy, 0);
    CHECK_EQ(counts.begun, counts.ended);
    sl_pipe_pool_free(&pool);
    CHECK_EQ(counts.idle, 0);
}

static inline void until_splicing(struct tunnel *t)
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
static inline void until_piped(struct tunnel *t)
{
    until_splicing(t);
    for (unsigned turns = 0; !t->direction.pipe; turns++) {
        REQUIRE(turns < 10000);
        client_puts(t, 2 * SCRATCH);
        if (!sl_direction_waits(&t->direction))
            pump(t, ALL);
        else
            server_takes(t, SIZE_MAX), pump(t, 0);
    }
    CHECK(t->direction.pipe->held);
    CHECK_EQ(pump(t, ALL), SL_PUMP_FULL);
}

/* Pumps until the source is dry, the server taking all. */
static inline void until_dry(struct tunnel *t)
{
    enum sl_pump_status status;
    unsigned turns = 0;
    do {
        status = pump(t, ALL);
        server_takes(t, SIZE_MAX);
        REQUIRE(++turns < 10000);
    } while (status != SL_PUMP_DRY || t->got < t->put);
}

#endif
