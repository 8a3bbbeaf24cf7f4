/* The origin of the load generator: echoes, swallows or sends a known pattern, as a connection's first byte says. */
#include "load_origin.h"

#include "load_common.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "relay/relay.h"

struct session {
    int fd;
    uint8_t mode;   /* 0 until the header is whole */
    uint8_t bad;    /* a byte was not the pattern's */
    uint8_t ended;  /* the client's end was read, or its hang-up reported */
    uint8_t queued; /* stopped by its budget: on the ready list */
    uint8_t header[SOURCE_HEADER];
    size_t held;  /* bytes of the header */
    uint8_t head; /* of a CONNECT head: 1 and how many bytes of its end were seen; 0 = none */
    uint32_t seed;
    uint64_t limit, offset;
    struct sl_direction echo;
    struct session *next;          /* in the ready list */
    struct session *after, **link; /* in the list of all */
};

struct origin {
    int epoll, listener, signals;
    struct session *ready, **ready_end, *all;
    struct pattern pattern;
    uint8_t scratch[CHUNK];
    uint64_t connections, open, echoes, sinks, sources, bytes_in, bytes_out, bad, resets, protocol;
};

enum outcome { GO_ON, AGAIN, CLOSE, RESET };

/* Swallows and checks; at the end it reports. */
static enum outcome sink(struct origin *o, struct session *s, const uint8_t *data, size_t length)
{
    uint8_t report[REPORT];

    if (length > 0) {
        s->bad |= memcmp(data, pattern_at(&o->pattern, s->seed, s->offset), length) != 0;
        s->offset += length;
        o->bytes_in += length;
        return GO_ON;
    }
    report[0] = s->bad ? 'x' : 'k';
    write_number(report + 1, 8, s->offset);
    o->bad += s->bad;
    return send(s->fd, report, sizeof report, MSG_NOSIGNAL) == sizeof report ? CLOSE : RESET;
}

/* Sends until the limit, a full socket or the turn's budget. */
static enum outcome source(struct origin *o, struct session *s)
{
    size_t turn = 0;

    while (s->limit == 0 || s->offset < s->limit) {
        size_t most = s->limit && s->limit - s->offset < CHUNK ? (size_t)(s->limit - s->offset) : CHUNK;
        if (turn >= TURN) return AGAIN;
        ssize_t n = send(s->fd, pattern_at(&o->pattern, s->seed, s->offset), most, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? GO_ON : RESET;
        s->offset += (uint64_t)n;
        o->bytes_out += (uint64_t)n;
        turn += (size_t)n;
    }
    return CLOSE;
}

static enum outcome echo(struct origin *o, struct session *s)
{
    uint64_t before = s->echo.bytes;
    struct sl_leg leg = sl_plain_leg(s->fd);
    enum sl_pump_status status;

    s->echo.hangup = s->ended & 1u;
    status = sl_pump(&s->echo, &leg, &leg, o->scratch, sizeof o->scratch, TURN);
    o->bytes_in += s->echo.bytes - before;
    o->bytes_out += s->echo.bytes - before;
    switch (status) {
    case SL_PUMP_DRY:
    case SL_PUMP_FULL: return GO_ON;
    case SL_PUMP_BUDGET: return AGAIN;
    case SL_PUMP_DONE: return CLOSE;
    default: return RESET;
    }
}

/* Reads a CONNECT head to its end and answers it. Returns how many bytes it took, or more than there are when it is
 * broken. */
static size_t read_connect_head(struct session *s, const uint8_t *data, size_t length)
{
    static const char end[] = "\r\n\r\n", answer[] = "HTTP/1.1 200 OK\r\n\r\n";
    size_t used = 0;

    while (used < length && s->head && s->head < sizeof end) {
        uint8_t byte = data[used++];
        s->head = byte == (uint8_t)end[s->head - 1] ? (uint8_t)(s->head + 1) : byte == '\r' ? 2 : 1;
    }
    if (s->head < sizeof end) return used;
    s->head = 0;
    return send(s->fd, answer, sizeof answer - 1, MSG_NOSIGNAL) == sizeof answer - 1 ? used : length + 1;
}

/* Takes the header out of the first bytes. Returns how many of them it is; the mode stays 0 until it is whole. */
static size_t read_header(struct session *s, const uint8_t *data, size_t length)
{
    size_t used = 0, whole = 1;

    while (used < length && s->held < whole) {
        s->header[s->held++] = data[used++];
        whole = s->header[0] == 's' ? SINK_HEADER : s->header[0] == 'g' ? SOURCE_HEADER : 1;
    }
    if (s->held < whole) return used;
    s->mode = s->header[0];
    s->seed = whole > 1 ? (uint32_t)read_number(s->header + 1, 4) : 0;
    s->limit = whole == SOURCE_HEADER ? read_number(s->header + SINK_HEADER, 8) : 0;
    return used;
}

/* The first bytes of a connection: what they ask for, and the payload that came along. */
static enum outcome begin(struct origin *o, struct session *s, const uint8_t *data, size_t length)
{
    size_t used = 0;

    if (s->held == 0 && s->head == 0 && length && data[0] == 'C') s->head = 1;
    if (s->head) used = read_connect_head(s, data, length);
    if (used > length) return RESET;
    used += read_header(s, data + used, length - used);
    data += used;
    length -= used;
    switch (s->mode) {
    case 0: return GO_ON;
    case 'e': o->echoes++; return sl_direction_preload(&s->echo, data, length) ? echo(o, s) : RESET;
    case 's': o->sinks++; return length ? sink(o, s, data, length) : GO_ON;
    case 'g': o->sources++; return source(o, s);
    default: o->protocol++; return RESET;
    }
}

/* Everything that a session can do now. */
static enum outcome serve(struct origin *o, struct session *s)
{
    size_t turn = 0;
    enum outcome outcome = GO_ON;

    if (s->mode == 'e') return echo(o, s);
    if (s->mode == 'g') return s->ended && s->limit == 0 ? RESET : source(o, s);
    while (outcome == GO_ON && s->mode != 'e' && s->mode != 'g') {
        if (turn >= TURN) return AGAIN;
        ssize_t n = recv(s->fd, o->scratch, sizeof o->scratch, 0);
        if (n < 0) return errno == EAGAIN || errno == EINTR ? GO_ON : RESET;
        turn += (size_t)n;
        if (s->mode == 's')
            outcome = sink(o, s, o->scratch, (size_t)n);
        else
            outcome = n == 0 ? CLOSE : begin(o, s, o->scratch, (size_t)n);
    }
    return outcome;
}

static void end(struct origin *o, struct session *s, enum outcome outcome)
{
    if (outcome == RESET) {
        o->resets++;
        close_reset(s->fd);
    } else
        close(s->fd);
    sl_direction_free(&s->echo);
    *s->link = s->after;
    if (s->after) s->after->link = s->link;
    o->open--;
    free(s);
}

static void turn(struct origin *o, struct session *s)
{
    enum outcome outcome = serve(o, s);

    if (outcome == AGAIN) {
        s->queued = 1;
        s->next = NULL;
        *o->ready_end = s;
        o->ready_end = &s->next;
    } else if (outcome != GO_ON)
        end(o, s, outcome);
}

static void accept_all(struct origin *o)
{
    const int on = 1;

    for (;;) {
        int fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct session *s;
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                usleep(1000); /* the listener stays readable: no busy loop until a session ends */
            return;
        }
        o->connections++;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!(s = calloc(1, sizeof *s)) || !watch(o->epoll, fd, s)) {
            free(s);
            close_reset(fd);
            continue;
        }
        s->fd = fd;
        s->after = o->all;
        s->link = &o->all;
        if (s->after) s->after->link = &s->after;
        o->all = s;
        o->open++;
    }
}

/* One turn over the sessions that a budget stopped; those stopped again come next time. */
static void run_ready(struct origin *o)
{
    struct session *s = o->ready;

    o->ready = NULL;
    o->ready_end = &o->ready;
    while (s) {
        struct session *next = s->next;
        s->queued = 0;
        turn(o, s);
        s = next;
    }
}

static void loop(struct origin *o, uint64_t until)
{
    struct epoll_event events[BATCH];

    for (;;) {
        uint64_t now = now_ns();
        if (now >= until) return;
        int wait = o->ready ? 0 : (int)((until - now) / 1000000) + 1;
        int count = epoll_wait(o->epoll, events, BATCH, wait);
        for (int i = 0; i < count; i++) {
            struct session *s = events[i].data.ptr;
            if (events[i].data.ptr == &o->signals) return;
            if (events[i].data.ptr == &o->listener) {
                accept_all(o);
                continue;
            }
            s->ended |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            /* Room alone matters only to those that wait for it. */
            if (!s->queued && (events[i].events != EPOLLOUT || s->mode == 'g' || s->echo.pending)) turn(o, s);
        }
        run_ready(o);
    }
}

/* Opens the listener and the signal descriptor. Returns the port, or 0 with a message. */
static unsigned set_up(struct origin *o, const struct origin_options *options)
{
    struct sockaddr_storage bound;
    socklen_t length = sizeof bound;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &o->listener};
    const int on = 1;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    o->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    o->epoll = epoll_create1(EPOLL_CLOEXEC);
    o->listener = socket(options->listen.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(o->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (o->signals < 0 || o->epoll < 0 || o->listener < 0 ||
        bind(o->listener, (const struct sockaddr *)&options->listen, options->listen_length) < 0 ||
        listen(o->listener, 65535) < 0 || getsockname(o->listener, (struct sockaddr *)&bound, &length) < 0 ||
        epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->listener, &event) < 0) {
        perror("load: origin");
        return 0;
    }
    event.data.ptr = &o->signals;
    epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->signals, &event);
    return ntohs(bound.ss_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
                                            : ((struct sockaddr_in6 *)&bound)->sin6_port);
}

int run_origin(const struct origin_options *options)
{
    struct origin *o = calloc(1, sizeof *o);
    unsigned port;

    if (!o || !(port = set_up(o, options))) {
        free(o);
        return 1;
    }
    o->ready_end = &o->ready;
    raise_files();
    pattern_fill(&o->pattern);
    printf("{\"port\": %u}\n", port);
    fflush(stdout);
    loop(o, now_ns() + (uint64_t)(options->seconds * (double)SECOND));
    printf("{\"connections\": %llu, \"open\": %llu, \"echoes\": %llu, \"sinks\": %llu, \"sources\": %llu, "
           "\"bytes_in\": %llu, \"bytes_out\": %llu, \"resets\": %llu, \"protocol\": %llu, \"content\": %llu}\n",
           (unsigned long long)o->connections, (unsigned long long)o->open, (unsigned long long)o->echoes,
           (unsigned long long)o->sinks, (unsigned long long)o->sources, (unsigned long long)o->bytes_in,
           (unsigned long long)o->bytes_out, (unsigned long long)o->resets, (unsigned long long)o->protocol,
           (unsigned long long)o->bad);
    int broken = o->bad || o->protocol;
    while (o->all) end(o, o->all, RESET);
    free(o);
    return broken;
}
