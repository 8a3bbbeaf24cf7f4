/* Values of labels that are not enums of contract.h: each X(NAME, "text"), the enum made of it, and in segment_text.c the
 * texts. */
#ifndef SLUICE_LABELS_H
#define SLUICE_LABELS_H

#define SL_PROTOCOLS(X)   \
    X(UNKNOWN, "unknown") \
    X(SOCKS5, "socks5")   \
    X(SOCKS4, "socks4") X(HTTP, "http") X(HTTP2, "http2tunnel") X(HBONE, "hbone") X(TLS, "tls") X(TCP, "tcp")
#define SL_DIRECTIONS(X) X(UP, "up") X(DOWN, "down")
#define SL_SCOPES(X)                                                                                    \
    X(OTHER, "other")                           /* none of these */                                     \
    X(TUNNELS, "tunnels")                       /* limits.tunnels */                                    \
    X(SOURCE_TUNNELS, "source_tunnels")         /* limits.tunnelsPerSource */                           \
    X(SOURCE_REQUESTS, "source_requests")       /* unanswered requests of one source */                 \
    X(SOURCE_DNS, "source_dns")                 /* fresh DNS look-ups of one source */                  \
    X(SOURCE_DIALS, "source_dials")             /* fresh dials of one source */                         \
    X(SOURCE_PROVISIONAL, "source_provisional") /* tunnels of one source that wait for an inner name */ \
    X(DNS, "dns")                               /* look-ups in flight of the worker */                  \
    X(CREDENTIALS, "credentials")               /* passwords that wait to be verified */                \
    X(DESCRIPTORS, "descriptors")               /* open files */                                        \
    X(DRAINING, "draining")                     /* none: the gateway takes no new tunnels */            \
    X(SOURCE_LOGINS, "source_logins")           /* logins of one source that wait, or fail too often */ \
    X(PORTS, "ports")                           /* source ports for one destination */                  \
    X(MEMORY, "memory")                         /* of the kernel, for sockets */                        \
    X(STREAMS, "streams")                       /* limits.streamsPerConnection */                       \
    X(HANDSHAKES, "handshakes")                 /* limits.handshakes */                                 \
    X(RATE, "rate")                             /* requests a second to a listener, or of a client */
#define SL_LOG_EVENTS(X)    \
    X(DECISION, "decision") \
    X(OPEN, "open") X(INTERVAL, "interval") X(CLOSE, "close") X(REFUSED, "refused") X(REQUEST, "request")
#define SL_REJUDGES(X) X(ALLOWED, "allowed") X(KILLED, "killed") X(DRAINING, "draining") X(KEPT, "kept")
#define SL_H2_ABUSES(X)                                                                 \
    X(RESETS, "rapid_reset")        /* requests taken back before they were answered */ \
    X(CONTINUATION, "continuation") /* header blocks in too many parts */               \
    X(PING, "ping")                                                                     \
    X(SETTINGS, "settings")                                                             \
    X(EMPTY, "empty_frames") /* DATA and header fragments of nothing */                 \
    X(WINDOW, "window_update")                                                          \
    X(PRIORITY, "priority")                                                             \
    X(ERRORS, "stream_errors") /* zero increments, malformed messages, late frames */   \
    X(UNKNOWN, "unknown_frames")                                                        \
    X(REFUSED, "refused_streams") /* opened above MAX_CONCURRENT_STREAMS */             \
    X(HEADERS, "header_list")     /* a header list that is decoded no further */        \
    X(UNREAD, "unread_answers")   /* asks, and reads nothing */
#define SL_H2_SIDES(X) X(CLIENT, "client") X(GATEWAY, "gateway") X(PARENT, "parent")
#define SL_TLS_SIDES(X) X(CLIENT, "client") X(PARENT, "parent") X(ORIGIN, "origin")
/* RFC 9113 section 7, in its order. */
#define SL_H2_CODES(X)                      \
    X(NO_ERROR, "no_error")                 \
    X(PROTOCOL, "protocol_error")           \
    X(INTERNAL, "internal_error")           \
    X(FLOW_CONTROL, "flow_control_error")   \
    X(SETTINGS_TIMEOUT, "settings_timeout") \
    X(STREAM_CLOSED, "stream_closed")       \
    X(FRAME_SIZE, "frame_size_error")       \
    X(REFUSED, "refused_stream")            \
    X(CANCEL, "cancel")                     \
    X(COMPRESSION, "compression_error")     \
    X(CONNECT, "connect_error")             \
    X(CALM, "enhance_your_calm")            \
    X(SECURITY, "inadequate_security")      \
    X(HTTP_1_1, "http_1_1_required")        \
    X(OTHER, "other")
/* RFC 9110 section 9, and PATCH (RFC 5789); any other method is `other`. */
#define SL_METHODS(X) \
    X(OTHER, "other") \
    X(GET, "GET")     \
    X(HEAD, "HEAD")   \
    X(POST, "POST")   \
    X(PUT, "PUT") X(DELETE, "DELETE") X(CONNECT, "CONNECT") X(OPTIONS, "OPTIONS") X(TRACE, "TRACE") X(PATCH, "PATCH")
/* By the first digit of a status; NONE: it ended without an answer. */
#define SL_STATUS_CLASSES(X) X(NONE, "none") X(1XX, "1xx") X(2XX, "2xx") X(3XX, "3xx") X(4XX, "4xx") X(5XX, "5xx")
#define SL_RETRY_RESULTS(X)                                                             \
    X(SUCCESS, "success") /* its answer went to the client */                           \
    X(FAILURE, "failure") /* it failed, or its answer asked for one more */             \
    X(FREE, "free")       /* a connection that was kept had closed: a try at no cost */ \
    X(LIMITED, "limited") /* none was made: attempts, budget or time were used up */
#define SL_MIRROR_RESULTS(X)                                                   \
    X(SENT, "sent")       /* whole, whatever the mirror answered */            \
    X(DROPPED, "dropped") /* the mirror was slower than the main upstream */   \
    X(FAILED, "failed")   /* it could not be connected, or closed too early */ \
    X(DENIED, "denied")   /* policy does not allow it */
#define SL_UPSTREAM_STATES(X) X(IDLE, "idle") X(ACTIVE, "active") X(PENDING, "pending")
/* Of spans that were to be exported. */
#define SL_SPAN_RESULTS(X)                                                       \
    X(EXPORTED, "exported") /* the endpoint took them */                         \
    X(REJECTED, "rejected") /* the endpoint refuses them: another try is vain */ \
    X(FAILED, "failed")     /* the endpoint could not be reached in time */      \
    X(DROPPED, "dropped")   /* there was no room for them to wait in */
#define SL_TUNNEL_STATES(X) \
    X(FREE, "free") X(OPEN, "open") X(HALF_CLOSED, "half_closed") X(PROVISIONAL, "provisional") X(REVOKED, "revoked")

#define SL_ENUM_PROTOCOL(name, text) SL_PROTOCOL_##name,
#define SL_ENUM_DIRECTION(name, text) SL_DIRECTION_##name,
#define SL_ENUM_SCOPE(name, text) SL_SCOPE_##name,
#define SL_ENUM_LOG_EVENT(name, text) SL_LOG_##name,
#define SL_ENUM_REJUDGED(name, text) SL_REJUDGED_##name,
#define SL_ENUM_H2_ABUSE(name, text) SL_H2_ABUSE_##name,
#define SL_ENUM_H2_SIDE(name, text) SL_H2_SIDE_##name,
#define SL_ENUM_TLS_SIDE(name, text) SL_TLS_SIDE_##name,
#define SL_ENUM_H2_CODE(name, text) SL_H2_CODE_##name,
#define SL_ENUM_METHOD(name, text) SL_METHOD_##name,
#define SL_ENUM_STATUS_CLASS(name, text) SL_STATUS_##name,
#define SL_ENUM_RETRY_RESULT(name, text) SL_RETRY_##name,
#define SL_ENUM_MIRROR_RESULT(name, text) SL_MIRROR_##name,
#define SL_ENUM_UPSTREAM_STATE(name, text) SL_UPSTREAM_##name,
#define SL_ENUM_SPAN_RESULT(name, text) SL_SPAN_##name,
#define SL_ENUM_TUNNEL_STATE(name, text) SL_TUNNEL_##name,
enum sl_protocol { SL_PROTOCOLS(SL_ENUM_PROTOCOL) SL_PROTOCOL_COUNT };
enum sl_direction_name { SL_DIRECTIONS(SL_ENUM_DIRECTION) SL_DIRECTION_COUNT };
enum sl_scope { SL_SCOPES(SL_ENUM_SCOPE) SL_SCOPE_COUNT };
enum sl_log_event { SL_LOG_EVENTS(SL_ENUM_LOG_EVENT) SL_LOG_EVENT_COUNT };
enum sl_rejudged { SL_REJUDGES(SL_ENUM_REJUDGED) SL_REJUDGED_COUNT };
enum sl_h2_abuse { SL_H2_ABUSES(SL_ENUM_H2_ABUSE) SL_H2_ABUSE_COUNT };
enum sl_h2_side { SL_H2_SIDES(SL_ENUM_H2_SIDE) SL_H2_SIDE_COUNT };
enum sl_tls_side { SL_TLS_SIDES(SL_ENUM_TLS_SIDE) SL_TLS_SIDE_COUNT };
enum sl_h2_code { SL_H2_CODES(SL_ENUM_H2_CODE) SL_H2_CODE_COUNT };
enum sl_method { SL_METHODS(SL_ENUM_METHOD) SL_METHOD_COUNT };
enum sl_status_class { SL_STATUS_CLASSES(SL_ENUM_STATUS_CLASS) SL_STATUS_CLASS_COUNT };
enum sl_retry_result { SL_RETRY_RESULTS(SL_ENUM_RETRY_RESULT) SL_RETRY_RESULT_COUNT };
enum sl_mirror_result { SL_MIRROR_RESULTS(SL_ENUM_MIRROR_RESULT) SL_MIRROR_RESULT_COUNT };
enum sl_upstream_state { SL_UPSTREAM_STATES(SL_ENUM_UPSTREAM_STATE) SL_UPSTREAM_STATE_COUNT };
enum sl_span_result { SL_SPAN_RESULTS(SL_ENUM_SPAN_RESULT) SL_SPAN_RESULT_COUNT };
enum sl_tunnel_state { SL_TUNNEL_STATES(SL_ENUM_TUNNEL_STATE) SL_TUNNEL_STATE_COUNT };

#endif
