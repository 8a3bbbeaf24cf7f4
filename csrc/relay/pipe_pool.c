/* The pool of pipes of pipe_pool.h, and the calls that move bytes through one. */
#include "relay/pipe_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static void destroy(struct sl_pipe *pipe)
{
    close(pipe->in);
    close(pipe->out);
    free(pipe);
}

/* A new pipe, as large as the user's budget allows; NULL when the kernel has none that is worth it. */
static struct sl_pipe *create(void)
{
    struct sl_pipe *pipe = calloc(1, sizeof *pipe);
    int ends[2], size;

    if (!pipe) return NULL;
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
        free(pipe);
        return NULL;
    }
    pipe->out = ends[0];
    pipe->in = ends[1];
    fcntl(pipe->in, F_SETPIPE_SZ, SL_PIPE_SIZE); /* refused past the budget: what it has then is looked at */
    size = fcntl(pipe->in, F_GETPIPE_SZ);
    if (size < SL_PIPE_LEAST) {
        destroy(pipe);
        return NULL;
    }
    pipe->size = (uint32_t)size;
    return pipe;
}

void sl_pipe_pool_init(struct sl_pipe_pool *pool, struct sl_pipe_counts *counts, uint32_t most)
{
    *pool = (struct sl_pipe_pool){.counts = counts, .most = most};
}

void sl_pipe_pool_limit(struct sl_pipe_pool *pool, uint32_t most)
{
    pool->most = most;
    while (pool->idle && pool->counts->idle + pool->counts->busy > most) {
        struct sl_pipe *pipe = pool->idle;
        pool->idle = pipe->next;
        pool->counts->idle--;
        destroy(pipe);
    }
}

void sl_pipe_pool_free(struct sl_pipe_pool *pool)
{
    sl_pipe_pool_limit(pool, 0);
    if (pool->page) munmap(pool->page, SL_PIPE_PAGE);
    pool->page = NULL;
}

struct sl_pipe *sl_pipe_take(struct sl_pipe_pool *pool)
{
    struct sl_pipe_counts *counts = pool->counts;
    struct sl_pipe *pipe = pool->idle;

    if (pipe) {
        pool->idle = pipe->next;
        counts->idle--;
        counts->busy++;
        return pipe;
    }
    if (counts->busy >= pool->most || pool->rest) {
        pool->rest -= pool->rest != 0;
        counts->refused++;
        return NULL;
    }
    pipe = create();
    if (!pipe) {
        pool->rest = SL_PIPE_REST;
        counts->refused++;
        return NULL;
    }
    counts->busy++;
    return pipe;
}

void sl_pipe_give(struct sl_pipe_pool *pool, struct sl_pipe *pipe)
{
    struct sl_pipe_counts *counts = pool->counts;
    int left = 1;

    if (!pipe) return;
    counts->busy--;
    if (pipe->held || counts->idle >= SL_PIPES_IDLE || counts->idle + counts->busy >= pool->most ||
        ioctl(pipe->out, FIONREAD, &left) < 0 || left) {
        destroy(pipe);
        pool->rest = 0; /* the user's budget has room again */
        return;
    }
    pipe->next = pool->idle;
    pool->idle = pipe;
    counts->idle++;
}

ssize_t sl_pipe_fill(struct sl_pipe *pipe, int source, size_t most)
{
    ssize_t n;

    do n = splice(source, NULL, pipe->in, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0) pipe->held += (uint32_t)n;
    return n;
}

/* Bytes that left the pipe. 0 would be its end, and we hold the other one: then it is not what the counter says. */
static ssize_t left(struct sl_pipe *pipe, ssize_t n)
{
    if (n == 0 || n > (ssize_t)pipe->held) {
        errno = EIO;
        return -1;
    }
    if (n > 0) pipe->held -= (uint32_t)n;
    return n;
}

ssize_t sl_pipe_drain(struct sl_pipe *pipe, int sink, size_t most, int more)
{
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? (unsigned)SPLICE_F_MORE : 0u);
    ssize_t n;

    do n = splice(pipe->out, NULL, sink, NULL, most, flags);
    while (n < 0 && errno == EINTR);
    return left(pipe, n);
}

ssize_t sl_pipe_read(struct sl_pipe *pipe, uint8_t *out, size_t most)
{
    ssize_t n;

    do n = read(pipe->out, out, most);
    while (n < 0 && errno == EINTR);
    return left(pipe, n);
}

/* Room in the page for `length` bytes that were never sent; NULL without one. What pipes and sockets still refer to of
 * a full page stays theirs: MADV_DONTNEED takes it from us alone. */
static uint8_t *room(struct sl_pipe_pool *pool, size_t length)
{
    if (length > SL_PIPE_PAGE) return NULL;
    if (!pool->page) {
        void *page = mmap(NULL, SL_PIPE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) return NULL;
        pool->page = page;
        pool->written = 0;
    }
    if (pool->written + length > SL_PIPE_PAGE) {
        if (madvise(pool->page, SL_PIPE_PAGE, MADV_DONTNEED) < 0) return NULL;
        pool->written = 0;
    }
    return pool->page + pool->written;
}

ssize_t sl_pipe_put(struct sl_pipe_pool *pool, struct sl_pipe *pipe, const uint8_t *data, size_t length)
{
    uint8_t *at = room(pool, length);
    ssize_t n = -1;

    if (at) {
        struct iovec piece = {.iov_base = memcpy(at, data, length), .iov_len = length};
        do n = vmsplice(pipe->in, &piece, 1, SPLICE_F_NONBLOCK);
        while (n < 0 && errno == EINTR);
        if (n > 0) pool->written += (uint32_t)n;
    }
    if (!at || (n < 0 && sl_pipe_unfit(errno))) {
        do n = write(pipe->in, data, length);
        while (n < 0 && errno == EINTR);
    }
    if (n > 0) pipe->held += (uint32_t)n;
    return n;
}

ssize_t sl_pipe_move(struct sl_pipe *from, struct sl_pipe *to, size_t most)
{
    ssize_t n;

    do n = splice(from->out, NULL, to->in, NULL, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    n = left(from, n);
    if (n > 0) to->held += (uint32_t)n;
    return n;
}

int sl_pipe_unfit(int error)
{
    return error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == EPERM || error == ENOMEM;
}
