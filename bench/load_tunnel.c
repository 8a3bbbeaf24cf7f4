/* One open tunnel of the client: messages out, bytes in, every one of them checked. */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "load_h2.h"

static int is_echo(const struct client *c)
{
    return c->options->mode == OPEN_CLOSE || c->options->mode == PING_PONG || c->options->mode == IDLE;
}

enum put { PUT_FAILED = 0, PUT_ALL, PUT_BLOCKED, PUT_TURN_OVER };

/* Nothing was taken, for now or for good. */
static enum put blocked(struct client *c, struct tunnel *t)
{
    if (errno == EAGAIN || errno == EINTR) return PUT_BLOCKED;
    tunnel_fail(c, t, ERROR_RESET);
    return PUT_FAILED;
}

/* Sends header and payload up to the target. A failure has ended the tunnel. */
static enum put put_out(struct client *c, struct tunnel *t)
{
    size_t turn = 0;

    if (t->carrier) return h2_put_out(c, t) ? PUT_ALL : PUT_BLOCKED;
    if (!wire_flush(&t->wire)) return blocked(c, t);
    while (t->header_sent < t->header_length || t->sent < t->target) {
        uint64_t left = t->target - t->sent;
        struct iovec parts[2] = {
            {.iov_base = t->header + t->header_sent, .iov_len = t->header_length - t->header_sent},
            {.iov_base = (void *)(uintptr_t)pattern_at(&c->pattern, t->seed, t->sent),
             .iov_len = left < CHUNK ? left : CHUNK},
        };
        if (turn >= TURN && !is_echo(c)) /* a message is bounded */
            return PUT_TURN_OVER;
        ssize_t n = wire_send(&t->wire, &c->tls, parts, 2);
        if (n < 0) return blocked(c, t);
        size_t of_header = (size_t)n < parts[0].iov_len ? (size_t)n : parts[0].iov_len;
        t->header_sent += of_header;
        t->sent += (size_t)n - of_header;
        turn += (size_t)n;
        if (c->phase == MEASURE) c->up += (size_t)n - of_header;
    }
    return PUT_ALL;
}

/* Ends our side so that the other has to end its own. */
static void half_close(struct client *c, struct tunnel *t)
{
    t->state = ENDING;
    if (t->carrier)
        h2_half_close(c, t);
    else if (!wire_finish(&t->wire))
        tunnel_fail(c, t, ERROR_RESET);
}

/* An echo tunnel has nothing more to do. A stream has no close but the ends of both directions. */
static void end_echo(struct client *c, struct tunnel *t)
{
    if (c->options->ending == END_HALF || (t->carrier && c->options->ending == END_CLOSE))
        half_close(c, t);
    else
        tunnel_complete(c, t, c->options->ending == END_RESET);
}

void tunnel_message(struct client *c, struct tunnel *t, uint64_t from)
{
    t->state = RUNNING;
    t->sent_at = from;
    if (t->header_length == 0) {
        t->header[0] = 'e';
        t->header_length = 1;
    }
    t->target += c->options->size;
    put_out(c, t);
}

/* A whole message came back. */
static void round_trip(struct client *c, struct tunnel *t)
{
    histogram_add(&c->trips, now_ns() - t->sent_at);
    c->round_trips += c->phase == MEASURE;
    if (c->options->mode == PING_PONG && c->phase == MEASURE) {
        if (c->options->rate <= 0) tunnel_message(c, t, now_ns());
    } else if (c->options->mode == OPEN_CLOSE && c->options->hold > 0 && !t->held)
        pace_hold(c, t);
    else if (c->options->mode == IDLE && c->phase == RAMP) {
        t->state = READY;
        tunnel_settled(c, t);
    } else
        end_echo(c, t);
}

void tunnel_start(struct client *c, struct tunnel *t)
{
    const struct client_options *o = c->options;

    t->state = RUNNING;
    t->header[0] = o->mode == BULK_UP ? 's' : o->mode == BULK_DOWN ? 'g' : 'e';
    t->header_length = o->mode == BULK_UP ? SINK_HEADER : o->mode == BULK_DOWN ? SOURCE_HEADER : 1;
    write_number(t->header + 1, 4, t->seed);
    write_number(t->header + SINK_HEADER, 8, o->bytes);
    if (o->mode == BULK_UP) t->target = o->bytes ? o->bytes : UINT64_MAX;
    if (is_echo(c)) tunnel_message(c, t, now_ns());
}

/* The sink has all we sent: its report must say so. */
static void check_report(struct client *c, struct tunnel *t)
{
    if (t->have < sizeof t->report) return;
    if (t->report[0] == 'k' && read_number(t->report + 1, 8) == t->sent)
        tunnel_complete(c, t, 0);
    else
        tunnel_fail(c, t, ERROR_CONTENT);
}

static void read_report(struct client *c, struct tunnel *t)
{
    ssize_t n = wire_recv(&t->wire, t->report + t->have, sizeof t->report - t->have);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) tunnel_fail(c, t, ERROR_RESET);
        return;
    }
    t->have += (size_t)n;
    if (n == 0)
        tunnel_fail(c, t, ERROR_END);
    else
        check_report(c, t);
}

/* Due only where it was asked for. */
void tunnel_ended(struct client *c, struct tunnel *t)
{
    if (c->options->mode == BULK_DOWN && c->options->bytes && t->got == c->options->bytes)
        tunnel_complete(c, t, 0);
    else if (is_echo(c) && t->state == ENDING && t->got == t->sent)
        tunnel_complete(c, t, 0);
    else
        tunnel_fail(c, t, ERROR_END);
}

/* Whether a read says that there is no more for now; an end or a failure is dealt with here. */
static int is_dry(struct client *c, struct tunnel *t, ssize_t n)
{
    if (n > 0) {
        if ((size_t)n < sizeof c->scratch && !t->hangup && !t->wire.ssl)
            t->readable = 0; /* after this read: new bytes make a new edge */
        return 0;
    }
    if (n == 0)
        tunnel_ended(c, t);
    else if (errno == EAGAIN || errno == EINTR)
        t->readable = 0;
    else
        tunnel_fail(c, t, ERROR_RESET);
    return 1;
}

void tunnel_received(struct client *c, struct tunnel *t, const uint8_t *data, size_t length)
{
    const struct client_options *o = c->options;
    uint64_t due = is_echo(c) ? t->sent - t->got : o->bytes ? o->bytes - t->got : UINT64_MAX;

    if (o->mode == BULK_UP) { /* over HTTP/2: what the sink reports */
        due = t->state == ENDING ? sizeof t->report - t->have : 0;
        if (length <= due) {
            memcpy(t->report + t->have, data, length);
            t->have += length;
            check_report(c, t);
        } else
            tunnel_fail(c, t, ERROR_CONTENT);
        return;
    }
    if (length > due || memcmp(data, pattern_at(&c->pattern, t->seed, t->got), length) != 0) {
        tunnel_fail(c, t, ERROR_CONTENT);
        return;
    }
    t->got += length;
    *(t->stalled ? &c->stalled : &c->down) += t->stalled || c->phase == MEASURE ? length : 0;
    if (is_echo(c) && t->state == RUNNING && t->got == t->target) round_trip(c, t);
}

/* Reads what came and checks it. Returns 1 when its turn is over, 0 when the source is dry or the tunnel has ended. */
static int take_in(struct client *c, struct tunnel *t)
{
    size_t turn = 0;

    while (t->state != FREE && t->readable) {
        if (turn >= TURN) return 1;
        ssize_t n = wire_recv(&t->wire, c->scratch, sizeof c->scratch);
        if (is_dry(c, t, n)) return 0;
        turn += (size_t)n;
        tunnel_received(c, t, c->scratch, (size_t)n);
    }
    return 0;
}

static int carry_up(struct client *c, struct tunnel *t)
{
    enum put put = put_out(c, t);

    if (put == PUT_FAILED) return 0;
    if (t->state == RUNNING && t->hangup) { /* the other side gave up before we ended */
        tunnel_fail(c, t, ERROR_END);
        return 0;
    }
    if (put == PUT_ALL && t->state == RUNNING) half_close(c, t);
    if (t->state == ENDING && !t->carrier) read_report(c, t);
    return put == PUT_TURN_OVER;
}

int tunnel_carry(struct client *c, struct tunnel *t)
{
    if (c->options->mode == BULK_UP) return carry_up(c, t);
    return put_out(c, t) != PUT_FAILED && take_in(c, t);
}

void tunnel_stop(struct client *c, struct tunnel *t)
{
    const struct client_options *o = c->options;

    if (o->mode == PING_PONG && o->rate > 0 && t->got == t->target)
        end_echo(c, t);
    else if (o->mode == IDLE && t->state == READY)
        tunnel_message(c, t, now_ns());
    else if ((o->mode == BULK_DOWN || (o->mode == BULK_UP && o->ending == END_RESET)) && o->bytes == 0)
        tunnel_complete(c, t, 1);
    else if (o->mode == BULK_UP && o->bytes == 0) {
        t->target = t->sent;
        carry_up(c, t);
    }
}
