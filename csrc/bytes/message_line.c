/* The first line of an HTTP/1 message, and the target in it. See message.h. */
#include "bytes/message_private.h"

#include <string.h>

enum { PORT_DIGITS = 5, STATUS_FIRST = 100, STATUS_LAST = 599 };

static const char BARE_LF[] = "a line that ends without CR";
static const char BAD_LINE[] = "a request line other than METHOD, TARGET and HTTP/1.1 with one space between them";
static const char BAD_STATUS[] = "a status line other than HTTP/1.1, a status of three digits and a reason";
static const char BAD_VERSION[] = "a version other than HTTP/1.0 and HTTP/1.1";
static const char BAD_TARGET[] = "a byte in the target that is not visible ASCII";
static const char BAD_AUTHORITY[] = "an authority other than HOST or HOST:PORT";

static int is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static int is_letter(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

/* "HTTP/1.0" or "HTTP/1.1" at *at, which moves behind it. */
static const char *take_version(struct sl_message *message, uint32_t *at, const char *otherwise)
{
    const uint8_t *text = message->text + *at;
    /* Bytes behind the text are zero, and there are eight of them. */
    if (memcmp(text, "HTTP/", 5) != 0 || !is_digit(text[5]) || text[6] != '.' || !is_digit(text[7])) return otherwise;
    if (text[5] != '1' || text[7] > '1') return BAD_VERSION;
    message->minor = (uint8_t)(text[7] - '0');
    *at += 8;
    return NULL;
}

static const char *take_end(const struct sl_message *message, uint32_t *at, const char *otherwise)
{
    const uint8_t *text = message->text + *at;
    if (text[0] == '\n') return BARE_LF;
    if (text[0] != '\r') return otherwise;
    if (text[1] != '\n') return "a bare CR";
    *at += 2;
    return NULL;
}

/* ---- targets ----------------------------------------------------------------------------------------------------- */

const char *sl_authority_fault(const char *text, size_t length)
{
    size_t at = 0, digits = 0;
    if (memchr(text, '@', length)) return "user information in the target";
    if (length && text[0] == '[') {
        at = 1;
        while (at < length &&
               (is_digit((uint8_t)text[at]) || is_letter((uint8_t)text[at]) || text[at] == ':' || text[at] == '.'))
            at++;
        if (at < 3 || at == length || text[at] != ']') return BAD_AUTHORITY;
        at++;
    } else {
        while (at < length && (is_digit((uint8_t)text[at]) || is_letter((uint8_t)text[at]) ||
                               (text[at] != 0 && strchr("-._~", text[at]))))
            at++;
        if (at == 0) return BAD_AUTHORITY;
    }
    if (at == length) return NULL;
    if (text[at++] != ':') return BAD_AUTHORITY;
    while (at + digits < length && is_digit((uint8_t)text[at + digits])) digits++;
    return digits && digits <= PORT_DIGITS && at + digits == length ? NULL : BAD_AUTHORITY;
}

/* Path and query from `at` to `end`. */
static void take_path(struct sl_message *message, uint32_t at, uint32_t end)
{
    const uint8_t *text = message->text, *mark = at < end ? memchr(text + at, '?', end - at) : NULL;
    uint32_t middle = mark ? (uint32_t)(mark - text) : end;
    message->path = (struct sl_span){at, middle - at};
    message->has_query = mark != NULL;
    if (mark) message->query = (struct sl_span){middle + 1, end - middle - 1};
}

static const char *split_absolute(struct sl_message *message, uint32_t at, uint32_t end)
{
    uint8_t *text = message->text;
    uint32_t from = at;
    while (at < end && (is_letter(text[at]) ||
                        (at > from && (is_digit(text[at]) || text[at] == '+' || text[at] == '-' || text[at] == '.')))) {
        text[at] = SL_TOKEN_BYTES[text[at]];
        at++;
    }
    if (at == from || end - at < 3 || memcmp(text + at, "://", 3) != 0)
        return "a target that is not a path, an absolute URI, or * of OPTIONS";
    message->form = SL_FORM_ABSOLUTE;
    message->scheme = (struct sl_span){from, at - from};
    at += 3;
    from = at;
    while (at < end && text[at] != '/' && text[at] != '?') at++;
    message->authority = (struct sl_span){from, at - from};
    take_path(message, at, end);
    return sl_authority_fault((const char *)text + from, at - from);
}

static int is_method(const struct sl_message *message, const char *method, size_t length)
{
    return message->method.length == length && memcmp(sl_message_at(message, message->method), method, length) == 0;
}

static const char *target_fault(const struct sl_message *message, struct sl_span target)
{
    const uint8_t *text = message->text + target.at;
    for (uint32_t i = 0; i < target.length; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f) return BAD_TARGET;
        if (text[i] == '#') return "a fragment in the target";
    }
    return target.length ? NULL : "an empty target";
}

const char *sl_message_split_path(struct sl_message *message, struct sl_span target)
{
    const char *fault = target_fault(message, target), *text = sl_message_at(message, target);
    if (fault) return fault;
    if (text[0] == '/') {
        message->form = SL_FORM_ORIGIN;
        take_path(message, target.at, target.at + target.length);
        return NULL;
    }
    if (target.length != 1 || text[0] != '*') return "a target that is not a path, an absolute URI, or * of OPTIONS";
    message->form = SL_FORM_ASTERISK;
    message->path = target;
    return is_method(message, "OPTIONS", 7) ? NULL : "a target * of another method than OPTIONS";
}

const char *sl_message_split(struct sl_message *message, struct sl_span target)
{
    const char *fault = target_fault(message, target), *text = sl_message_at(message, target);
    if (fault) return fault;
    if (!is_method(message, "CONNECT", 7)) {
        if (text[0] == '/' || text[0] == '*') return sl_message_split_path(message, target);
        return split_absolute(message, target.at, target.at + target.length);
    }
    message->form = SL_FORM_AUTHORITY;
    message->authority = target;
    fault = sl_authority_fault(text, target.length);
    if (fault) return fault;
    return !memchr(text, ':', target.length) || text[target.length - 1] == ']' ? "CONNECT without a port" : NULL;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

const char *sl_message_request_line(struct sl_message *message, uint32_t *at)
{
    const uint8_t *text = message->text;
    struct sl_span target;
    const char *fault;
    uint32_t i = *at;
    while (SL_TOKEN_BYTES[text[i]]) i++;
    message->method = (struct sl_span){*at, i - *at};
    if (text[i] == '\n') return BARE_LF;
    if (i == *at || text[i] != ' ') return BAD_LINE;
    target.at = ++i;
    while (text[i] > ' ' && text[i] != 0x7f) i++;
    target.length = i - target.at;
    if (text[i] == '\n') return BARE_LF;
    if (text[i] != ' ') return text[i] == '\r' || text[i] == '\t' ? BAD_LINE : BAD_TARGET;
    if (target.length == 0) return BAD_LINE;
    i++;
    if ((fault = take_version(message, &i, BAD_LINE)) || (fault = take_end(message, &i, BAD_LINE))) return fault;
    *at = i;
    return sl_message_split(message, target);
}

const char *sl_message_status_line(struct sl_message *message, uint32_t *at)
{
    const uint8_t *text = message->text;
    uint32_t i = *at;
    const char *fault = take_version(message, &i, BAD_STATUS);
    if (fault) return fault;
    if (text[i] != ' ' || !is_digit(text[i + 1]) || !is_digit(text[i + 2]) || !is_digit(text[i + 3])) return BAD_STATUS;
    message->status = (uint16_t)((text[i + 1] - '0') * 100 + (text[i + 2] - '0') * 10 + (text[i + 3] - '0'));
    if (message->status < STATUS_FIRST || message->status > STATUS_LAST) return "a status outside of 100 to 599";
    i += 4;
    if (text[i] == ' ') i += (uint32_t)sl_value_span(text + i);
    if ((fault = take_end(message, &i, BAD_STATUS))) return fault;
    *at = i;
    return NULL;
}
