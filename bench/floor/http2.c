/* The floor of HTTP/2: CONNECT streams to IPv4 addresses, framed by libnghttp2, relayed by copying, and nothing else: no
 * policy, no names, no log, no limits, no time-outs. A yardstick for streams, as floor.c is for connections.
 *
 *   h2-floor 127.0.0.1:PORT */
#include <errno.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../load_common.h"

enum { EVENTS_MOST = 256, INPUT_SIZE = 262144, OUTPUT_SIZE = 262144, FRAME_MOST = 16384 + 9, WINDOW = 1 << 22 };

struct floor;

struct client {
    int fd; /* -1: over, freed at the end of the turn */
    struct floor *floor;
    nghttp2_session *session;
    uint8_t *held;   /* output that the socket did not take, malloc'd; NULL when none */
    size_t from, to; /* of it: the first byte, and one past the last */
    uint8_t queued;  /* among those that are served at the end of the turn */
    uint8_t hangup;  /* an end or an error was reported: read on until it shows */
    struct client *next;
    struct stream *streams; /* all that are open */
};

struct stream {
    int fd; /* -1: not dialed */
    int32_t id;
    struct client *client; /* NULL: over, freed at the end of the turn */
    uint8_t open;          /* answered 200 */
    uint8_t readable;      /* an edge says that reading may give something */
    uint8_t hangup;        /* an end or an error was reported: read on until it shows */
    uint8_t client_ended;  /* END_STREAM was received */
    uint8_t *held;         /* DATA that the origin did not take, malloc'd; NULL when none */
    size_t have;           /* bytes of it */
    struct sockaddr_in to;
    struct stream *next, **link; /* of the client's; next: of those that are over */
};

struct floor {
    int epoll, listener;
    struct client *queued;
    struct stream *over;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    uint8_t input[INPUT_SIZE], output[OUTPUT_SIZE];
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

/* A stream is told from a connection by the low bit of what epoll hands back. */
static int watch_as(struct floor *floor, int fd, void *owner, unsigned kind)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)(uintptr_t)owner | kind};
    return epoll_ctl(floor->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void queue(struct client *c)
{
    if (c->queued) return;
    c->queued = 1;
    c->next = c->floor->queued;
    c->floor->queued = c;
}

static void fail(struct stream *s)
{
    nghttp2_submit_rst_stream(s->client->session, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CONNECT_ERROR);
    queue(s->client);
}

/* ---- up ---- */

static void end_up(struct stream *s)
{
    if (s->open && s->client_ended && !s->held && shutdown(s->fd, SHUT_WR) < 0) fail(s);
}

static int hold(struct stream *s, const uint8_t *data, size_t length)
{
    uint8_t *grown = realloc(s->held, s->have + length);

    if (!grown) return 0;
    memcpy(grown + s->have, data, length);
    s->held = grown;
    s->have += length;
    return 1;
}

static void put_held(struct stream *s)
{
    ssize_t n = send(s->fd, s->held, s->have, MSG_NOSIGNAL);

    if (n < 0) {
        if (errno != EAGAIN) fail(s);
        return;
    }
    nghttp2_session_consume(s->client->session, s->id, (size_t)n);
    queue(s->client);
    s->have -= (size_t)n;
    memmove(s->held, s->held + n, s->have);
    if (s->have) return;
    free(s->held);
    s->held = NULL;
    end_up(s);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t length, void *user)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);
    ssize_t n = 0;

    (void)flags, (void)user;
    if (!s) return 0;
    if (s->open && !s->held) {
        n = send(s->fd, data, length, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            fail(s);
            return 0;
        }
        if (n < 0) n = 0;
        nghttp2_session_consume(session, id, (size_t)n);
    }
    if ((size_t)n < length && !hold(s, data + n, length - (size_t)n)) return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}

/* ---- down ---- */

static ssize_t read_origin(nghttp2_session *session, int32_t id, uint8_t *to, size_t most, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct stream *s = source->ptr;
    ssize_t n;

    (void)session, (void)id, (void)user;
    if (!s->readable) return NGHTTP2_ERR_DEFERRED;
    n = recv(s->fd, to, most, 0);
    if (n < 0) {
        s->readable = 0;
        return errno == EAGAIN ? NGHTTP2_ERR_DEFERRED : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (n == 0) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if ((size_t)n < most && !s->hangup) s->readable = 0; /* what follows makes a new edge */
    return n;
}

/* ---- requests ---- */

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct stream *s;

    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (!(s = calloc(1, sizeof *s))) return NGHTTP2_ERR_CALLBACK_FAILURE;
    s->fd = -1;
    s->id = frame->hd.stream_id;
    s->client = user;
    s->next = s->client->streams;
    s->link = &s->client->streams;
    if (s->next) s->next->link = &s->next;
    s->client->streams = s;
    return nghttp2_session_set_stream_user_data(session, s->id, s);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t length, uint8_t flags, void *user)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct sockaddr_storage to;
    socklen_t size;

    (void)flags, (void)user, (void)length;
    if (s && name_length == 10 && memcmp(name, ":authority", 10) == 0 &&
        read_loopback((const char *)value, &to, &size) && to.ss_family == AF_INET)
        memcpy(&s->to, &to, sizeof s->to);
    return 0;
}

static void dial(struct stream *s)
{
    const int on = 1;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->to.sin_family != AF_INET || s->fd < 0 || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        (connect(s->fd, (const struct sockaddr *)&s->to, sizeof s->to) < 0 && errno != EINPROGRESS) ||
        !watch_as(s->client->floor, s->fd, s, 1))
        fail(s);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)user;
    if (!s || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && s->fd < 0) dial(s);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        s->client_ended = 1;
        end_up(s);
    }
    return 0;
}

static void dialed(struct stream *s, uint32_t events)
{
    static uint8_t name[] = ":status", value[] = "200";
    const nghttp2_nv status = {name, value, 7, 3, NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
    const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_origin};

    if (events & (EPOLLERR | EPOLLHUP)) {
        fail(s);
        return;
    }
    s->open = 1;
    nghttp2_submit_response(s->client->session, s->id, &status, 1, &provider);
    queue(s->client);
    if (s->held)
        put_held(s);
    else
        end_up(s);
}

static void end(struct stream *s, int reset)
{
    struct floor *floor = s->client->floor;

    if (s->fd >= 0 && reset)
        close_reset(s->fd);
    else if (s->fd >= 0)
        close(s->fd);
    free(s->held);
    *s->link = s->next;
    if (s->next) s->next->link = s->link;
    s->client = NULL;
    s->next = floor->over;
    floor->over = s;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct stream *s = nghttp2_session_get_stream_user_data(session, id);

    (void)user;
    if (s) end(s, code != NGHTTP2_NO_ERROR);
    return 0;
}

static void handle_stream(struct stream *s, uint32_t events)
{
    if (!s->client) return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hangup = 1;
    if (!s->open) {
        dialed(s, events);
    } else if (events & EPOLLOUT && s->held) {
        put_held(s);
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && s->open) {
        s->readable = 1;
        nghttp2_session_resume_data(s->client->session, s->id);
        queue(s->client);
    }
}

/* ---- connections ---- */

static void end_client(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    queue(c);
}

static void read_client(struct client *c)
{
    ssize_t n;

    do {
        n = recv(c->fd, c->floor->input, INPUT_SIZE, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || nghttp2_session_mem_recv(c->session, c->floor->input, (size_t)n) < 0) {
            end_client(c);
            return;
        }
        queue(c);
    } while (n == INPUT_SIZE || c->hangup);
}

/* Puts out `length` bytes; what the socket does not take is kept. Returns 0 where the connection has failed. */
static int put(struct client *c, const uint8_t *data, size_t length)
{
    ssize_t n = send(c->fd, data, length, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) return 0;
    if (n < 0) n = 0;
    if ((size_t)n == length) return 1;
    c->from = 0;
    c->to = length - (size_t)n;
    if (!(c->held = malloc(c->to))) return 0;
    memcpy(c->held, data + n, c->to);
    return 1;
}

static int put_rest(struct client *c)
{
    ssize_t n = send(c->fd, c->held + c->from, c->to - c->from, MSG_NOSIGNAL);

    if (n < 0) return errno == EAGAIN;
    c->from += (size_t)n;
    if (c->from == c->to) {
        free(c->held);
        c->held = NULL;
    }
    return 1;
}

/* All that is outgoing, gathered: one send() for as much as fits the buffer. Returns 0 where the connection is over. */
static int serve(struct client *c)
{
    const uint8_t *data;
    size_t used;
    ssize_t n;

    if (c->held && !put_rest(c)) return 0;
    while (!c->held) {
        for (used = 0; used + FRAME_MOST <= OUTPUT_SIZE; used += (size_t)n) {
            if ((n = nghttp2_session_mem_send(c->session, &data)) < 0) return 0;
            if (n == 0) break;
            memcpy(c->floor->output + used, data, (size_t)n);
        }
        if (used == 0) break;
        if (!put(c, c->floor->output, used)) return 0;
    }
    return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

static void accept_all(struct floor *floor)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    int fd;

    while ((fd = accept4(floor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct client *c = calloc(1, sizeof *c);
        if (!c || nghttp2_session_server_new2(&c->session, floor->callbacks, c, floor->option) != 0) {
            free(c);
            close_reset(fd);
            continue;
        }
        c->fd = fd;
        c->floor = floor;
        nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, 2);
        nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
        queue(c);
        if (!watch_as(floor, fd, c, 0)) end_client(c);
    }
}

static void handle_client(struct client *c, uint32_t events)
{
    if (c->fd < 0) return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) c->hangup = 1;
    if (events & EPOLLOUT && c->held) queue(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) read_client(c);
}

static void free_client(struct client *c)
{
    if (c->fd >= 0) close(c->fd);
    while (c->streams) end(c->streams, 1);
    nghttp2_session_del(c->session); /* which tells of no stream */
    free(c->held);
    free(c);
}

static void finish_turn(struct floor *floor)
{
    while (floor->queued) {
        struct client *c = floor->queued;
        floor->queued = c->next;
        c->queued = 0;
        if (c->fd < 0 || !serve(c)) free_client(c);
    }
    while (floor->over) {
        struct stream *s = floor->over;
        floor->over = s->next;
        free(s);
    }
}

/* ---- the program ---- */

static int prepare(struct floor *floor)
{
    struct epoll_event listening = {.events = EPOLLIN, .data.u64 = 0};

    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (floor->epoll < 0 || epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->listener, &listening) < 0 ||
        nghttp2_session_callbacks_new(&floor->callbacks) != 0 || nghttp2_option_new(&floor->option) != 0)
        return 0;
    nghttp2_option_set_no_auto_window_update(floor->option, 1);
    nghttp2_option_set_no_closed_streams(floor->option, 1);
    nghttp2_session_callbacks_set_on_begin_headers_callback(floor->callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(floor->callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(floor->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(floor->callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(floor->callbacks, on_close);
    return 1;
}

static void run(struct floor *floor)
{
    struct epoll_event events[EVENTS_MOST];

    while (!stopped) {
        int count = epoll_wait(floor->epoll, events, EVENTS_MOST, -1);
        for (int i = 0; i < count; i++) {
            uint64_t data = events[i].data.u64;
            if (data & 1)
                handle_stream((struct stream *)(uintptr_t)(data & ~1ull), events[i].events);
            else if (data)
                handle_client((struct client *)(uintptr_t)data, events[i].events);
            else
                accept_all(floor);
        }
        finish_turn(floor);
    }
}

int main(int argc, char **argv)
{
    struct floor *floor = calloc(1, sizeof *floor);

    if (!floor || argc != 2 || (floor->listener = listen_loopback(argv[1])) < 0) {
        fprintf(stderr, "h2-floor: wants one loopback address and a free port: h2-floor 127.0.0.1:PORT\n");
        free(floor);
        return 2;
    }
    raise_files();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    if (!prepare(floor)) return 1;
    run(floor);
    nghttp2_session_callbacks_del(floor->callbacks);
    nghttp2_option_del(floor->option);
    free(floor);
    return 0;
}
