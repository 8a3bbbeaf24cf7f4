/* The timer wheel of timers.h. Five levels of 64 slots: a slot of level n covers 64^n ticks.
 *
 * A timer lies on the level of the highest base-64 digit in which its tick differs from the wheel's, in the slot of
 * its own digit there. So every occupied slot is ahead of the wheel, everything on a lower level comes before anything
 * on a higher one, and the next tick at which anything happens is found from the bitmaps alone: empty time costs
 * nothing to cross. When the wheel reaches a slot of level n > 0 its timers are queued again and fall to lower levels.
 * The top level wraps around; timers beyond its reach wait in its farthest slot and are queued again from there. */
#include "base/timers.h"

#include <stddef.h>

enum { DIGIT = 6, TOP = SL_WHEEL_LEVELS - 1 };

_Static_assert(SL_WHEEL_SLOTS == 1 << DIGIT, "a slot is one base-64 digit, a level one 64-bit bitmap");

/* The first tick at which `at` is not in the future: rounded up, so that nothing fires early. */
static uint64_t tick_of(uint64_t at)
{
    return at / SL_TIMER_TICK_MS + (at % SL_TIMER_TICK_MS != 0);
}

static void push(struct sl_timer **head, struct sl_timer *timer)
{
    timer->next = *head;
    if (timer->next) timer->next->link = &timer->next;
    timer->link = head;
    *head = timer;
}

/* Takes a queued timer out of its list and clears the slot's bit when it was the last one there. */
static void unlink_timer(struct sl_wheel *wheel, struct sl_timer *timer)
{
    struct sl_timer **link = timer->link;
    uintptr_t first = (uintptr_t)&wheel->slots[0][0], place = (uintptr_t)link;

    *link = timer->next;
    if (timer->next)
        timer->next->link = link;
    else if (place >= first && place < first + sizeof wheel->slots) {
        size_t index = (place - first) / sizeof(struct sl_timer *);
        wheel->occupied[index / SL_WHEEL_SLOTS] &= ~(1ull << index % SL_WHEEL_SLOTS);
    }
    timer->next = NULL;
    timer->link = NULL;
}

/* Puts a timer that is in no list where its tick belongs; `past` receives it when that tick has been expired. */
static void place(struct sl_wheel *wheel, struct sl_timer *timer, struct sl_timer **past)
{
    uint64_t tick = tick_of(timer->at), turns, slot;
    unsigned level;

    if (tick <= wheel->tick) {
        push(past, timer);
        return;
    }
    level = (63u - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / DIGIT;
    if (level >= TOP) {
        level = TOP;
        turns = (tick >> (TOP * DIGIT)) - (wheel->tick >> (TOP * DIGIT));
        slot = turns < SL_WHEEL_SLOTS ? tick >> (TOP * DIGIT) : (wheel->tick >> (TOP * DIGIT)) + SL_WHEEL_SLOTS - 1;
    } else
        slot = tick >> (level * DIGIT);
    slot %= SL_WHEEL_SLOTS;
    push(&wheel->slots[level][slot], timer);
    wheel->occupied[level] |= 1ull << slot;
}

/* The next tick at which a slot is reached, its level and slot. Returns 0 when every slot is empty. */
static int next_event(const struct sl_wheel *wheel, uint64_t *tick, unsigned *level, unsigned *slot)
{
    for (unsigned n = 0; n < SL_WHEEL_LEVELS; n++) {
        uint64_t bits = wheel->occupied[n], digits = wheel->tick >> (n * DIGIT);
        unsigned here = (unsigned)(digits % SL_WHEEL_SLOTS);
        if (!bits) continue;
        /* How far ahead the nearest one is. Below the top level nothing lies at or behind `here`, so rotating is
         * harmless there; the top level may have wrapped. */
        bits = here ? bits >> here | bits << (SL_WHEEL_SLOTS - here) : bits;
        unsigned ahead = (unsigned)__builtin_ctzll(bits);
        *level = n;
        *slot = (here + ahead) % SL_WHEEL_SLOTS;
        *tick = (digits + ahead) << (n * DIGIT);
        return 1;
    }
    return 0;
}

/* Moves time on until something is due or `target` is reached. */
static void advance(struct sl_wheel *wheel, uint64_t target)
{
    uint64_t tick;
    unsigned level, slot;

    while (!wheel->due && wheel->tick < target) {
        if (!next_event(wheel, &tick, &level, &slot) || tick > target) {
            wheel->tick = target;
            return;
        }
        wheel->tick = tick;
        struct sl_timer *timer = wheel->slots[level][slot];
        wheel->slots[level][slot] = NULL;
        wheel->occupied[level] &= ~(1ull << slot);
        while (timer) { /* of level 0, all are due now; of a higher one, some may be */
            struct sl_timer *next = timer->next;
            place(wheel, timer, &wheel->due);
            timer = next;
        }
    }
}

void sl_wheel_init(struct sl_wheel *wheel, uint64_t now)
{
    *wheel = (struct sl_wheel){.tick = now / SL_TIMER_TICK_MS};
}

void sl_wheel_set(struct sl_wheel *wheel, struct sl_timer *timer, uint64_t at)
{
    if (timer->link)
        unlink_timer(wheel, timer);
    else
        wheel->count++;
    timer->at = at;
    place(wheel, timer, &wheel->late);
}

void sl_wheel_cancel(struct sl_wheel *wheel, struct sl_timer *timer)
{
    if (!timer->link) return;
    unlink_timer(wheel, timer);
    wheel->count--;
}

struct sl_timer *sl_wheel_take(struct sl_wheel *wheel, uint64_t now)
{
    struct sl_timer *timer;

    if (!wheel->taking) {
        wheel->taking = 1;
        while ((timer = wheel->late)) {
            unlink_timer(wheel, timer);
            push(&wheel->due, timer);
        }
    }
    if (!wheel->due) advance(wheel, now / SL_TIMER_TICK_MS);
    timer = wheel->due;
    if (!timer) {
        wheel->taking = 0;
        return NULL;
    }
    unlink_timer(wheel, timer);
    wheel->count--;
    return timer;
}

int sl_wheel_wait(const struct sl_wheel *wheel, uint64_t now)
{
    uint64_t tick, here = now / SL_TIMER_TICK_MS;
    unsigned level, slot;

    if (wheel->due || wheel->late) return 0;
    if (!next_event(wheel, &tick, &level, &slot)) return -1;
    if (tick <= here) return 0;
    if (tick - here > SL_WHEEL_WAIT_MAX / SL_TIMER_TICK_MS) return SL_WHEEL_WAIT_MAX;
    return (int)((tick - here) * SL_TIMER_TICK_MS - now % SL_TIMER_TICK_MS);
}
