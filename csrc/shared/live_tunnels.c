/* The live-tunnel table of segment.h: records taken and given back in constant time, edited under a sequence lock. */
#include "shared/segment.h"

#include <string.h>

static struct sl_tunnel *records(struct sl_segment *segment)
{
    return (struct sl_tunnel *)(void *)((char *)segment + SL_SEGMENT_TUNNELS_AT);
}

struct sl_tunnel *sl_tunnel_take(struct sl_segment *segment, uint64_t number)
{
    struct sl_tunnel *tunnel;
    uint64_t lock;

    if (segment->tunnels_free) {
        tunnel = &records(segment)[segment->tunnels_free - 1];
        segment->tunnels_free = tunnel->rule;
    } else if (segment->tunnels_high < segment->tunnel_capacity) {
        /* Before the record is used: readers look at so many. */
        tunnel = &records(segment)[segment->tunnels_high++];
    } else {
        segment->tunnels_unlisted++;
        return NULL;
    }
    segment->tunnels_listed++;
    sl_tunnel_edit(tunnel);
    lock = tunnel->sequence_lock;
    memset(tunnel, 0, sizeof *tunnel);
    tunnel->sequence_lock = lock;
    tunnel->number = number;
    tunnel->state = SL_TUNNEL_OPEN;
    return tunnel;
}

void sl_tunnel_edit(struct sl_tunnel *tunnel)
{
    if (!tunnel) return;
    __atomic_store_n(&tunnel->sequence_lock, tunnel->sequence_lock | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void sl_tunnel_done(struct sl_tunnel *tunnel)
{
    if (tunnel) __atomic_store_n(&tunnel->sequence_lock, (tunnel->sequence_lock | 1) + 1, __ATOMIC_RELEASE);
}

/* Puts a text where there is `room` for it, and says by the flag `cut` when that is too little. Returns its length. */
static uint8_t put_text(struct sl_tunnel *tunnel, uint8_t cut, char *to, size_t room, const char *text, size_t length)
{
    tunnel->flags &= (uint8_t)~cut;
    if (!text) length = 0;
    if (length > room) {
        tunnel->flags |= cut;
        length = room;
    }
    if (length) memcpy(to, text, length);
    return (uint8_t)length;
}

void sl_tunnel_set_user(struct sl_tunnel *tunnel, const char *user, size_t length)
{
    if (!tunnel) return;
    tunnel->user_length = put_text(tunnel, SL_TUNNEL_USER_CUT, tunnel->user, SL_TUNNEL_USER, user, length);
}

void sl_tunnel_set_name(struct sl_tunnel *tunnel, const char *name, size_t length)
{
    if (!tunnel) return;
    tunnel->name_length = put_text(tunnel, SL_TUNNEL_NAME_CUT, tunnel->name, SL_TUNNEL_NAME, name, length);
}

void sl_tunnel_set_identity(struct sl_tunnel *tunnel, const char *identity, size_t length)
{
    if (!tunnel) return;
    tunnel->identity_length =
        put_text(tunnel, SL_TUNNEL_IDENTITY_CUT, tunnel->identity, SL_TUNNEL_IDENTITY, identity, length);
}

void sl_tunnel_release(struct sl_segment *segment, struct sl_tunnel *tunnel)
{
    if (!tunnel) return;
    sl_tunnel_edit(tunnel);
    tunnel->state = SL_TUNNEL_FREE;
    tunnel->rule = segment->tunnels_free;
    sl_tunnel_done(tunnel);
    segment->tunnels_free = (uint32_t)(tunnel - records(segment)) + 1;
    segment->tunnels_listed--;
}
