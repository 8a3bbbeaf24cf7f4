/* Messages that HTTP/2 carries, whose parts were kept and added one by one: checked, and their framing set as a head of
 * HTTP/1 would set it (RFC 9113 section 8). See message.h. */
#include "bytes/message_private.h"

#include <string.h>

static const char *check_fields(struct sl_message *message, struct sl_noted *noted)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        const struct sl_message_field *field = &message->fields[i];
        const char *value = sl_message_at(message, field->value), *fault;
        switch (field->removed ? SL_FIELD_OTHER : field->known) {
        case SL_FIELD_CONNECTION:
        case SL_FIELD_KEEP_ALIVE:
        case SL_FIELD_PROXY_CONNECTION:
        case SL_FIELD_TRANSFER_ENCODING:
        case SL_FIELD_UPGRADE: return "a field of connections of HTTP/1 in HTTP/2";
        case SL_FIELD_TE:
            if (!sl_text_is(value, field->value.length, "trailers")) return "a TE other than trailers in HTTP/2";
            break;
        case SL_FIELD_OTHER: continue;
        default: break;
        }
        if ((fault = sl_message_note(message, noted, field))) return fault;
    }
    return NULL;
}

static const char *check_token(const struct sl_message *message, struct sl_span span, const char *fault)
{
    for (uint32_t i = 0; i < span.length; i++) {
        if (!SL_TOKEN_BYTES[message->text[span.at + i]]) return fault;
    }
    return span.length ? NULL : fault;
}

static const char *check_target(struct sl_message *message)
{
    struct sl_span whole = message->path, scheme = message->scheme, authority = message->authority;
    const char *fault;
    if (message->form == SL_FORM_AUTHORITY) {
        if (whole.length || scheme.length) return "CONNECT with a scheme or a path";
        return sl_message_split(message, authority);
    }
    if ((fault = check_token(message, scheme, "a scheme that is not a token"))) return fault;
    if ((fault = sl_message_split_path(message, whole))) return fault;
    if (message->form != SL_FORM_ASTERISK) message->form = SL_FORM_ABSOLUTE;
    return authority.length ? sl_authority_fault(sl_message_at(message, authority), authority.length) : NULL;
}

enum sl_message_status sl_message_settle_request(struct sl_message *message, int ends)
{
    struct sl_noted noted = {.is_request = 1};
    const char *method = sl_message_at(message, message->method);
    int connects = message->method.length == 7 && memcmp(method, "CONNECT", 7) == 0;
    message->minor = 1;
    message->form = connects && !message->protocol.length ? SL_FORM_AUTHORITY : SL_FORM_ORIGIN;
    message->fault = check_token(message, message->method, "a method that is not a token");
    if (!message->fault && message->protocol.length) {
        message->fault = connects ? check_token(message, message->protocol, "a protocol that is not a token")
                                  : "a protocol without CONNECT";
        message->upgrades = 1;
    }
    if (!message->fault) message->fault = check_target(message);
    if (!message->fault) message->fault = check_fields(message, &noted);
    if (!message->fault && message->host_known) message->fault = sl_message_host_fault(message);
    if (!message->fault && !message->authority.length) message->fault = "a request without :authority and Host";
    if (!message->fault && ends && message->content_length) message->fault = "a Content-Length without content";
    if (message->fault) return SL_MESSAGE_BROKEN;
    message->keeps_alive = 1;
    if (connects)
        message->framing = SL_FRAMING_NONE;
    else if (message->has_length)
        message->framing = SL_FRAMING_LENGTH;
    else
        message->framing = ends ? SL_FRAMING_NONE : SL_FRAMING_CHUNKED;
    return SL_MESSAGE_DONE;
}

enum sl_message_status sl_message_settle_response(struct sl_message *message, int to_head, int ends)
{
    struct sl_noted noted = {0};
    message->minor = 1;
    if (message->status < 100 || message->status > 599 || message->status == 101)
        message->fault = "a status outside of 100 to 599, or 101";
    else
        message->fault = check_fields(message, &noted);
    if (!message->fault) message->fault = sl_message_end_response(message, &noted, to_head);
    if (message->fault) return SL_MESSAGE_BROKEN;
    message->keeps_alive = 1;
    if (message->framing == SL_FRAMING_CLOSE) {
        message->framing = ends ? SL_FRAMING_LENGTH : SL_FRAMING_CHUNKED;
    } else if (message->framing == SL_FRAMING_LENGTH && ends && message->content_length) {
        message->fault = "a Content-Length without content";
        return SL_MESSAGE_BROKEN;
    }
    return SL_MESSAGE_DONE;
}
