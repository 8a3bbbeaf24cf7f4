/* Fuzzes the relay over two connections, AF_UNIX or TCP, with or without pipes: the input is a script of writes, pumps,
 * reads, failures and ends, and the model is a counter on each side of a known stream. Bytes must come out in order, all
 * of them, and the end only after; after a reset, no end. No pipe stays lent and none comes back with bytes in it. */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PERIOD = 65521, ROOM = 131072, STEPS = 200 };

struct run {
    int client, from, to, server;
    struct sl_direction direction;
    uint64_t put, got;
    int ended; /* the client has shut its side down */
    int tcp;
    int broken; /* one end has gone, by a reset where it is TCP */
    int no_end; /* what was cut off must not look whole */
    int over;   /* the relay has said so */
};

static struct sl_pipe_counts counts;
static struct sl_pipe_pool pool;
static uint8_t stream[PERIOD + ROOM], buffer[ROOM], scratch[65536];
static int listener = -1;
static struct sockaddr_in address = {.sin_family = AF_INET};

static void require(int condition)
{
    if (!condition) abort();
}

/* Common parts of the inputs: the stream, the pool, a listener whose sockets have small buffers. */
static void set_up(void)
{
    socklen_t length = sizeof address;
    int small = 4096;
    if (listener >= 0) return;
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof stream; i++) stream[i] = (uint8_t)((i % PERIOD) * 31 + (i % PERIOD) / 251);
    sl_pipe_pool_init(&pool, &counts, 3);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    require(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 4) == 0);
    require(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
}

static void connected(int tcp, int pair[2], int small)
{
    int size = 4096;
    if (!tcp) {
        require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    } else {
        pair[0] = socket(AF_INET, SOCK_STREAM, 0);
        require(connect(pair[0], (struct sockaddr *)&address, sizeof address) == 0);
        pair[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        require(pair[1] >= 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0);
    }
    if (small) setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static void write_some(struct run *r, size_t length)
{
    if (r->ended || r->client < 0) return;
    ssize_t n = send(r->client, stream + r->put % PERIOD, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) r->put += (uint64_t)n;
}

/* Returns what the last recv() did. */
static ssize_t read_some(struct run *r, size_t length)
{
    const uint8_t *expected = stream + r->got % PERIOD;
    if (r->server < 0) return -1;
    ssize_t n = recv(r->server, buffer, length, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++) require(buffer[i] == expected[i]);
    if (n > 0) r->got += (uint64_t)n;
    require(r->got <= r->direction.bytes && r->direction.bytes <= r->put);
    require(n != 0 || r->direction.done);
    return n;
}

static enum sl_pump_status pump(struct run *r, size_t size, size_t budget)
{
    uint64_t before = r->direction.bytes;
    struct sl_leg from = sl_plain_leg(r->from), to = sl_plain_leg(r->to);
    enum sl_pump_status status = sl_pump(&r->direction, &from, &to, scratch, size, budget);
    const struct sl_direction *d = &r->direction;
    require(d->bytes >= before && d->bytes <= r->put);
    require((d->pending != NULL) == (d->pending_from < d->pending_to));
    require(!d->pipe || d->pipe->held);
    require(counts.busy == (d->pipe != NULL));
    require(status == SL_PUMP_FULL ? sl_direction_waits(d) : d->failed || !sl_direction_waits(d));
    require(r->broken ? status != SL_PUMP_INTERNAL : status >= SL_PUMP_DRY && status <= SL_PUMP_DONE);
    require(status != SL_PUMP_DONE || (d->bytes == r->put && !r->no_end));
    if (r->over) require(status == SL_PUMP_DONE || status >= SL_PUMP_SOURCE_RESET);
    r->over = status == SL_PUMP_DONE || status >= SL_PUMP_SOURCE_RESET;
    return status;
}

/* One end goes without a word. A reset client has not ended, whatever of its bytes arrived. */
static void reset(struct run *r, int *fd)
{
    struct linger option = {.l_onoff = 1, .l_linger = 0};
    if (*fd < 0) return;
    setsockopt(*fd, SOL_SOCKET, SO_LINGER, &option, sizeof option);
    close(*fd);
    r->broken = 1;
    r->no_end |= r->tcp && fd == &r->client && !r->ended;
    *fd = -1;
}

static void step(struct run *r, uint8_t what, size_t amount)
{
    switch (what % 16) {
    case 0:
    case 1:
    case 2: write_some(r, amount); break;
    case 3: write_some(r, ROOM); break;
    case 4:
    case 5: pump(r, amount > sizeof scratch ? sizeof scratch : amount, (size_t)(what >> 4) * 20000); break;
    case 6:
    case 7: pump(r, sizeof scratch, SIZE_MAX); break;
    case 8:
    case 9: read_some(r, amount); break;
    case 10: read_some(r, ROOM); break;
    case 11: r->direction.hangup ^= 1; break;
    case 12: pool.most = what >> 4 & 3; break;
    case 13: r->direction.urgent |= what >> 4 == 15; break;
    case 14:
        if (!r->ended && r->client >= 0 && what >> 4 > 12) require(shutdown(r->client, SHUT_WR) == 0), r->ended = 1;
        break;
    default:
        if (what >> 4 == 15) reset(r, amount & 1 ? &r->server : &r->client);
    }
}

/* The rest of the stream and its end must come through. */
static void finish(struct run *r)
{
    enum sl_pump_status status;
    ssize_t n;
    if (!r->ended) require(shutdown(r->client, SHUT_WR) == 0);
    do {
        status = pump(r, sizeof scratch, SIZE_MAX);
        while (read_some(r, ROOM) > 0);
    } while (status != SL_PUMP_DONE);
    while ((n = read_some(r, ROOM)) > 0 || (n < 0 && errno == EAGAIN));
    require(n == 0 && r->got == r->put);
    require(pump(r, 1, 0) == SL_PUMP_DONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.put = 0};
    int pair[2];

    if (size == 0) return 0;
    set_up();
    pool.most = 3;
    r.tcp = data[0] & 1;
    connected(r.tcp, pair, 0);
    r.client = pair[0], r.from = pair[1];
    connected(r.tcp, pair, data[0] & 2);
    r.to = pair[0], r.server = pair[1];
    if (!(data[0] & 4)) r.direction.pool = &pool;
    for (size_t i = 1; i + 1 < size && i < STEPS; i += 2)
        step(&r, data[i], (size_t)data[i + 1] * data[i + 1] + 1); /* 1 to 65,026 */
    if (!r.broken) finish(&r);
    sl_direction_free(&r.direction);
    require(counts.busy == 0 && counts.begun == counts.ended);
    if (r.client >= 0) close(r.client);
    if (r.server >= 0) close(r.server);
    close(r.from), close(r.to);
    return 0;
}
