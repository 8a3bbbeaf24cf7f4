/* A worker's use of its segment, for tests of its readers: csrc's functions, and records filled in one call. */
#include "shared/segment.h"

#include <string.h>

struct writer_tunnel {
    uint64_t number, opened_ms, generation, up, down;
    uint32_t rule;
    uint16_t rule_slot, listener, peer_port, port;
    uint8_t protocol, verdict, phase, reason, would_deny;
    const char *peer, *dialed, *user, *name;
};

struct sl_tunnel *writer_take(struct sl_segment *segment, const struct writer_tunnel *from)
{
    struct sl_tunnel *tunnel = sl_tunnel_take(segment, from->number);
    if (!tunnel) return NULL;
    tunnel->opened_ms = from->opened_ms;
    tunnel->generation = from->generation;
    tunnel->rule = from->rule;
    tunnel->rule_slot = from->rule_slot;
    tunnel->listener = from->listener;
    tunnel->peer_port = from->peer_port;
    tunnel->port = tunnel->dialed_port = from->port;
    tunnel->protocol = from->protocol;
    tunnel->verdict = from->verdict;
    tunnel->phase = from->phase;
    tunnel->reason = from->reason;
    sl_addr_parse(from->peer, strlen(from->peer), &tunnel->peer);
    sl_addr_parse(from->dialed, strlen(from->dialed), &tunnel->dialed);
    if (from->user) sl_tunnel_set_user(tunnel, from->user, strlen(from->user));
    if (from->name) sl_tunnel_set_name(tunnel, from->name, strlen(from->name));
    if (from->would_deny) tunnel->flags |= SL_TUNNEL_WOULD_DENY;
    sl_tunnel_done(tunnel);
    sl_tunnel_bytes(tunnel, from->up, from->down);
    return tunnel;
}

void writer_count(struct sl_segment *segment, unsigned counter, uint64_t amount)
{
    segment->counters[counter] += amount;
}

void writer_labelled(struct sl_segment *segment, uint64_t key, uint64_t amount)
{
    *sl_segment_labelled(segment, key) += amount;
}

uint64_t writer_key(unsigned family, unsigned a, unsigned b, unsigned c, unsigned slot)
{
    return sl_label_key((enum sl_family)family, a, b, c, slot);
}
