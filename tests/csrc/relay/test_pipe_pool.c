/* The pool of pipes: what it keeps, what it closes, what it refuses, and whose bytes a pipe may hold. */
#include "check.h"
#include "relay/pipe_pool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sl_pipe_counts counts;

static struct sl_pipe_pool fresh(uint32_t most)
{
    struct sl_pipe_pool pool;
    memset(&counts, 0, sizeof counts);
    sl_pipe_pool_init(&pool, &counts, most);
    return pool;
}

/* Descriptors of this process. */
static int open_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int found = 0;
    if (!folder) abort();
    while (readdir(folder)) found++;
    closedir(folder);
    return found;
}

TEST(a_pipe_comes_back_and_is_lent_again)
{
    struct sl_pipe_pool pool = fresh(4);
    int files = open_files();
    struct sl_pipe *first = sl_pipe_take(&pool);
    REQUIRE(first);
    CHECK(first->size >= SL_PIPE_LEAST && first->held == 0);
    CHECK(fcntl(first->in, F_GETFL) & O_NONBLOCK && fcntl(first->out, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(first->in, F_GETFD) & FD_CLOEXEC && fcntl(first->out, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(counts.busy, 1);
    sl_pipe_give(&pool, first);
    CHECK_EQ(counts.busy, 0);
    CHECK_EQ(counts.idle, 1);
    CHECK(sl_pipe_take(&pool) == first);
    sl_pipe_give(&pool, first);
    sl_pipe_give(&pool, NULL);
    CHECK_EQ(counts.refused, 0);
    sl_pipe_pool_free(&pool);
    CHECK_EQ(counts.idle, 0);
    CHECK_EQ(open_files(), files);
}

TEST(bytes_left_in_a_pipe_go_to_nobody)
{
    for (int counted = 0; counted < 2; counted++) {
        struct sl_pipe_pool pool = fresh(4);
        int files = open_files();
        struct sl_pipe *pipe = sl_pipe_take(&pool);
        REQUIRE(pipe);
        /* Known to the counter alone, or to the kernel alone. */
        if (counted)
            pipe->held = 1;
        else
            CHECK_EQ(write(pipe->in, "secret", 6), 6);
        sl_pipe_give(&pool, pipe);
        CHECK_EQ(counts.idle + counts.busy, 0);
        CHECK_EQ(open_files(), files);
        pipe = sl_pipe_take(&pool);
        REQUIRE(pipe);
        char byte;
        CHECK_EQ(read(pipe->out, &byte, 1), -1);
        CHECK_EQ(errno, EAGAIN);
        sl_pipe_give(&pool, pipe);
        sl_pipe_pool_free(&pool);
    }
}

TEST(the_pool_is_bounded)
{
    struct sl_pipe_pool pool = fresh(SL_PIPES_IDLE + 3);
    struct sl_pipe *pipes[SL_PIPES_IDLE + 3];
    for (int i = 0; i < SL_PIPES_IDLE + 3; i++) REQUIRE((pipes[i] = sl_pipe_take(&pool)));
    CHECK(!sl_pipe_take(&pool));
    CHECK_EQ(counts.refused, 1);
    for (int i = 0; i < SL_PIPES_IDLE + 3; i++) sl_pipe_give(&pool, pipes[i]);
    CHECK_EQ(counts.idle, SL_PIPES_IDLE);
    REQUIRE((pipes[0] = sl_pipe_take(&pool)));
    sl_pipe_pool_limit(&pool, 3); /* while one is lent and many are idle */
    CHECK_EQ(counts.idle, 2);
    sl_pipe_pool_limit(&pool, 0);
    CHECK_EQ(counts.idle, 0);
    sl_pipe_give(&pool, pipes[0]);
    CHECK_EQ(counts.idle + counts.busy, 0);
    CHECK(!sl_pipe_take(&pool));
    sl_pipe_pool_free(&pool);
}

/* Runs `body` in a child process and says whether its checks held. */
static void in_a_child(void (*body)(void))
{
    int status;
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        body();
        fflush(stderr);
        _exit(check_failures ? 1 : 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void without_descriptors(void)
{
    struct sl_pipe_pool pool = fresh(4);
    struct rlimit none = {0}, before;
    getrlimit(RLIMIT_NOFILE, &before);
    none.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_NOFILE, &none);
    CHECK(!sl_pipe_take(&pool));
    CHECK_EQ(counts.refused, 1);
    setrlimit(RLIMIT_NOFILE, &before);
    for (int i = 0; i < SL_PIPE_REST; i++) CHECK(!sl_pipe_take(&pool)); /* the kernel is not asked each time */
    CHECK_EQ(counts.refused, 1 + SL_PIPE_REST);
    struct sl_pipe *pipe = sl_pipe_take(&pool);
    CHECK(pipe);
    sl_pipe_give(&pool, pipe);
    sl_pipe_pool_free(&pool);
}

TEST(a_refusal_of_the_kernel_is_counted_and_not_asked_for_again_at_once)
{
    in_a_child(without_descriptors);
}

/* An unprivileged user takes up the whole budget with pipes, then what is given is too small or nothing. */
static void past_the_budget(void)
{
    struct sl_pipe_pool pool = fresh(4);
    int ends[2], used = 0, size;
    if (geteuid() == 0 && setuid(54321) != 0) abort();
    struct sl_pipe *early = sl_pipe_take(&pool);
    CHECK(early && early->size >= SL_PIPE_LEAST);
    do {
        if (pipe2(ends, O_CLOEXEC) < 0) break;
        fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
        size = fcntl(ends[0], F_GETPIPE_SZ);
    } while (size >= SL_PIPE_LEAST && ++used < 2000);
    CHECK(used < 2000);
    CHECK(!sl_pipe_take(&pool));
    CHECK_EQ(counts.refused, 1);
    CHECK_EQ(counts.busy, 1);
    sl_pipe_give(&pool, early); /* what was had before serves on */
    CHECK(sl_pipe_take(&pool) == early);
    early->held = 1;
    sl_pipe_give(&pool, early); /* closed: its memory is the user's again */
    CHECK((early = sl_pipe_take(&pool)) && early->size >= SL_PIPE_LEAST);
    sl_pipe_give(&pool, early);
    sl_pipe_pool_free(&pool);
}

TEST(past_the_users_budget_there_is_no_pipe)
{
    in_a_child(past_the_budget);
}

TEST(bytes_go_through_in_order_and_are_counted)
{
    struct sl_pipe_pool pool = fresh(1);
    struct sl_pipe *pipe = sl_pipe_take(&pool);
    int from[2], to[2];
    uint8_t got[16];
    REQUIRE(pipe && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, from) == 0 &&
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, to) == 0);
    CHECK_EQ(sl_pipe_fill(pipe, from[1], 100), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(send(from[0], "0123456789", 10, 0), 10);
    CHECK_EQ(sl_pipe_fill(pipe, from[1], 4), 4);
    CHECK_EQ(sl_pipe_fill(pipe, from[1], 100), 6);
    CHECK_EQ(pipe->held, 10);
    CHECK_EQ(sl_pipe_drain(pipe, to[0], 3, 1), 3);
    CHECK_EQ(sl_pipe_read(pipe, got, 2), 2);
    CHECK(memcmp(got, "34", 2) == 0);
    CHECK_EQ(sl_pipe_drain(pipe, to[0], 100, 0), 5);
    CHECK_EQ(pipe->held, 0);
    CHECK_EQ(recv(to[1], got, sizeof got, 0), 8);
    CHECK(memcmp(got, "01256789", 8) == 0);
    close(from[0]);
    CHECK_EQ(sl_pipe_fill(pipe, from[1], 100), 0);
    close(to[1]);
    CHECK_EQ(write(pipe->in, "x", 1), 1);
    pipe->held = 1;
    CHECK_EQ(sl_pipe_drain(pipe, to[0], 100, 0), -1);
    CHECK_EQ(errno, EPIPE);
    CHECK(!sl_pipe_unfit(errno) && !sl_pipe_unfit(EAGAIN) && !sl_pipe_unfit(ECONNRESET) && sl_pipe_unfit(EINVAL));
    CHECK_EQ(pipe->held, 1);
    sl_pipe_give(&pool, pipe);
    CHECK_EQ(counts.idle, 0);
    close(from[1]), close(to[0]);
}

TEST(a_descriptor_that_cannot_be_spliced_is_told_apart)
{
    struct sl_pipe_pool pool = fresh(1);
    struct sl_pipe *pipe = sl_pipe_take(&pool);
    int sink = open("/dev/null", O_WRONLY | O_APPEND);
    REQUIRE(pipe && sink >= 0);
    CHECK_EQ(sl_pipe_fill(pipe, sink, 100), -1);
    CHECK(sl_pipe_unfit(errno) || errno == EBADF);
    CHECK_EQ(write(pipe->in, "xy", 2), 2);
    pipe->held = 2;
    CHECK_EQ(sl_pipe_drain(pipe, sink, 100, 0), -1); /* splice(2): no O_APPEND */
    CHECK(sl_pipe_unfit(errno));
    CHECK_EQ(pipe->held, 2);
    sl_pipe_give(&pool, pipe);
    close(sink);
}

TEST(headers_and_payload_take_turns_in_a_second_pipe)
{
    struct sl_pipe_pool pool = fresh(2);
    struct sl_pipe *payload = sl_pipe_take(&pool), *framed = sl_pipe_take(&pool);
    static uint8_t full[4096];
    uint8_t got[16];
    REQUIRE(payload && framed);
    CHECK_EQ(sl_pipe_put(&pool, payload, (const uint8_t *)"abcdef", 6), 6);
    CHECK_EQ(sl_pipe_put(&pool, framed, (const uint8_t *)"4:", 2), 2);
    CHECK_EQ(sl_pipe_move(payload, framed, 4), 4);
    CHECK_EQ(sl_pipe_put(&pool, framed, (const uint8_t *)"2:", 2), 2);
    CHECK_EQ(sl_pipe_move(payload, framed, 100), 2);
    CHECK_EQ(payload->held, 0);
    CHECK_EQ(framed->held, 10);
    CHECK_EQ(sl_pipe_move(payload, framed, 1), -1); /* nothing there, and nothing counted */
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(sl_pipe_read(framed, got, sizeof got), 10);
    CHECK(memcmp(got, "4:abcd2:ef", 10) == 0);
    /* A full target takes nothing, neither copied nor moved, and the counters know. */
    while (sl_pipe_put(&pool, framed, full, sizeof full) == (ssize_t)sizeof full) {
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(framed->held, framed->size);
    CHECK_EQ(sl_pipe_put(&pool, payload, full, 100), 100);
    CHECK_EQ(sl_pipe_move(payload, framed, 100), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(payload->held, 100);
    sl_pipe_give(&pool, payload);
    sl_pipe_give(&pool, framed);
    CHECK_EQ(counts.idle + counts.busy, 0);
}

/* A page is used up many times over while earlier pieces are still in the pipe: none of them changes. */
TEST(what_was_put_by_reference_never_changes)
{
    struct sl_pipe_pool pool = fresh(2);
    struct sl_pipe *pipe = sl_pipe_take(&pool);
    uint8_t piece[1000], got[1000];
    unsigned count = 0;
    REQUIRE(pipe);
    for (;; count++) {
        memset(piece, (int)(count % 251), sizeof piece);
        if (sl_pipe_put(&pool, pipe, piece, sizeof piece) != (ssize_t)sizeof piece) break;
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK(count > 2 * SL_PIPE_PAGE / sizeof piece); /* over the page's end more than once */
    CHECK_EQ(pipe->held, count * sizeof piece);
    for (unsigned i = 0; i < count; i++) {
        memset(piece, (int)(i % 251), sizeof piece);
        CHECK_EQ(sl_pipe_read(pipe, got, sizeof got), (ssize_t)sizeof got);
        CHECK(memcmp(got, piece, sizeof got) == 0);
    }
    CHECK_EQ(pipe->held, 0);
    sl_pipe_give(&pool, pipe);
    sl_pipe_pool_free(&pool);
    CHECK(!pool.page);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    RUN(a_pipe_comes_back_and_is_lent_again);
    RUN(bytes_left_in_a_pipe_go_to_nobody);
    RUN(the_pool_is_bounded);
    RUN(a_refusal_of_the_kernel_is_counted_and_not_asked_for_again_at_once);
    RUN(past_the_users_budget_there_is_no_pipe);
    RUN(bytes_go_through_in_order_and_are_counted);
    RUN(a_descriptor_that_cannot_be_spliced_is_told_apart);
    RUN(headers_and_payload_take_turns_in_a_second_pipe);
    RUN(what_was_put_by_reference_never_changes);
    return CHECK_REPORT();
}
