/* `load requests MODE`: HTTP requests through a proxy, counted, timed and checked. See load_requests.h. */
#include "load_requests.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "load_web.h"

enum { BAD_ARGUMENTS = 2, RAMP_MOST = 64 };

int request_wanted(const struct caller *c, const struct line *l)
{
    const struct request_options *o = c->options;

    if (c->phase == REQUEST_WIND_DOWN) return o->mode == QUIET;
    if (o->mode == KEPT) return !o->total || c->begun < o->total;
    return o->mode == FRESH || !l->answered;
}

void request_begins(struct caller *c, struct line *l, struct asked *a)
{
    (void)l;
    a->busy = 1;
    a->got = 0;
    a->began = now_ns();
    c->begun++;
}

int request_content(struct caller *c, struct line *l, struct asked *a, const uint8_t *data, size_t length)
{
    if (length > c->options->size - a->got || memcmp(data, pattern_at(&c->pattern, 0, a->got), length) != 0) {
        line_fail(c, l, REQUEST_CONTENT);
        return 0;
    }
    a->got += length;
    if (c->phase == REQUEST_MEASURE) c->down += length;
    if (c->options->mode == STALLED && c->phase == REQUEST_RAMP) l->stalled = 1;
    return 1;
}

void request_done(struct caller *c, struct line *l, struct asked *a)
{
    a->busy = 0;
    c->completed++;
    if (c->phase == REQUEST_MEASURE) {
        c->measured++;
        histogram_add(&c->times, now_ns() - a->began);
    }
    c->ramped += !l->answered;
    l->answered = 1;
    if (c->options->mode == FRESH || c->options->mode == STALLED ||
        (c->options->mode == QUIET && c->phase == REQUEST_WIND_DOWN))
        line_close(c, l);
}

void line_close(struct caller *c, struct line *l)
{
    if (!l->open) return;
    l->open = 0;
    c->open--;
    wire_close(&l->wire, 0);
}

void line_fail(struct caller *c, struct line *l, enum request_error error)
{
    if (!l->open) return;
    c->errors[error]++;
    line_close(c, l);
}

/* ---- connections ---- */

static int bind_source(const struct caller *c, int fd, uint64_t number)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    const int on = 1;

    if (!c->options->sources) return 1;
    own.sin_addr.s_addr = htonl(0x7f010001 + (uint32_t)(number % c->options->sources));
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)&own, sizeof own) == 0;
}

static int open_line(struct caller *c, struct line *l, uint64_t number)
{
    const struct request_options *o = c->options;
    const int on = 1;

    h2_line_close(l);
    *l = (struct line){.asked = l->asked, .head = l->head, .full = 1};
    memset(l->asked, 0, o->streams * sizeof *l->asked);
    l->wire.fd = socket(o->proxy.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->wire.fd < 0) return 0;
    l->open = 1;
    c->open++;
    if (setsockopt(l->wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 && bind_source(c, l->wire.fd, number) &&
        (connect(l->wire.fd, (const struct sockaddr *)&o->proxy, o->proxy_length) == 0 || errno == EINPROGRESS) &&
        watch(c->epoll, l->wire.fd, l) && (!o->http2 || h2_line_open(c, l)))
        return 1;
    line_fail(c, l, REQUEST_CONNECT);
    return 1;
}

static void serve(struct caller *c, struct line *l)
{
    if (!l->open) return;
    if (c->options->http2)
        h2_serve(c, l);
    else if (!l->full)
        h1_serve(c, l);
}

/* Connections that are due: all at once, or as many as may be on their way to their first response. */
static void open_lines(struct caller *c, uint64_t *number)
{
    const struct request_options *o = c->options;

    if (o->mode == FRESH) {
        for (size_t i = 0; i < c->slots && *number < o->count; i++)
            if (!c->lines[i].open && !open_line(c, &c->lines[i], (*number)++)) c->errors[REQUEST_CONNECT]++;
        return;
    }
    while (*number < c->slots && *number - c->ramped < RAMP_MOST) {
        if (!open_line(c, &c->lines[*number], *number)) c->errors[REQUEST_CONNECT]++;
        (*number)++;
    }
}

/* ---- phases ---- */

static uint64_t errors(const struct caller *c)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < REQUEST_ERROR_COUNT; i++) sum += c->errors[i];
    return sum;
}

static int busy(const struct caller *c)
{
    for (size_t i = 0; i < c->slots; i++)
        for (size_t j = 0; c->lines[i].open && j < c->options->streams; j++)
            if (c->lines[i].asked[j].busy) return 1;
    return 0;
}

static void begin_measure(struct caller *c, uint64_t now)
{
    c->phase = REQUEST_MEASURE;
    c->from = now;
    c->to = now + (uint64_t)(c->options->seconds * (double)SECOND);
}

/* A connection that stalled is read again, quiet ones ask once more in turn, all others come to their end. */
static void begin_end(struct caller *c)
{
    c->phase = c->options->mode == STALLED ? REQUEST_MEASURE : REQUEST_WIND_DOWN;
    c->lines[0].stalled = 0;
    if (c->options->mode == STALLED) serve(c, &c->lines[0]);
}

static void ask_quiet(struct caller *c)
{
    while (c->woken < c->slots && c->woken + c->open - c->slots < RAMP_MOST) serve(c, &c->lines[c->woken++]);
}

/* Moves on where it is due. Returns 0 when all is over. */
static int step(struct caller *c, uint64_t now)
{
    const struct request_options *o = c->options;

    if (now >= c->deadline) return 0;
    if (o->mode == FRESH) return c->completed + errors(c) < o->count;
    if (errors(c)) return 0;
    if (c->phase == REQUEST_RAMP && !c->from && (o->mode == STALLED ? c->lines[0].stalled : c->ramped == c->slots)) {
        if (o->mode == KEPT) {
            begin_measure(c, now);
        } else {
            c->from = now;
            c->to = now + (uint64_t)(o->seconds * (double)SECOND);
        }
    }
    if (!c->from) return 1;
    if (o->mode == KEPT && o->total) {
        if (c->begun >= o->total && !busy(c)) {
            c->to = now;
            return 0;
        }
        return 1;
    }
    if (now < c->to) return 1;
    if (o->mode == STALLED ? c->phase == REQUEST_RAMP : c->phase != REQUEST_WIND_DOWN) begin_end(c);
    if (o->mode == QUIET) ask_quiet(c);
    return o->mode == KEPT ? busy(c) : c->open > 0;
}

static void loop(struct caller *c)
{
    struct epoll_event events[BATCH];
    uint64_t number = 0;

    if (c->options->mode == FRESH) begin_measure(c, now_ns());
    open_lines(c, &number);
    while (step(c, now_ns())) {
        int count = epoll_wait(c->epoll, events, BATCH, 20);
        for (int i = 0; i < count; i++) {
            struct line *l = events[i].data.ptr;
            l->hangup |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            l->readable |= l->hangup || events[i].events & EPOLLIN;
            if (events[i].events & EPOLLOUT) l->full = 0;
            serve(c, l);
        }
        if (number < c->options->count) open_lines(c, &number);
        if (c->phase == REQUEST_MEASURE && c->options->mode == KEPT && c->completed == c->slots)
            for (size_t i = 0; i < c->slots; i++) serve(c, &c->lines[i]);
    }
    if (c->options->mode == FRESH) c->to = now_ns();
    c->errors[REQUEST_TIMEOUT] += now_ns() >= c->deadline;
}

/* ---- the command ---- */

static void report(const struct caller *c, const char *mode)
{
#define REQUEST_ERROR_TEXT(name, text) text,
    static const char *const texts[] = {REQUEST_ERRORS(REQUEST_ERROR_TEXT)};

    printf("{\"mode\": \"%s\", \"completed\": %llu, \"round_trips\": %llu, \"seconds\": %.6f, \"bytes_down\": %llu, "
           "\"errors\": {",
           mode, (unsigned long long)c->completed, (unsigned long long)c->measured,
           (double)(c->to - c->from) / (double)SECOND, (unsigned long long)c->down);
    for (unsigned i = 0; i < REQUEST_ERROR_COUNT; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", texts[i], (unsigned long long)c->errors[i]);
    printf("}, \"status\": %d, \"open_us\": ", c->code);
    histogram_print(&c->times);
    printf(", \"round_trip_us\": ");
    histogram_print(&c->times);
    printf("}\n");
}

static int set_up(struct caller *c)
{
    const struct request_options *o = c->options;

    c->slots = o->mode == FRESH && o->at_once < o->count ? o->at_once : o->count;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    c->lines = calloc(c->slots, sizeof *c->lines);
    c->deadline = now_ns() + (uint64_t)(o->timeout * (double)SECOND);
    for (size_t i = 0; c->lines && i < c->slots; i++) {
        c->lines[i].wire.fd = -1;
        if (!(c->lines[i].asked = calloc(o->streams, sizeof *c->lines[i].asked)) ||
            !(c->lines[i].head = malloc(RESPONSE_HEAD)))
            return 0;
    }
    pattern_fill(&c->pattern);
    h1_prepare(c);
    return c->lines != NULL && c->epoll >= 0;
}

static int run(const struct request_options *options, const char *mode)
{
    struct caller *c = calloc(1, sizeof *c);
    int failed = 1;

    if (!c) return 1;
    c->options = options;
    raise_files();
    if (set_up(c)) {
        loop(c);
        failed = errors(c) != 0;
        report(c, mode);
    }
    for (size_t i = 0; c->lines && i < c->slots; i++) {
        line_close(c, &c->lines[i]);
        h2_line_close(&c->lines[i]);
        free(c->lines[i].asked);
        free(c->lines[i].head);
    }
    free(c->lines);
    free(c);
    return failed;
}

static const struct option KNOWN[] = {
    {"proxy", 1, NULL, 'p'},    {"authority", 1, NULL, 'a'}, {"size", 1, NULL, 'z'},  {"count", 1, NULL, 'n'},
    {"streams", 1, NULL, 'm'},  {"at-once", 1, NULL, 'c'},   {"total", 1, NULL, 'N'}, {"seconds", 1, NULL, 's'},
    {"timeout", 1, NULL, 't'},  {"sources", 1, NULL, 'f'},   {"http2", 0, NULL, '2'}, {"unary", 0, NULL, 'u'},
    {"absolute", 0, NULL, 'A'}, {NULL, 0, NULL, 0},
};

/* Takes one option. Returns 0 for one that is wrong. */
static int take(struct request_options *o, int option, const char *text)
{
    switch (option) {
    case 'p': return read_loopback(text, &o->proxy, &o->proxy_length);
    case 'a': return snprintf(o->authority, sizeof o->authority, "%s", text) < (int)sizeof o->authority;
    case 'z': return (o->size = strtoull(text, NULL, 10)) > 0;
    case 'n': return (o->count = strtoull(text, NULL, 10)) > 0 && o->count <= 1000000;
    case 'm': return (o->streams = strtoull(text, NULL, 10)) > 0 && o->streams <= 1000;
    case 'c': return (o->at_once = strtoull(text, NULL, 10)) > 0 && o->at_once <= 60000;
    case 'N': return (o->total = strtoull(text, NULL, 10)) > 0;
    case 's': return (o->seconds = strtod(text, NULL)) > 0 && o->seconds <= 600;
    case 't': return (o->timeout = strtod(text, NULL)) > 0 && o->timeout <= 3600;
    case 'f': o->sources = (unsigned)strtoul(text, NULL, 10); return o->sources > 0 && o->sources <= 60000;
    case '2': return o->http2 = 1;
    case 'u': return o->unary = o->http2 = 1;
    case 'A': return o->absolute = 1;
    default: return 0;
    }
}

int requests_main(int argc, char **argv)
{
    static const char *const modes[] = {"kept", "fresh", "idle", "stalled"};
    struct request_options o = {.count = 64, .streams = 1, .at_once = 32, .size = 1024, .seconds = 5, .timeout = 60};
    int option, mode = -1;

    while ((option = getopt_long(argc, argv, "", KNOWN, NULL)) != -1)
        if (!take(&o, option, optarg)) {
            fprintf(stderr, "load: requests: %s: not an option, or not its value\n", argv[optind - 1]);
            return BAD_ARGUMENTS;
        }
    for (int i = 0; optind + 1 == argc && i < 4; i++)
        if (strcmp(argv[optind], modes[i]) == 0) mode = i;
    if (mode < 0 || !o.proxy_length || !*o.authority || (mode == STALLED && o.count != 1)) {
        fprintf(stderr,
                "load: requests: kept, fresh, idle or stalled (of --count 1), --proxy and --authority are needed\n");
        return BAD_ARGUMENTS;
    }
    o.mode = (enum request_mode)mode;
    return run(&o, modes[mode]);
}
