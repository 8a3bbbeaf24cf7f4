/* One HTTP message, request or response, whichever version carries it: names and values as offsets into one text, the
 * head read from and written as HTTP/1 (RFC 9112), its framing, and the section of trailers.
 *
 * Framing is refused, not repaired: what two readers could take for two messages is BROKEN, with the rule that it breaks.
 * Let go is this alone, and no reader takes it for anything else:
 *   - one empty line before a request (RFC 9112 section 2.2);
 *   - bytes from 0x80 and tabs in values, which RFC 9110 section 5.5 has from older days; space and tabs around values;
 *   - visible ASCII in path and query that RFC 3986 would escape, but for "#";
 *   - a status line without the space before an empty reason; any reason, which is not kept;
 *   - leading zeros of a Content-Length, in 18 digits; a Content-Length of 0 in a 1xx or 204;
 *   - an Upgrade to HTTP or TLS, of several protocols, or that Connection does not name: it is as if it were not there.
 * Names are kept in lower case; a field that is taken out keeps its place, with `removed` set. */
#ifndef SLUICE_MESSAGE_H
#define SLUICE_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SL_MESSAGE_HEAD_MOST = 65536, /* bytes of a head, and of a section of trailers */
    SL_MESSAGE_FIELDS_MOST = 1000,
};

/* A piece of sl_message.text, by offset: the text may move. */
struct sl_span {
    uint32_t at, length;
};

/* Names that the gateway itself reads or writes; all others are SL_FIELD_OTHER. */
enum sl_field_name {
    SL_FIELD_OTHER = 0,
    SL_FIELD_BAGGAGE,
    SL_FIELD_CONNECTION,
    SL_FIELD_CONTENT_LENGTH,
    SL_FIELD_CONTENT_TYPE,
    SL_FIELD_COOKIE,
    SL_FIELD_EXPECT,
    SL_FIELD_FORWARDED,
    SL_FIELD_HOST,
    SL_FIELD_KEEP_ALIVE,
    SL_FIELD_MAX_FORWARDS,
    SL_FIELD_ORIGIN,
    SL_FIELD_PROXY_AUTHENTICATE,
    SL_FIELD_PROXY_AUTHORIZATION,
    SL_FIELD_PROXY_CONNECTION,
    SL_FIELD_TE,
    SL_FIELD_TRAILER,
    SL_FIELD_TRANSFER_ENCODING,
    SL_FIELD_UPGRADE,
    SL_FIELD_VIA,
    SL_FIELD_WWW_AUTHENTICATE,
    SL_FIELD_NAMES, /* how many */
};

struct sl_message_field {
    struct sl_span name, value; /* name: lower case; value: without space around it */
    uint8_t known;              /* sl_field_name */
    uint8_t removed;            /* bool: it is not there any more */
    uint8_t secret;             /* bool: no table of HPACK may keep its value (RFC 7541 section 7.1.3) */
};

enum sl_framing {
    SL_FRAMING_NONE = 0, /* no content, and of a request no Content-Length; of a response: HEAD, 1xx, 204, 304 */
    SL_FRAMING_LENGTH,   /* content_length bytes, which may be 0 */
    SL_FRAMING_CHUNKED,  /* HTTP/1 chunks, or DATA of HTTP/2 without a length */
    SL_FRAMING_CLOSE,    /* a response to the end of its connection */
};

enum sl_message_form {
    SL_FORM_ORIGIN = 0, /* path and query alone */
    SL_FORM_ABSOLUTE,   /* with scheme and authority */
    SL_FORM_AUTHORITY,  /* CONNECT */
    SL_FORM_ASTERISK,   /* OPTIONS * */
};

struct sl_message {
    uint8_t *text; /* malloc'd; NULL: empty */
    struct sl_message_field *fields;
    uint32_t text_length, text_room;
    uint32_t field_count, field_room;
    struct sl_span method, scheme,
        authority;              /* of requests; scheme in lower case; authority as sent: host, or host:port;
                                               * without one in the target it is the value of Host */
    struct sl_span path, query; /* as sent; query without its "?", and has_query where there is one */
    struct sl_span protocol;    /* of :protocol, or the value of Upgrade that Connection names */
    uint64_t content_length;    /* of SL_FRAMING_LENGTH */
    uint16_t status;            /* of responses */
    uint8_t minor;              /* HTTP/1.minor; 1 for HTTP/2 */
    uint8_t form;               /* sl_message_form */
    uint8_t framing;            /* sl_framing */
    uint8_t has_query : 1;
    uint8_t keeps_alive : 1;    /* the connection lives on behind it (RFC 9112 section 9.3) */
    uint8_t continues : 1;      /* Expect: 100-continue */
    uint8_t expects_other : 1;  /* an Expect that is not known */
    uint8_t upgrades : 1;       /* Connection: upgrade, and Upgrade */
    uint8_t takes_trailers : 1; /* TE: trailers */
    uint8_t has_length : 1;     /* Content-Length is there, also where it says nothing of the framing (HEAD, 304) */
    uint8_t host_known : 1;     /* one Host field, which may be empty */
    uint8_t secret : 1;         /* a value that no one may find: the text is wiped before it is given back */
    struct sl_span host;        /* value of Host */
    const char *fault;          /* static text: the rule that it breaks, for SL_MESSAGE_BROKEN */
};

enum sl_message_status {
    SL_MESSAGE_BROKEN = 0, /* `fault` says why */
    SL_MESSAGE_MORE,       /* the head is not whole yet */
    SL_MESSAGE_DONE,
    SL_MESSAGE_TOO_LARGE, /* more bytes, or fields, than a head may have */
    SL_MESSAGE_NO_MEMORY,
};

/* An empty message is all zero. Frees what it has and leaves it empty. */
void sl_message_free(struct sl_message *message);
/* Empties it and keeps the memory. */
void sl_message_clear(struct sl_message *message);

/* Reads a whole HTTP/1 head at `data`, which begins with it (one empty line before a request is let go); *used says its
 * bytes on DONE. With MORE nothing is kept: call again with the same bytes and more behind them; *seen, 0 at first, is
 * for the reader, which does not look twice at what it has seen. */
enum sl_message_status sl_message_read_request(struct sl_message *message, const uint8_t *data, size_t length,
                                               size_t *seen, size_t *used);
/* `to_head`: the request was HEAD, so no content follows whatever the head says. 1xx, 204 and 304 have none. A 101 is
 * SL_FRAMING_NONE with `upgrades`. */
enum sl_message_status sl_message_read_response(struct sl_message *message, const uint8_t *data, size_t length,
                                                int to_head, size_t *seen, size_t *used);
/* The trailers of chunks, to their empty line. Fields that frame, route or authenticate may not be among them
 * (RFC 9110 section 6.5.1): BROKEN. */
enum sl_message_status sl_message_read_trailers(struct sl_message *message, const uint8_t *data, size_t length,
                                                size_t *seen, size_t *used);

/* Whether the fields may be trailers, as those of HTTP/2: NULL, or the rule that is broken. */
const char *sl_message_trailer_fault(const struct sl_message *message);

/* For a message that HTTP/2 carries (RFC 9113 section 8). Its method, scheme, authority, protocol and whole :path (as
 * `path`) were kept, or its status set, and its fields added: checks all of it, parts the query from the path, and sets
 * form, framing and flags as readers of HTTP/1 do. `ends`: no content follows. DONE or BROKEN. A response without
 * content that is not NONE has a length of 0, so that it can be written as HTTP/1. */
enum sl_message_status sl_message_settle_request(struct sl_message *message, int ends);
enum sl_message_status sl_message_settle_response(struct sl_message *message, int to_head, int ends);

/* A field behind the others. The name is lower case. Returns its index; -1 without memory, with too many, or for bytes
 * that no field holds (`fault` says so). */
int sl_message_add(struct sl_message *message, const char *name, size_t name_length, const char *value,
                   size_t value_length);
/* The same as `text`, for the parts that are no fields; length 0 on success for an empty one. Returns 1; 0 without memory. */
int sl_message_keep(struct sl_message *message, const char *text, size_t length, struct sl_span *out);
/* The first field that is there, from index `from`; -1: none. */
int sl_message_find(const struct sl_message *message, enum sl_field_name known, uint32_t from);
int sl_message_find_name(const struct sl_message *message, const char *name, size_t length, uint32_t from);
/* Takes every field of that name out; how many. */
unsigned sl_message_remove(struct sl_message *message, const char *name, size_t length);
/* One field of that name alone. Returns 1; 0 as sl_message_add() returns -1. */
int sl_message_set(struct sl_message *message, const char *name, size_t name_length, const char *value,
                   size_t value_length);
/* The same with a value that has to be forgotten: field and message are `secret` from here on. So is a
 * copy. */
int sl_message_set_secret(struct sl_message *message, const char *name, size_t name_length, const char *value,
                          size_t value_length);
/* Takes out the fields of one connection: Connection and what it names, Keep-Alive, Proxy-*, TE, Transfer-Encoding,
 * Upgrade (RFC 9110 section 7.6.1). Content-Length stays. Framing and flags stay as they were read. */
void sl_message_strip(struct sl_message *message);

/* A copy of all there is, without removed fields. Returns 1; 0 without memory. */
int sl_message_copy(struct sl_message *to, const struct sl_message *from);

/* The head as HTTP/1.1, behind what is in `out` (grown by realloc). Returns 0 without memory, with nothing written. Of a
 * request the target is the path and query, or in absolute-form where `absolute` (`http` without a scheme); `Host`
 * is written first, from authority. Framing fields are written from `framing` and content_length, whatever fields say; a
 * response with NONE has the Content-Length that it was read with. Connection, Upgrade and TE are written from `keep`,
 * from `protocol` with `upgrades`, and from `takes_trailers`. CLOSE is always SL_KEEP_CLOSE. To a client of HTTP/1.0 the
 * caller frames by CLOSE what would be CHUNKED. */
enum sl_keep {
    SL_KEEP_CLOSE = 0, /* Connection: close */
    SL_KEEP_ALIVE,     /* the connection lives on behind it, as HTTP/1.1 takes for granted */
    SL_KEEP_SAID,      /* the same, and said, as HTTP/1.0 needs it: Connection: keep-alive */
};
struct sl_out {
    uint8_t *bytes; /* malloc'd */
    size_t length, room;
    uint8_t secret; /* bool: a secret message is in it; the owner wipes it before it gives it back */
};
/* Room for that many more bytes; what a secret one leaves behind is wiped. Returns 1; 0 without memory. */
int sl_out_room(struct sl_out *out, size_t bytes);
/* Empties it. More than `most` bytes of memory are given back, none for 0. */
void sl_out_clear(struct sl_out *out, size_t most);
int sl_message_write_request(const struct sl_message *message, int absolute, enum sl_keep keep, struct sl_out *out);
int sl_message_write_response(const struct sl_message *message, enum sl_keep keep, struct sl_out *out);
/* The fields alone and the empty line, as behind the last chunk. */
int sl_message_write_trailers(const struct sl_message *message, struct sl_out *out);

static inline const char *sl_message_at(const struct sl_message *message, struct sl_span span)
{
    return (const char *)message->text + span.at;
}

#endif
