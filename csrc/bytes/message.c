/* HTTP messages as text and spans: memory, fields, and their names. See message.h. */
#include "bytes/message_private.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_FIRST = 512, FIELDS_FIRST = 16, TEXT_MOST = 1 << 24 };

/* ---- memory ------------------------------------------------------------------------------------------------------ */

uint8_t *sl_secret_move(uint8_t *bytes, size_t length, size_t room)
{
    uint8_t *moved = malloc(room);
    if (!moved) return NULL;
    if (length) memcpy(moved, bytes, length);
    if (length) explicit_bzero(bytes, length);
    free(bytes);
    return moved;
}

static void forget(struct sl_message *message)
{
    if (message->secret) explicit_bzero(message->text, message->text_length);
}

void sl_message_free(struct sl_message *message)
{
    forget(message);
    free(message->text);
    free(message->fields);
    memset(message, 0, sizeof *message);
}

void sl_message_clear(struct sl_message *message)
{
    struct sl_message empty = {.text = message->text,
                               .text_room = message->text_room,
                               .fields = message->fields,
                               .field_room = message->field_room};
    forget(message);
    *message = empty;
}

static uint32_t grown(uint32_t room, uint32_t first, size_t need)
{
    size_t more = room ? room : first;
    while (more < need) more *= 2;
    return (uint32_t)more;
}

int sl_message_room(struct sl_message *message, size_t bytes, unsigned fields)
{
    size_t need = (size_t)message->text_length + bytes + SL_MESSAGE_SLACK;
    size_t count = (size_t)message->field_count + fields;
    if (bytes > TEXT_MOST || need > TEXT_MOST) return 0;
    if (need > message->text_room) {
        uint32_t room = grown(message->text_room, TEXT_FIRST, need);
        uint8_t *text =
            message->secret ? sl_secret_move(message->text, message->text_length, room) : realloc(message->text, room);
        if (!text) return 0;
        message->text = text;
        message->text_room = room;
    }
    if (count > message->field_room) {
        uint32_t room = grown(message->field_room, FIELDS_FIRST, count);
        struct sl_message_field *kept = realloc(message->fields, room * sizeof *kept);
        if (!kept) return 0;
        message->fields = kept;
        message->field_room = room;
    }
    return 1;
}

int sl_message_copy(struct sl_message *to, const struct sl_message *from)
{
    struct sl_message made;
    sl_message_clear(to);
    if (!sl_message_room(to, from->text_length, from->field_count)) return 0;
    made = *from;
    made.text = to->text;
    made.text_room = to->text_room;
    made.fields = to->fields;
    made.field_room = to->field_room;
    made.field_count = 0;
    if (from->text_length) memcpy(made.text, from->text, from->text_length);
    for (uint32_t i = 0; i < from->field_count; i++) {
        if (!from->fields[i].removed) made.fields[made.field_count++] = from->fields[i];
    }
    *to = made;
    return 1;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* Digits, letters, and !#$%&'*+-.^_`|~ */
const uint8_t SL_TOKEN_BYTES[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+',
    ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|',   ['~'] = '~', ['0'] = '0',
    ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',   ['7'] = '7', ['8'] = '8',
    ['9'] = '9', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e',   ['F'] = 'f', ['G'] = 'g',
    ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm',   ['N'] = 'n', ['O'] = 'o',
    ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',   ['V'] = 'v', ['W'] = 'w',
    ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c',   ['d'] = 'd', ['e'] = 'e',
    ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k',   ['l'] = 'l', ['m'] = 'm',
    ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's',   ['t'] = 't', ['u'] = 'u',
    ['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
};

/* By length and one byte there is one candidate. */
enum sl_field_name sl_field_known(const char *name, size_t length)
{
#define IS(text, known) (memcmp(name, text, sizeof text - 1) == 0 ? (known) : SL_FIELD_OTHER)
    switch (length) {
    case 2: return IS("te", SL_FIELD_TE);
    case 3: return IS("via", SL_FIELD_VIA);
    case 4: return IS("host", SL_FIELD_HOST);
    case 6:
        switch (name[0]) {
        case 'c': return IS("cookie", SL_FIELD_COOKIE);
        case 'e': return IS("expect", SL_FIELD_EXPECT);
        default: return IS("origin", SL_FIELD_ORIGIN);
        }
    case 7:
        switch (name[0]) {
        case 'b': return IS("baggage", SL_FIELD_BAGGAGE);
        case 't': return IS("trailer", SL_FIELD_TRAILER);
        default: return IS("upgrade", SL_FIELD_UPGRADE);
        }
    case 9: return IS("forwarded", SL_FIELD_FORWARDED);
    case 10: return name[0] == 'c' ? IS("connection", SL_FIELD_CONNECTION) : IS("keep-alive", SL_FIELD_KEEP_ALIVE);
    case 12:
        return name[0] == 'c' ? IS("content-type", SL_FIELD_CONTENT_TYPE) : IS("max-forwards", SL_FIELD_MAX_FORWARDS);
    case 14: return IS("content-length", SL_FIELD_CONTENT_LENGTH);
    case 16:
        return name[0] == 'p' ? IS("proxy-connection", SL_FIELD_PROXY_CONNECTION)
                              : IS("www-authenticate", SL_FIELD_WWW_AUTHENTICATE);
    case 17: return IS("transfer-encoding", SL_FIELD_TRANSFER_ENCODING);
    case 18: return IS("proxy-authenticate", SL_FIELD_PROXY_AUTHENTICATE);
    case 19: return IS("proxy-authorization", SL_FIELD_PROXY_AUTHORIZATION);
    default: return SL_FIELD_OTHER;
    }
#undef IS
}

int sl_text_is(const char *text, size_t length, const char *lower)
{
    for (size_t i = 0; i < length; i++) {
        char byte = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
        if (!lower[i] || byte != lower[i]) return 0;
    }
    return lower[length] == 0;
}

int sl_list_next(const char **at, const char *end, const char **element, size_t *length)
{
    const char *from = *at, *to;
    if (from > end) return 0;
    to = memchr(from, ',', (size_t)(end - from));
    if (!to) to = end;
    *at = to + 1;
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t')) to--;
    *element = from;
    *length = (size_t)(to - from);
    return 1;
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

/* Behind the text; there is room. */
static struct sl_span put_text(struct sl_message *message, const char *text, size_t length)
{
    struct sl_span span = {message->text_length, (uint32_t)length};
    if (length) memcpy(message->text + message->text_length, text, length);
    message->text_length += (uint32_t)length;
    return span;
}

int sl_message_keep(struct sl_message *message, const char *text, size_t length, struct sl_span *out)
{
    if (!sl_message_room(message, length, 0)) return 0;
    *out = put_text(message, text, length);
    return 1;
}

static const char *field_fault(const char *name, size_t name_length, const char *value, size_t value_length)
{
    if (name_length == 0) return "an empty field name";
    for (size_t i = 0; i < name_length; i++) {
        if (SL_TOKEN_BYTES[(uint8_t)name[i]] != (uint8_t)name[i])
            return "a field name that is not a token in lower case";
    }
    for (size_t i = 0; i < value_length; i++) {
        uint8_t byte = (uint8_t)value[i];
        if ((byte < ' ' && byte != '\t') || byte == 0x7f) return "a control byte in a field value";
    }
    return NULL;
}

int sl_message_add(struct sl_message *message, const char *name, size_t name_length, const char *value,
                   size_t value_length)
{
    struct sl_message_field field = {0};
    const char *fault = field_fault(name, name_length, value, value_length);
    if (fault) {
        message->fault = fault;
        return -1;
    }
    if (message->field_count == SL_MESSAGE_FIELDS_MOST || !sl_message_room(message, name_length + value_length, 1))
        return -1;
    field.name = put_text(message, name, name_length);
    field.value = put_text(message, value, value_length);
    field.known = (uint8_t)sl_field_known(name, name_length);
    message->fields[message->field_count] = field;
    return (int)message->field_count++;
}

int sl_message_find(const struct sl_message *message, enum sl_field_name known, uint32_t from)
{
    for (uint32_t i = from; i < message->field_count; i++) {
        if (message->fields[i].known == known && !message->fields[i].removed) return (int)i;
    }
    return -1;
}

static int is_named(const struct sl_message *message, const struct sl_message_field *field, const char *name,
                    size_t length)
{
    return field->name.length == length && !field->removed &&
           memcmp(sl_message_at(message, field->name), name, length) == 0;
}

int sl_message_find_name(const struct sl_message *message, const char *name, size_t length, uint32_t from)
{
    for (uint32_t i = from; i < message->field_count; i++) {
        if (is_named(message, &message->fields[i], name, length)) return (int)i;
    }
    return -1;
}

unsigned sl_message_remove(struct sl_message *message, const char *name, size_t length)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < message->field_count; i++) {
        if (!is_named(message, &message->fields[i], name, length)) continue;
        message->fields[i].removed = 1;
        count++;
    }
    return count;
}

int sl_message_set(struct sl_message *message, const char *name, size_t name_length, const char *value,
                   size_t value_length)
{
    int first = sl_message_find_name(message, name, name_length, 0);
    const char *fault;
    if (first < 0) return sl_message_add(message, name, name_length, value, value_length) >= 0;
    fault = field_fault(name, name_length, value, value_length);
    if (fault) {
        message->fault = fault;
        return 0;
    }
    if (!sl_message_keep(message, value, value_length, &message->fields[first].value)) return 0;
    for (uint32_t i = (uint32_t)first + 1; i < message->field_count; i++) {
        if (is_named(message, &message->fields[i], name, name_length)) message->fields[i].removed = 1;
    }
    return 1;
}

int sl_message_set_secret(struct sl_message *message, const char *name, size_t name_length, const char *value,
                          size_t value_length)
{
    int at;
    message->secret = 1;
    if (!sl_message_set(message, name, name_length, value, value_length)) return 0;
    at = sl_message_find_name(message, name, name_length, 0);
    message->fields[at].secret = 1;
    return 1;
}

/* ---- fields of one connection ------------------------------------------------------------------------------------ */

/* Whether the field is one connection's in any message (RFC 9110 section 7.6.1). */
static int is_hop(const struct sl_message *message, const struct sl_message_field *field)
{
    switch (field->known) {
    case SL_FIELD_CONNECTION:
    case SL_FIELD_KEEP_ALIVE:
    case SL_FIELD_TE:
    case SL_FIELD_TRANSFER_ENCODING:
    case SL_FIELD_UPGRADE: return 1;
    default: return field->name.length > 6 && memcmp(sl_message_at(message, field->name), "proxy-", 6) == 0;
    }
}

static void remove_option(struct sl_message *message, const char *option, size_t length)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        struct sl_message_field *field = &message->fields[i];
        const char *name = sl_message_at(message, field->name);
        size_t at = 0;
        if (field->name.length != length || field->known == SL_FIELD_CONTENT_LENGTH) continue;
        while (at < length && SL_TOKEN_BYTES[(uint8_t)option[at]] == (uint8_t)name[at]) at++;
        if (at == length) field->removed = 1;
    }
}

void sl_message_strip(struct sl_message *message)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        struct sl_message_field *field = &message->fields[i];
        const char *at = sl_message_at(message, field->value), *end = at + field->value.length, *option;
        size_t length;
        if (field->known != SL_FIELD_CONNECTION) continue;
        for (int left = SL_MESSAGE_OPTIONS_MOST; left && sl_list_next(&at, end, &option, &length); left--) {
            if (length) remove_option(message, option, length);
        }
    }
    for (uint32_t i = 0; i < message->field_count; i++) {
        if (is_hop(message, &message->fields[i])) message->fields[i].removed = 1;
    }
}
