/* Copies and splices, edge-triggered: see floor.h. */
#include "floor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void flow_init(struct flow *flow)
{
    *flow = (struct flow){.pipe = {-1, -1}};
}

static int take_pipe(struct flow *flow, struct pool *pool)
{
    if (pool->count) {
        memcpy(flow->pipe, pool->pipes[--pool->count], sizeof flow->pipe);
        return 1;
    }
    if (pipe2(flow->pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
        flow->pipe[0] = flow->pipe[1] = -1;
        return 0;
    }
    (void)fcntl(flow->pipe[1], F_SETPIPE_SZ, PIPE_SIZE); /* a smaller one works as well */
    return 1;
}

static void give_pipe(struct flow *flow, struct pool *pool)
{
    if (flow->pipe[0] < 0) return;
    if (flow->piped == 0 && pool->count < POOL_MOST) {
        memcpy(pool->pipes[pool->count++], flow->pipe, sizeof flow->pipe);
    } else {
        close(flow->pipe[0]);
        close(flow->pipe[1]);
    }
    flow->pipe[0] = flow->pipe[1] = -1;
}

static int would_block(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* Writes what is held back. MORE: nothing is held any more. */
static enum carried put_held(struct flow *flow, int sink)
{
    while (flow->held) {
        ssize_t n = send(sink, flow->held + flow->from, flow->to - flow->from, MSG_NOSIGNAL);
        if (n < 0) return would_block() ? CARRIED_BLOCKED : CARRIED_BROKEN;
        flow->from += (uint32_t)n;
        if (flow->from == flow->to) {
            free(flow->held);
            flow->held = NULL;
        }
    }
    return CARRIED_MORE;
}

/* Writes what is in the pipe. MORE: it is empty. */
static enum carried put_piped(struct flow *flow, int sink)
{
    while (flow->piped) {
        ssize_t n = splice(flow->pipe[0], NULL, sink, NULL, flow->piped, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n <= 0) return n < 0 && would_block() ? CARRIED_BLOCKED : CARRIED_BROKEN;
        flow->piped -= (uint32_t)n;
    }
    return CARRIED_MORE;
}

/* One read by copying. MORE: read again. */
static enum carried copy(struct flow *flow, int source, int sink, uint8_t *scratch, struct pool *pool, size_t *turn)
{
    ssize_t n = recv(source, scratch, COPY_SIZE, MSG_DONTWAIT);
    if (n < 0) return would_block() ? CARRIED_BLOCKED : CARRIED_BROKEN;
    if (n == 0) {
        flow->ended = 1;
        return CARRIED_END;
    }
    *turn += (size_t)n;
    ssize_t put = send(sink, scratch, (size_t)n, MSG_NOSIGNAL);
    if (put < 0 && !would_block()) return CARRIED_BROKEN;
    size_t taken = put < 0 ? 0 : (size_t)put;
    if (taken < (size_t)n) {
        flow->to = (uint32_t)((size_t)n - taken);
        flow->from = 0;
        if (!(flow->held = malloc(flow->to))) return CARRIED_BROKEN;
        memcpy(flow->held, scratch + taken, flow->to);
    }
    if (n == COPY_SIZE) take_pipe(flow, pool);
    if (flow->held) return put_held(flow, sink);
    /* A short read was all there was: what follows makes a new edge, but for an end that came with it (epoll(7)). */
    return n < COPY_SIZE && !flow->hangup ? CARRIED_BLOCKED : CARRIED_MORE;
}

/* One read by splicing. MORE: read again, be it by copying. */
static enum carried splice_on(struct flow *flow, int source, int sink, struct pool *pool, size_t *turn)
{
    ssize_t n = splice(source, NULL, flow->pipe[1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n < 0 && !would_block()) return CARRIED_BROKEN;
    if (n < 0) { /* the pipe is empty, as nothing is read before that */
        if (*turn < QUIET_BELOW) give_pipe(flow, pool);
        return CARRIED_BLOCKED;
    }
    if (n == 0) {
        flow->ended = 1;
        return CARRIED_END;
    }
    flow->piped = (uint32_t)n;
    *turn += (size_t)n;
    return put_piped(flow, sink);
}

enum carried flow_carry(struct flow *flow, int source, int sink, uint8_t *scratch, struct pool *pool)
{
    size_t turn = 0;
    enum carried how = put_held(flow, sink);

    if (how == CARRIED_MORE) how = put_piped(flow, sink);
    while (how == CARRIED_MORE && !flow->ended) {
        if (turn >= TURN_MOST) return CARRIED_MORE;
        how = flow->pipe[0] < 0 ? copy(flow, source, sink, scratch, pool, &turn)
                                : splice_on(flow, source, sink, pool, &turn);
    }
    return how == CARRIED_MORE ? CARRIED_END : how;
}

void flow_free(struct flow *flow, struct pool *pool)
{
    free(flow->held);
    give_pipe(flow, pool);
    flow_init(flow);
}

void pool_free(struct pool *pool)
{
    for (; pool->count; pool->count--) {
        close(pool->pipes[pool->count - 1][0]);
        close(pool->pipes[pool->count - 1][1]);
    }
}
