/* The client's state: tunnels in slots, and what they add up to. Shared by load_client.c, which opens them and runs
 * the phases, and load_tunnel.c, which carries a load through one that is open.
 *
 *   FREE -> CONNECTING -> HANDSHAKE -> READY -> RUNNING -> ENDING -> FREE
 *
 * OPEN_CLOSE runs each tunnel at once and uses its slot again; the other modes open all of them first (RAMP), run for
 * the time given (MEASURE), then end them (WIND_DOWN). */
#ifndef SLUICE_LOAD_CLIENT_H
#define SLUICE_LOAD_CLIENT_H

#include "load.h"

enum state { FREE = 0, CONNECTING, HANDSHAKE, READY, RUNNING, ENDING };
enum phase { RAMP, MEASURE, WIND_DOWN };

#define ERRORS(X) \
    X(CONNECT, "connect")   /* the connection to the proxy (or origin) failed */  \
    X(REFUSED, "refused")   /* the proxy refused the tunnel */                    \
    X(PROTOCOL, "protocol") /* an answer that is none */                          \
    X(RESET, "reset")       /* a reset, or a failed read or write */              \
    X(END, "end")           /* an end where none was due */                       \
    X(CONTENT, "content")   /* a wrong byte, or more or fewer than were due */    \
    X(TIMEOUT, "timeout")   /* unfinished when the time was up */

#define ENUM_ERROR(name, text) ERROR_##name,
enum error { ERRORS(ENUM_ERROR) ERROR_COUNT };

struct tunnel {
    int fd;
    uint8_t state;    /* enum state */
    uint8_t opening;  /* counted in client.opening */
    uint8_t queued;   /* on the ready list: its turn was over before it was done */
    uint8_t readable; /* not known to be dry */
    uint8_t hangup;   /* an end or an error was reported: read on until it shows */
    uint8_t asked;    /* the proxy was asked for the origin */
    uint8_t header[SOURCE_HEADER]; /* what it says to the origin first */
    size_t header_length, header_sent;
    uint32_t seed;
    uint64_t sent, target, got; /* payload: written, to be written, read and checked */
    uint64_t started, sent_at;  /* nanoseconds */
    size_t held;                /* bytes of the proxy's answers, or of the sink's report */
    uint8_t *answer;            /* the proxy's answers, while the handshake lasts */
    uint8_t report[REPORT];
    struct tunnel *next;        /* in the ready list or the free list */
};

struct client {
    const struct client_options *options;
    int epoll;
    enum phase phase;
    struct handshake handshake;
    struct tunnel *tunnels, *spare, *ready, **ready_end;
    size_t slots, active, opening;      /* tunnels; of them not free; of those not yet ready */
    uint64_t began, opened, completed;  /* tunnels */
    uint64_t round_trips, up, down;     /* echoes and payload bytes in the measured phase */
    uint64_t errors[ERROR_COUNT];
    int code;                           /* of the last refusal */
    uint32_t seed;                      /* of the next tunnel */
    uint64_t deadline, measured_from, measured_to;
    struct histogram open_times, trips;
    struct pattern pattern;
    uint8_t scratch[CHUNK];
};

/* An open tunnel begins what it is for; it is RUNNING after that, or ended. */
void tunnel_start(struct client *c, struct tunnel *t);
/* The time is up for a READY or RUNNING tunnel: what has no end of its own ends now, an idle one echoes once more. */
void tunnel_stop(struct client *c, struct tunnel *t);
/* Carries what can be carried. Returns 1 when the tunnel wants another turn. */
int tunnel_carry(struct client *c, struct tunnel *t);

/* Both free the slot; only load_client.c and load_tunnel.c call them, and no one touches the tunnel after. */
void tunnel_fail(struct client *c, struct tunnel *t, enum error error);
void tunnel_complete(struct client *c, struct tunnel *t, int reset);
/* The tunnel no longer counts as being opened. */
void tunnel_settled(struct client *c, struct tunnel *t);

#endif
