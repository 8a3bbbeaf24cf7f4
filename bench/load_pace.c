/* Load by the clock: tunnels that begin, messages that leave and tunnels that go on when they are due, however the proxy
 * does. Times are counted from when something was due, so a proxy that stalls cannot hide behind fewer attempts. */
#include "load_client.h"

uint64_t pace_begin_due(const struct client *c)
{
    if (c->options->mode != OPEN_CLOSE || c->options->rate <= 0) return 0;
    return c->from + (uint64_t)((double)c->began / c->options->rate * (double)SECOND);
}

/* ---- messages of PING_PONG: one tunnel after the other ---- */

static uint64_t message_due(const struct client *c)
{
    double all = c->options->rate * (double)c->slots;
    return c->measured_from + (uint64_t)((double)c->paced / all * (double)SECOND);
}

static void send_messages(struct client *c, uint64_t now)
{
    for (uint64_t due; (due = message_due(c)) <= now && due < c->measured_to; c->paced++) {
        struct tunnel *t = &c->tunnels[c->paced % c->slots];
        if (t->state == READY || (t->state == RUNNING && t->got == t->target))
            tunnel_message(c, t, due);
        else if (t->state == RUNNING)
            c->missed++; /* its last answer is not here yet, and that one's time tells */
    }
}

/* ---- tunnels of OPEN_CLOSE that are held open: a queue, as all are held equally long ---- */

void pace_hold(struct client *c, struct tunnel *t)
{
    t->state = READY;
    t->held_until = now_ns() + (uint64_t)(c->options->hold * (double)SECOND);
    t->held_after = NULL;
    t->held_before = c->held_last;
    *(c->held_last ? &c->held_last->held_after : &c->held_first) = t;
    c->held_last = t;
}

void pace_release(struct client *c, struct tunnel *t)
{
    if (!t->held_until) return;
    *(t->held_before ? &t->held_before->held_after : &c->held_first) = t->held_after;
    *(t->held_after ? &t->held_after->held_before : &c->held_last) = t->held_before;
    t->held_until = 0;
}

static void go_on(struct client *c, uint64_t now)
{
    while (c->held_first && c->held_first->held_until <= now) {
        struct tunnel *t = c->held_first;
        uint64_t due = t->held_until;
        pace_release(c, t);
        t->held = 1;
        tunnel_message(c, t, due);
    }
}

void pace_turn(struct client *c)
{
    uint64_t now = now_ns();

    go_on(c, now);
    if (c->options->mode == PING_PONG && c->options->rate > 0 && c->phase == MEASURE) send_messages(c, now);
}

uint64_t pace_next(const struct client *c)
{
    uint64_t next = UINT64_MAX;

    if (c->held_first) next = c->held_first->held_until;
    if (c->options->mode == PING_PONG && c->options->rate > 0 && c->phase == MEASURE && message_due(c) < next)
        next = message_due(c);
    if (pace_begin_due(c) && c->spare && c->began < c->options->count && pace_begin_due(c) < next)
        next = pace_begin_due(c);
    return next;
}
