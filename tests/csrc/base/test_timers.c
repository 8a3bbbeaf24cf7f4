/* The timer wheel against a naive list: random operations, jumps of time, and the corners one by one. */
#include "check.h"
#include "base/timers.h"

#include <stdlib.h>

enum { TICK = SL_TIMER_TICK_MS, COUNT = 300 };

static const uint64_t SPAN = 64ull * 64 * 64 * 64 * 64 * TICK;

struct random {
    uint64_t state;
};

static uint64_t draw(struct random *r, uint64_t below) /* splitmix64 */
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z ^ z >> 31) % below;
}

/* A length of time whose order of magnitude is drawn first: zero, ticks, seconds, days, beyond the wheel's span. */
static uint64_t span(struct random *r)
{
    static const uint64_t day = 86400000;
    const uint64_t most[] = {1, 2 * TICK, 64 * TICK, 10000, 600000, day, 30 * day, 400 * day};
    return draw(r, most[draw(r, sizeof most / sizeof *most)]);
}

struct model {
    struct sl_wheel wheel;
    struct sl_timer timers[COUNT];
    uint64_t due[COUNT]; /* the first time at which it must be out; 0 = not queued */
    int queued[COUNT];
    uint64_t count, now;
};

static void model_set(struct model *m, size_t i, uint64_t at)
{
    sl_wheel_set(&m->wheel, &m->timers[i], at);
    m->count += !m->queued[i];
    m->queued[i] = 1;
    m->due[i] = at > m->now ? at : m->now;
}

static void model_cancel(struct model *m, size_t i)
{
    sl_wheel_cancel(&m->wheel, &m->timers[i]);
    m->count -= (uint64_t)m->queued[i];
    m->queued[i] = 0;
}

/* wait() never promises more quiet than there is, and -1 only for an empty wheel. */
static void check_wait(const struct model *m)
{
    uint64_t first = UINT64_MAX;
    int wait = sl_wheel_wait(&m->wheel, m->now);
    for (size_t i = 0; i < COUNT; i++)
        if (m->queued[i] && m->due[i] < first) first = m->due[i];
    if (first == UINT64_MAX) {
        CHECK_EQ(wait, -1);
        return;
    }
    CHECK(wait >= 0 && wait <= SL_WHEEL_WAIT_MAX);
    CHECK(m->now + (uint64_t)wait < first + TICK);
}

/* One round of takes; while it lasts other timers are cancelled, moved and set, those due included. */
static void take_all(struct model *m, struct random *r)
{
    struct sl_timer *timer;
    uint64_t last = 0;
    int disturbed = 0;
    while ((timer = sl_wheel_take(&m->wheel, m->now))) {
        size_t i = (size_t)(timer - m->timers);
        REQUIRE(i < COUNT && m->queued[i]);
        CHECK(timer->owner == &m->due[i]);
        CHECK(timer->at <= m->now);                              /* never early */
        CHECK(disturbed || m->due[i] / TICK + 1 >= last / TICK); /* ticks in order */
        last = m->due[i];
        m->queued[i] = 0;
        m->count--;
        if (draw(r, 8) == 0) model_cancel(m, draw(r, COUNT)), disturbed = 1;
        if (draw(r, 8) == 0) model_set(m, draw(r, COUNT), m->now + span(r)), disturbed = 1;
        if (draw(r, 16) == 0) model_set(m, i, m->now - draw(r, m->now)), disturbed = 1;
    }
    for (size_t i = 0; i < COUNT; i++) /* at most one tick late; what was set for the past waits for the next round */
        if (m->queued[i]) CHECK(m->due[i] + TICK > m->now);
    CHECK_EQ(m->wheel.count, m->count);
}

static void against_the_list(uint64_t seed)
{
    struct random r = {seed};
    struct model *m = calloc(1, sizeof *m);
    REQUIRE(m);
    m->now = seed % 2 ? draw(&r, 1000) : SPAN - draw(&r, 86400000); /* also over the wrap of the top level */
    sl_wheel_init(&m->wheel, m->now);
    for (size_t i = 0; i < COUNT; i++) m->timers[i].owner = &m->due[i];
    for (unsigned n = 0; n < 100000 && !check_failures; n++) {
        uint64_t what = draw(&r, 16);
        if (what < 9) {
            model_set(m, draw(&r, COUNT), m->now + span(&r));
        } else if (what < 10) {
            model_set(m, draw(&r, COUNT), draw(&r, m->now + 1));
        } else if (what < 12) {
            model_cancel(m, draw(&r, COUNT));
        } else {
            m->now += span(&r) / (what == 15 ? 1 : 1000);
            take_all(m, &r);
            check_wait(m);
        }
    }
    free(m);
}

TEST(agrees_with_a_list_of_times)
{
    for (uint64_t seed = 1; seed <= 6; seed++) against_the_list(seed);
}

/* Sleeping as long as wait() says brings every timer out within its tick: the loop of a worker. */
TEST(waiting_as_told_is_enough)
{
    struct random r = {42};
    struct sl_wheel wheel;
    struct sl_timer timers[64] = {{0}};
    uint64_t now = 12345, turns = 0;
    int wait;
    sl_wheel_init(&wheel, now);
    for (size_t i = 0; i < 64; i++) sl_wheel_set(&wheel, &timers[i], now + span(&r));
    while ((wait = sl_wheel_wait(&wheel, now)) >= 0) {
        struct sl_timer *timer;
        now += (uint64_t)wait;
        while ((timer = sl_wheel_take(&wheel, now))) CHECK(timer->at <= now && now < timer->at + TICK + 1);
        REQUIRE(++turns < 1000000);
    }
    CHECK_EQ(wheel.count, 0);
}

TEST(fires_on_the_tick_and_not_before)
{
    for (uint64_t start = 0; start < 3 * TICK; start++)
        for (uint64_t ahead = 0; ahead < 70 * TICK; ahead++) {
            struct sl_wheel wheel;
            struct sl_timer timer = {0};
            uint64_t at = start + ahead, tick = (at + TICK - 1) / TICK * TICK;
            sl_wheel_init(&wheel, start);
            sl_wheel_set(&wheel, &timer, at);
            if (tick > start) CHECK(!sl_wheel_take(&wheel, tick - 1));
            CHECK(sl_wheel_take(&wheel, tick > start ? tick : start) == &timer);
            CHECK(!timer.link);
        }
}

TEST(the_past_fires_in_the_next_round)
{
    struct sl_wheel wheel;
    struct sl_timer a = {0}, b = {0};
    unsigned fired = 0;
    sl_wheel_init(&wheel, 1000);
    sl_wheel_set(&wheel, &a, 10);
    CHECK_EQ(sl_wheel_wait(&wheel, 1000), 0);
    sl_wheel_set(&wheel, &b, 1000);
    while (sl_wheel_take(&wheel, 1000)) {
        sl_wheel_set(&wheel, &a, 0); /* a handler that wants to run again at once */
        REQUIRE(++fired < 10);
    }
    CHECK_EQ(fired, 2);
    CHECK_EQ(sl_wheel_wait(&wheel, 1000), 0);
    CHECK(sl_wheel_take(&wheel, 1000) == &a);
    CHECK(!sl_wheel_take(&wheel, 1000));
    CHECK_EQ(sl_wheel_wait(&wheel, 1000), -1);
}

TEST(cancel_and_set_reach_those_already_due)
{
    struct sl_wheel wheel;
    struct sl_timer timers[5] = {{0}};
    struct sl_timer *first, *timer;
    unsigned left = 0;
    sl_wheel_init(&wheel, 0);
    for (size_t i = 0; i < 5; i++) sl_wheel_set(&wheel, &timers[i], 100);
    first = sl_wheel_take(&wheel, 5000);
    REQUIRE(first);
    struct sl_timer *others[4];
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
        if (&timers[i] != first) others[n++] = &timers[i];
    sl_wheel_cancel(&wheel, others[0]);
    sl_wheel_cancel(&wheel, others[0]); /* twice is harmless */
    sl_wheel_set(&wheel, others[1], 9000);
    while ((timer = sl_wheel_take(&wheel, 5000))) {
        CHECK(timer == others[2] || timer == others[3]);
        left++;
    }
    CHECK_EQ(left, 2);
    CHECK_EQ(wheel.count, 1);
    CHECK(sl_wheel_take(&wheel, 9000) == others[1]);
    CHECK_EQ(wheel.count, 0);
    for (size_t n_level = 0; n_level < SL_WHEEL_LEVELS; n_level++) CHECK_EQ(wheel.occupied[n_level], 0);
}

TEST(beyond_the_span_and_for_ever)
{
    struct sl_wheel wheel;
    struct sl_timer far = {0}, never = {0};
    uint64_t now = SPAN - 5000, at = now + 3 * SPAN + 777;
    sl_wheel_init(&wheel, now);
    sl_wheel_set(&wheel, &far, at);
    sl_wheel_set(&wheel, &never, UINT64_MAX);
    CHECK_EQ(sl_wheel_wait(&wheel, now), SL_WHEEL_WAIT_MAX);
    CHECK(!sl_wheel_take(&wheel, at - 1));
    CHECK(sl_wheel_take(&wheel, at + TICK) == &far);
    CHECK(!sl_wheel_take(&wheel, at + 1000 * SPAN));
    CHECK_EQ(wheel.count, 1);
}

TEST(a_clock_that_goes_back_fires_nothing)
{
    struct sl_wheel wheel;
    struct sl_timer timer = {0};
    sl_wheel_init(&wheel, 100000);
    sl_wheel_set(&wheel, &timer, 100800);
    CHECK(!sl_wheel_take(&wheel, 100400));
    CHECK(!sl_wheel_take(&wheel, 50));
    CHECK(sl_wheel_wait(&wheel, 50) > 0);
    CHECK(sl_wheel_take(&wheel, 100800) == &timer);
}

int main(void)
{
    RUN(agrees_with_a_list_of_times);
    RUN(waiting_as_told_is_enough);
    RUN(fires_on_the_tick_and_not_before);
    RUN(the_past_fires_in_the_next_round);
    RUN(cancel_and_set_reach_those_already_due);
    RUN(beyond_the_span_and_for_ever);
    RUN(a_clock_that_goes_back_fires_nothing);
    return CHECK_REPORT();
}
