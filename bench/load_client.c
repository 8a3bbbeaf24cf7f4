/* The client of the load generator: opens tunnels through a proxy, leads them through the phases of load_client.h,
 * reports. */
#include "load_h2.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { OPENING_MOST = 128, ANSWER_MOST = 4096 }; /* handshakes under way outside OPEN_CLOSE; bytes of their answers */

static void release(struct client *c, struct tunnel *t, int reset)
{
    if (t->carrier)
        h2_release(c, t, reset);
    else
        wire_close(&t->wire, reset);
    free(t->answer);
    t->answer = NULL;
    pace_release(c, t);
    tunnel_settled(c, t);
    c->active--;
    t->state = FREE;
    if (!t->queued) { /* else run_ready() does it */
        t->next = c->spare;
        c->spare = t;
    }
}

void tunnel_settled(struct client *c, struct tunnel *t)
{
    c->opening -= t->opening;
    t->opening = 0;
}

void tunnel_fail(struct client *c, struct tunnel *t, enum error error)
{
    int opening = (t->state == SECURING || t->state == HANDSHAKE) && (error == ERROR_RESET || error == ERROR_END);

    c->errors[opening ? ERROR_OPENING : error]++;
    release(c, t, 1);
}

void tunnel_complete(struct client *c, struct tunnel *t, int reset)
{
    c->completed++;
    release(c, t, reset);
}

/* ---- opening ---- */

void tunnel_open(struct client *c, struct tunnel *t)
{
    free(t->answer);
    t->answer = NULL;
    t->state = READY;
    c->opened++;
    histogram_add(&c->open_times, now_ns() - t->started);
    if (c->options->mode != IDLE) /* which counts as being opened until its first echo is back */
        tunnel_settled(c, t);
    if (c->options->mode == OPEN_CLOSE || c->options->mode == IDLE) tunnel_start(c, t);
}

static int say(struct client *c, struct tunnel *t, const void *data, size_t length)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = length};

    if (wire_send(&t->wire, &c->tls, &part, 1) == (ssize_t)length) return 1;
    tunnel_fail(c, t, ERROR_RESET);
    return 0;
}

/* The connection stands. */
static void connected(struct client *c, struct tunnel *t)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(t->wire.fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error)
        tunnel_fail(c, t, ERROR_CONNECT);
    else
        t->state = SECURING;
}

/* TLS, where there is some, and the first thing to say behind it. */
static void secure(struct client *c, struct tunnel *t)
{
    int done = wire_advance(&t->wire, &c->tls);

    if (done < 0) tunnel_fail(c, t, ERROR_TLS);
    if (done <= 0) return;
    t->state = HANDSHAKE;
    if (c->options->via == DIRECT)
        tunnel_open(c, t);
    else if (!(t->answer = malloc(ANSWER_MOST)))
        tunnel_fail(c, t, ERROR_CONNECT);
    else if (c->options->via == SOCKS5)
        say(c, t, "\5\1\0", 3);
    else
        say(c, t, c->handshake.request, c->handshake.request_length);
}

static void shake_hands(struct client *c, struct tunnel *t)
{
    while (t->state == HANDSHAKE && t->readable) {
        ssize_t n = wire_recv(&t->wire, t->answer + t->have, ANSWER_MOST - t->have);
        if (n < 0) {
            t->readable = 0;
            if (errno != EAGAIN && errno != EINTR) tunnel_fail(c, t, ERROR_RESET);
            return;
        }
        t->have += (size_t)n;
        t->readable = n == 0 || t->hangup || t->wire.ssl; /* answers are short: what follows makes a new edge */
        switch (handshake_read(&c->handshake, t->asked, t->answer, t->have, &c->code)) {
        case HANDSHAKE_ASK:
            t->asked = 1;
            say(c, t, c->handshake.request, c->handshake.request_length);
            break;
        case HANDSHAKE_OPEN:
            t->have = 0;
            tunnel_open(c, t);
            break;
        case HANDSHAKE_REFUSED: tunnel_fail(c, t, ERROR_REFUSED); break;
        case HANDSHAKE_MORE:
            if (n == 0 || t->have == ANSWER_MOST) tunnel_fail(c, t, n == 0 ? ERROR_END : ERROR_PROTOCOL);
            break;
        default: tunnel_fail(c, t, ERROR_PROTOCOL);
        }
    }
}

int client_source(const struct client *c, int fd, uint64_t number)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    const int on = 1;

    if (!c->options->sources) return 1;
    from.sin_addr.s_addr = htonl(0x7f010001u + (uint32_t)(number % c->options->sources));
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)&from, sizeof from) == 0;
}

static void begin(struct client *c, struct tunnel *t, uint64_t due)
{
    const struct client_options *o = c->options;
    const struct sockaddr_storage *peer = o->via == DIRECT ? &o->origin : &o->proxy;
    socklen_t length = o->via == DIRECT ? o->origin_length : o->proxy_length;
    const int on = 1;

    *t = (struct tunnel){.state = CONNECTING, .opening = 1, .seed = c->seed, .started = due ? due : now_ns()};
    c->seed += 7919; /* so that neighbours never lie at the same place of the pattern */
    c->began++;
    c->active++;
    c->opening++;
    if (o->via == HTTP2) {
        h2_begin(c, t);
        return;
    }
    t->wire.fd = socket(peer->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->wire.fd < 0 || setsockopt(t->wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        !client_source(c, t->wire.fd, c->began) || !wire_begin(&t->wire, &c->tls) ||
        (connect(t->wire.fd, (const struct sockaddr *)peer, length) < 0 && errno != EINPROGRESS) ||
        !watch(c->epoll, t->wire.fd, t))
        tunnel_fail(c, t, ERROR_CONNECT);
}

/* ---- the run ---- */

static void turn(struct client *c, struct tunnel *t)
{
    if (t->state == CONNECTING) connected(c, t);
    if (t->state == SECURING) secure(c, t);
    if (t->state == HANDSHAKE) shake_hands(c, t);
    if (t->state >= READY && tunnel_carry(c, t)) {
        t->queued = 1;
        t->next = NULL;
        *c->ready_end = t;
        c->ready_end = &t->next;
    }
}

/* One turn for those that were not done; those not done again come next time. */
static void run_ready(struct client *c)
{
    struct tunnel *t = c->ready;

    c->ready = NULL;
    c->ready_end = &c->ready;
    while (t) {
        struct tunnel *next = t->next;
        t->queued = 0;
        if (t->state != FREE)
            turn(c, t);
        else {
            t->next = c->spare;
            c->spare = t;
        }
        t = next;
    }
}

static void handle(struct client *c, struct tunnel *t, uint32_t events)
{
    if (t->state == FREE) return;
    t->hangup |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    t->readable |= t->hangup || events & EPOLLIN;
    if (!t->queued) turn(c, t);
}

/* Opens tunnels while there are some to open and free slots for them. */
static void open_more(struct client *c)
{
    size_t most = c->options->mode == OPEN_CLOSE ? c->slots : OPENING_MOST;

    while (c->spare && c->began < c->options->count && c->opening < most) {
        uint64_t due = pace_begin_due(c);
        struct tunnel *t = c->spare;
        if (due > now_ns() || (c->tls.resume && !c->tls.session && c->began)) break;
        c->spare = t->next;
        begin(c, t, due);
    }
}

/* All are open: the measured phase begins. */
static void start_all(struct client *c)
{
    c->phase = MEASURE;
    c->measured_from = now_ns();
    c->measured_to = c->measured_from + (uint64_t)(c->options->seconds * (double)SECOND);
    if (c->options->bytes && (c->options->mode == BULK_DOWN || c->options->mode == BULK_UP))
        c->measured_to = c->deadline;
    for (size_t i = 0; i < c->slots && c->options->mode != IDLE && c->options->rate <= 0; i++)
        if (c->tunnels[i].state == READY) {
            tunnel_start(c, &c->tunnels[i]);
            if (c->tunnels[i].state != FREE && !c->tunnels[i].queued) turn(c, &c->tunnels[i]);
        }
}

/* Time is up: what was asked for without end ends now. A round trip under way is finished; an idle tunnel echoes
 * again. */
static void stop_all(struct client *c)
{
    c->phase = WIND_DOWN;
    c->measured_to = now_ns();
    for (size_t i = 0; i < c->slots; i++)
        if (c->tunnels[i].state == READY || c->tunnels[i].state == RUNNING) tunnel_stop(c, &c->tunnels[i]);
}

static int over(const struct client *c)
{
    return c->active == 0 && c->began == c->options->count;
}

/* Moves from phase to phase. Returns how long may be waited, in milliseconds. */
static int steer(struct client *c)
{
    uint64_t now = now_ns(), next = c->deadline;

    if (c->options->mode != OPEN_CLOSE && c->phase == RAMP && c->began == c->options->count && c->opening == 0)
        start_all(c);
    if (c->options->mode != OPEN_CLOSE && c->phase == MEASURE) {
        if (now >= c->measured_to)
            stop_all(c);
        else
            next = c->measured_to < next ? c->measured_to : next;
    }
    return c->ready || next <= now ? 0 : (int)((next - now + 999999) / 1000000);
}

/* Wakes the loop when the next thing is due by the clock: a wait in milliseconds would be too coarse. */
static void set_alarm(const struct client *c)
{
    uint64_t next = pace_next(c);
    struct itimerspec alarm = {0};

    if (next != UINT64_MAX)
        alarm.it_value = (struct timespec){.tv_sec = (time_t)(next / SECOND), .tv_nsec = (long)(next % SECOND)};
    timerfd_settime(c->alarm, TFD_TIMER_ABSTIME, &alarm, NULL);
}

static void loop(struct client *c)
{
    struct epoll_event events[BATCH];

    while (!over(c) && now_ns() < c->deadline) {
        open_more(c);
        int wait = steer(c);
        if (over(c)) break;
        set_alarm(c);
        if (c->due && h2_flush(c)) wait = 0;
        int count = epoll_wait(c->epoll, events, BATCH, wait);
        for (int i = 0; i < count; i++) {
            uintptr_t owner = (uintptr_t)events[i].data.ptr;
            if (owner & 1)
                h2_event(c, (struct carrier *)(owner - 1), events[i].events);
            else if (owner)
                handle(c, events[i].data.ptr, events[i].events);
        }
        h2_read(c);
        run_ready(c);
        pace_turn(c);
    }
    if (c->phase == MEASURE) c->measured_to = now_ns();
    for (size_t i = 0; i < c->slots; i++)
        if (c->tunnels[i].state != FREE) tunnel_fail(c, &c->tunnels[i], ERROR_TIMEOUT);
    c->errors[ERROR_TIMEOUT] += c->options->count - c->began;
}

static void report(struct client *c, const char *mode, const char *via, uint64_t from, uint64_t to)
{
#define ERROR_TEXT(name, text) text,
    static const char *const texts[] = {ERRORS(ERROR_TEXT)};

    printf("{\"mode\": \"%s\", \"via\": \"%s\", \"tunnels\": %zu, \"opened\": %llu, \"completed\": %llu, "
           "\"seconds\": %.6f, \"round_trips\": %llu, \"bytes_up\": %llu, \"bytes_down\": %llu, \"errors\": {",
           mode, via, c->options->count, (unsigned long long)c->opened, (unsigned long long)c->completed,
           (double)(to - from) / (double)SECOND, (unsigned long long)c->round_trips, (unsigned long long)c->up,
           (unsigned long long)c->down);
    for (unsigned i = 0; i < ERROR_COUNT; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", texts[i], (unsigned long long)c->errors[i]);
    printf("}, \"refusal\": %d, \"missed\": %llu, \"bytes_stalled\": %llu, \"open_us\": ", c->code,
           (unsigned long long)c->missed, (unsigned long long)c->stalled);
    histogram_print(&c->open_times);
    printf(", \"round_trip_us\": ");
    histogram_print(&c->trips);
    printf(", \"handshakes\": %llu, \"resumed\": %llu}\n", (unsigned long long)c->tls.handshakes,
           (unsigned long long)c->tls.resumed);
}

int run_client(const struct client_options *options, const char *mode, const char *via)
{
    struct client *c = calloc(1, sizeof *c);
    uint64_t from = now_ns();
    int failed = 0;

    if (!c) return 1;
    c->options = options;
    c->tls.resume = options->resume;
    c->ready_end = &c->ready;
    c->slots = options->at_once < options->count ? options->at_once : options->count;
    c->tunnels = calloc(c->slots, sizeof *c->tunnels);
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->alarm = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    c->from = from;
    c->deadline = from + (uint64_t)(options->timeout * (double)SECOND);
    c->phase = options->mode == OPEN_CLOSE ? MEASURE : RAMP;
    for (size_t i = c->slots; c->tunnels && i-- > 0;) {
        c->tunnels[i].next = c->spare;
        c->spare = &c->tunnels[i];
    }
    if (!c->tunnels || c->epoll < 0 || c->alarm < 0 || !watch(c->epoll, c->alarm, NULL) ||
        !handshake_prepare(&c->handshake, options->via, &options->origin, options->ask) ||
        (options->tls &&
         !wire_tls_begin(&c->tls, options->certificate, options->key, options->via == HTTP2 ? "h2" : "http/1.1")) ||
        (options->via == HTTP2 && !h2_set_up(c))) {
        fprintf(stderr, "load: no memory or descriptors, or a name too long\n");
        failed = 1;
    } else {
        pattern_fill(&c->pattern);
        loop(c);
        report(c, mode, via, c->measured_from ? c->measured_from : from, c->measured_to ? c->measured_to : now_ns());
        for (unsigned i = 0; i < ERROR_COUNT; i++) failed |= c->errors[i] != 0;
    }
    h2_close(c);
    wire_tls_end(&c->tls);
    free(c->tunnels);
    free(c);
    return failed;
}
