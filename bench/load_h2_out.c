/* HTTP/2 towards the proxy: what leaves a connection, in which order, and how much of it the windows allow. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "load_h2.h"

enum { SMALL_FIRST = 65536, SMALL_KEPT = 1 << 20 };

uint8_t *h2_small(struct client *c, struct carrier *k, size_t length)
{
    if (k->broken) return NULL;
    if (k->small_room - k->small_length < length) {
        size_t room = k->small_room ? 2 * k->small_room : SMALL_FIRST;
        uint8_t *more = realloc(k->small, room > k->small_length + length ? room : room + length);
        if (!more) {
            shutdown(k->wire.fd, SHUT_RDWR); /* which is read, and breaks it */
            return NULL;
        }
        k->small = more;
        k->small_room = room > k->small_length + length ? room : room + length;
    }
    k->small_length += length;
    h2_due(c, k);
    return k->small + k->small_length - length;
}

void h2_write_head(uint8_t *out, size_t length, enum h2_type type, unsigned flags, uint32_t stream)
{
    write_number(out, 3, length);
    out[3] = (uint8_t)type;
    out[4] = (uint8_t)flags;
    write_number(out + 5, 4, stream);
}

void h2_say(struct client *c, struct carrier *k, enum h2_type type, uint32_t stream, uint32_t number)
{
    uint8_t *out = h2_small(c, k, H2_HEAD + 4);

    if (!out) return;
    h2_write_head(out, 4, type, 0, stream);
    write_number(out + H2_HEAD, 4, number);
}

/* ---- the ring of those with bulk to send ---- */

static void link_sender(struct carrier *k, struct tunnel *t)
{
    if (t->sender_after) return;
    if (!k->senders) {
        t->sender_before = t->sender_after = k->senders = t;
        return;
    }
    t->sender_after = k->senders; /* the last in turn */
    t->sender_before = k->senders->sender_before;
    t->sender_before->sender_after = t->sender_after->sender_before = t;
}

void h2_unlink(struct carrier *k, struct tunnel *t)
{
    if (!t->sender_after) return;
    if (t->sender_after == t)
        k->senders = NULL;
    else {
        t->sender_before->sender_after = t->sender_after;
        t->sender_after->sender_before = t->sender_before;
        if (k->senders == t) k->senders = t->sender_after;
    }
    t->sender_before = t->sender_after = NULL;
}

/* ---- payload ---- */

static uint64_t allowed(const struct carrier *k, const struct tunnel *t)
{
    int64_t window = k->window < t->window ? k->window : t->window;
    return window < 0 ? 0 : (uint64_t)window < k->max_frame ? (uint64_t)window : k->max_frame;
}

static void account(struct client *c, struct carrier *k, struct tunnel *t, size_t payload, size_t header)
{
    t->sent += payload;
    t->header_sent += header;
    t->window -= (int64_t)(payload + header);
    k->window -= (int64_t)(payload + header);
    if (c->phase == MEASURE) c->up += payload;
}

/* A frame by copying: what the tunnel says first, and payload behind it. Returns 0 when the windows are too small. */
static int put_small(struct client *c, struct carrier *k, struct tunnel *t)
{
    size_t header = t->header_length - t->header_sent;
    uint64_t left = t->target - t->sent, most = allowed(k, t);
    uint8_t *out;

    if (most < header || most == 0) return 0;
    most = most - header < H2_SMALL ? most - header : H2_SMALL;
    left = left < most ? left : most;
    if (!(out = h2_small(c, k, H2_HEAD + header + (size_t)left))) return 0;
    h2_write_head(out, header + (size_t)left, H2_DATA, 0, t->stream);
    memcpy(out + H2_HEAD, t->header + t->header_sent, header);
    memcpy(out + H2_HEAD + header, pattern_at(&c->pattern, t->seed, t->sent), (size_t)left);
    account(c, k, t, (size_t)left, header);
    return 1;
}

static int all_put(const struct tunnel *t)
{
    return t->header_sent == t->header_length && t->sent == t->target;
}

int h2_put_out(struct client *c, struct tunnel *t)
{
    struct carrier *k = t->carrier;

    if (!t->sender_after &&
        (t->header_sent < t->header_length || (t->sent < t->target && t->target - t->sent <= H2_SMALL)))
        put_small(c, k, t);
    if (all_put(t)) return 1;
    link_sender(k, t);
    h2_due(c, k);
    return 0;
}

void h2_window_opened(struct client *c, struct tunnel *t)
{
    if (t->state >= RUNNING && !all_put(t)) {
        link_sender(t->carrier, t);
        h2_due(c, t->carrier);
    }
}

void h2_half_close(struct client *c, struct tunnel *t)
{
    uint8_t *out = h2_small(c, t->carrier, H2_HEAD);

    h2_unlink(t->carrier, t);
    if (out) h2_write_head(out, 0, H2_DATA, H2_END_STREAM, t->stream);
    t->near_ended = 1;
}

/* Takes frames of bulk from the senders in turn, as far as the windows go. Nothing else is to be sent at this time: what
 * a tunnel says by copying meanwhile ends it, as that goes out behind the queue. */
static void fill(struct client *c, struct carrier *k)
{
    size_t burst = 0;

    while (k->senders && k->window > 0 && k->queued < H2_QUEUE && burst < H2_BURST && k->small_length == 0) {
        struct tunnel *t = k->senders;
        uint64_t size = allowed(k, t), left = t->target - t->sent;

        k->senders = t->sender_after;
        if (t->header_sent < t->header_length) {
            if (put_small(c, k, t)) return;
            h2_unlink(k, t); /* until its window opens */
            continue;
        }
        size = size < left ? size : left;
        if (size == 0) {
            h2_unlink(k, t);
            continue;
        }
        struct h2_frame *frame = &k->queue[k->queued++];
        h2_write_head(frame->head, (size_t)size, H2_DATA, 0, t->stream);
        frame->payload = pattern_at(&c->pattern, t->seed, t->sent);
        frame->length = (uint32_t)size;
        frame->sent = 0;
        account(c, k, t, (size_t)size, 0);
        burst += (size_t)size;
        if (all_put(t)) {
            h2_unlink(k, t);
            tunnel_carry(c, t); /* which may end its direction */
        }
    }
}

/* The next pieces, in their order. Returns how many. */
static int gather(struct carrier *k, struct iovec *parts)
{
    int count = 0;

    for (unsigned i = k->first; i < k->queued; i++) {
        struct h2_frame *frame = &k->queue[i];
        if (frame->sent < H2_HEAD) parts[count++] = (struct iovec){frame->head + frame->sent, H2_HEAD - frame->sent};
        size_t skip = frame->sent < H2_HEAD ? 0 : frame->sent - H2_HEAD;
        parts[count++] = (struct iovec){(void *)(uintptr_t)(frame->payload + skip), frame->length - skip};
    }
    if (k->small_sent < k->small_length)
        parts[count++] = (struct iovec){k->small + k->small_sent, k->small_length - k->small_sent};
    return count;
}

static void written(struct carrier *k, size_t n)
{
    while (k->first < k->queued) {
        struct h2_frame *frame = &k->queue[k->first];
        size_t left = H2_HEAD + frame->length - frame->sent;
        if (n < left) {
            frame->sent += (uint32_t)n;
            return;
        }
        n -= left;
        k->first++;
    }
    k->first = k->queued = 0;
    k->small_sent += n;
    if (k->small_sent == k->small_length) {
        k->small_sent = k->small_length = 0;
        if (k->small_room > SMALL_KEPT) {
            free(k->small);
            k->small = NULL;
            k->small_room = 0;
        }
    }
}

int h2_write(struct client *c, struct carrier *k)
{
    struct iovec parts[2 * H2_QUEUE + 1];

    while (!k->full) {
        if (k->queued == 0 && k->small_length == 0) fill(c, k);
        int count = gather(k, parts);
        if (count == 0) return wire_flush(&k->wire) || errno == EAGAIN || errno == EINTR;
        ssize_t n = wire_send(&k->wire, &c->tls, parts, count);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (n < 0)
            k->full = 1;
        else
            written(k, (size_t)n);
    }
    return 1;
}
