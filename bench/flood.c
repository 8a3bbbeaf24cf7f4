/* HTTP/2 clients that ask for much: what their neighbours notice is measured by `load client` at the same time.
 *
 *   flood KIND --proxy 127.0.0.1:PORT [--connections N] [--seconds S]
 *
 * Each connection sends units of one KIND without a pause, drops what comes, and connects again when it is cut. Loopback
 * only, bounded in time. One line of JSON says how many units and connections there were.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTIONS_MOST = 200,
    BATCH = 1 << 16,
    UNIT_MOST = 1 << 15,
    SECONDS_MOST = 60,
    HUFFMAN_BYTES = 16000,
    BAD = 2
};

static const char *const KINDS[] = {"denied-reset", "denied", "reset", "zero-window", "huffman", "ping", "tiny-data"};
enum { DENIED_RESET, DENIED, RESET, ZERO_WINDOW, HUFFMAN, PING, TINY_DATA, KIND_COUNT };

typedef struct {
    int fd;          /* -1: to be connected */
    uint32_t stream; /* the next one */
    size_t from, to; /* of `bytes`, not sent yet */
    uint8_t bytes[BATCH + UNIT_MOST];
} client;

static size_t put_frame(uint8_t *at, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t size)
{
    const uint8_t head[9] = {
        (uint8_t)(size >> 16),   (uint8_t)(size >> 8),    (uint8_t)size,          type,           flags,
        (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
    memcpy(at, head, sizeof head);
    if (size) memcpy(at + sizeof head, payload, size);
    return sizeof head + size;
}

/* :method CONNECT and :authority, literals; `target` of less than 127 bytes. */
static size_t put_request(uint8_t *at, const char *target, int huffman)
{
    static const uint8_t method[] = "\x02\x07"
                                    "CONNECT";
    static const uint8_t many_a[] = {0x18, 0xc6, 0x31, 0x8c, 0x63}; /* "aaaaaaaa" */
    const size_t length = strlen(target);
    size_t used = sizeof method - 1, rest = HUFFMAN_BYTES - 127, i;
    memcpy(at, method, used);
    at[used++] = 0x01;
    at[used++] = (uint8_t)length;
    memcpy(at + used, target, length);
    used += length;
    if (!huffman) return used;
    memcpy(at + used, "\0\1x\xff", 4);
    used += 4;
    for (; rest >= 128; rest >>= 7) at[used++] = (uint8_t)(rest | 128);
    at[used++] = (uint8_t)rest;
    for (i = 0; i < HUFFMAN_BYTES; i++) at[used++] = many_a[i % sizeof many_a];
    return used;
}

/* One unit of a flood at the end of what `one` has to send. */
static void put_unit(client *one, int kind, const char *allowed)
{
    static const uint8_t cancel[4] = {0, 0, 0, 8}, zero[8] = {0};
    uint8_t block[UNIT_MOST - 64];
    uint8_t *at = one->bytes;
    const char *target = kind == RESET || kind == TINY_DATA ? allowed : "denied.test:443";
    const int first = one->stream == 1;
    if (kind == PING) {
        one->to += put_frame(at + one->to, 6, 0, 0, zero, 8);
        return;
    }
    if (kind != TINY_DATA || first)
        one->to += put_frame(at + one->to, 1, 4, one->stream, block, put_request(block, target, kind == HUFFMAN));
    if (kind == TINY_DATA)
        one->to += put_frame(at + one->to, 0, 0, 1, zero, 1);
    else if (kind == ZERO_WINDOW)
        one->to += put_frame(at + one->to, 8, 0, one->stream, zero, 4);
    else if (kind != DENIED)
        one->to += put_frame(at + one->to, 3, 0, one->stream, cancel, 4);
    one->stream += 2;
}

static int begin(client *one, const struct sockaddr_in *proxy)
{
    one->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (one->fd < 0 || connect(one->fd, (const struct sockaddr *)proxy, sizeof *proxy) < 0) return 0;
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    one->stream = 1;
    one->from = 0;
    memcpy(one->bytes, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    one->to = 24;
    one->to += put_frame(one->bytes + one->to, 4, 0, 0, NULL, 0);
    one->to += put_frame(one->bytes + one->to, 4, 1, 0, NULL, 0);
    return 1;
}

/* Sends and drops what there is; 0: it was cut. */
static int step(client *one, int kind, const char *allowed, uint64_t *units)
{
    static uint8_t dropped[1 << 16];
    ssize_t done;
    do {
        done = recv(one->fd, dropped, sizeof dropped, MSG_DONTWAIT);
    } while (done > 0);
    if (done == 0 || errno != EAGAIN) return 0;
    if (one->from == one->to) {
        one->from = one->to = 0;
        while (one->to < BATCH) {
            put_unit(one, kind, allowed);
            ++*units;
        }
    }
    done = send(one->fd, one->bytes + one->from, one->to - one->from, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0) return errno == EAGAIN;
    one->from += (size_t)done;
    return 1;
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    static client clients[CONNECTIONS_MOST];
    struct pollfd polled[CONNECTIONS_MOST];
    struct sockaddr_in proxy = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *allowed = "127.0.0.1:9";
    uint64_t units = 0, connections = 0;
    long count = 1;
    double seconds = 3, end;
    int kind = 0, i;
    while (argc > 1 && kind < KIND_COUNT && strcmp(argv[1], KINDS[kind]) != 0) kind++;
    for (i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--proxy") == 0)
            proxy.sin_port =
                htons((uint16_t)strtoul(strchr(argv[i + 1], ':') ? strchr(argv[i + 1], ':') + 1 : "0", NULL, 10));
        else if (strcmp(argv[i], "--origin") == 0)
            allowed = argv[i + 1];
        else if (strcmp(argv[i], "--connections") == 0)
            count = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = strtod(argv[i + 1], NULL);
    }
    if (argc < 2 || kind == KIND_COUNT || !proxy.sin_port || count < 1 || count > CONNECTIONS_MOST ||
        !(seconds > 0 && seconds <= SECONDS_MOST) || strlen(allowed) > 100) {
        fprintf(stderr,
                "flood: KIND (denied-reset denied reset zero-window huffman ping tiny-data) --proxy 127.0.0.1:PORT\n"
                "       [--origin ADDRESS:PORT] [--connections 1..200] [--seconds 0..60]\n");
        return BAD;
    }
    for (i = 0; i < count; i++) clients[i].fd = -1;
    for (end = now() + seconds; now() < end;) {
        for (i = 0; i < count; i++) {
            if (clients[i].fd < 0) {
                if (!begin(&clients[i], &proxy)) return 1;
                connections++;
            }
            if (!step(&clients[i], kind, allowed, &units)) {
                close(clients[i].fd);
                clients[i].fd = -1;
            }
            polled[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN | POLLOUT};
        }
        poll(polled, (nfds_t)count, 100);
    }
    printf("{\"kind\": \"%s\", \"units\": %llu, \"connections\": %llu}\n", KINDS[kind], (unsigned long long)units,
           (unsigned long long)connections);
    return 0;
}
