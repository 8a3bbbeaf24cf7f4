/* The parts of load_common.h: pattern, histogram, addresses, sockets. */
#include "load_common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void pattern_fill(struct pattern *pattern)
{
    uint64_t state = 0x5eed;

    for (size_t i = 0; i < PERIOD; i++) { /* xorshift64 */
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern->bytes[i] = (uint8_t)(state >> 32);
    }
    for (size_t i = PERIOD; i < sizeof pattern->bytes; i++) pattern->bytes[i] = pattern->bytes[i - PERIOD];
}

const uint8_t *pattern_at(const struct pattern *pattern, uint32_t seed, uint64_t offset)
{
    return pattern->bytes + (seed % PERIOD + offset) % PERIOD;
}

/* Slot of a value: its octave above 64, and the 64 steps of that octave. */
static size_t slot_of(uint64_t value)
{
    unsigned octave;

    if (value < STEPS) return (size_t)value;
    octave = 63u - (unsigned)__builtin_clzll(value) - 5u; /* 1 for 64 to 127 */
    if (octave >= OCTAVES) return OCTAVES * STEPS - 1;
    return octave * STEPS + (size_t)(value >> (octave - 1)) % STEPS;
}

void histogram_add(struct histogram *histogram, uint64_t nanoseconds)
{
    histogram->count++;
    histogram->slots[slot_of(nanoseconds)]++;
    if (nanoseconds > histogram->most) histogram->most = nanoseconds;
}

double histogram_quantile(const struct histogram *histogram, double share)
{
    double rank = share * (double)histogram->count;
    uint64_t seen = 0, wanted = (uint64_t)rank + ((double)(uint64_t)rank < rank); /* rounded up */

    for (size_t i = 0; i < OCTAVES * STEPS; i++) {
        size_t octave = i / STEPS;
        uint64_t last = octave ? ((i % STEPS + STEPS + 1) << (octave - 1)) - 1 : i;
        seen += histogram->slots[i];
        if (seen > 0 && seen >= wanted) return (double)(last < histogram->most ? last : histogram->most) / 1000;
    }
    return 0;
}

void histogram_print(const struct histogram *histogram)
{
    printf("{\"count\": %llu, \"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}",
           (unsigned long long)histogram->count, histogram_quantile(histogram, 0.5), histogram_quantile(histogram, 0.9),
           histogram_quantile(histogram, 0.99), (double)histogram->most / 1000);
}

int read_loopback(const char *text, struct sockaddr_storage *address, socklen_t *length)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    const char *colon = strrchr(text, ':');
    char host[64], *end;
    unsigned long port;

    if (!colon || colon[1] < '0' || colon[1] > '9' || (size_t)(colon - text) >= sizeof host) return 0;
    port = strtoul(colon + 1, &end, 10);
    if (*end || port > 65535) return 0;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *length = sizeof *v4;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    v6->sin6_addr = in6addr_loopback;
    *length = sizeof *v6;
    return strcmp(host, "[::1]") == 0;
}

int listen_loopback(const char *text)
{
    struct sockaddr_storage address;
    socklen_t length;
    const int on = 1;

    if (!read_loopback(text, &address, &length)) return -1;
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || /* which what is accepted inherits */
        bind(fd, (const struct sockaddr *)&address, length) < 0 || listen(fd, 4096) < 0)
        return -1;
    return fd;
}

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void write_number(uint8_t *out, size_t width, uint64_t value)
{
    for (size_t i = 0; i < width; i++) out[i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

uint64_t read_number(const uint8_t *in, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) value = value << 8 | in[i];
    return value;
}

int watch(int epoll, int fd, void *owner)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = owner};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

void close_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

size_t raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return (size_t)limit.rlim_cur;
}
