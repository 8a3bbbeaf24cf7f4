/* One access log line as JSON (CONTRACT.md section 6), written straight into a buffer. It reads no clock and opens no
 * file.
 *
 * Nothing untrusted reaches a line unescaped: what a client or a destination chose is printable ASCII in it, every other
 * byte stands as the text \xNN; so a line has no line break but its own, and no byte that a terminal would obey.
 */
#ifndef SLUICE_LOG_LINE_H
#define SLUICE_LOG_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"
#include "bytes/trace_context.h"

struct sl_log_text {
    const char *bytes; /* NULL: null */
    size_t length;
};

/* The date of a second, formatted once for all lines of that second. Zeroed to begin with. */
struct sl_log_clock {
    int64_t second;
    char text[20]; /* 2024-02-29T23:59:59, and a NUL; empty to begin with */
};

struct sl_refused_address {
    struct sl_addr address;
    uint8_t reason; /* sl_reason */
};

/* The facts of one leg's TLS. Texts are NULL where nothing was negotiated. */
struct sl_log_tls {
    const char *version, *cipher, *group, *alpn;
    struct sl_log_text sni;  /* untrusted */
    struct sl_log_text peer; /* identity of the verified certificate; untrusted */
    const char *failure;     /* of the handshake, or why the certificate has no identity */
};

/* What an event `request` has beside the others. */
struct sl_log_request {
    struct sl_log_text method;  /* untrusted */
    struct sl_log_text path;    /* not NULL; untrusted; SL_LOG_PATH_MOST bytes with the query, or fewer, are written */
    struct sl_log_text query;   /* untrusted; NULL with has_query: redacted */
    struct sl_log_text route;   /* Kind/namespace/name; valid UTF-8; NULL: no route */
    struct sl_log_text backend; /* valid UTF-8; NULL: the destination that was asked for */
    int has_query;
    unsigned status;       /* 0: null, the client got no answer */
    unsigned tries;        /* connections that it was sent on */
    unsigned mirrored;     /* mirrors that got a copy */
    int32_t first_byte_ms; /* to the head of the answer; negative: null */
    int downgraded;        /* answered in clear text what was fetched over TLS */
};
enum { SL_LOG_PATH_MOST = 1024 };

/* One connection that a request was sent on, or that was tried for it. Times in Unix microseconds. */
struct sl_log_try {
    uint8_t span_id[SL_SPAN_ID];
    uint8_t reused;                                 /* bool: the connection was kept from an earlier request */
    uint16_t port;                                  /* dialed; 0: none */
    uint16_t status;                                /* of the response; 0: none */
    struct sl_addr address;                         /* dialed; family 0: none */
    int32_t dns_ms, dial_ms, tls_ms, first_byte_ms; /* negative: null */
    uint64_t start_us, end_us;
    const char *outcome; /* static text; NULL: null, it has not ended */
};

/* The member `span` of a line that is a span: what exporters need and the access log does not have. */
struct sl_log_span {
    const uint8_t *parent;     /* SL_SPAN_ID bytes: the span that asked; NULL: this is the first one of its trace */
    uint64_t start_us, end_us; /* Unix microseconds */
    int secure;                /* of a request: its target is https */
    int32_t tls_ms;            /* of a tunnel: its TLS handshakes with the upstream; negative: null */
    const struct sl_log_try *tries;
    unsigned try_count;
};

struct sl_log_trace {
    const uint8_t *trace_id;        /* SL_TRACE_ID bytes; NULL: it belongs to no trace, and both ids are null */
    const uint8_t *span_id;         /* SL_SPAN_ID bytes */
    const struct sl_log_span *span; /* NULL: the line is one of the access log */
};

struct sl_log_line {
    uint64_t unix_ms;
    const char *event;
    const char *id_prefix; /* of the tunnel's id, which ends in `sequence` */
    uint64_t sequence;
    uint64_t generation;
    unsigned worker;
    struct sl_log_text listener;
    const char *protocol;
    const struct sl_addr *peer; /* family 0: null */
    uint16_t peer_port;
    const char *namespace_, *account; /* NULL namespace: no identity */
    struct sl_log_text identity;      /* without a namespace: of a certificate; untrusted */
    const char *identity_source;      /* NULL: null */
    struct sl_log_text user;          /* untrusted */
    struct sl_log_text name;          /* asked for; without one the host is the address; untrusted */
    const struct sl_addr *address;    /* family 0: null */
    uint16_t port;
    const char *verdict;     /* NULL: null */
    struct sl_log_text rule; /* Kind/namespace/name; valid UTF-8 */
    uint32_t rule_item;      /* of the rule's resource, 0-based; without a rule: null */
    uint32_t list_line;      /* of a host list, 1-based; 0: null */
    const char *phase, *reason;
    int would_deny;
    struct sl_log_text inner;                 /* untrusted */
    const struct sl_refused_address *refused; /* addresses of the name that may not be dialed */
    unsigned refused_count;                   /* 0: null */
    uint32_t suppressed;                   /* lines of this source left out before a `refused` line; others have none */
    int is_refused;                        /* the line is one of those */
    struct sl_log_text detail;             /* the rule of the protocol that was broken; always in a refused line */
    struct sl_log_text baggage;            /* of a peer that may speak for others; untrusted; NULL: left out */
    int32_t dns_ms, dial_ms;               /* negative: null */
    const struct sl_addr *source_address;  /* dialed from, where a rule says so; NULL or family 0: null */
    const struct sl_log_tls *client_tls;   /* NULL: cleartext */
    const struct sl_log_tls *upstream_tls; /* of an origin or a parent; NULL: cleartext */
    const char *outcome;                   /* NULL: the line has none */
    const struct sl_log_request *request;  /* NULL: not a request line */
    const struct sl_log_trace *trace;      /* NULL: tracing is off, and the line has no ids */
    int carried;                           /* the line has bytes and duration */
    uint64_t bytes_up, bytes_down, duration_ms;
};

/* Room that is enough for every line but one with a rule name of thousands of bytes. */
enum { SL_LOG_LINE_MOST = 8192 };

/* Writes the line and its newline. Returns its length, or 0 when it does not fit `room`, and nothing of it counts. */
size_t sl_log_line_write(char *out, size_t room, struct sl_log_clock *clock, const struct sl_log_line *line);

#endif
