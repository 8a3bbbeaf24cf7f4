/* Any bytes as a message: reading it in two steps finds the same, its spans lie in its text, and what is written again
 * is read as the same message. The first byte says which part it is. */
#include <stdlib.h>
#include <string.h>

#include "bytes/message.h"

static void require(int condition)
{
    if (!condition) abort();
}

static enum sl_message_status read_part(unsigned kind, struct sl_message *message, const uint8_t *data, size_t length,
                                        size_t *seen, size_t *used)
{
    if (kind == 0) return sl_message_read_request(message, data, length, seen, used);
    if (kind == 3) return sl_message_read_trailers(message, data, length, seen, used);
    return sl_message_read_response(message, data, length, kind == 2, seen, used);
}

static void check_span(const struct sl_message *message, struct sl_span span)
{
    require(span.at <= message->text_length && span.length <= message->text_length - span.at);
}

static void check_field(const struct sl_message *message, const struct sl_message_field *field)
{
    const char *name = sl_message_at(message, field->name), *value = sl_message_at(message, field->value);
    check_span(message, field->name);
    check_span(message, field->value);
    require(field->name.length > 0);
    for (uint32_t i = 0; i < field->name.length; i++)
        require(name[i] > ' ' && name[i] < 0x7f && name[i] != ':' && !(name[i] >= 'A' && name[i] <= 'Z'));
    for (uint32_t i = 0; i < field->value.length; i++)
        require((uint8_t)value[i] >= ' ' ? value[i] != 0x7f : value[i] == '\t');
}

static void check_same(const struct sl_message *a, struct sl_span x, const struct sl_message *b, struct sl_span y)
{
    require(x.length == y.length);
    require(x.length == 0 || memcmp(sl_message_at(a, x), sl_message_at(b, y), x.length) == 0);
}

/* Written and read again it is the same message. */
static void check_written(unsigned kind, const struct sl_message *message)
{
    struct sl_message again = {0};
    struct sl_out out = {0};
    size_t seen = 0, used;
    enum sl_keep keep = message->keeps_alive ? SL_KEEP_ALIVE : SL_KEEP_CLOSE;
    int absolute = message->form == SL_FORM_ABSOLUTE;
    if (kind == 0 && message->authority.length == 0) return; /* HTTP/1.0 without Host, or an empty one */
    require(kind == 0 ? sl_message_write_request(message, absolute, keep, &out)
                      : sl_message_write_response(message, keep, &out));
    if (out.length <= SL_MESSAGE_HEAD_MOST && message->field_count < SL_MESSAGE_FIELDS_MOST - 5) {
        require(read_part(kind, &again, out.bytes, out.length, &seen, &used) == SL_MESSAGE_DONE);
        require(used == out.length && again.framing == message->framing && again.status == message->status);
        require(again.content_length == message->content_length || message->status < 200 || message->status == 204);
        require(message->status < 200 || again.keeps_alive == message->keeps_alive);
        check_same(message, message->method, &again, again.method);
        check_same(message, message->query, &again, again.query);
        check_same(message, message->authority, &again, again.authority);
        check_same(message, message->protocol, &again, again.protocol);
        if (message->path.length) check_same(message, message->path, &again, again.path);
    }
    free(out.bytes);
    sl_message_free(&again);
}

static void check_whole(unsigned kind, struct sl_message *message)
{
    struct sl_message copy = {0};
    require(message->fault == NULL && message->field_count <= SL_MESSAGE_FIELDS_MOST);
    for (uint32_t i = 0; i < message->field_count; i++) check_field(message, &message->fields[i]);
    check_span(message, message->method);
    check_span(message, message->scheme);
    check_span(message, message->authority);
    check_span(message, message->path);
    check_span(message, message->query);
    check_span(message, message->protocol);
    check_span(message, message->host);
    require(sl_message_copy(&copy, message));
    if (kind != 3) check_written(kind, &copy);
    sl_message_strip(&copy);
    require(sl_message_find(&copy, SL_FIELD_CONNECTION, 0) < 0 && sl_message_find(&copy, SL_FIELD_TE, 0) < 0);
    sl_message_free(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_message message = {0};
    size_t seen = 0, used = 0, used_again = 0, split;
    enum sl_message_status status, again;
    unsigned kind;
    if (size < 2) return 0;
    kind = data[0] % 4;
    split = data[1] % (size - 1);
    data += 2;
    size -= 2;
    again = read_part(kind, &message, data, split < size ? split : size, &seen, &used_again);
    if (again == SL_MESSAGE_MORE) again = read_part(kind, &message, data, size, &seen, &used_again);
    seen = 0;
    status = read_part(kind, &message, data, size, &seen, &used);
    require(status == again && used == used_again && used <= size && status != SL_MESSAGE_NO_MEMORY);
    require((status == SL_MESSAGE_BROKEN) == (message.fault != NULL));
    if (status == SL_MESSAGE_DONE)
        check_whole(kind, &message);
    else
        require(message.field_count == 0 && message.text_length == 0);
    sl_message_free(&message);
    return 0;
}
