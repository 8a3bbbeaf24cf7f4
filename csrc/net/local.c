/* Questions to rtnetlink(7) about one address, and a small cache of the answers. */
#include "net/local.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* An overrun is as good as an event, so the subscription needs no room: the kernel's minimum. */
enum { EVENTS_ROOM = 1, ANSWER_ROOM = 4096, UNKNOWN = -1 };

#ifndef RTA_IP_PROTO /* Linux 4.17 */
#define RTA_IP_PROTO 27
#define RTA_DPORT 29
#endif

struct question {
    struct nlmsghdr header;
    struct rtmsg route;
    uint8_t attributes[64];
};

static int open_socket(uint32_t groups)
{
    struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

static int open_events(void)
{
    uint32_t groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE | RTMGRP_IPV6_IFADDR |
                      RTMGRP_IPV6_ROUTE;
    int fd = open_socket(groups), group = RTNLGRP_IPV6_RULE, room = EVENTS_ROOM;
    if (fd < 0) return -1;
    if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    return fd;
}

int sl_local_open(struct sl_local *local)
{
    memset(local, 0, sizeof *local);
    local->asks = open_socket(0);
    int code = errno;
    local->events = open_events();
    if (local->asks < 0) errno = code;
    return local->asks >= 0 && local->events >= 0;
}

void sl_local_close(struct sl_local *local)
{
    if (local->asks >= 0) close(local->asks);
    if (local->events >= 0) close(local->events);
    local->asks = local->events = -1;
}

void sl_local_forget(struct sl_local *local)
{
    memset(local->entries, 0, sizeof local->entries);
}

void sl_local_drain(struct sl_local *local)
{
    uint8_t dropped[64];
    while (local->events >= 0) {
        ssize_t got = recv(local->events, dropped, sizeof dropped, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && errno != EINTR && errno != ENOBUFS) return;
    }
}

static void add(struct question *question, uint16_t type, const void *value, size_t length)
{
    struct rtattr attribute = {.rta_len = (uint16_t)RTA_LENGTH(length), .rta_type = type};
    size_t at = question->header.nlmsg_len - offsetof(struct question, attributes);
    if (at + RTA_SPACE(length) > sizeof question->attributes) return;
    memcpy(question->attributes + at, &attribute, sizeof attribute);
    memcpy(question->attributes + at + RTA_LENGTH(0), value, length);
    question->header.nlmsg_len += (uint32_t)RTA_SPACE(length);
}

static uint8_t family_of(const struct sl_addr *addr)
{
    return addr->family == 4 ? AF_INET : AF_INET6;
}

static size_t size_of(const struct sl_addr *addr)
{
    return addr->family == 4 ? 4 : 16;
}

/* The meaning of one answer: 1 local, 0 not, UNKNOWN. `chosen` is the source that the kernel would take. */
static int read_answer(const uint8_t *bytes, size_t length, uint32_t sequence, struct sl_addr *chosen, int *error)
{
    struct nlmsghdr header;
    struct rtmsg route;
    *error = EIO;
    if (length < sizeof header) return UNKNOWN;
    memcpy(&header, bytes, sizeof header);
    if (header.nlmsg_seq != sequence || header.nlmsg_len > length) return UNKNOWN;
    if (header.nlmsg_type == NLMSG_ERROR) {
        struct nlmsgerr refusal;
        if (length < NLMSG_LENGTH(sizeof refusal)) return UNKNOWN;
        memcpy(&refusal, bytes + NLMSG_HDRLEN, sizeof refusal);
        *error = -refusal.error;
        /* No route, an unreachable or a prohibiting one: connect() will say the same. A blackhole is EINVAL, and so is a
         * source that is not this machine's. */
        return *error == ENETUNREACH || *error == EHOSTUNREACH || *error == EACCES || *error == EINVAL ? 0 : UNKNOWN;
    }
    if (header.nlmsg_type != RTM_NEWROUTE || header.nlmsg_len < NLMSG_LENGTH(sizeof route)) return UNKNOWN;
    memcpy(&route, bytes + NLMSG_HDRLEN, sizeof route);
    *error = 0;
    for (size_t at = NLMSG_SPACE(sizeof route); at + sizeof(struct rtattr) <= header.nlmsg_len;) {
        struct rtattr attribute;
        memcpy(&attribute, bytes + at, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > header.nlmsg_len) break;
        size_t size = route.rtm_family == AF_INET ? 4 : 16;
        if (attribute.rta_type == RTA_PREFSRC && attribute.rta_len >= RTA_LENGTH(size)) {
            chosen->family = route.rtm_family == AF_INET ? 4 : 6;
            memcpy(chosen->bytes, bytes + at + RTA_LENGTH(0), size);
        }
        at += RTA_ALIGN(attribute.rta_len);
    }
    return route.rtm_type == RTN_LOCAL || route.rtm_type == RTN_ANYCAST;
}

static int ask_once(struct sl_local *local, const struct sl_addr *addr, uint16_t port, const struct sl_addr *source,
                    struct sl_addr *chosen, int *error)
{
    uint8_t answer[ANSWER_ROOM], protocol = IPPROTO_TCP;
    struct question question = {
        .header = {.nlmsg_len = offsetof(struct question, attributes),
                   .nlmsg_type = RTM_GETROUTE,
                   .nlmsg_flags = NLM_F_REQUEST,
                   .nlmsg_seq = ++local->sequence},
        .route = {.rtm_family = family_of(addr), .rtm_dst_len = (uint8_t)(8 * size_of(addr))},
    };
    add(&question, RTA_DST, addr->bytes, size_of(addr));
    if (source) {
        question.route.rtm_src_len = (uint8_t)(8 * size_of(source));
        add(&question, RTA_SRC, source->bytes, size_of(source));
    }
    if (port) { /* rules may select by them */
        uint16_t wire = htons(port);
        add(&question, RTA_IP_PROTO, &protocol, sizeof protocol);
        add(&question, RTA_DPORT, &wire, sizeof wire);
    }
    *error = EIO;
    if (send(local->asks, &question, question.header.nlmsg_len, 0) < 0) return UNKNOWN;
    for (;;) { /* answers of earlier questions may be there; this one's is, as the kernel answers inside send() */
        ssize_t got = recv(local->asks, answer, sizeof answer, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return UNKNOWN;
        struct nlmsghdr header;
        if ((size_t)got < sizeof header) continue;
        memcpy(&header, answer, sizeof header);
        if (header.nlmsg_seq == local->sequence)
            return read_answer(answer, (size_t)got, local->sequence, chosen, error);
    }
}

/* As ask_once; a kernel that knows no ports in questions is asked without them. */
static int ask(struct sl_local *local, const struct sl_addr *addr, uint16_t port, const struct sl_addr *source,
               struct sl_addr *chosen)
{
    int error = 0;
    int found = ask_once(local, addr, port, source, chosen, &error);
    if (port && (error == EINVAL || error == EOPNOTSUPP)) found = ask_once(local, addr, 0, source, chosen, &error);
    return found;
}

/* connect() looks the route up without a source and then again with the one it chose, which other rules may match. */
static int ask_as_connect(struct sl_local *local, const struct sl_addr *addr, uint16_t port,
                          const struct sl_addr *source)
{
    struct sl_addr chosen = {.family = 0};
    int found = ask(local, addr, port, source, &chosen);
    if (found == 0 && !source && chosen.family) {
        struct sl_addr unused;
        found = ask(local, addr, port, &chosen, &unused);
    }
    return found != 0;
}

static unsigned slot_of(const struct sl_addr *addr, uint16_t port, const struct sl_addr *source)
{
    uint32_t hash = 2166136261u ^ port; /* FNV-1a */
    for (size_t i = 0; i < sizeof addr->bytes; i++) {
        hash = (hash ^ addr->bytes[i]) * 16777619u;
        if (source) hash = (hash ^ source->bytes[i]) * 16777619u;
    }
    return (hash ^ hash >> 16) % SL_LOCAL_ENTRIES;
}

static int same(const struct sl_addr *a, const struct sl_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static int is_unspecified(const struct sl_addr *addr)
{
    static const uint8_t zero[16];
    return memcmp(addr->bytes, zero, size_of(addr)) == 0;
}

int sl_local_is(struct sl_local *local, const struct sl_addr *addr, uint16_t port, const struct sl_addr *source)
{
    static const struct sl_addr none;
    if ((addr->family != 4 && addr->family != 6) || is_unspecified(addr)) return 1;
    if (source && source->family != addr->family) source = NULL;
    struct sl_local_entry *entry = &local->entries[slot_of(addr, port, source)];
    if (entry->known && entry->port == port && same(&entry->addr, addr) &&
        same(&entry->source, source ? source : &none))
        return entry->local;
    if (local->asks < 0 && (local->asks = open_socket(0)) < 0) return 1;
    int found = ask_as_connect(local, addr, port, source);
    if (local->events >= 0) *entry = (struct sl_local_entry){*addr, source ? *source : none, port, 1, (uint8_t)found};
    return found;
}
