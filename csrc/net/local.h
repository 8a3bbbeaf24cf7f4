/* Whether the kernel delivers an address to this machine, asked by netlink (RTM_GETROUTE) and remembered until an
 * address, a link, a rule or a route changes. It holds for interfaces, the loopback block, AnyIP routes and policy
 * routing alike: what counts is the kernel's own answer now, not a list made earlier.
 *
 *     sl_local_is ── remembered? ──▶ answer
 *          │ no
 *          ▼
 *     read away what has changed, ask the kernel (twice: without a source, and from the one it would choose)
 *
 * The subscription is a socket of its own (`events`). Its owner watches it for one event and calls sl_local_forget; it
 * need not be read in between, as an overrun (ENOBUFS) means the same as an event. */
#ifndef SLUICE_LOCAL_H
#define SLUICE_LOCAL_H

#include "bytes/addr.h"

enum { SL_LOCAL_ENTRIES = 256 };

struct sl_local_entry {
    struct sl_addr addr;
    struct sl_addr source; /* that connections would be bound to; family 0: none */
    uint16_t port;
    uint8_t known;
    uint8_t local;
};

struct sl_local {
    int asks;          /* netlink socket for questions; -1: none */
    int events;        /* netlink socket of the subscription; -1: none, and nothing is remembered */
    uint32_t sequence; /* of the last question */
    struct sl_local_entry entries[SL_LOCAL_ENTRIES]; /* by hash; a newcomer replaces what is there */
};

/* Opens both sockets. Returns 1, or 0 with errno; what could not be opened is tried again by sl_local_is. */
int sl_local_open(struct sl_local *local);
void sl_local_close(struct sl_local *local);
/* Drops every remembered answer. */
void sl_local_forget(struct sl_local *local);
/* Reads the subscription empty; for its owner, before it watches for the next event. */
void sl_local_drain(struct sl_local *local);
/* Whether a TCP connection to `addr`, `port` (0: any) would end on this machine; `source` is what it would be bound to,
 * or NULL. The unspecified addresses are local (connect(2)). Returns 1 also when the kernel could not be asked: the
 * safe answer. IPv4-mapped addresses and others that carry an IPv4 address are the caller's to unwrap. */
int sl_local_is(struct sl_local *local, const struct sl_addr *addr, uint16_t port, const struct sl_addr *source);

#endif
