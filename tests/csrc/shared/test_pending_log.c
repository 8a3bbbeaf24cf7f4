/* Lines on their way from a worker to the supervisor: in order and whole, around the end of the ring, and never more than
 * fit. */
#include "check.h"
#include "shared/pending_log.h"

#include <stdlib.h>
#include <string.h>

static struct sl_pending_log *fresh(void)
{
    struct sl_pending_log *log = calloc(1, sizeof *log);
    if (!log) abort();
    return log;
}

/* A line of `length` bytes, all the same letter but for its newline. Returns 0 where there is no room. */
static int add(struct sl_pending_log *log, char letter, size_t length)
{
    char *room = sl_pending_log_room(log);
    if (!room) return 0;
    memset(room, letter, length - 1);
    room[length - 1] = '\n';
    sl_pending_log_add(log, length);
    return 1;
}

TEST(gives_lines_in_their_order)
{
    struct sl_pending_log *log = fresh();
    char text[64];
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 0);
    CHECK(add(log, 'a', 4) && add(log, 'b', 3));
    CHECK_EQ(sl_pending_log_waits(log), 7);
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 7);
    CHECK(memcmp(text, "aaa\nbb\n", 7) == 0);
    CHECK_EQ(sl_pending_log_waits(log), 0);
    free(log);
}

TEST(begins_again_where_nothing_waits)
{
    struct sl_pending_log *log = fresh();
    char text[16];
    for (int turn = 0; turn < 1000; turn++) {
        CHECK(add(log, 'a', 10));
        CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 10);
    }
    CHECK(log->text[10] == 0);
    free(log);
}

TEST(wraps_lines_around_the_end)
{
    struct sl_pending_log *log = fresh();
    static char text[3 * SL_LOG_LINE_MOST];
    unsigned long long wrong = 0;
    size_t length = 100, next;
    CHECK(add(log, 'a', length)); /* something always waits: the origin stays */
    for (int turn = 0; turn < 3 * SL_PENDING_LOG_ROOM / 1000; turn++, length = next) {
        next = 700 + (size_t)(turn % 7) * 100;
        CHECK(add(log, (char)('b' + turn % 20), next));
        wrong += sl_pending_log_take(log, text, length + next - 1) != length;
        wrong += text[0] != (turn ? (char)('b' + (turn - 1) % 20) : 'a') || text[length - 1] != '\n';
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(sl_pending_log_waits(log), length);
    CHECK(log->written > 2ull * SL_PENDING_LOG_ROOM);
    free(log);
}

TEST(keeps_bytes_across_the_end)
{
    struct sl_pending_log *log = fresh();
    static char text[SL_PENDING_LOG_ROOM];
    size_t line = SL_LOG_LINE_MOST - 1;
    CHECK(add(log, 'x', 50));
    while (log->written + line < SL_PENDING_LOG_ROOM) {
        CHECK(add(log, 'y', line));
        CHECK(sl_pending_log_take(log, text, line) > 0);
    }
    CHECK(add(log, 'z', line)); /* over the end */
    size_t got = sl_pending_log_take(log, text, sizeof text);
    CHECK(got > line);
    size_t letters = 0;
    for (size_t i = got - line; i < got - 1; i++) letters += text[i] == 'z';
    CHECK_EQ(letters, line - 1);
    CHECK(text[got - 1] == '\n');
    free(log);
}

TEST(refuses_lines_that_do_not_fit)
{
    struct sl_pending_log *log = fresh();
    static char text[SL_PENDING_LOG_ROOM];
    unsigned long long lines = 0;
    while (add(log, 'a', 1000)) lines++;
    CHECK(lines * 1000 <= SL_PENDING_LOG_ROOM);
    CHECK((lines + 9) * 1000 > SL_PENDING_LOG_ROOM);
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), lines * 1000);
    CHECK(add(log, 'b', SL_LOG_LINE_MOST));
    free(log);
}

TEST(trusts_no_figure_of_a_worker)
{
    struct sl_pending_log *log = fresh();
    char text[16];
    log->written = ~0ull;
    log->origin = 12345;
    CHECK_EQ(sl_pending_log_waits(log), 0);
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 0);
    CHECK_EQ(log->taken, ~0ull);
    log->written = 7;
    log->taken = 3;
    log->origin = ~0ull - 5; /* any place is one inside */
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 0);
    CHECK_EQ(log->taken, 7); /* no line: it is not looked at again */
    log->origin = log->written;
    memcpy(log->text, "one\nhalf", 8);
    log->written += 8;
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 4);
    CHECK_EQ(sl_pending_log_take(log, text, sizeof text), 0);
    CHECK_EQ(sl_pending_log_waits(log), 0);
    free(log);
}

int main(void)
{
    RUN(gives_lines_in_their_order);
    RUN(begins_again_where_nothing_waits);
    RUN(wraps_lines_around_the_end);
    RUN(keeps_bytes_across_the_end);
    RUN(refuses_lines_that_do_not_fit);
    RUN(trusts_no_figure_of_a_worker);
    return CHECK_REPORT();
}
