/* The inside of sl_message, shared by message*.c. */
#ifndef SLUICE_MESSAGE_PRIVATE_H
#define SLUICE_MESSAGE_PRIVATE_H

#include "bytes/message.h"

enum {
    SL_MESSAGE_SLACK = 8,        /* zero bytes behind the text: readers look eight bytes ahead, and stop at them */
    SL_MESSAGE_OPTIONS_MOST = 64 /* options of Connection, each of which takes a walk over the fields */
};

/* What the fields say of framing and of the connection, gathered while they are read. */
struct sl_noted {
    struct sl_span upgrade; /* value of the one field Upgrade */
    uint16_t options;       /* in Connection */
    uint8_t is_request, chunked, expects, closes, keeps, names_upgrade, upgrade_fields;
};

/* Of each byte that a token may hold (RFC 9110 section 5.6.2): itself, in lower case. 0 for any other. */
extern const uint8_t SL_TOKEN_BYTES[256];

/* Room for that many more bytes and fields. Returns 1; 0 without memory. */
int sl_message_room(struct sl_message *message, size_t bytes, unsigned fields);
/* The bytes in new memory of `room`, and the old memory wiped and given back. NULL without memory: all stays. */
uint8_t *sl_secret_move(uint8_t *bytes, size_t length, size_t room);
/* Of a name in lower case. */
enum sl_field_name sl_field_known(const char *name, size_t length);
/* Whether `length` bytes are `lower`, whatever the case of letters. */
int sl_text_is(const char *text, size_t length, const char *lower);
/* The next element of a list between commas, without space around it, possibly empty. Returns 0 at its end. */
int sl_list_next(const char **at, const char *end, const char **element, size_t *length);
/* How many bytes from the start a field's value may hold: to a control byte that is not a tab. The text ends with
 * SL_MESSAGE_SLACK zero bytes. */
size_t sl_value_span(const uint8_t *text);

/* Each of these returns NULL, or the rule that is broken as a static text. */

/* The first line, which begins at *at; *at moves behind it. */
const char *sl_message_request_line(struct sl_message *message, uint32_t *at);
const char *sl_message_status_line(struct sl_message *message, uint32_t *at);
/* Takes a target apart into scheme, authority, path and query, as the method demands it. */
const char *sl_message_split(struct sl_message *message, struct sl_span target);
/* The same for a path with its query, or *. */
const char *sl_message_split_path(struct sl_message *message, struct sl_span target);
/* A host, or host:port (RFC 9110 section 7.2), without user information and escapes. */
const char *sl_authority_fault(const char *text, size_t length);
/* Takes note of one field; for those that the gateway knows. */
const char *sl_message_note(struct sl_message *message, struct sl_noted *noted, const struct sl_message_field *field);
/* Whether Host, which is there, is sound and agrees with the target; it is the authority where the target has none. */
const char *sl_message_host_fault(struct sl_message *message);
/* Sets framing and flags of a request whose fields were all noted. */
const char *sl_message_end_request(struct sl_message *message, const struct sl_noted *noted);
const char *sl_message_end_response(struct sl_message *message, const struct sl_noted *noted, int to_head);

#endif
