/* Heads of responses and trailers: what is read, and every rule that they can break. */
#include "message_fixture.h"

struct row {
    const char *text;
    enum reader reader;
    unsigned status;
    enum sl_framing framing;
    uint64_t length;
    int keeps;
};

static const struct row GOOD[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE, 200, SL_FRAMING_LENGTH, 5, 1},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", RESPONSE, 200, SL_FRAMING_LENGTH, 0, 1},
    {"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE, 200, SL_FRAMING_CHUNKED, 0, 1},
    {"HTTP/1.1 200 \xc3\xa4 \t x\r\n\r\n", RESPONSE, 200, SL_FRAMING_CLOSE, 0, 0},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", RESPONSE, 200, SL_FRAMING_LENGTH, 5, 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE, 200, SL_FRAMING_LENGTH, 5, 0},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", RESPONSE, 200, SL_FRAMING_LENGTH, 5, 1},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", RESPONSE, 200, SL_FRAMING_CLOSE, 0, 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", RESPONSE_TO_HEAD, 200, SL_FRAMING_NONE, 5, 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", RESPONSE_TO_HEAD, 200, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 200 OK\r\n\r\n", RESPONSE_TO_HEAD, 200, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", RESPONSE, 304, SL_FRAMING_NONE, 5, 1},
    {"HTTP/1.1 204 No Content\r\n\r\n", RESPONSE, 204, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", RESPONSE, 204, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 100 Continue\r\n\r\n", RESPONSE, 100, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", RESPONSE, 103, SL_FRAMING_NONE, 0, 1},
    {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", RESPONSE, 101,
     SL_FRAMING_NONE, 0, 0},
    {"HTTP/1.1 599 x\r\nContent-Length: 1\r\nExpect: x\r\nTE: trailers\r\nHost: a\r\n\r\n", RESPONSE, 599,
     SL_FRAMING_LENGTH, 1, 1},
};

TEST(reads_every_row)
{
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        const struct row *row = &GOOD[i];
        CHECK_AT(read_text(row->reader, &message, row->text) == SL_MESSAGE_DONE, row->text);
        CHECK_AT(message.status == row->status, row->text);
        CHECK_AT(message.framing == row->framing, row->text);
        CHECK_AT(message.content_length == row->length, row->text);
        CHECK_AT(message.has_length == (strstr(row->text, "Content-Length") != NULL), row->text);
        CHECK_AT(message.keeps_alive == row->keeps, row->text);
        CHECK_AT(message.upgrades == (row->status == 101), row->text);
        CHECK_AT(!message.continues && !message.expects_other && !message.takes_trailers, row->text);
    }
    sl_message_free(&message);
}

struct bad {
    const char *text, *fault;
};

#define OK "HTTP/1.1 200 OK\r\n"
static const char STATUS[] = "a status line other than HTTP/1.1, a status of three digits and a reason";
static const char RANGE[] = "a status outside of 100 to 599";
static const char SWITCH[] = "a 101 without one protocol in Upgrade that Connection names";

static const struct bad BAD[] = {
    {"\r\n" OK "\r\n", STATUS},
    {"HTTP/1.1  200 OK\r\n\r\n", STATUS},
    {"HTTP/1.1 200OK\r\n\r\n", STATUS},
    {"HTTP/1.1 2000 OK\r\n\r\n", STATUS},
    {"HTTP/1.1 20 OK\r\n\r\n", STATUS},
    {"HTTP/1.1 2x0 OK\r\n\r\n", STATUS},
    {"HTTP/1.1 -20 OK\r\n\r\n", STATUS},
    {"HTTP/1.1\r\n\r\n", STATUS},
    {"HTTP/1.1 OK\r\n\r\n", STATUS},
    {"ICY 200 OK\r\n\r\n", STATUS},
    {"HTTP 200 OK\r\n\r\n", STATUS},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", STATUS},
    {"HTTP/1.1\t200 OK\r\n\r\n", STATUS},
    {"HTTP/2.0 200 OK\r\n\r\n", "a version other than HTTP/1.0 and HTTP/1.1"},
    {"HTTP/1.1 099 x\r\n\r\n", RANGE},
    {"HTTP/1.1 000 x\r\n\r\n", RANGE},
    {"HTTP/1.1 600 x\r\n\r\n", RANGE},
    {"HTTP/1.1 200 OK\n\r\n", "a line that ends without CR"},
    {"HTTP/1.1 200 O\rK\r\n\r\n", "a bare CR"},
    {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding and Content-Length in one head"},
    {OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "several fields Content-Length"},
    {OK "Content-Length: 5, 5\r\n\r\n", "a Content-Length other than 1 to 18 digits"},
    {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "a Transfer-Encoding other than chunked"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
    {"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", "content in a 1xx or 204"},
    {"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", "content in a 1xx or 204"},
    {"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", "content in a 1xx or 204"},
    {"HTTP/1.1 101 x\r\n\r\n", SWITCH},
    {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", SWITCH},
    {"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", SWITCH},
    {OK " X: 1\r\n\r\n", "a line that continues the one before (obs-fold)"},
    {OK "X : 1\r\n\r\n", "space in a field name, or before its colon"},
    {OK "X: \x01\r\n\r\n", "a control byte in a field value"},
};

TEST(refuses_every_row)
{
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        CHECK_AT(read_text(RESPONSE, &message, BAD[i].text) == SL_MESSAGE_BROKEN, BAD[i].text);
        CHECK_STR(message.fault ? message.fault : "", BAD[i].fault);
    }
    sl_message_free(&message);
}

static const char OF_HEADS[] = "a trailer that only a head may have";

static const struct bad TRAILER_ROWS[] = {
    {"\r\n", NULL},
    {"grpc-status: 0\r\nGrpc-Message:\r\n\r\n", NULL},
    {"X-Sum: 1\r\n\r\n", NULL},
    {"\n", "a line that ends without CR"},
    {"X: 1\n\r\n", "a line that ends without CR"},
    {" X: 1\r\n\r\n", "a line that continues the one before (obs-fold)"},
    {"X : 1\r\n\r\n", "space in a field name, or before its colon"},
    {"Content-Length: 5\r\n\r\n", OF_HEADS},
    {"Transfer-Encoding: chunked\r\n\r\n", OF_HEADS},
    {"Host: a\r\n\r\n", OF_HEADS},
    {"Trailer: x\r\n\r\n", OF_HEADS},
    {"Authorization: x\r\n\r\n", OF_HEADS},
    {"Set-Cookie: x\r\n\r\n", OF_HEADS},
    {"Content-Encoding: x\r\n\r\n", OF_HEADS},
    {"Proxy-Anything: x\r\n\r\n", OF_HEADS},
    {"Baggage: x\r\n\r\n", OF_HEADS},
};

TEST(trailers)
{
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof TRAILER_ROWS / sizeof TRAILER_ROWS[0]; i++) {
        const struct bad *row = &TRAILER_ROWS[i];
        CHECK_AT(read_text(TRAILERS, &message, row->text) == (row->fault ? SL_MESSAGE_BROKEN : SL_MESSAGE_DONE),
                 row->text);
        CHECK_STR(message.fault ? message.fault : "", row->fault ? row->fault : "");
    }
    CHECK_EQ(read_text(TRAILERS, &message, "X: 1"), SL_MESSAGE_MORE);
    CHECK_EQ(read_text(TRAILERS, &message, ""), SL_MESSAGE_MORE);
    sl_message_free(&message);
}

int main(void)
{
    RUN(reads_every_row);
    RUN(refuses_every_row);
    RUN(trailers);
    return CHECK_REPORT();
}
