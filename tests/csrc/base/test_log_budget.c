/* A source's lines: a burst, then one a second, what is left out is told; no source takes another's. */
#include "check.h"
#include "base/log_budget.h"

static struct sl_log_budget budget;

static unsigned take(uint64_t source, uint64_t now, unsigned times, uint32_t *last)
{
    unsigned written = 0;
    uint32_t suppressed;
    for (unsigned i = 0; i < times; i++) {
        if (!sl_log_budget_take(&budget, source, now, &suppressed)) continue;
        written++;
        *last = suppressed;
    }
    return written;
}

TEST(a_burst_and_then_one_a_second)
{
    uint32_t last = 99;
    budget = (struct sl_log_budget){0};
    CHECK_EQ(take(7, 5000, 1000, &last), SL_LOG_BURST);
    CHECK_EQ(last, 0);
    CHECK_EQ(take(7, 5999, 10, &last), 0);
    CHECK_EQ(take(7, 6000, 10, &last), 1);
    CHECK_EQ(last, 1000 - SL_LOG_BURST + 10);
    CHECK_EQ(take(7, 8500, 10, &last), 2);
    CHECK_EQ(last, 0);
    CHECK_EQ(take(7, 1000, 1, &last), 0); /* a clock that goes back gives nothing */
    CHECK_EQ(take(7, 10000000, 1000, &last), SL_LOG_BURST);
}

TEST(sources_do_not_pay_for_each_other)
{
    uint32_t last;
    budget = (struct sl_log_budget){0};
    CHECK_EQ(take(1, 0, 1000, &last), SL_LOG_BURST);
    CHECK_EQ(take(2, 0, 1000, &last), SL_LOG_BURST);
    CHECK_EQ(take(0, 0, 1, &last), 0); /* no source is the first one */
}

TEST(the_table_is_bounded)
{
    uint32_t last;
    unsigned written = 0;
    budget = (struct sl_log_budget){0};
    for (uint64_t source = 1; source <= 100000; source++) written += take(source * 977, source, 1, &last);
    CHECK_EQ(written, 100000); /* each is new, or comes back after others took its place */
}

int main(void)
{
    RUN(a_burst_and_then_one_a_second);
    RUN(sources_do_not_pay_for_each_other);
    RUN(the_table_is_bounded);
    return CHECK_REPORT();
}
