/* The client's state: tunnels in slots, and what they add up to. Shared by load_client.c, which opens them and runs
 * the phases, and load_tunnel.c, which carries a load through one that is open.
 *
 *   FREE -> CONNECTING -> SECURING -> HANDSHAKE -> READY -> RUNNING -> ENDING -> FREE
 *
 * OPEN_CLOSE runs each tunnel at once and uses its slot again; the other modes open all of them first (RAMP), run for
 * the time given (MEASURE), then end them (WIND_DOWN). */
#ifndef SLUICE_LOAD_CLIENT_H
#define SLUICE_LOAD_CLIENT_H

#include "load_common.h"
#include "load_handshake.h"
#include "load_options.h"
#include "load_wire.h"

enum state { FREE = 0, CONNECTING, SECURING, HANDSHAKE, READY, RUNNING, ENDING };
enum phase { RAMP, MEASURE, WIND_DOWN };

#define ERRORS(X)                                                                    \
    X(CONNECT, "connect")   /* the connection to the proxy (or origin) failed */     \
    X(OPENING, "opening")   /* it ended, or was reset, before the tunnel was open */ \
    X(REFUSED, "refused")   /* the proxy refused the tunnel */                       \
    X(TLS, "tls")           /* the handshake failed */                               \
    X(PROTOCOL, "protocol") /* not an answer */                                      \
    X(RESET, "reset")       /* a reset, or a failed read or write */                 \
    X(END, "end")           /* an end where none was due */                          \
    X(CONTENT, "content")   /* a wrong byte, or more or fewer than were due */       \
    X(TIMEOUT, "timeout")   /* unfinished when the time was up */

#define ENUM_ERROR(name, text) ERROR_##name,
enum error { ERRORS(ENUM_ERROR) ERROR_COUNT };

struct tunnel {
    struct wire wire;
    uint8_t state;                 /* enum state */
    uint8_t opening;               /* counted in client.opening */
    uint8_t queued;                /* on the ready list: its turn was over before it was done */
    uint8_t readable;              /* not known to be dry */
    uint8_t hangup;                /* an end or an error was reported: read on until it shows */
    uint8_t asked;                 /* the proxy was asked for the origin */
    uint8_t held;                  /* was held open as long as was asked for */
    uint8_t header[SOURCE_HEADER]; /* what it says to the origin first */
    size_t header_length, header_sent;
    uint32_t seed;
    uint64_t sent, target, got; /* payload: written, to be written, read and checked */
    uint64_t started, sent_at;  /* nanoseconds; by the clock where the load goes by it */
    size_t have;                /* bytes of the proxy's answers, or of the sink's report */
    uint64_t held_until;        /* in the queue of those that are held open; 0 = not there */
    struct tunnel *held_before, *held_after;
    uint8_t *answer; /* the proxy's answers, while the handshake lasts */
    uint8_t report[REPORT];
    struct tunnel *next; /* in the ready list or the free list */

    struct carrier *carrier;             /* HTTP/2: the connection of its stream, and there is no wire */
    uint32_t stream, owed;               /* id; bytes received and not granted again */
    int64_t window;                      /* bytes the stream may send */
    uint8_t near_ended, far_ended, gone; /* directions that have ended; reset by the proxy */
    uint8_t stalled;                     /* grants nothing: the proxy has to stop */
    struct tunnel *sender_before, *sender_after;
};

struct client {
    const struct client_options *options;
    struct carrier *carriers, *due; /* HTTP/2 connections; those to be served in this turn */
    int epoll, alarm;               /* alarm: a timerfd, for what goes by the clock */
    enum phase phase;
    struct handshake handshake;
    struct wire_tls tls;
    struct tunnel *tunnels, *spare, *ready, **ready_end;
    size_t slots, active, opening;     /* tunnels; of them not free; of those not yet ready */
    uint64_t began, opened, completed; /* tunnels */
    uint64_t round_trips, up, down; /* echoes and payload bytes in the measured phase; not those of stalled tunnels */
    uint64_t stalled;               /* payload bytes that came to stalled ones, in all */
    uint64_t errors[ERROR_COUNT];
    int code;      /* of the last refusal */
    uint32_t seed; /* of the next tunnel */
    uint64_t from, deadline, measured_from, measured_to;
    uint64_t paced, missed; /* messages by the clock; those whose tunnel was still busy */
    struct tunnel *held_first, *held_last;
    struct histogram open_times, trips;
    struct pattern pattern;
    uint8_t scratch[CHUNK];
};

/* An open tunnel begins what it is for; it is RUNNING after that, or ended. */
void tunnel_start(struct client *c, struct tunnel *t);
/* Sends the next message of an echo; its time is counted from `from`. */
void tunnel_message(struct client *c, struct tunnel *t, uint64_t from);
/* The time is up for a READY or RUNNING tunnel: what has no end of its own ends now, an idle one echoes once more. */
void tunnel_stop(struct client *c, struct tunnel *t);
/* Carries what can be carried. Returns 1 when the tunnel wants another turn. */
int tunnel_carry(struct client *c, struct tunnel *t);

/* The proxy has opened it. */
void tunnel_open(struct client *c, struct tunnel *t);
/* Payload came: checks it and goes on. The tunnel may have ended after that. */
void tunnel_received(struct client *c, struct tunnel *t, const uint8_t *data, size_t length);
/* The end of what the origin sends came. */
void tunnel_ended(struct client *c, struct tunnel *t);

/* Both free the slot; only load_client.c and load_tunnel.c call them, and no one touches the tunnel after. */
void tunnel_fail(struct client *c, struct tunnel *t, enum error error);
void tunnel_complete(struct client *c, struct tunnel *t, int reset);
/* The tunnel no longer counts as being opened. */
void tunnel_settled(struct client *c, struct tunnel *t);

/* Connects from 127.1.0.1, then 127.1.0.2 and so on: a proxy that counts by source sees many. Returns 1, or 0. */
int client_source(const struct client *c, int fd, uint64_t number);

/* ---- by the clock: load_pace.c ---- */

/* When the next tunnel is due to begin; 0 = at any time. */
uint64_t pace_begin_due(const struct client *c);
/* Keeps an open tunnel quiet for as long as was asked for, and forgets one that is being released. */
void pace_hold(struct client *c, struct tunnel *t);
void pace_release(struct client *c, struct tunnel *t);
/* Everything that is due now; when the next thing is. */
void pace_turn(struct client *c);
uint64_t pace_next(const struct client *c);

#endif
