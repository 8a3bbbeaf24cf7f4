/* Fuzzes the copying relay over two socket pairs: the input is a script of writes, pumps and reads, and
 * the model is a counter on each side of a known stream. Bytes must come out in order, all of them, and the end
 * only after. */
#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    int client, from, to, server;
    struct sl_direction direction;
    uint64_t put, got;
    int ended; /* the client has shut its side down */
    uint8_t buffer[16384], scratch[16384];
};

static void require(int condition)
{
    if (!condition) abort();
}

static void write_some(struct run *r, size_t length)
{
    for (size_t i = 0; i < length; i++) r->buffer[i] = (uint8_t)((r->put + i) * 31 + (r->put + i) / 251);
    ssize_t n = send(r->client, r->buffer, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) r->put += (uint64_t)n;
}

/* Returns what the last recv() did. */
static ssize_t read_some(struct run *r, size_t length)
{
    ssize_t n = recv(r->server, r->buffer, length, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++, r->got++) require(r->buffer[i] == (uint8_t)(r->got * 31 + r->got / 251));
    require(r->got <= r->direction.bytes && r->direction.bytes <= r->put);
    return n;
}

static enum sl_pump_status pump(struct run *r, size_t scratch, size_t budget)
{
    uint64_t before = r->direction.bytes;
    enum sl_pump_status status = sl_pump(&r->direction, r->from, r->to, r->scratch, scratch, budget);
    const struct sl_direction *d = &r->direction;
    require(d->bytes >= before && (d->pending != NULL) == (d->pending_from < d->pending_to));
    require((status == SL_PUMP_FULL) == (d->pending != NULL));
    require(status >= SL_PUMP_DRY && status <= SL_PUMP_DONE);
    require(status != SL_PUMP_DONE || (r->ended && d->bytes == r->put));
    return status;
}

/* The rest of the stream and its end must come through. */
static void finish(struct run *r)
{
    enum sl_pump_status status;
    ssize_t n;
    r->ended = 1;
    require(shutdown(r->client, SHUT_WR) == 0);
    do {
        status = pump(r, sizeof r->scratch, SIZE_MAX);
        while ((n = read_some(r, sizeof r->buffer)) > 0)
            ;
    } while (status != SL_PUMP_DONE);
    while ((n = read_some(r, sizeof r->buffer)) > 0)
        ;
    require(n == 0 && r->got == r->put);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run r = {.put = 0};
    int pair[2], small = 4096;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) abort();
    r.client = pair[0], r.from = pair[1];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) abort();
    r.to = pair[0], r.server = pair[1];
    setsockopt(r.to, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    for (size_t i = 0; i + 1 < size && i < 200; i += 2) {
        size_t amount = (size_t)data[i + 1] * data[i + 1] / 4 + 1; /* 1 to 16,257 */
        if (data[i] % 8 < 3) write_some(&r, amount);
        else if (data[i] % 8 < 5) pump(&r, amount, (size_t)(data[i] >> 3) * 1000);
        else if (data[i] % 8 < 7) read_some(&r, amount);
        else r.direction.hangup ^= 1;
    }
    finish(&r);
    require(pump(&r, 1, 0) == SL_PUMP_DONE);
    sl_direction_free(&r.direction);
    close(r.client), close(r.from), close(r.to), close(r.server);
    return 0;
}
