/* The table of rates: bursts and what follows, sources that keep apart, rows that are taken over, a clock that wraps, and
 * threads that hammer one limit. */
#include "check.h"
#include "shared/limit_table.h"
#include "shared/rate_table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct sl_rates open_table(void)
{
    struct sl_rates rates = {NULL};
    void *memory = aligned_alloc(4096, SL_RATES_SIZE);
    CHECK(memory != NULL);
    if (!memory) return rates;
    memset(memory, 0, SL_RATES_SIZE);
    CHECK(sl_rates_attach(&rates, memory, SL_RATES_SIZE));
    return rates;
}

static uint64_t hash(uint32_t number)
{
    const struct sl_limits keyed = {.key = {1, 2}};
    return sl_limits_source(&keyed, &number, sizeof number);
}

/* Requests that pass of `count` at one moment. */
static unsigned passed(const struct sl_rates *t, uint64_t source, uint32_t rate, uint64_t now, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < count; i++) sum += (unsigned)sl_rates_take(t, source, rate, now);
    return sum;
}

TEST(a_second_s_worth_passes_at_once_and_one_more_each_time)
{
    static const uint32_t rates[] = {1, 2, 3, 7, 10, 1000, 30000};
    struct sl_rates t = open_table();
    for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint32_t rate = rates[i];
        CHECK_EQ(passed(&t, hash(i), rate, 5000, 2 * rate + 5), rate);
        CHECK_EQ(passed(&t, hash(i), rate, 5000 + 1000 / rate + 1, 1), 1);
        CHECK_EQ(passed(&t, hash(i), rate, 60000, 2 * rate + 5), rate);
        unsigned sum = 0;
        for (uint64_t now = 100000; now < 110000; now++) sum += passed(&t, hash(i), rate, now, 40);
        CHECK(sum <= 11 * rate && sum >= 11 * rate - rate / 50 - 1);
    }
    free(t.rows);
}

TEST(a_limit_of_none_lets_none_pass_and_a_huge_one_all_that_there_can_be)
{
    struct sl_rates t = open_table();
    CHECK_EQ(passed(&t, hash(1), 0, 1, 3), 0);
    CHECK_EQ(passed(&t, hash(1), UINT32_MAX, 1, 100000), 100000);
    CHECK_EQ(passed(&t, hash(2), 9000000, 1, 100000), 100000);
    free(t.rows);
}

TEST(ten_thousand_sources_keep_apart)
{
    struct sl_rates t = open_table();
    for (uint32_t i = 0; i < 10000; i++) CHECK_EQ(passed(&t, hash(i), 2, 1000, 1), 1);
    for (uint32_t i = 0; i < 10000; i++) CHECK_EQ(passed(&t, hash(i), 2, 1000, 3), 1);
    /* Two seconds later all of them have paid, and as many others take their places. */
    for (uint32_t i = 10000; i < 20000; i++) CHECK_EQ(passed(&t, hash(i), 2, 3001, 3), 2);
    free(t.rows);
}

/* Sources whose two buckets are 0 and 1, and whose shared row is the first. */
static uint64_t crowded(uint64_t number)
{
    return (number + 1) << 40 | 1u << 11;
}

TEST(strangers_share_a_row_where_all_are_in_debt)
{
    struct sl_rates t = open_table();
    for (unsigned i = 0; i < 16; i++) CHECK_EQ(passed(&t, crowded(i), 4, 1000, 1), 1);
    CHECK_EQ(passed(&t, crowded(16), 4, 1000, 3), 3);
    CHECK_EQ(passed(&t, crowded(17), 4, 1000, 3), 1);
    CHECK_EQ(passed(&t, crowded(3), 4, 1000, 9), 3);
    CHECK_EQ(passed(&t, crowded(17), 4, 1400, 9), 4); /* the others have paid by then */
    free(t.rows);
}

TEST(neither_the_wrap_of_the_clock_nor_noise_is_a_debt)
{
    struct sl_rates t = open_table();
    const uint64_t wrap = (1ull << 40) / 16000;
    CHECK_EQ(passed(&t, hash(1), 5, wrap - 100, 9), 5);
    CHECK_EQ(passed(&t, hash(1), 5, wrap + 100, 9), 1); /* 200 ms later */
    CHECK_EQ(passed(&t, hash(1), 5, 2 * wrap - 50000, 9), 5);
    CHECK_EQ(passed(&t, hash(1), 5, 10, 9), 5); /* the clock has jumped back */
    for (unsigned round = 0; round < 3; round++) {
        memset(t.rows, round == 0 ? 0xff : 0x5a + (int)round, SL_RATES_SIZE);
        for (uint32_t i = 0; i < 1000; i++) CHECK(passed(&t, hash(i), 5, 123456789, 9) <= 5);
    }
    free(t.rows);
}

TEST(tables_of_another_size_are_refused)
{
    struct sl_rates t = open_table(), out;
    CHECK(!sl_rates_attach(&out, t.rows, SL_RATES_SIZE - 1));
    CHECK(!sl_rates_attach(&out, t.rows, SL_RATES_SIZE + 4096));
    CHECK(!sl_rates_attach(&out, t.rows + 8, SL_RATES_SIZE));
    free(t.rows);
}

enum { HAMMERS = 4, RATE = 1000, BLOWS = 20000 };

struct arena {
    struct sl_rates table;
    _Atomic unsigned passed;
};

static void *hammer(void *argument)
{
    struct arena *arena = argument;
    for (unsigned i = 0; i < BLOWS; i++)
        atomic_fetch_add(&arena->passed, (unsigned)sl_rates_take(&arena->table, hash(7), RATE, 1000 + i / 100));
    return NULL;
}

TEST(a_limit_holds_over_all_that_hammer_it)
{
    struct arena arena = {.table = open_table()};
    pthread_t threads[HAMMERS];
    for (unsigned i = 0; i < HAMMERS; i++) REQUIRE(pthread_create(&threads[i], NULL, hammer, &arena) == 0);
    for (unsigned i = 0; i < HAMMERS; i++) pthread_join(threads[i], NULL);
    /* A second's worth, and what 200 ms are worth; each may claim a row when they begin. */
    CHECK(arena.passed >= RATE && arena.passed <= RATE + RATE / 5 + HAMMERS);
    free(arena.table.rows);
}

int main(void)
{
    RUN(a_second_s_worth_passes_at_once_and_one_more_each_time);
    RUN(a_limit_of_none_lets_none_pass_and_a_huge_one_all_that_there_can_be);
    RUN(ten_thousand_sources_keep_apart);
    RUN(strangers_share_a_row_where_all_are_in_debt);
    RUN(neither_the_wrap_of_the_clock_nor_noise_is_a_debt);
    RUN(tables_of_another_size_are_refused);
    RUN(a_limit_holds_over_all_that_hammer_it);
    return CHECK_REPORT();
}
