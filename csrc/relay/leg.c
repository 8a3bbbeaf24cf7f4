/* The plain table of leg.h: a leg is its socket, and its calls are the system's. */
#include "relay/leg.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t plain_receive_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    ssize_t n;

    do n = readv(leg->fd, parts, count); /* the socket is non-blocking */
    while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t plain_send_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)count};
    ssize_t n;

    do n = sendmsg(leg->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t plain_peek(struct sl_leg *leg, void *to, size_t most)
{
    ssize_t n;

    do n = recv(leg->fd, to, most, MSG_PEEK | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

static int plain_end_writing(struct sl_leg *leg)
{
    return shutdown(leg->fd, SHUT_WR);
}

static void plain_reset(struct sl_leg *leg)
{
    close(leg->fd);
    leg->fd = -1;
}

static void plain_close(struct sl_leg *leg)
{
    struct linger off = {.l_onoff = 0};

    setsockopt(leg->fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    plain_reset(leg);
}

static ssize_t plain_into_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most)
{
    return sl_pipe_fill(pipe, leg->fd, most);
}

static ssize_t plain_out_of_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most, int more)
{
    return sl_pipe_drain(pipe, leg->fd, most, more);
}

static enum sl_leg_progress plain_advance(struct sl_leg *leg)
{
    (void)leg;
    return SL_LEG_READY;
}

static unsigned plain_wants(const struct sl_leg *leg)
{
    (void)leg;
    return 0;
}

static int plain_pending(const struct sl_leg *leg)
{
    (void)leg;
    return 0;
}

static const char *plain_reason(const struct sl_leg *leg)
{
    (void)leg;
    return NULL;
}

const struct sl_leg_table sl_plain_table = {
    .receive = sl_plain_receive,
    .receive_parts = plain_receive_parts,
    .send = sl_plain_send,
    .send_parts = plain_send_parts,
    .peek = plain_peek,
    .end_writing = plain_end_writing,
    .close = plain_close,
    .reset = plain_reset,
    .into_pipe = plain_into_pipe,
    .out_of_pipe = plain_out_of_pipe,
    .advance = plain_advance,
    .wants = plain_wants,
    .pending = plain_pending,
    .reason = plain_reason,
};

ssize_t sl_leg_into_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most)
{
    const struct sl_leg_table *table = sl_leg_table(leg);

    if (table->into_pipe) return table->into_pipe(leg, pipe, most);
    errno = EOPNOTSUPP;
    return -1;
}

ssize_t sl_leg_out_of_pipe(struct sl_leg *leg, struct sl_pipe *pipe, size_t most, int more)
{
    const struct sl_leg_table *table = sl_leg_table(leg);

    if (table->out_of_pipe) return table->out_of_pipe(leg, pipe, most, more);
    errno = EOPNOTSUPP;
    return -1;
}
