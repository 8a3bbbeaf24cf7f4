/* Dialogs ahead of TLS; see starttls.h. */
#include "bytes/starttls.h"

#include <string.h>
#include <strings.h>

enum { TLS_HANDSHAKE = 0x16, TAG_MAX = 32 };

/* ---- PostgreSQL and MySQL ---- */

/* SSLRequest, which may follow a GSSENCRequest that was refused: both eight bytes, which differ in the last one. */
static enum sl_dialog postgres(const uint8_t *data, size_t length, size_t *hello)
{
    static const uint8_t request[7] = {0, 0, 0, 8, 0x04, 0xd2, 0x16};
    enum { SIZE = 8, SSL = 0x2f, GSS = 0x30 };

    for (size_t at = 0; at < SL_DIALOG_MAX; at += SIZE) {
        size_t rest = length - at;
        if (at && rest && data[at] == TLS_HANDSHAKE) {
            *hello = at;
            return data[at - 1] == SSL ? SL_DIALOG_HELLO : SL_DIALOG_NONE;
        }
        if (memcmp(data + at, request, rest < sizeof request ? rest : sizeof request) != 0) return SL_DIALOG_NONE;
        if (rest < SIZE) return SL_DIALOG_OPEN;
        if (data[at + 7] != SSL && data[at + 7] != GSS) return SL_DIALOG_NONE;
    }
    return SL_DIALOG_NONE;
}

/* A packet of 32 bytes, the second of the connection, whose capabilities have CLIENT_SSL. */
static enum sl_dialog mysql(const uint8_t *data, size_t length, size_t *hello)
{
    static const uint8_t header[4] = {32, 0, 0, 1};
    enum { CAPABILITIES = 5, CLIENT_SSL = 0x08, SIZE = 36 };

    if (memcmp(data, header, length < sizeof header ? length : sizeof header) != 0) return SL_DIALOG_NONE;
    if (length > CAPABILITIES && !(data[CAPABILITIES] & CLIENT_SSL)) return SL_DIALOG_NONE;
    if (length <= SIZE) return SL_DIALOG_OPEN;
    *hello = SIZE;
    return data[SIZE] == TLS_HANDSHAKE ? SL_DIALOG_HELLO : SL_DIALOG_NONE;
}

/* ---- lines ---- */

struct word {
    const uint8_t *at;
    size_t length;
    int ended; /* something stands behind it */
};

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* The word that begins at *at, which then stands at the next one's. */
static struct word next_word(const uint8_t **at, const uint8_t *end)
{
    struct word word = {*at, 0, 0};
    while (*at < end && !is_blank(**at)) ++*at;
    word.length = (size_t)(*at - word.at);
    word.ended = *at < end;
    while (*at < end && is_blank(**at) && **at != '\n') ++*at;
    return word;
}

static int is_one_of(const struct word *word, const char *const *words)
{
    for (; *words; words++)
        if (word->length == strlen(*words) && strncasecmp((const char *)word->at, *words, word->length) == 0) return 1;
    return 0;
}

/* Whether a byte may stand in a tag of IMAP, as clients make them: letters, digits and what HTTP's tokens have as well, so
 * that no byte of it settles what the bytes are. Commands are letters alone. */
static int in_tag(uint8_t byte)
{
    int plain = (uint8_t)((byte | 0x20) - 'a') < 26 || (uint8_t)(byte - '0') < 10;
    return plain || (byte && strchr(".-_$#", byte));
}

/* Whether bytes begin with a tag or a command and a blank behind it: of most payload, the first byte or two say no. */
static int begins_tagged(const uint8_t *at, const uint8_t *end)
{
    size_t length = 0, most = (size_t)(end - at) < TAG_MAX + 1 ? (size_t)(end - at) : TAG_MAX + 1;
    while (length < most && in_tag(at[length])) length++;
    return length > 0 && length < most && is_blank(at[length]);
}

/* Whether a first line, complete or not, begins a dialog: a command that may come ahead of TLS. */
static int begins_dialog(const uint8_t *line, const uint8_t *end)
{
    static const char *const commands[] = {"EHLO", "HELO", "LHLO", "NOOP",       "RSET",     "HELP", "QUIT",
                                           "VRFY", "AUTH", "CAPA", "STLS",       "FEAT",     "MODE", "CAPABILITIES",
                                           "DATE", "LIST", "USER", "CAPABILITY", "STARTTLS", NULL};
    static const char *const tagged[] = {"CAPABILITY", "NOOP", "ID", "STARTTLS", "ENABLE", "LOGOUT", NULL};
    struct word first, second;

    if (!begins_tagged(line, end)) return 0;
    first = next_word(&line, end);
    if (is_one_of(&first, commands)) return 1;
    second = next_word(&line, end);
    return second.ended && is_one_of(&second, tagged);
}

/* Whether a line, its line feed off, asks for TLS: `STARTTLS`, `STLS`, `TAG STARTTLS`, `AUTH TLS`. */
static int asks_for_tls(const uint8_t *line, const uint8_t *end)
{
    static const char *const alone[] = {"STARTTLS", "STLS", NULL}, *const tagged[] = {"STARTTLS", NULL};
    static const char *const login[] = {"AUTH", NULL}, *const mechanisms[] = {"TLS", "TLS-C", "SSL", NULL};
    struct word first = next_word(&line, end), second;

    if (line == end) return is_one_of(&first, alone);
    second = next_word(&line, end);
    if (line < end) return 0;
    return is_one_of(&second, tagged) || (is_one_of(&first, login) && is_one_of(&second, mechanisms));
}

static enum sl_dialog lines(const uint8_t *data, size_t length, size_t *hello)
{
    const uint8_t *end = data + length, *feed;
    int upgrades = 0;

    if (!begins_dialog(data, end)) return SL_DIALOG_NONE;
    for (const uint8_t *line = data; line < end; line = feed + 1) {
        *hello = (size_t)(line - data);
        if (*hello > SL_DIALOG_MAX) return SL_DIALOG_NONE;
        if (upgrades && *line == TLS_HANDSHAKE) return SL_DIALOG_HELLO;
        feed = memchr(line, '\n', (size_t)(end - line));
        if (!feed) break;
        upgrades = asks_for_tls(line, feed);
    }
    return length > SL_DIALOG_MAX ? SL_DIALOG_NONE : SL_DIALOG_OPEN;
}

enum sl_dialog sl_dialog_read(const uint8_t *data, size_t length, size_t *hello)
{
    *hello = 0;
    if (length == 0) return SL_DIALOG_NONE;
    if (data[0] == 0) return postgres(data, length, hello);
    if (data[0] == 32) return mysql(data, length, hello);
    return lines(data, length, hello);
}
