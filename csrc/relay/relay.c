/* The relay of relay.h. Copying: recv into the worker's one buffer, send from it, keep only what the sink did not take.
 * Splicing: fill an empty pipe, drain it, keep it only while the sink does not take the rest.
 *
 * One pump is a chain of three steps, repeated: put out what waits, carry the end through, take fresh bytes. Only the
 * third knows two ways. recv() alone says how a source ended: a splice that brought nothing is followed by one. */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRELOAD_MAX = 1 << 20,
    LEAN = 16384,   /* bytes: a call that splices fewer costs more than copying them */
    LEAN_CALLS = 2, /* in a row before copying is gone back to */
};

/* A failure is remembered: the kernel reports a reset once and an end of file after it, and bytes that found no memory
 * are gone. A second call must return the same answer, never a clean end. */
static enum sl_pump_status fail(struct sl_direction *direction, enum sl_pump_status status, int error)
{
    direction->failed = (uint8_t)(status + 1); /* INTERNAL is 0, and 0 means no failure */
    direction->error = (uint8_t)error;
    errno = error;
    return status;
}

/* Sends until all is out or the sink would block: the EAGAIN is asked for, so that a new edge is certain to come.
 * Returns how many bytes left, or -1 with errno for a failed sink. */
static ssize_t put(struct sl_leg *to, const uint8_t *data, size_t length)
{
    size_t sent = 0;

    while (sent < length) {
        ssize_t n = sl_leg_send(to, data + sent, length - sent, 0);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else
            return -1;
    }
    return (ssize_t)sent;
}

/* Gives memory back while a slow sink drains: the buffer is copied to a smaller one each time half of it has left. */
static void shrink(struct sl_direction *direction)
{
    size_t left = direction->pending_to - direction->pending_from;
    uint8_t *smaller;

    if (left > direction->pending_to / 2 || !(smaller = malloc(left)))
        return; /* without memory the larger one serves on */
    memcpy(smaller, direction->pending + direction->pending_from, left);
    free(direction->pending);
    direction->pending = smaller;
    direction->pending_from = 0;
    direction->pending_to = (uint32_t)left;
}

/* Puts pending bytes out. Returns SL_PUMP_DONE when none are left. */
static enum sl_pump_status flush(struct sl_direction *direction, struct sl_leg *to)
{
    size_t left = direction->pending_to - direction->pending_from;
    ssize_t sent = put(to, direction->pending + direction->pending_from, left);
    uint32_t answers;

    if (sent < 0) return fail(direction, SL_PUMP_SINK_RESET, errno);
    answers = (size_t)sent < direction->answers ? (uint32_t)sent : direction->answers;
    direction->answers -= answers;
    direction->bytes += (uint64_t)sent - answers;
    direction->pending_from += (uint32_t)sent;
    if (direction->pending_from < direction->pending_to) {
        shrink(direction);
        return SL_PUMP_FULL;
    }
    free(direction->pending);
    direction->pending = NULL;
    direction->pending_from = direction->pending_to = 0;
    return SL_PUMP_DONE;
}

/* Sends bytes from the buffer; the rest becomes pending. Returns SL_PUMP_DONE when all is out. */
static enum sl_pump_status deliver(struct sl_direction *direction, struct sl_leg *to, const uint8_t *data,
                                   size_t length)
{
    ssize_t sent = put(to, data, length);

    if (sent < 0) return fail(direction, SL_PUMP_SINK_RESET, errno);
    direction->bytes += (uint64_t)sent;
    if ((size_t)sent == length) return SL_PUMP_DONE;
    if (!sl_direction_preload(direction, data + sent, length - (size_t)sent))
        return fail(direction, SL_PUMP_INTERNAL, ENOMEM);
    return SL_PUMP_FULL;
}

/* Reads once and puts out what came; the rest becomes pending. *got is 0 at the end of file and when nothing came.
 * Returns SL_PUMP_DONE when all is out or the source ended. */
static enum sl_pump_status move(struct sl_direction *direction, struct sl_leg *from, struct sl_leg *to,
                                uint8_t *scratch, size_t size, size_t *got)
{
    ssize_t n;

    *got = 0;
    n = sl_leg_receive(from, scratch, size);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? SL_PUMP_DRY : fail(direction, SL_PUMP_SOURCE_RESET, errno);
    if (n == 0) {
        direction->ended = 1;
        return SL_PUMP_DONE;
    }
    *got = (size_t)n;
    return deliver(direction, to, scratch, *got);
}

int sl_direction_preload(struct sl_direction *direction, const uint8_t *data, size_t length)
{
    size_t before = direction->pending_to - direction->pending_from;
    uint8_t *joined;

    if (length == 0) return 1;
    if (length > PRELOAD_MAX - before || !(joined = malloc(before + length))) return 0;
    if (before) memcpy(joined, direction->pending + direction->pending_from, before);
    memcpy(joined + before, data, length);
    free(direction->pending);
    direction->pending = joined;
    direction->pending_from = 0;
    direction->pending_to = (uint32_t)(before + length);
    return 1;
}

int sl_direction_answer(struct sl_direction *direction, const uint8_t *data, size_t length)
{
    if (!sl_direction_preload(direction, data, length)) return 0;
    direction->answers += (uint32_t)length;
    return 1;
}

/* Splicing is over, for now (COPYING) or for good (COPY_ONLY). */
static void leave_splice(struct sl_direction *direction, enum sl_way way)
{
    if (direction->way == SL_SPLICING) direction->pool->counts->ended++;
    direction->way = (unsigned)way & 15u;
    direction->lean = 0;
}

/* This pair of legs cannot be spliced between. */
static void never_splice(struct sl_direction *direction)
{
    direction->pool->counts->refused++;
    leave_splice(direction, SL_COPY_ONLY);
}

static int is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_NONBLOCK;
}

/* The source gave a whole buffer: bulk. Splices from now on when there is a pipe. */
static void enter_splice(struct sl_direction *direction, struct sl_leg *from, struct sl_leg *to)
{
    if (direction->urgent || !sl_leg_fills_pipes(from) || !sl_leg_drains_pipes(to) || !is_nonblocking(from->fd) ||
        !is_nonblocking(to->fd)) {
        never_splice(direction);
        return;
    }
    direction->pipe = sl_pipe_take(direction->pool);
    if (!direction->pipe) return;
    direction->way = SL_SPLICING;
    direction->pool->counts->begun++;
}

/* The pipe goes back when nothing is in it, or when what is in it goes nowhere any more. */
static void release_pipe(struct sl_direction *direction)
{
    if (direction->pipe && (direction->pipe->held == 0 || direction->failed)) {
        sl_pipe_give(direction->pool, direction->pipe);
        direction->pipe = NULL;
    }
}

/* Copies on from the pipe, to a sink that turned out not to take a splice. */
static enum sl_pump_status pour(struct sl_direction *direction, struct sl_leg *to, uint8_t *scratch, size_t size)
{
    ssize_t n = sl_pipe_read(direction->pipe, scratch, size < direction->pipe->held ? size : direction->pipe->held);

    return n < 0 ? fail(direction, SL_PUMP_INTERNAL, errno) : deliver(direction, to, scratch, (size_t)n);
}

/* Puts out what the pipe holds. Returns SL_PUMP_DONE when it is empty. */
static enum sl_pump_status drain(struct sl_direction *direction, struct sl_leg *to, uint8_t *scratch, size_t size)
{
    while (direction->pipe->held) {
        ssize_t n;
        if (direction->way == SL_COPY_ONLY) {
            enum sl_pump_status status = pour(direction, to, scratch, size);
            if (status != SL_PUMP_DONE) return status;
            continue;
        }
        n = sl_leg_out_of_pipe(to, direction->pipe, direction->pipe->held, 0);
        if (n > 0)
            direction->bytes += (uint64_t)n;
        else if (errno == EAGAIN)
            return SL_PUMP_FULL;
        else if (sl_pipe_unfit(errno))
            never_splice(direction);
        else
            return fail(direction, errno == EIO ? SL_PUMP_INTERNAL : SL_PUMP_SINK_RESET, errno);
    }
    return SL_PUMP_DONE;
}

/* Fills the pipe, which is empty, by up to `room` bytes. *got is 0 when recv() must say how it stands: at an end, or
 * without a pipe. Returns SL_PUMP_DONE when the source may have more. */
static enum sl_pump_status lift(struct sl_direction *direction, struct sl_leg *from, size_t room, size_t *got)
{
    ssize_t n;

    *got = 0;
    if (direction->urgent) {
        never_splice(direction);
        return SL_PUMP_DONE;
    }
    if (!direction->pipe && !(direction->pipe = sl_pipe_take(direction->pool))) {
        leave_splice(direction, SL_COPYING);
        return SL_PUMP_DONE;
    }
    n = sl_leg_into_pipe(from, direction->pipe, room < direction->pipe->size ? room : direction->pipe->size);
    if (n >= 0) {
        *got = (size_t)n;
        return SL_PUMP_DONE;
    }
    if (errno == EAGAIN) return SL_PUMP_DRY;
    if (!sl_pipe_unfit(errno)) return fail(direction, SL_PUMP_SOURCE_RESET, errno);
    never_splice(direction);
    return SL_PUMP_DONE;
}

/* Whether the source is still worth a pipe, by what one call took from it until it was dry. */
static void weigh(struct sl_direction *direction, size_t taken)
{
    if (taken >= LEAN)
        direction->lean = 0;
    else if (direction->lean + 1 >= LEAN_CALLS)
        leave_splice(direction, SL_COPYING);
    else
        direction->lean++;
}

/* The chain: until one side blocks, ends or fails, or `budget` bytes were taken. */
static enum sl_pump_status carry(struct sl_direction *direction, struct sl_leg *from, struct sl_leg *to,
                                 uint8_t *scratch, size_t size, size_t budget, size_t *taken)
{
    for (;;) {
        enum sl_pump_status status;
        size_t room, got;
        if (direction->pending && (status = flush(direction, to)) != SL_PUMP_DONE) return status;
        if (direction->pipe && (status = drain(direction, to, scratch, size)) != SL_PUMP_DONE) return status;
        if (direction->ended) {
            if (!direction->done && !direction->last && sl_leg_end_writing(to) < 0)
                return errno == EAGAIN ? SL_PUMP_FULL : fail(direction, SL_PUMP_SINK_RESET, errno);
            direction->done = 1;
            return SL_PUMP_DONE;
        }
        if (*taken >= budget) return SL_PUMP_BUDGET;
        if (direction->way == SL_SPLICING) {
            if ((status = lift(direction, from, budget - *taken, &got)) != SL_PUMP_DONE) return status;
            *taken += got;
            if (got > 0) continue;
        }
        room = budget - *taken < size ? budget - *taken : size;
        status = move(direction, from, to, scratch, room, &got);
        if (got == size && direction->pool && direction->way == SL_COPYING && !direction->failed)
            enter_splice(direction, from, to);
        if (status != SL_PUMP_DONE) return status;
        *taken += got;
        if (got > 0 && got < room && !direction->hangup && !direction->urgent && !sl_leg_pending(from))
            return SL_PUMP_DRY;
    }
}

enum sl_pump_status sl_pump(struct sl_direction *direction, struct sl_leg *from, struct sl_leg *to, uint8_t *scratch,
                            size_t scratch_size, size_t budget)
{
    enum sl_pump_status status;
    size_t taken = 0;

    if (scratch_size == 0) /* a recv() of nothing would look like the end */
        return SL_PUMP_INTERNAL;
    if (scratch_size > PRELOAD_MAX) scratch_size = PRELOAD_MAX;
    if (direction->failed) {
        errno = direction->error;
        return (enum sl_pump_status)(direction->failed - 1);
    }
    status = carry(direction, from, to, scratch, scratch_size, budget, &taken);
    if (direction->way == SL_SPLICING && status == SL_PUMP_DRY) weigh(direction, taken);
    if (direction->done || direction->failed) leave_splice(direction, SL_COPY_ONLY);
    release_pipe(direction);
    if (direction->failed) errno = direction->error;
    return status;
}

/* The bytes behind the pending ones, in one buffer with them. */
int sl_direction_unpipe(struct sl_direction *direction)
{
    size_t before = direction->pending_to - direction->pending_from;
    uint8_t *joined;

    if (!direction->pipe || direction->failed || direction->pipe->held > PRELOAD_MAX - before ||
        !(joined = malloc(before + direction->pipe->held)))
        return 0;
    if (before) memcpy(joined, direction->pending + direction->pending_from, before);
    free(direction->pending);
    direction->pending = joined;
    direction->pending_from = 0;
    direction->pending_to = (uint32_t)before;
    while (direction->pipe->held) {
        ssize_t n = sl_pipe_read(direction->pipe, joined + direction->pending_to, direction->pipe->held);
        if (n < 0) { /* it does not hold what it should: the next pump says so */
            fail(direction, SL_PUMP_INTERNAL, errno);
            break;
        }
        direction->pending_to += (uint32_t)n;
    }
    release_pipe(direction);
    return !direction->failed;
}

void sl_direction_free(struct sl_direction *direction)
{
    free(direction->pending);
    direction->pending = NULL;
    direction->pending_from = direction->pending_to = direction->answers = 0;
    leave_splice(direction, SL_COPY_ONLY);
    if (direction->pipe) sl_pipe_give(direction->pool, direction->pipe);
    direction->pipe = NULL;
}
