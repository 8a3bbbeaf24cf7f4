/* Moves bytes one way between two legs (leg.h): copied while they are few, spliced through a pipe while they are many. Two
 * directions make a tunnel. Not an event loop: the caller says when a side may be read or written, and obeys the
 * answer. A call too many is harmless at any time, and an answer that ended the direction (DONE, a reset, INTERNAL) is
 * given again at the next call.
 *
 * Laws: bytes leave in the order they came and none is dropped; end of file crosses as a shutdown only after every
 * byte before it; an error crosses as a reset (the caller's, by SO_LINGER 0), never as a clean end; nothing is read
 * while bytes wait, pending or in a pipe (back-pressure); an idle direction owns no memory and no pipe.
 *
 *              a recv() that filled the buffer
 *            ----------------------------------->
 *   COPYING                                       SPLICING  ---- splice(2) refused, urgent data ---> COPY_ONLY
 *            <-----------------------------------
 *              two calls in a row that ran dry with little
 *
 * A pipe is borrowed for one call, and kept only while bytes are left in it because the sink is full; a sink that stays
 * full has it copied out (sl_direction_unpipe). */
#ifndef SLUICE_RELAY_H
#define SLUICE_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "relay/leg.h"
#include "relay/pipe_pool.h"

enum sl_pump_status {
    SL_PUMP_INTERNAL = 0,     /* no memory for pending bytes: treat as a reset */
    SL_PUMP_DRY = 1,          /* the source would block: call again when it is readable */
    SL_PUMP_FULL = 2,         /* the sink would block, bytes are pending: call again when it is writable */
    SL_PUMP_BUDGET = 3,       /* the budget is used up: call again next turn */
    SL_PUMP_DONE = 4,         /* end of file was carried through; this direction is over */
    SL_PUMP_SOURCE_RESET = 5, /* the source failed (ECONNRESET, ETIMEDOUT, ...); errno says how */
    SL_PUMP_SINK_RESET = 6,   /* the sink failed (EPIPE, ECONNRESET, ...) */
};

enum sl_way { SL_COPYING = 0, SL_SPLICING, SL_COPY_ONLY };

struct sl_direction {
    struct sl_pipe_pool *pool; /* the caller's; NULL: never splice */
    struct sl_pipe *pipe;      /* holds bytes that follow the pending ones; NULL when none */
    uint8_t *pending;          /* bytes read and not yet written, malloc'd; NULL when none */
    uint32_t pending_from;     /* the first byte not yet written */
    uint32_t pending_to;       /* one past the last */
    uint64_t bytes;            /* of payload written to the sink so far */
    uint32_t answers;          /* of the pending bytes, the first that are no payload */
    uint8_t ended : 1;         /* end of file was read */
    uint8_t done : 1;          /* and carried through to the sink */
    uint8_t hangup : 1;        /* the caller's: epoll reported EPOLLRDHUP, EPOLLHUP or EPOLLERR for the source */
    uint8_t last : 1;          /* the caller's: the other direction is done, and DONE is answered by closing the sink */
    uint8_t urgent : 1;        /* the caller's: epoll reported EPOLLPRI for the source */
    uint8_t failed;            /* 0, or 1 + the sl_pump_status that ended this direction */
    uint8_t error;             /* and its errno: no socket's is larger than 133 */
    uint8_t way : 4;           /* sl_way */
    uint8_t lean : 4;          /* calls in a row that found little to splice */
};

/* Whether bytes that were read wait for the sink, or the end behind them. */
static inline int sl_direction_waits(const struct sl_direction *direction)
{
    return direction->pending || direction->pipe || (direction->ended && !direction->done && !direction->failed);
}
/* Puts bytes in front of what will be read: payload that came with the request head. A second call adds behind the
 * first. Only before the first pump, and at most 1 MiB in all. Returns 1; 0 without memory or over that size, with
 * nothing changed. */
int sl_direction_preload(struct sl_direction *direction, const uint8_t *data, size_t length);
/* The same for an answer of the gateway's own to the sink, which is not counted as payload. Only while no payload is
 * pending. */
int sl_direction_answer(struct sl_direction *direction, const uint8_t *data, size_t length);
/* Reads from `from` and writes to `to` until one of them blocks, ends, fails, or `budget` bytes were read; a budget of
 * 0 only puts pending bytes out, and an end that was read. Neither socket is ever waited for, whatever its mode.
 * `scratch` is the worker's one buffer, of 1 byte to 1 MiB; nothing is kept in it between calls. With a pool, legs that
 * have no way into or out of a pipe, and sockets that are not non-blocking, are copied between: splice(2) would wait.
 *
 * The source is edge-triggered: a read shorter than the buffer is taken as DRY without asking again, because new bytes
 * make a new edge (epoll(7)); not where bytes are pending behind epoll. An end or a reset that came *with* those bytes, in one report, makes no new edge: set
 * `hangup` before the call when the report carried EPOLLRDHUP, EPOLLHUP or EPOLLERR, and the source is read until it
 * says how it ended. The sink's EAGAIN is always asked for, so FULL is always followed by an edge. Set `urgent` when the
 * report carried EPOLLPRI: splice(2) cannot get past an urgent mark, and recv() stops before it.
 *
 * A reset ends the tunnel, not just this direction: the kernel reports it once, and the other direction would read an
 * end of file where there was none. Reset both sockets. */
enum sl_pump_status sl_pump(struct sl_direction *direction, struct sl_leg *from, struct sl_leg *to, uint8_t *scratch,
                            size_t scratch_size, size_t budget);
/* Gives the pipe of a direction back whose sink has taken nothing for long: what it holds becomes pending. Returns 1; 0
 * without a pipe, without memory, or with more than 1 MiB waiting, with nothing changed; 0 for a pipe that cannot be
 * read, which ends the direction: the next sl_pump() returns SL_PUMP_INTERNAL. */
int sl_direction_unpipe(struct sl_direction *direction);
/* Frees pending bytes and the pipe, whatever they hold. The direction may be reused after zeroing it. */
void sl_direction_free(struct sl_direction *direction);

#endif
