/* Messages as they are built, changed, copied and written. */
#include "message_fixture.h"

#define ADD(message, name, value) sl_message_add(message, name, strlen(name), value, strlen(value))
#define SET(message, name, value) sl_message_set(message, name, strlen(name), value, strlen(value))
#define REMOVE(message, name) sl_message_remove(message, name, strlen(name))

static void keep(struct sl_message *message, const char *text, struct sl_span *out)
{
    CHECK(sl_message_keep(message, text, strlen(text), out));
}

/* What was written, as a text; free() it. */
static char *written(struct sl_out *out)
{
    char *text = malloc(out->length + 1);
    if (out->length) memcpy(text, out->bytes, out->length);
    text[out->length] = 0;
    free(out->bytes);
    memset(out, 0, sizeof *out);
    return text;
}

static void check_request(const struct sl_message *message, int absolute, enum sl_keep keep_it, const char *want)
{
    struct sl_out out = {0};
    CHECK(sl_message_write_request(message, absolute, keep_it, &out));
    char *text = written(&out);
    CHECK_STR(text, want);
    free(text);
}

static void check_response(const struct sl_message *message, enum sl_keep keep_it, const char *want)
{
    struct sl_out out = {0};
    CHECK(sl_message_write_response(message, keep_it, &out));
    char *text = written(&out);
    CHECK_STR(text, want);
    free(text);
}

TEST(fields_are_found_set_and_removed)
{
    struct sl_message message = {0};
    CHECK_EQ(ADD(&message, "via", "1.1 a"), 0);
    CHECK_EQ(ADD(&message, "x-a", "1"), 1);
    CHECK_EQ(ADD(&message, "x-a", "2"), 2);
    CHECK_EQ(ADD(&message, "x-b", ""), 3);
    CHECK_EQ(sl_message_find(&message, SL_FIELD_VIA, 0), 0);
    CHECK_EQ(sl_message_find(&message, SL_FIELD_VIA, 1), -1);
    CHECK_EQ(sl_message_find(&message, SL_FIELD_HOST, 0), -1);
    CHECK_EQ(sl_message_find_name(&message, "x-a", 3, 0), 1);
    CHECK_EQ(sl_message_find_name(&message, "x-a", 3, 2), 2);
    CHECK_EQ(sl_message_find_name(&message, "x-", 2, 0), -1);
    CHECK(SET(&message, "x-a", "three"));
    CHECK_STR(text_of(&message, message.fields[1].value), "three");
    CHECK_EQ(sl_message_find_name(&message, "x-a", 3, 2), -1);
    CHECK(SET(&message, "x-c", "4"));
    CHECK_EQ(message.field_count, 5);
    CHECK_EQ(REMOVE(&message, "x-a"), 1);
    CHECK_EQ(REMOVE(&message, "x-a"), 0);
    CHECK_EQ(sl_message_find_name(&message, "x-a", 3, 0), -1);
    sl_message_free(&message);
    CHECK(message.text == NULL && message.fields == NULL);
}

TEST(no_field_holds_what_would_end_it)
{
    static const char *const rows[][2] = {
        {"", "x"}, {"X", "x"}, {"a b", "x"}, {"a:", "x"}, {"a", "x\r\ny: 1"}, {"a", "\n"}, {"a", "\x7f"}, {"a\r", "x"},
    };
    struct sl_message message = {0};
    ADD(&message, "a", "1");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        message.fault = NULL;
        CHECK_EQ(ADD(&message, rows[i][0], rows[i][1]), -1);
        CHECK(message.fault != NULL);
        CHECK(!SET(&message, rows[i][0], rows[i][1]));
    }
    CHECK_EQ(sl_message_add(&message, "a", 1, "\0", 1), -1);
    CHECK_EQ(message.field_count, 1);
    CHECK_STR(text_of(&message, message.fields[0].value), "1");
    sl_message_free(&message);
}

TEST(grows_to_its_limits)
{
    struct sl_message message = {0};
    for (int i = 0; i < SL_MESSAGE_FIELDS_MOST; i++) CHECK_EQ(ADD(&message, "x-name", "0123456789"), i);
    CHECK_EQ(ADD(&message, "x-name", "0123456789"), -1);
    CHECK_STR(text_of(&message, message.fields[999].value), "0123456789");
    sl_message_clear(&message);
    CHECK_EQ(message.field_count, 0);
    CHECK(message.text != NULL);
    CHECK(!sl_message_keep(&message, "", (size_t)1 << 24, &message.path));
    sl_message_free(&message);
}

TEST(strips_the_fields_of_one_connection)
{
    struct sl_message message = {0};
    CHECK_EQ(read_text(REQUEST, &message,
                       "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop,,\tcontent-length\r\nX-HOP: 1\r\n"
                       "Keep-Alive: 5\r\nProxy-Authorization: x\r\nProxy-Anything: x\r\nProxy: x\r\nTE: trailers\r\n"
                       "Upgrade: x\r\nTrailer: y\r\nContent-Length: 5\r\nX-Kept: 1\r\n\r\n"),
             SL_MESSAGE_DONE);
    sl_message_strip(&message);
    CHECK(!message.keeps_alive && message.takes_trailers && message.framing == SL_FRAMING_LENGTH);
    message.takes_trailers = 0;
    check_request(&message, 0, SL_KEEP_ALIVE,
                  "GET / HTTP/1.1\r\nhost: a\r\nproxy: x\r\ntrailer: y\r\nx-kept: 1\r\ncontent-length: 5\r\n\r\n");
    CHECK(sl_message_find(&message, SL_FIELD_CONTENT_LENGTH, 0) >= 0);
    CHECK_EQ(sl_message_find(&message, SL_FIELD_TE, 0), -1);
    CHECK_EQ(sl_message_find(&message, SL_FIELD_CONNECTION, 0), -1);
    sl_message_free(&message);
}

TEST(a_copy_has_what_is_there)
{
    struct sl_message message = {0}, copy = {0};
    CHECK_EQ(read_text(REQUEST, &message, "PUT http://a/b?c HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\n\r\n"),
             SL_MESSAGE_DONE);
    REMOVE(&message, "x");
    CHECK(sl_message_copy(&copy, &message));
    sl_message_free(&message);
    CHECK_EQ(copy.field_count, 2);
    check_request(&copy, 1, SL_KEEP_ALIVE, "PUT http://a/b?c HTTP/1.1\r\nhost: a\r\ny: 2\r\n\r\n");
    CHECK(sl_message_copy(&message, &copy));
    CHECK(sl_message_copy(&message, &copy));
    sl_message_free(&message);
    CHECK(sl_message_copy(&copy, &message));
    CHECK_EQ(copy.field_count, 0);
    sl_message_free(&copy);
}

TEST(writes_requests)
{
    struct sl_message message = {0};
    keep(&message, "GET", &message.method);
    keep(&message, "a.example:8080", &message.authority);
    check_request(&message, 0, SL_KEEP_ALIVE, "GET / HTTP/1.1\r\nhost: a.example:8080\r\n\r\n");
    check_request(&message, 1, SL_KEEP_CLOSE,
                  "GET http://a.example:8080/ HTTP/1.1\r\nhost: a.example:8080\r\nconnection: close\r\n\r\n");
    keep(&message, "https", &message.scheme);
    keep(&message, "/x", &message.path);
    message.has_query = 1;
    check_request(&message, 1, SL_KEEP_SAID,
                  "GET https://a.example:8080/x? HTTP/1.1\r\nhost: a.example:8080\r\nconnection: keep-alive\r\n\r\n");
    keep(&message, "y=z", &message.query);
    message.takes_trailers = 1;
    ADD(&message, "host", "other");
    ADD(&message, "content-length", "1");
    ADD(&message, "transfer-encoding", "gzip");
    ADD(&message, "connection", "x");
    message.framing = SL_FRAMING_CHUNKED;
    check_request(&message, 0, SL_KEEP_ALIVE,
                  "GET /x?y=z HTTP/1.1\r\nhost: a.example:8080\r\ntransfer-encoding: chunked\r\nconnection: te\r\n"
                  "te: trailers\r\n\r\n");
    message.framing = SL_FRAMING_LENGTH;
    message.content_length = UINT64_MAX;
    message.takes_trailers = 0;
    message.upgrades = 1;
    keep(&message, "websocket", &message.protocol);
    check_request(&message, 0, SL_KEEP_ALIVE,
                  "GET /x?y=z HTTP/1.1\r\nhost: a.example:8080\r\ncontent-length: 18446744073709551615\r\n"
                  "connection: upgrade\r\nupgrade: websocket\r\n\r\n");
    sl_message_clear(&message);
    keep(&message, "OPTIONS", &message.method);
    keep(&message, "*", &message.path);
    keep(&message, "a", &message.authority);
    keep(&message, "http", &message.scheme);
    message.form = SL_FORM_ASTERISK;
    check_request(&message, 0, SL_KEEP_ALIVE, "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n");
    check_request(&message, 1, SL_KEEP_ALIVE, "OPTIONS http://a HTTP/1.1\r\nhost: a\r\n\r\n");
    sl_message_clear(&message);
    keep(&message, "CONNECT", &message.method);
    keep(&message, "a:443", &message.authority);
    message.form = SL_FORM_AUTHORITY;
    check_request(&message, 0, SL_KEEP_ALIVE, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n");
    sl_message_free(&message);
}

TEST(writes_responses)
{
    struct sl_message message = {.status = 200, .framing = SL_FRAMING_LENGTH};
    ADD(&message, "content-type", "text/plain");
    check_response(&message, SL_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n");
    message.framing = SL_FRAMING_CLOSE;
    check_response(&message, SL_KEEP_ALIVE, "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n");
    message.framing = SL_FRAMING_CHUNKED;
    message.status = 599;
    check_response(&message, SL_KEEP_SAID,
                   "HTTP/1.1 599 \r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n"
                   "connection: keep-alive\r\n\r\n");
    message.status = 103;
    message.framing = SL_FRAMING_NONE;
    check_response(&message, SL_KEEP_CLOSE, "HTTP/1.1 103 Early Hints\r\ncontent-type: text/plain\r\n\r\n");
    message.status = 304;
    message.has_length = 1;
    message.content_length = 7;
    check_response(&message, SL_KEEP_ALIVE,
                   "HTTP/1.1 304 Not Modified\r\ncontent-type: text/plain\r\ncontent-length: 7\r\n\r\n");
    sl_message_clear(&message);
    message.status = 101;
    message.upgrades = 1;
    keep(&message, "websocket", &message.protocol);
    check_response(&message, SL_KEEP_ALIVE,
                   "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    sl_message_free(&message);
}

TEST(writes_behind_what_is_there)
{
    struct sl_message message = {0};
    struct sl_out out = {0};
    ADD(&message, "grpc-status", "0");
    for (int i = 0; i < 100; i++) CHECK(sl_message_write_trailers(&message, &out));
    CHECK_EQ(out.length, 100 * strlen("grpc-status: 0\r\n\r\n"));
    CHECK(out.room >= out.length);
    char *text = written(&out);
    CHECK(strncmp(text, "grpc-status: 0\r\n\r\ngrpc-status: 0\r\n\r\n", 36) == 0);
    free(text);
    sl_message_free(&message);
}

/* Whether the bytes are anywhere in the memory. */
static int has(const uint8_t *memory, size_t length, const char *text)
{
    return memmem(memory, length, text, strlen(text)) != NULL;
}

TEST(a_secret_is_wiped_with_what_had_it)
{
    struct sl_message message = {0}, copy = {0};
    struct sl_out out = {0};
    char long_value[2048];
    memset(long_value, 'v', sizeof long_value);
    ADD(&message, "authorization", "mine");
    ADD(&message, "x-a", "1");
    ADD(&message, "authorization", "mine too");
    CHECK(sl_message_set_secret(&message, "authorization", 13, "Bearer s3cret", 13));
    CHECK_EQ(sl_message_find_name(&message, "authorization", 13, 0), 0);
    CHECK_EQ(sl_message_find_name(&message, "authorization", 13, 1), -1);
    CHECK(message.secret && message.fields[0].secret && !message.fields[1].secret);
    CHECK(sl_message_set_secret(&message, "x-key", 5, "s3cret", 6));
    CHECK(sl_message_add(&message, "x-long", 6, long_value, sizeof long_value) >= 0); /* the text moves */
    CHECK_STR(text_of(&message, message.fields[0].value), "Bearer s3cret");
    CHECK(sl_message_copy(&copy, &message) && copy.secret && copy.fields[0].secret);
    CHECK(sl_message_write_request(&message, 0, SL_KEEP_ALIVE, &out) && out.secret);
    CHECK(sl_out_room(&out, 8192) && has(out.bytes, out.length, "authorization: Bearer s3cret\r\n"));
    sl_out_clear(&out, 1 << 20);
    CHECK(out.bytes && !out.length && !out.secret && !has(out.bytes, out.room, "s3cret"));
    sl_message_clear(&copy);
    CHECK(copy.text && !copy.secret && !has(copy.text, copy.text_room, "s3cret"));
    CHECK(sl_message_write_request(&copy, 0, SL_KEEP_ALIVE, &out) && !out.secret);
    sl_out_clear(&out, 0);
    CHECK(!out.bytes && !out.room);
    sl_out_clear(&out, 0);
    CHECK(!sl_message_set_secret(&message, "x-key", 5, "a\nb", 3));
    sl_message_free(&message);
    sl_message_free(&copy);
}

int main(void)
{
    RUN(fields_are_found_set_and_removed);
    RUN(no_field_holds_what_would_end_it);
    RUN(grows_to_its_limits);
    RUN(strips_the_fields_of_one_connection);
    RUN(a_copy_has_what_is_there);
    RUN(writes_requests);
    RUN(writes_responses);
    RUN(writes_behind_what_is_there);
    RUN(a_secret_is_wiped_with_what_had_it);
    return CHECK_REPORT();
}
