/* The client's HTTP/2 connections (RFC 9113, cleartext, prior knowledge): each carries many tunnels, a CONNECT stream each.
 *
 *   load_h2.c       opens connections and streams, reads frames, hands DATA to the tunnels where it lies
 *   load_h2_out.c   writes: small frames by copying, bulk as headers and payload gathered in one call
 *
 * It does not take, as none of the proxies sends them: padding, CONTINUATION, pushes. Each is a protocol error. */
#ifndef SLUICE_LOAD_H2_H
#define SLUICE_LOAD_H2_H

#include <nghttp2/nghttp2.h>

#include "load_client.h"

enum {
    H2_HEAD = 9,
    H2_FRAME = 16384,
    H2_WINDOW = 4 << 20,
    H2_FRESH_WINDOW = 65535,
    H2_QUEUE = 64,
    H2_SMALL = 4096,   /* payload up to this is copied behind its header */
    H2_BURST = 1 << 20 /* bytes of bulk that are prepared at once */
};
enum h2_type {
    H2_DATA = 0,
    H2_HEADERS = 1,
    H2_RST_STREAM = 3,
    H2_SETTINGS = 4,
    H2_PUSH_PROMISE = 5,
    H2_PING = 6,
    H2_GOAWAY = 7,
    H2_WINDOW_UPDATE = 8,
    H2_CONTINUATION = 9
};
enum { H2_END_STREAM = 1, H2_ACK = 1, H2_END_HEADERS = 4, H2_PADDED = 8, H2_PRIORITY = 32, H2_CANCEL = 8 };

/* A DATA frame on its way out: its payload is a stretch of the pattern, which stays where it is. */
struct h2_frame {
    uint8_t head[H2_HEAD];
    const uint8_t *payload;
    uint32_t length; /* of the payload */
    uint32_t sent;   /* bytes, those of the head included */
};

struct carrier {
    struct wire wire;
    uint8_t connected, broken, going; /* going: GOAWAY came, no new streams */
    uint8_t due;                      /* on the list of those to be served in this turn */
    uint8_t readable, hangup, full;   /* full: the socket took no more */
    struct carrier *next_due;

    struct tunnel **streams; /* by half the stream's id, modulo the table's size */
    uint32_t mask, next_stream;

    uint8_t head[H2_HEAD]; /* of the frame that is being read */
    size_t head_have;
    uint32_t left, stream; /* bytes of its payload that are to come */
    uint8_t type, flags;
    uint8_t *block; /* its payload, but for DATA */
    size_t block_have;
    uint32_t owed; /* bytes read and not granted again */
    nghttp2_hd_inflater *inflater;
    nghttp2_hd_deflater *deflater;

    int64_t window;                  /* what the peer takes on the whole connection */
    int64_t initial_window;          /* and on a new stream */
    uint32_t max_frame;              /* payload of one frame towards the peer */
    struct h2_frame queue[H2_QUEUE]; /* goes out first, then `small`; filled when both are empty */
    unsigned queued, first;
    uint8_t *small; /* whole frames */
    size_t small_length, small_sent, small_room;
    struct tunnel *senders; /* a ring of those with bulk to send; the next one's turn */
};

/* Connects all. Returns 1, or 0 without memory or descriptors. */
int h2_set_up(struct client *c);
/* Says what is still to be said, as far as the sockets take it, and closes all. */
void h2_close(struct client *c);
/* An event of a connection. */
void h2_event(struct client *c, struct carrier *k, uint32_t events);
/* Reads what came on connections with an event. */
void h2_read(struct client *c);
/* Writes what is there to be written. Returns 1 when some connection wants another turn without an event. */
int h2_flush(struct client *c);

/* Asks for a tunnel's stream on the next connection in turn. */
void h2_begin(struct client *c, struct tunnel *t);
/* Sends header and payload of a tunnel up to its target, in this turn or later. Returns 1 when all is on its way. */
int h2_put_out(struct client *c, struct tunnel *t);
/* Ends our direction of a stream, behind what was put out. */
void h2_half_close(struct client *c, struct tunnel *t);
/* Forgets a stream: by RST_STREAM, or by ending our direction; what already ended is left alone. */
void h2_release(struct client *c, struct tunnel *t, int reset);

/* ---- between load_h2.c and load_h2_out.c ---- */

/* The connection is to be served in this turn. */
void h2_due(struct client *c, struct carrier *k);
/* Room for that many bytes behind what is to be sent by copying; NULL without memory, which breaks the connection. */
uint8_t *h2_small(struct client *c, struct carrier *k, size_t length);
void h2_write_head(uint8_t *out, size_t length, enum h2_type type, unsigned flags, uint32_t stream);
/* A frame whose payload is one number of 4 bytes. */
void h2_say(struct client *c, struct carrier *k, enum h2_type type, uint32_t stream, uint32_t number);
/* A stream's window has opened. */
void h2_window_opened(struct client *c, struct tunnel *t);
void h2_unlink(struct carrier *k, struct tunnel *t);
/* Writes what the socket takes. Returns 0 on a connection that failed. */
int h2_write(struct client *c, struct carrier *k);

#endif
