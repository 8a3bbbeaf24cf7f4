/* One direction between four real sockets, for the tests of the relay: a client that writes a known stream, the relay's
 * two ends, and a server that checks it. Included behind the unit under test; `hook` is the test's own. */
#ifndef SLUICE_RELAY_TUNNEL_H
#define SLUICE_RELAY_TUNNEL_H

#include "check.h"
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRATCH = 65536, ALL = 1 << 30 };
enum kind { UNIX, TCP };

/* client -> from | the relay | to -> server */
struct tunnel {
    int client, from, to, server;
    struct sl_direction direction;
    uint64_t put, got; /* bytes written by the client, read by the server */
    uint8_t scratch[SCRATCH];
};

/* The byte at a place of the stream: a period that no buffer size divides. */
static inline uint8_t pattern(uint64_t at)
{
    return (uint8_t)(at * 31 + at / 251);
}

/* `size`: of the buffers; 0 = as the system makes them. */
static inline void connected(enum kind kind, int pair[2], int size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener;
    if (kind == UNIX) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) abort();
    } else {
        listener = socket(AF_INET, SOCK_STREAM, 0);
        if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0) abort();
        if (size) setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
        if (getsockname(listener, (struct sockaddr *)&address, &length) < 0) abort();
        pair[0] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(pair[0], (struct sockaddr *)&address, length) < 0) abort();
        pair[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (pair[1] < 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) abort();
        close(listener);
    }
    for (int i = 0; size && i < 2; i++) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Small buffers: a full sink comes soon. */
enum { SMALL = 4096 };

static inline struct tunnel *tunnel_between(enum kind kind, int source_size, int sink_size)
{
    struct tunnel *t = calloc(1, sizeof *t);
    int pair[2];
    if (!t) abort();
    memset(&hook, 0, sizeof hook);
    connected(kind, pair, source_size);
    t->client = pair[0];
    t->from = pair[1];
    connected(kind, pair, sink_size);
    t->to = pair[0];
    t->server = pair[1];
    return t;
}

static inline struct tunnel *tunnel_new(enum kind kind)
{
    return tunnel_between(kind, SMALL, SMALL);
}

static inline void tunnel_free(struct tunnel *t)
{
    sl_direction_free(&t->direction);
    CHECK(!sl_direction_waits(&t->direction));
    close(t->client), close(t->from), close(t->to), close(t->server);
    free(t);
}

/* One call on plain legs, with a buffer of `size`. */
static inline enum sl_pump_status pump_by(struct tunnel *t, size_t size, size_t budget)
{
    struct sl_leg from = sl_plain_leg(t->from), to = sl_plain_leg(t->to);
    return sl_pump(&t->direction, &from, &to, t->scratch, size, budget);
}

static inline enum sl_pump_status pump(struct tunnel *t, size_t budget)
{
    return pump_by(t, SCRATCH, budget);
}

/* Bytes sent on loopback are there at once for AF_UNIX and a moment later for TCP. */
static inline void until_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 10000), 1);
}

static inline void client_puts(struct tunnel *t, size_t length)
{
    uint8_t data[8192];
    while (length) {
        size_t n = length < sizeof data ? length : sizeof data;
        for (size_t i = 0; i < n; i++) data[i] = pattern(t->put + i);
        ssize_t sent = send(t->client, data, n, MSG_NOSIGNAL);
        if (sent < 0) return; /* its buffer is full: that much and no more */
        t->put += (uint64_t)sent;
        length -= (size_t)sent;
    }
}

/* Takes up to `length` bytes and checks them. Returns what the last recv() did: > 0, 0 for the end, -1 with errno. */
static inline ssize_t server_takes(struct tunnel *t, size_t length)
{
    uint8_t data[8192];
    ssize_t n = 1;
    while (length && (n = recv(t->server, data, length < sizeof data ? length : sizeof data, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (data[i] != pattern(t->got + (uint64_t)i)) {
                CHECK_FAIL("byte %llu is wrong", (unsigned long long)t->got + (unsigned long long)i);
                return n;
            }
        t->got += (uint64_t)n;
        length -= (size_t)n;
    }
    return n;
}

/* Runs until the server has all of it and its end. */
static inline void finish(struct tunnel *t)
{
    enum sl_pump_status status = SL_PUMP_DRY;
    for (unsigned turns = 0; t->got < t->put || status != SL_PUMP_DONE; turns++) {
        struct pollfd wait[2] = {{.fd = t->server, .events = POLLIN}, {.fd = t->from, .events = POLLIN}};
        if (status != SL_PUMP_DONE) status = pump(t, ALL);
        REQUIRE(status == SL_PUMP_DRY || status == SL_PUMP_FULL || status == SL_PUMP_DONE);
        server_takes(t, SIZE_MAX);
        REQUIRE(!check_failures && turns < 100000);
        CHECK(poll(wait, 2, 10) >= 0);
    }
    until_readable(t->server);
    CHECK_EQ(server_takes(t, 1), 0);
    CHECK_EQ(t->got, t->put);
    CHECK_EQ(t->direction.bytes, t->put);
    CHECK(!sl_direction_waits(&t->direction));
}

static inline void set_linger_0(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
}

/* Pumps until the sink is full; what the server took stands still. */
static inline void fill(struct tunnel *t)
{
    enum sl_pump_status status;
    unsigned turns = 0;
    do {
        client_puts(t, SCRATCH);
        status = pump(t, ALL);
        REQUIRE(++turns < 10000);
    } while (status == SL_PUMP_DRY);
    CHECK_EQ(status, SL_PUMP_FULL);
    CHECK(sl_direction_waits(&t->direction));
}

#endif
