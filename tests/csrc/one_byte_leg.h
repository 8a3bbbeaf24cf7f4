/* A third table of legs, for tests: it delivers one byte and says EAGAIN at the next call, in both directions, before
 * an end, and some times before it is ready at all. Whatever passes over it will pass over TLS. It keeps the laws of
 * relay/leg.h: receiving waits for the socket to take bytes, though it takes them; what was peeked at lies in a buffer
 * of its own; no bytes go into a pipe.
 *
 * The edge that has to follow is the kernel's: setting TCP_NOTSENT_LOWAT wakes what waits for room in the socket. */
#ifndef SLUICE_ONE_BYTE_LEG_H
#define SLUICE_ONE_BYTE_LEG_H

#include "relay/leg.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ONE_BYTE_STEPS = 3, ONE_BYTE_ROOM = 1 << 17 };

struct one_byte {
    struct sl_transport transport;
    uint8_t *held;   /* what was peeked at, malloc'd; NULL: nothing */
    size_t from, to; /* of it, still to be received */
    unsigned steps;  /* before it is ready */
    unsigned wants;
    int received, sent; /* a byte passed: the next call is refused */
    int ending;         /* the end was refused once */
    int ended;          /* the socket had its end */
    int pending;
};

static inline struct one_byte *one_byte_of(const struct sl_leg *leg)
{
    return (struct one_byte *)(void *)leg->transport;
}

/* EAGAIN, and the edge for it. */
static inline int one_byte_later(struct sl_leg *leg)
{
    int lowat;
    socklen_t length = sizeof lowat;
    if (getsockopt(leg->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, &length) == 0)
        setsockopt(leg->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof lowat);
    errno = EAGAIN;
    return -1;
}

/* One byte of the socket, by the plain table. */
static inline ssize_t one_byte_take(struct sl_leg *leg, void *to)
{
    struct one_byte *own = one_byte_of(leg);
    ssize_t n = sl_plain_table.receive(leg, to, 1);
    own->wants = 0;
    own->ended |= n == 0;
    own->pending = n > 0;
    return n;
}

static inline ssize_t one_byte_receive(struct sl_leg *leg, void *to, size_t most)
{
    struct one_byte *own = one_byte_of(leg);
    ssize_t n;
    (void)most;
    if (own->from < own->to) {
        *(uint8_t *)to = own->held[own->from++];
        own->pending = own->from < own->to || !own->ended;
        return 1;
    }
    if (own->received) {
        own->received = 0;
        own->wants = SL_RECEIVE_WANTS_WRITE;
        return one_byte_later(leg);
    }
    n = one_byte_take(leg, to);
    own->received = n > 0;
    return n;
}

static inline ssize_t one_byte_receive_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    (void)count;
    return one_byte_receive(leg, parts[0].iov_base, parts[0].iov_len);
}

static inline ssize_t one_byte_send(struct sl_leg *leg, const void *from, size_t length, int more)
{
    struct one_byte *own = one_byte_of(leg);
    ssize_t n;
    (void)more;
    if (own->sent) {
        own->sent = 0;
        return one_byte_later(leg);
    }
    n = sl_plain_table.send(leg, from, length ? 1 : 0, 0);
    own->sent = n > 0;
    return n;
}

static inline ssize_t one_byte_send_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    while (count > 1 && parts->iov_len == 0) parts++, count--;
    return one_byte_send(leg, parts->iov_base, parts->iov_len, 0);
}

/* Each look sees one byte more, and the edge for the next look is on its way. */
static inline ssize_t one_byte_peek(struct sl_leg *leg, void *to, size_t most)
{
    struct one_byte *own = one_byte_of(leg);
    size_t length = own->to - own->from;
    if (!own->held && !(own->held = malloc(ONE_BYTE_ROOM))) return -1;
    if (own->from) memmove(own->held, own->held + own->from, length);
    own->from = 0, own->to = length;
    if (length < most && length < ONE_BYTE_ROOM) {
        ssize_t n = one_byte_take(leg, own->held + length);
        if (n > 0) {
            own->to++;
            own->wants = SL_RECEIVE_WANTS_WRITE;
            one_byte_later(leg);
        } else if (length == 0) {
            return n;
        }
    }
    length = own->to < most ? own->to : most;
    memcpy(to, own->held, length);
    return (ssize_t)length;
}

static inline int one_byte_end_writing(struct sl_leg *leg)
{
    struct one_byte *own = one_byte_of(leg);
    if (own->ending) return sl_plain_table.end_writing(leg);
    own->ending = 1;
    return one_byte_later(leg);
}

static inline void one_byte_free(struct sl_leg *leg)
{
    free(one_byte_of(leg)->held);
    free(leg->transport);
    leg->transport = NULL;
}

static inline void one_byte_close(struct sl_leg *leg)
{
    one_byte_free(leg);
    sl_plain_table.close(leg);
}

static inline void one_byte_reset(struct sl_leg *leg)
{
    one_byte_free(leg);
    sl_plain_table.reset(leg);
}

static inline enum sl_leg_progress one_byte_advance(struct sl_leg *leg)
{
    struct one_byte *own = one_byte_of(leg);
    if (own->steps >= ONE_BYTE_STEPS) return SL_LEG_READY;
    own->steps++;
    own->wants = SL_RECEIVE_WANTS_WRITE;
    one_byte_later(leg);
    return SL_LEG_WAITS;
}

static inline unsigned one_byte_wants(const struct sl_leg *leg)
{
    return one_byte_of(leg)->wants;
}

static inline int one_byte_pending(const struct sl_leg *leg)
{
    return one_byte_of(leg)->pending;
}

static inline const char *one_byte_reason(const struct sl_leg *leg)
{
    (void)leg;
    return "one byte at a time";
}

static const struct sl_leg_table one_byte_table = {
    .receive = one_byte_receive,
    .receive_parts = one_byte_receive_parts,
    .send = one_byte_send,
    .send_parts = one_byte_send_parts,
    .peek = one_byte_peek,
    .end_writing = one_byte_end_writing,
    .close = one_byte_close,
    .reset = one_byte_reset,
    .advance = one_byte_advance,
    .wants = one_byte_wants,
    .pending = one_byte_pending,
    .reason = one_byte_reason,
};

/* A leg of this table on a TCP socket; a plain one on any other, which has no such edge. */
static inline struct sl_leg one_byte_leg(int fd)
{
    struct sl_leg leg = sl_plain_leg(fd);
    struct one_byte *own;
    int domain = 0;
    socklen_t length = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain == AF_UNIX) return leg;
    own = calloc(1, sizeof *own);
    if (!own) abort();
    own->transport.table = &one_byte_table;
    leg.transport = &own->transport;
    return leg;
}

#endif
