/* Pipes for splice(2): bytes go from one socket to another without a copy through user memory. A pool lends pipes to
 * directions with bytes on the way, and keeps a few empty ones for the next. One pool a worker; not thread-safe.
 *
 *   pipe = sl_pipe_take(pool);            NULL: none to be had, copy instead
 *   sl_pipe_fill(pipe, source, ...);      socket -> pipe
 *   sl_pipe_drain(pipe, sink, ...);       pipe -> socket, as often as it takes
 *   sl_pipe_give(pool, pipe);             at once when it is empty: a quiet connection holds none
 *
 * Laws: bytes that were left in a pipe never reach another connection: a pipe goes back to the pool only when its
 * counter and the kernel (FIONREAD) both say it is empty, otherwise it is closed. The pool is bounded. An unprivileged
 * user has a budget of pipe memory (pipe(7), pipe-user-pages-soft), and past it the kernel gives smaller pipes: one
 * below SL_PIPE_LEAST is not used. Every refusal is counted.
 *
 * splice(2) takes the sockets' own O_NONBLOCK, not a flag: both must be non-blocking. It has no MSG_NOSIGNAL either: the
 * process ignores SIGPIPE. */
#ifndef SLUICE_PIPE_POOL_H
#define SLUICE_PIPE_POOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SL_PIPE_SIZE = 262144, /* bytes asked for; the kernel may give less */
    SL_PIPE_LEAST = 65536, /* a smaller one moves no more than a copy does */
    SL_PIPES_IDLE = 32,    /* kept empty in the pool; more are closed when they come back */
    SL_PIPE_REST = 1024,   /* requests that are refused without asking again after the kernel refused one */
    SL_PIPE_PAGE = 4096,   /* bytes that are put into pipes by reference before a fresh page is taken */
};

/* Counters of a pool. They lie in the worker's segment as they lie here (segment.h). */
struct sl_pipe_counts {
    uint64_t idle;    /* now in the pool */
    uint64_t busy;    /* now lent */
    uint64_t refused; /* requests that found no pipe, and sockets that cannot be spliced */
    uint64_t begun;   /* directions that went over from copying to splicing */
    uint64_t ended;   /* and those that went back, or ended */
};

struct sl_pipe {
    int in, out;          /* the ends that are written and read */
    uint32_t size;        /* bytes it holds at most */
    uint32_t held;        /* bytes in it now */
    struct sl_pipe *next; /* the pool's */
};

struct sl_pipe_pool {
    struct sl_pipe *idle;
    struct sl_pipe_counts *counts;
    uint32_t most;    /* pipes that may exist, idle and lent */
    uint32_t rest;    /* requests still to be refused */
    uint8_t *page;    /* bytes put into pipes by reference; NULL: none yet */
    uint32_t written; /* bytes of it that are taken: never written again */
};

/* An empty pool of at most `most` pipes. `counts` outlives it. */
void sl_pipe_pool_init(struct sl_pipe_pool *pool, struct sl_pipe_counts *counts, uint32_t most);
/* Another `most`: idle pipes above it are closed at once, lent ones when they come back. */
void sl_pipe_pool_limit(struct sl_pipe_pool *pool, uint32_t most);
/* Closes idle pipes and lets the page go. Lent pipes stay with whom they were lent to, who gives them back before. */
void sl_pipe_pool_free(struct sl_pipe_pool *pool);
/* An empty pipe, or NULL: counted as refused. */
struct sl_pipe *sl_pipe_take(struct sl_pipe_pool *pool);
/* Takes it back: kept when it is empty and there is room, closed otherwise. NULL is fine. */
void sl_pipe_give(struct sl_pipe_pool *pool, struct sl_pipe *pipe);

/* Moves up to `most` bytes from a socket into the pipe. Returns how many; 0 at the end of file; -1 with errno. EAGAIN: the
 * source is dry, or the pipe is full. A pipe of which every part holds a few bytes is full before its size is reached:
 * fill an empty one and EAGAIN is the source's. A TCP source stops at an urgent mark for good (tcp(7)): where epoll
 * says EPOLLPRI, read instead. */
ssize_t sl_pipe_fill(struct sl_pipe *pipe, int source, size_t most);
/* Moves up to `most` bytes from the pipe to a socket. `more`: further bytes follow at once, by whatever call, so a TCP sink
 * may hold back a part of a segment until they come (SPLICE_F_MORE). Returns how many; -1 with errno. EAGAIN: the sink
 * would block. EIO: the pipe does not hold what it should. */
ssize_t sl_pipe_drain(struct sl_pipe *pipe, int sink, size_t most, int more);
/* Copies up to `most` bytes out of the pipe: for a sink that cannot be spliced to. Returns as sl_pipe_drain. */
ssize_t sl_pipe_read(struct sl_pipe *pipe, uint8_t *out, size_t most);
/* Puts `length` bytes, few, into the pipe: all of them, or none. They are written once into a page of the pool's and go
 * by reference (vmsplice(2)), as the kernel takes a page of its own for every write(2). The receiver may read
 * them at any time: a page that is full is let go, not used again. Where the kernel has no vmsplice they are copied.
 * Returns how many; -1 with errno. EAGAIN: the pipe is full. */
ssize_t sl_pipe_put(struct sl_pipe_pool *pool, struct sl_pipe *pipe, const uint8_t *data, size_t length);
/* Moves up to `most` bytes from one pipe to another, without a copy. Returns how many; -1 with errno. EAGAIN: the target
 * is full, or the source empty. */
ssize_t sl_pipe_move(struct sl_pipe *from, struct sl_pipe *to, size_t most);
/* Whether an errno of fill or drain means that this socket is not for splicing, and nothing has moved. */
int sl_pipe_unfit(int error);

#endif
