/* Timers: a hierarchical wheel of intrusive nodes; add, move and cancel are O(1) and allocate nothing. Time is an
 * argument: milliseconds of any monotonic clock. Resolution is SL_TIMER_TICK_MS; a timer fires never early and at most
 * one tick late (plus the caller's own delay). After Varghese & Lauck, "Hashed and hierarchical timing wheels". */
#ifndef SLUICE_TIMERS_H
#define SLUICE_TIMERS_H

#include <stdint.h>

/* The wheel spans 64^5 ticks, 99 days; later timers are queued again as time comes near. */
enum { SL_TIMER_TICK_MS = 8, SL_WHEEL_LEVELS = 5, SL_WHEEL_SLOTS = 64 };
enum { SL_WHEEL_WAIT_MAX = 60000 };

struct sl_timer {
    struct sl_timer *next;  /* NULL-terminated list of the slot */
    struct sl_timer **link; /* the pointer to this node; NULL: not queued */
    uint64_t at;            /* milliseconds */
    void *owner;            /* the caller's */
};

struct sl_wheel {
    uint64_t tick;                      /* ticks that have been expired */
    uint64_t count;                     /* timers queued, those due and not yet taken included */
    uint64_t occupied[SL_WHEEL_LEVELS]; /* bit per slot */
    struct sl_timer *slots[SL_WHEEL_LEVELS][SL_WHEEL_SLOTS];
    struct sl_timer *due;  /* expired, waiting to be taken */
    struct sl_timer *late; /* set for a time already expired: due from the next round of takes on */
    int taking;            /* inside a round of takes: the last one did not return NULL */
};

void sl_wheel_init(struct sl_wheel *wheel, uint64_t now);
/* Queues `timer` for `at`, moving it when it is queued already (or due). A time in the past fires in the next round of
 * takes, never in the one under way: a handler that sets its own timer for "now" cannot hold the round up. */
void sl_wheel_set(struct sl_wheel *wheel, struct sl_timer *timer, uint64_t at);
/* Takes `timer` out, due or not; nothing happens when it is not queued (a zeroed timer is not). */
void sl_wheel_cancel(struct sl_wheel *wheel, struct sl_timer *timer);
/* The next timer due at `now`, taken out of the wheel; NULL when there is none. Call until NULL: that is one round.
 * Earlier ticks come first; within a tick the order is not defined. A `now` that goes back fires nothing. */
struct sl_timer *sl_wheel_take(struct sl_wheel *wheel, uint64_t now);
/* Milliseconds until something may be due: a lower bound, at most SL_WHEEL_WAIT_MAX; -1 when the wheel is empty. */
int sl_wheel_wait(const struct sl_wheel *wheel, uint64_t now);

#endif
