/* Messages of HTTP/2: what their parts may hold, and how they are framed. */
#include "message_fixture.h"

/* Of a request: method, scheme, authority, path, protocol (NULL: not there), and up to two fields. */
struct row {
    const char *parts[5], *fields[2][2];
    int ends;
    const char *fault; /* NULL: it is sound */
    enum sl_message_form form;
    enum sl_framing framing;
};

#define GET {"GET", "https", "a", "/x?y", NULL}
static const char HTTP1[] = "a field of connections of HTTP/1 in HTTP/2";
static const char HOST[] = "a Host other than the target's";

static const struct row ROWS[] = {
    {GET, {{0}}, 1, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_NONE},
    {GET, {{0}}, 0, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_CHUNKED},
    {GET, {{"content-length", "5"}}, 0, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_LENGTH},
    {GET, {{"content-length", "0"}}, 1, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_LENGTH},
    {GET, {{"te", "trailers"}, {"host", "A:443"}}, 1, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_NONE},
    {{"GET", "http", NULL, "/", NULL}, {{"host", "a"}}, 1, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_NONE},
    {{"OPTIONS", "http", "a", "*", NULL}, {{0}}, 1, NULL, SL_FORM_ASTERISK, SL_FRAMING_NONE},
    {{"CONNECT", NULL, "a:443", NULL, NULL}, {{0}}, 0, NULL, SL_FORM_AUTHORITY, SL_FRAMING_NONE},
    {{"CONNECT", "https", "a", "/chat", "websocket"}, {{0}}, 0, NULL, SL_FORM_ABSOLUTE, SL_FRAMING_NONE},
    {GET, {{"content-length", "5"}}, 1, "a Content-Length without content", 0, 0},
    {GET, {{"content-length", "5"}, {"content-length", "5"}}, 0, "several fields Content-Length", 0, 0},
    {GET, {{"content-length", "5, 5"}}, 0, "a Content-Length other than 1 to 18 digits", 0, 0},
    {GET, {{"connection", "close"}}, 1, HTTP1, 0, 0},
    {GET, {{"keep-alive", "1"}}, 1, HTTP1, 0, 0},
    {GET, {{"proxy-connection", "close"}}, 1, HTTP1, 0, 0},
    {GET, {{"transfer-encoding", "chunked"}}, 1, HTTP1, 0, 0},
    {GET, {{"upgrade", "websocket"}}, 1, HTTP1, 0, 0},
    {GET, {{"te", "gzip"}}, 1, "a TE other than trailers in HTTP/2", 0, 0},
    {GET, {{"host", "b"}}, 1, HOST, 0, 0},
    {GET, {{"host", "a"}, {"host", "a"}}, 1, "several fields Host", 0, 0},
    {{"GET", "https", NULL, "/", NULL}, {{0}}, 1, "a request without :authority and Host", 0, 0},
    {{NULL, "https", "a", "/", NULL}, {{0}}, 1, "a method that is not a token", 0, 0},
    {{"G T", "https", "a", "/", NULL}, {{0}}, 1, "a method that is not a token", 0, 0},
    {{"GET", NULL, "a", "/", NULL}, {{0}}, 1, "a scheme that is not a token", 0, 0},
    {{"GET", "a:", "a", "/", NULL}, {{0}}, 1, "a scheme that is not a token", 0, 0},
    {{"GET", "https", "u@a", "/", NULL}, {{0}}, 1, "user information in the target", 0, 0},
    {{"GET", "https", "a/b", "/", NULL}, {{0}}, 1, "an authority other than HOST or HOST:PORT", 0, 0},
    {{"GET", "https", "a", NULL, NULL}, {{0}}, 1, "an empty target", 0, 0},
    {{"GET", "https", "a", "x", NULL}, {{0}}, 1, "a target that is not a path, an absolute URI, or * of OPTIONS", 0, 0},
    {{"GET", "https", "a", "*", NULL}, {{0}}, 1, "a target * of another method than OPTIONS", 0, 0},
    {{"GET", "https", "a", "/ HTTP/1.1\r\nx: y", NULL},
     {{0}},
     1,
     "a byte in the target that is not visible ASCII",
     0,
     0},
    {{"GET", "https", "a", "/#x", NULL}, {{0}}, 1, "a fragment in the target", 0, 0},
    {{"GET", "https", "a", "/", "websocket"}, {{0}}, 0, "a protocol without CONNECT", 0, 0},
    {{"CONNECT", "https", "a", "/", "a\r\nb"}, {{0}}, 0, "a protocol that is not a token", 0, 0},
    {{"CONNECT", "https", "a:1", "/", NULL}, {{0}}, 0, "CONNECT with a scheme or a path", 0, 0},
    {{"CONNECT", NULL, "a", NULL, NULL}, {{0}}, 0, "CONNECT without a port", 0, 0},
};

static void build(struct sl_message *message, const struct row *row)
{
    struct sl_span *const spans[] = {&message->method, &message->scheme, &message->authority, &message->path,
                                     &message->protocol};
    for (int i = 0; i < 5; i++) {
        if (row->parts[i]) CHECK(sl_message_keep(message, row->parts[i], strlen(row->parts[i]), spans[i]));
    }
    for (int i = 0; i < 2 && row->fields[i][0]; i++)
        CHECK_EQ(sl_message_add(message, row->fields[i][0], strlen(row->fields[i][0]), row->fields[i][1],
                                strlen(row->fields[i][1])),
                 i);
}

TEST(requests)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const struct row *row = &ROWS[i];
        struct sl_message message = {0};
        build(&message, row);
        CHECK_EQ(sl_message_settle_request(&message, row->ends), row->fault ? SL_MESSAGE_BROKEN : SL_MESSAGE_DONE);
        CHECK_STR(message.fault ? message.fault : "", row->fault ? row->fault : "");
        if (!row->fault) {
            CHECK_EQ(message.form, row->form);
            CHECK_EQ(message.framing, row->framing);
            CHECK(message.keeps_alive && message.minor == 1);
            CHECK_EQ(message.upgrades, row->parts[4] != NULL);
        }
        sl_message_free(&message);
    }
}

TEST(the_query_is_parted)
{
    struct sl_message message = {0};
    build(&message, &ROWS[0]);
    CHECK_EQ(sl_message_settle_request(&message, 1), SL_MESSAGE_DONE);
    CHECK_STR(text_of(&message, message.path), "/x");
    CHECK_STR(text_of(&message, message.query), "y");
    sl_message_free(&message);
}

struct answer {
    unsigned status;
    const char *length; /* of Content-Length; NULL: none */
    int to_head, ends, fine;
    enum sl_framing framing;
};

static const struct answer ANSWERS[] = {
    {200, NULL, 0, 0, 1, SL_FRAMING_CHUNKED},
    {200, NULL, 0, 1, 1, SL_FRAMING_LENGTH},
    {200, "5", 0, 0, 1, SL_FRAMING_LENGTH},
    {200, "5", 0, 1, 0, 0},
    {200, "5", 1, 1, 1, SL_FRAMING_NONE},
    {304, "5", 0, 1, 1, SL_FRAMING_NONE},
    {204, NULL, 0, 1, 1, SL_FRAMING_NONE},
    {103, NULL, 0, 0, 1, SL_FRAMING_NONE},
    {101, NULL, 0, 0, 0, 0},
    {0, NULL, 0, 0, 0, 0},
    {99, NULL, 0, 0, 0, 0},
    {600, NULL, 0, 0, 0, 0},
};

TEST(responses)
{
    for (size_t i = 0; i < sizeof ANSWERS / sizeof ANSWERS[0]; i++) {
        const struct answer *row = &ANSWERS[i];
        struct sl_message message = {.status = (uint16_t)row->status};
        if (row->length) sl_message_add(&message, "content-length", 14, row->length, strlen(row->length));
        CHECK_EQ(sl_message_settle_response(&message, row->to_head, row->ends),
                 row->fine ? SL_MESSAGE_DONE : SL_MESSAGE_BROKEN);
        CHECK_EQ(message.fault != NULL, !row->fine);
        if (row->fine) CHECK_EQ(message.framing, row->framing);
        sl_message_free(&message);
    }
}

TEST(trailers)
{
    struct sl_message message = {0};
    CHECK(sl_message_trailer_fault(&message) == NULL);
    sl_message_add(&message, "grpc-status", 11, "0", 1);
    CHECK(sl_message_trailer_fault(&message) == NULL);
    sl_message_add(&message, "host", 4, "a", 1);
    CHECK(sl_message_trailer_fault(&message) != NULL);
    sl_message_free(&message);
}

int main(void)
{
    RUN(requests);
    RUN(the_query_is_parted);
    RUN(responses);
    RUN(trailers);
    return CHECK_REPORT();
}
