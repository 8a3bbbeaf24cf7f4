/* The floor: SOCKS5 and HTTP CONNECT to an IPv4 address, epoll, copying and splicing, and nothing else: no policy, no
 * names, no log, no limits, no time-outs. A yardstick for what is measured beside it, on loopback only.
 *
 *   floor 127.0.0.1:PORT */
#include "floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load_common.h"

enum { HEAD_MOST = 512, EVENTS_MOST = 256 };
enum step { METHODS, REQUEST, DIALING, OPEN };
enum { CLIENT = 0, ORIGIN = 1 };

struct tunnel {
    int fd[2];
    uint8_t step;        /* enum step */
    uint8_t http;        /* asked by CONNECT */
    uint8_t over;        /* in the list of those to free when the batch is over */
    uint8_t queued;      /* in the list of those that want another turn */
    uint8_t early;       /* the client sent something before it was answered */
    uint16_t have;       /* bytes of the head */
    uint8_t *head;       /* until it is open */
    struct flow flow[2]; /* by the side they come from */
    struct tunnel *next_over, *next_ready;
};

struct floor {
    int epoll, listener;
    struct tunnel *over, *ready;
    struct pool pool;
    uint8_t scratch[COPY_SIZE];
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static void end(struct floor *floor, struct tunnel *t, int reset)
{
    if (t->over) return;
    t->over = 1;
    for (int side = 0; side < 2; side++) {
        flow_free(&t->flow[side], &floor->pool);
        if (t->fd[side] >= 0 && reset)
            close_reset(t->fd[side]);
        else if (t->fd[side] >= 0)
            close(t->fd[side]);
    }
    free(t->head);
    t->next_over = floor->over;
    floor->over = t;
}

/* The side of a tunnel is the low bit of what epoll hands back. */
static int watch_side(struct floor *floor, struct tunnel *t, int side)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u64 = (uint64_t)(uintptr_t)t | (uint64_t)side};
    return epoll_ctl(floor->epoll, EPOLL_CTL_ADD, t->fd[side], &event) == 0;
}

static void carry(struct floor *floor, struct tunnel *t, int side)
{
    struct flow *flow = &t->flow[side];
    int other = !side;

    switch (flow_carry(flow, t->fd[side], t->fd[other], floor->scratch, &floor->pool)) {
    case CARRIED_BLOCKED: return;
    case CARRIED_MORE:
        if (!t->queued) {
            t->queued = 1;
            t->next_ready = floor->ready;
            floor->ready = t;
        }
        return;
    case CARRIED_END:
        if (t->flow[other].ended && !t->flow[other].held && !t->flow[other].piped)
            end(floor, t, 0);
        else if (shutdown(t->fd[other], SHUT_WR) < 0)
            end(floor, t, 1);
        return;
    default: end(floor, t, 1);
    }
}

static int say(struct tunnel *t, const char *text, size_t length)
{
    return send(t->fd[CLIENT], text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void dial(struct floor *floor, struct tunnel *t, const struct sockaddr_in *to)
{
    const int on = 1;

    t->step = DIALING;
    t->fd[ORIGIN] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (t->fd[ORIGIN] < 0 || setsockopt(t->fd[ORIGIN], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        (connect(t->fd[ORIGIN], (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS) ||
        !watch_side(floor, t, ORIGIN))
        end(floor, t, 1);
}

/* RFC 1928 sections 3 and 4, without authentication and to IPv4 alone. */
static void read_socks(struct floor *floor, struct tunnel *t)
{
    if (t->step == METHODS) {
        size_t length = t->have < 2 ? 2 : 2u + t->head[1];
        if (t->have < length) return;
        t->have = (uint16_t)(t->have - length);
        memmove(t->head, t->head + length, t->have);
        t->step = REQUEST;
        if (!say(t, "\5\0", 2)) {
            end(floor, t, 1);
            return;
        }
    }
    if (t->have < 10) return;
    if (memcmp(t->head, "\5\1\0\1", 4) != 0 || t->have > 10) {
        end(floor, t, 1);
        return;
    }
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, t->head + 4, 4);
    memcpy(&to.sin_port, t->head + 8, 2);
    dial(floor, t, &to);
}

static void read_connect(struct floor *floor, struct tunnel *t)
{
    struct sockaddr_storage to;
    socklen_t length;
    char *space;

    t->head[t->have] = 0;
    if (t->have < 4 || memcmp(t->head + t->have - 4, "\r\n\r\n", 4) != 0) {
        if (t->have == HEAD_MOST - 1) end(floor, t, 1);
        return;
    }
    t->http = 1;
    if (memcmp(t->head, "CONNECT ", 8) != 0 || !(space = strchr((char *)t->head + 8, ' '))) {
        end(floor, t, 1);
        return;
    }
    *space = 0;
    if (read_loopback((char *)t->head + 8, &to, &length) && to.ss_family == AF_INET)
        dial(floor, t, (const struct sockaddr_in *)&to);
    else
        end(floor, t, 1);
}

static void read_head(struct floor *floor, struct tunnel *t)
{
    ssize_t n = recv(t->fd[CLIENT], t->head + t->have, (size_t)(HEAD_MOST - 1 - t->have), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        end(floor, t, 1);
        return;
    }
    t->have = (uint16_t)(t->have + n);
    if (t->step == REQUEST || t->head[0] == 5)
        read_socks(floor, t);
    else
        read_connect(floor, t);
}

static void dialed(struct floor *floor, struct tunnel *t, uint32_t events)
{
    static const char answer[] = "\5\0\0\1\0\0\0\0\0\0", head[] = "HTTP/1.1 200 OK\r\n\r\n";

    if (events & (EPOLLERR | EPOLLHUP) ||
        !(t->http ? say(t, head, sizeof head - 1) : say(t, answer, sizeof answer - 1))) {
        end(floor, t, 1);
        return;
    }
    free(t->head);
    t->head = NULL;
    t->step = OPEN;
    if (t->early) carry(floor, t, CLIENT);
}

static void accept_all(struct floor *floor)
{
    for (int i = 0, fd;
         i < EVENTS_MOST && (fd = accept4(floor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; i++) {
        struct tunnel *t = calloc(1, sizeof *t);
        if (!t || !(t->head = malloc(HEAD_MOST))) {
            free(t);
            close_reset(fd);
            continue;
        }
        t->fd[CLIENT] = fd;
        t->fd[ORIGIN] = -1;
        flow_init(&t->flow[0]);
        flow_init(&t->flow[1]);
        if (!watch_side(floor, t, CLIENT)) end(floor, t, 1);
    }
}

static void handle(struct floor *floor, struct tunnel *t, int side, uint32_t events)
{
    if (t->over) return;
    if (t->step < DIALING) {
        if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) read_head(floor, t);
        return;
    }
    t->flow[side].hangup |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    if (t->step == DIALING && side == ORIGIN)
        dialed(floor, t, events);
    else if (t->step == DIALING)
        t->early = 1;
    if (t->over || t->step != OPEN) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !t->flow[side].ended) carry(floor, t, side);
    if (events & EPOLLOUT && !t->over && (t->flow[!side].held || t->flow[!side].piped)) carry(floor, t, !side);
}

static void finish_turn(struct floor *floor)
{
    struct tunnel *ready = floor->ready;

    floor->ready = NULL;
    while (ready) {
        struct tunnel *t = ready;
        ready = t->next_ready;
        t->queued = 0;
        for (int side = 0; side < 2 && !t->over; side++)
            if (!t->flow[side].ended) carry(floor, t, side);
    }
    for (struct tunnel *t = floor->ready, **link = &floor->ready; t; t = t->next_ready) /* none that is over stays */
        if (t->over)
            *link = t->next_ready;
        else
            link = &t->next_ready;
    while (floor->over) {
        struct tunnel *t = floor->over;
        floor->over = t->next_over;
        free(t);
    }
}

int main(int argc, char **argv)
{
    struct floor *floor = calloc(1, sizeof *floor);
    struct epoll_event events[EVENTS_MOST];
    struct epoll_event listening = {.events = EPOLLIN, .data.u64 = 0};

    if (!floor || argc != 2 || (floor->listener = listen_loopback(argv[1])) < 0) {
        fprintf(stderr, "floor: wants one loopback address and a free port: floor 127.0.0.1:PORT\n");
        free(floor);
        return 2;
    }
    raise_files();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    floor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (floor->epoll < 0 || epoll_ctl(floor->epoll, EPOLL_CTL_ADD, floor->listener, &listening) < 0) return 1;
    while (!stopped) {
        int count = epoll_wait(floor->epoll, events, EVENTS_MOST, floor->ready ? 0 : -1);
        for (int i = 0; i < count; i++) {
            uint64_t data = events[i].data.u64;
            if (data)
                handle(floor, (struct tunnel *)(uintptr_t)(data & ~1ull), (int)(data & 1), events[i].events);
            else
                accept_all(floor);
        }
        finish_turn(floor);
    }
    pool_free(&floor->pool);
    free(floor);
    return 0;
}
