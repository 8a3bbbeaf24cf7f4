/* The copying relay of relay.h: recv into the worker's one buffer, send from it, keep only what the sink did not take.
 *
 * One pump is a chain of three steps, repeated: put out what is pending, carry the end through, move fresh bytes.
 * Another way of moving (a pipe between two splices) replaces the third step alone; the first two and every law
 * stay. */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { PRELOAD_MAX = 1 << 20 };

/* A failure is remembered: the kernel reports a reset once and an end of file after it, and bytes that found no memory
 * are gone. Whoever asks again must get the same answer, never a clean end. */
static enum sl_pump_status fail(struct sl_direction *direction, enum sl_pump_status status, int error)
{
    direction->failed = (uint8_t)(status + 1); /* INTERNAL is 0, and 0 means no failure */
    direction->error = error;
    errno = error;
    return status;
}

/* Sends until all is out or the sink would block: the EAGAIN is asked for, so that a new edge is certain to come.
 * Returns how many bytes left, or -1 with errno for a failed sink. */
static ssize_t put(int to, const uint8_t *data, size_t length)
{
    size_t sent = 0;

    while (sent < length) {
        ssize_t n = send(to, data + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
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
static enum sl_pump_status flush(struct sl_direction *direction, int to)
{
    size_t left = direction->pending_to - direction->pending_from;
    ssize_t sent = put(to, direction->pending + direction->pending_from, left);

    if (sent < 0)
        return fail(direction, SL_PUMP_SINK_RESET, errno);
    direction->bytes += (uint64_t)sent;
    direction->pending_from += (uint32_t)sent;
    if (direction->pending_from < direction->pending_to) {
        shrink(direction);
        return SL_PUMP_FULL;
    }
    sl_direction_free(direction);
    return SL_PUMP_DONE;
}

/* Reads once and puts out what came; the rest becomes pending. *got is 0 at the end of file and when nothing came.
 * Returns SL_PUMP_DONE when all is out or the source ended. */
static enum sl_pump_status move(struct sl_direction *direction, int from, int to, uint8_t *scratch, size_t size,
                                size_t *got)
{
    ssize_t n, sent;

    *got = 0;
    do
        n = recv(from, scratch, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? SL_PUMP_DRY : fail(direction, SL_PUMP_SOURCE_RESET, errno);
    if (n == 0) {
        direction->ended = 1;
        return SL_PUMP_DONE;
    }
    *got = (size_t)n;
    sent = put(to, scratch, *got);
    if (sent < 0)
        return fail(direction, SL_PUMP_SINK_RESET, errno);
    direction->bytes += (uint64_t)sent;
    if (sent == n)
        return SL_PUMP_DONE;
    if (!sl_direction_preload(direction, scratch + sent, (size_t)(n - sent)))
        return fail(direction, SL_PUMP_INTERNAL, ENOMEM);
    return SL_PUMP_FULL;
}

int sl_direction_preload(struct sl_direction *direction, const uint8_t *data, size_t length)
{
    size_t before = direction->pending_to - direction->pending_from;
    uint8_t *joined;

    if (length == 0)
        return 1;
    if (length > PRELOAD_MAX - before || !(joined = malloc(before + length)))
        return 0;
    if (before)
        memcpy(joined, direction->pending + direction->pending_from, before);
    memcpy(joined + before, data, length);
    free(direction->pending);
    direction->pending = joined;
    direction->pending_from = 0;
    direction->pending_to = (uint32_t)(before + length);
    return 1;
}

enum sl_pump_status sl_pump(struct sl_direction *direction, int from, int to, uint8_t *scratch, size_t scratch_size,
                            size_t budget)
{
    size_t taken = 0, room, got;

    if (scratch_size == 0) /* a recv() of nothing would look like the end */
        return SL_PUMP_INTERNAL;
    if (scratch_size > PRELOAD_MAX)
        scratch_size = PRELOAD_MAX;
    if (direction->failed) {
        errno = direction->error;
        return (enum sl_pump_status)(direction->failed - 1);
    }
    for (;;) {
        enum sl_pump_status status;
        if (direction->pending && (status = flush(direction, to)) != SL_PUMP_DONE)
            return status;
        if (direction->ended) {
            if (!direction->done && shutdown(to, SHUT_WR) < 0)
                return fail(direction, SL_PUMP_SINK_RESET, errno);
            direction->done = 1;
            return SL_PUMP_DONE;
        }
        if (taken >= budget)
            return SL_PUMP_BUDGET;
        room = budget - taken < scratch_size ? budget - taken : scratch_size;
        if ((status = move(direction, from, to, scratch, room, &got)) != SL_PUMP_DONE)
            return status;
        taken += got;
        if (got > 0 && got < room && !direction->hangup)
            return SL_PUMP_DRY;
    }
}

void sl_direction_free(struct sl_direction *direction)
{
    free(direction->pending);
    direction->pending = NULL;
    direction->pending_from = direction->pending_to = 0;
}
