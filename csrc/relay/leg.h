/* One end of a connection, as everything above the socket sees it: bytes in, bytes out, an end, a reset. Between a leg
 * and its socket stands nothing (a plain leg), or a transport such as TLS with a const table of functions of its own.
 *
 *   leg { fd, transport } ──▶ NULL: sl_plain_table, the socket's own calls
 *                         └─▶ transport { table, ... } ──▶ its functions; a further leg may lie below
 *
 * Laws, of every table: no call waits. Calls return as the system's do: a count, 0 for the end, -1 with errno; EINTR is
 * never returned. After EAGAIN an edge of the descriptor is certain to come, for the direction that sl_leg_events()
 * names. What peek() showed can be received without waiting. Where bytes must be seen, a table has no way into or out
 * of a pipe. */
#ifndef SLUICE_LEG_H
#define SLUICE_LEG_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "relay/pipe_pool.h"

struct sl_leg;

/* What the two directions of a leg wait for, where that is not their own: bits. */
enum sl_leg_wants {
    SL_RECEIVE_WANTS_WRITE = 1, /* receiving, peeking or advancing waits until the socket takes bytes */
    SL_SEND_WANTS_READ = 2,     /* sending or ending waits for bytes of the peer */
};

/* Where a transport stands before payload can pass (a handshake). */
enum sl_leg_progress {
    SL_LEG_FAILED = 0, /* for good: reason() says why */
    SL_LEG_WAITS = 1,  /* the next edge takes it further */
    SL_LEG_READY = 2,
};

/* The descriptor of a leg whose other end is in this process: its owner gets events without epoll. */
enum { SL_LEG_INSIDE = -2 };

struct sl_leg_table {
    ssize_t (*receive)(struct sl_leg *leg, void *to, size_t most);
    ssize_t (*receive_parts)(struct sl_leg *leg, const struct iovec *parts, int count); /* into the parts, in order */
    ssize_t (*send)(struct sl_leg *leg, const void *from, size_t length,
                    int more); /* `more`: further bytes follow at once */
    ssize_t (*send_parts)(struct sl_leg *leg, const struct iovec *parts, int count); /* gathered */
    ssize_t (*peek)(struct sl_leg *leg, void *to, size_t most); /* all that waits, from the first byte; it stays */
    int (*end_writing)(struct sl_leg *leg); /* 0; -1 with errno. EAGAIN: call again at the next edge */
    void (*close)(struct sl_leg *leg);      /* the peer sees an end, behind every byte sent */
    void (*reset)(struct sl_leg *leg); /* at once, without a word: SO_LINGER says what the peer sees (sockets.pxd) */
    ssize_t (*into_pipe)(struct sl_leg *leg, struct sl_pipe *pipe, size_t most); /* NULL: bytes must be seen */
    ssize_t (*out_of_pipe)(struct sl_leg *leg, struct sl_pipe *pipe, size_t most, int more); /* NULL: likewise */
    enum sl_leg_progress (*advance)(struct sl_leg *leg);                                     /* one step further */
    unsigned (*wants)(const struct sl_leg *leg);     /* bits of sl_leg_wants, after EAGAIN or SL_LEG_WAITS */
    int (*pending)(const struct sl_leg *leg);        /* behind what the last receive or peek brought lies more, maybe,
                                                          * that no edge will announce */
    int (*ended)(const struct sl_leg *leg);          /* behind what the last receive or peek brought no byte comes any
                                                          * more; NULL: epoll says so */
    const char *(*reason)(const struct sl_leg *leg); /* why it failed, for the log; NULL: errno says it all */
    const char *(*broken)(const struct sl_leg *leg); /* NULL: the table has no rules that a peer could break */
};

/* The common beginning of what a transport keeps for one leg; the table's own fields follow. */
struct sl_transport {
    const struct sl_leg_table *table;
};

struct sl_leg {
    struct sl_transport *transport; /* owned by the leg, given back by close and reset; NULL: a plain socket */
    int fd; /* of the socket below, for the loop and for options; -1: closed; SL_LEG_INSIDE: there is none */
};

extern const struct sl_leg_table sl_plain_table;

static inline const struct sl_leg_table *sl_leg_table(const struct sl_leg *leg)
{
    return leg->transport ? leg->transport->table : &sl_plain_table;
}

static inline struct sl_leg sl_plain_leg(int fd)
{
    return (struct sl_leg){.fd = fd};
}

/* The two calls of every message are made in place where the leg is plain: one branch is what it costs. */
static inline ssize_t sl_plain_receive(struct sl_leg *leg, void *to, size_t most)
{
    ssize_t n;

    do n = recv(leg->fd, to, most, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

static inline ssize_t sl_plain_send(struct sl_leg *leg, const void *from, size_t length, int more)
{
    ssize_t n;

    do n = send(leg->fd, from, length, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
    while (n < 0 && errno == EINTR);
    return n;
}

static inline ssize_t sl_leg_receive(struct sl_leg *leg, void *to, size_t most)
{
    return leg->transport ? sl_leg_table(leg)->receive(leg, to, most) : sl_plain_receive(leg, to, most);
}

static inline ssize_t sl_leg_receive_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    return sl_leg_table(leg)->receive_parts(leg, parts, count);
}

static inline ssize_t sl_leg_send(struct sl_leg *leg, const void *from, size_t length, int more)
{
    return leg->transport ? sl_leg_table(leg)->send(leg, from, length, more) : sl_plain_send(leg, from, length, more);
}

static inline ssize_t sl_leg_send_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    return sl_leg_table(leg)->send_parts(leg, parts, count);
}

static inline ssize_t sl_leg_peek(struct sl_leg *leg, void *to, size_t most)
{
    return sl_leg_table(leg)->peek(leg, to, most);
}

static inline int sl_leg_end_writing(struct sl_leg *leg)
{
    return sl_leg_table(leg)->end_writing(leg);
}

/* A leg that is closed already is left alone, by both. */
static inline void sl_leg_close(struct sl_leg *leg)
{
    if (leg->fd != -1) sl_leg_table(leg)->close(leg);
}

static inline void sl_leg_reset(struct sl_leg *leg)
{
    if (leg->fd != -1) sl_leg_table(leg)->reset(leg);
}

static inline int sl_leg_fills_pipes(const struct sl_leg *leg)
{
    return sl_leg_table(leg)->into_pipe != NULL;
}

static inline int sl_leg_drains_pipes(const struct sl_leg *leg)
{
    return sl_leg_table(leg)->out_of_pipe != NULL;
}

/* As sl_pipe_fill() and sl_pipe_drain(). EOPNOTSUPP, which sl_pipe_unfit() knows, where bytes must be seen. */
ssize_t sl_leg_into_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most);
ssize_t sl_leg_out_of_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most, int more);

static inline enum sl_leg_progress sl_leg_advance(struct sl_leg *leg)
{
    return leg->transport ? sl_leg_table(leg)->advance(leg) : SL_LEG_READY;
}

/* Whether more may lie behind what the last receive() or peek() brought, though it had room: no edge will announce it.
 * A plain socket has nothing more, as it always gives what fits. */
static inline int sl_leg_pending(const struct sl_leg *leg)
{
    return leg->transport && sl_leg_table(leg)->pending(leg);
}

/* Whether the peer's bytes have ended behind what the last receive() or peek() brought, where no edge says so. */
static inline int sl_leg_ended(const struct sl_leg *leg)
{
    return leg->transport && sl_leg_table(leg)->ended && sl_leg_table(leg)->ended(leg);
}

static inline const char *sl_leg_reason(const struct sl_leg *leg)
{
    return sl_leg_table(leg)->reason(leg);
}

/* How the peer has broken the rules of a transport behind its handshake, a static text: bytes that are not records of the
 * session, an end within a record. NULL: it has not. An alert of the peer's is an end, and so is a lost connection. */
static inline const char *sl_leg_broken(const struct sl_leg *leg)
{
    return leg->transport && sl_leg_table(leg)->broken ? sl_leg_table(leg)->broken(leg) : NULL;
}

/* Events of epoll, as the owner of the leg should take them: EPOLLOUT is EPOLLIN as well where receiving waits for it,
 * and EPOLLIN is EPOLLOUT as well where sending does. */
static inline uint32_t sl_leg_events(const struct sl_leg *leg, uint32_t events)
{
    unsigned wants;
    if (!leg->transport) return events;
    wants = sl_leg_table(leg)->wants(leg);
    if (wants & SL_RECEIVE_WANTS_WRITE && events & EPOLLOUT) events |= (uint32_t)EPOLLIN;
    if (wants & SL_SEND_WANTS_READ && events & EPOLLIN) events |= (uint32_t)EPOLLOUT;
    return events;
}

#endif
