/* Heads of requests: what is read, and every rule that a head can break. */
#include "message_fixture.h"

struct good {
    const char *text;
    enum sl_message_form form;
    const char *method, *scheme, *authority, *path, *query; /* query NULL: none */
    enum sl_framing framing;
    const char
        *flags; /* k: keeps alive, c: continues, e: expects other, u: upgrades, t: takes trailers, h: host known */
};

static const struct good GOOD[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"GET /a/b?c=d&e HTTP/1.1\r\nhOST:  \t a:80 \t\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a:80", "/a/b", "c=d&e",
     SL_FRAMING_NONE, "kh"},
    {"GET /? HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/", "", SL_FRAMING_NONE, "kh"},
    {"GET //x?y?z HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "//x", "y?z", SL_FRAMING_NONE, "kh"},
    {"GET /{|}\\^<> HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/{|}\\^<>", NULL, SL_FRAMING_NONE,
     "kh"},
    {"GET http://A.example/x HTTP/1.1\r\nHost: a.EXAMPLE\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "http", "A.example", "/x",
     NULL, SL_FRAMING_NONE, "kh"},
    {"GET HTTP://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "http", "a:80", "/", NULL,
     SL_FRAMING_NONE, "kh"},
    {"GET https://a HTTP/1.1\r\nHost: a:443\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "https", "a", "", NULL, SL_FRAMING_NONE,
     "kh"},
    {"GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "http", "a", "", "q", SL_FRAMING_NONE,
     "kh"},
    {"GET ftp://a:21/ HTTP/1.1\r\nHost: a:21\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "ftp", "a:21", "/", NULL,
     SL_FRAMING_NONE, "kh"},
    {"GET http://[2001:DB8::1]:81/ HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "http",
     "[2001:DB8::1]:81", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"GET http://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n\r\n", SL_FORM_ABSOLUTE, "GET", "http", "[::1]", "/", NULL,
     SL_FRAMING_NONE, "kh"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ASTERISK, "OPTIONS", "", "a", "*", NULL, SL_FRAMING_NONE, "kh"},
    {"CONNECT a:443 HTTP/1.1\r\nHost: b\r\n\r\n", SL_FORM_AUTHORITY, "CONNECT", "", "a:443", "", NULL, SL_FRAMING_NONE,
     "kh"},
    {"CONNECT [::1]:443 HTTP/1.0\r\n\r\n", SL_FORM_AUTHORITY, "CONNECT", "", "[::1]:443", "", NULL, SL_FRAMING_NONE,
     ""},
    {"GET / HTTP/1.0\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "", "/", NULL, SL_FRAMING_NONE, ""},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "", "/", NULL, SL_FRAMING_NONE,
     "k"},
    {"GET / HTTP/1.0\r\nExpect: 100-continue\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", SL_FORM_ORIGIN,
     "GET", "", "", "/", NULL, SL_FRAMING_NONE, ""},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/", NULL,
     SL_FRAMING_NONE, "h"},
    {"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\n", SL_FORM_ORIGIN, "PUT", "", "a", "/", NULL,
     SL_FRAMING_LENGTH, "kh"},
    {"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\n\r\n", SL_FORM_ORIGIN, "PUT", "", "a", "/", NULL,
     SL_FRAMING_CHUNKED, "kh"},
    {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nTE: gzip;q=1, Trailers\r\n\r\n", SL_FORM_ORIGIN, "PUT", "",
     "a", "/", NULL, SL_FRAMING_NONE, "kcth"},
    {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: wonder\r\n\r\n", SL_FORM_ORIGIN, "PUT", "", "a", "/", NULL, SL_FRAMING_NONE,
     "keh"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a",
     "/", NULL, SL_FRAMING_NONE, "kuh"},
    /* An upgrade that is as if it were not there. */
    {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a", "/", NULL,
     SL_FRAMING_NONE, "kh"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\n\r\n", SL_FORM_ORIGIN, "GET",
     "", "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", SL_FORM_ORIGIN, "GET", "", "a",
     "/", NULL, SL_FRAMING_NONE, "kh"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", SL_FORM_ORIGIN, "GET", "",
     "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nUpgrade: x\r\n\r\n", SL_FORM_ORIGIN,
     "GET", "", "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    /* Bytes from 0x80 and tabs in values, odd but sound names, empty values. */
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa4\t\xff\r\n!#$%&'*+-.^_`|~: 1\r\nempty:\r\nblank: \t\r\n\r\n",
     SL_FORM_ORIGIN, "GET", "", "a", "/", NULL, SL_FRAMING_NONE, "kh"},
    {"M!#$%&'*+-.^_`|~09 / HTTP/1.1\r\nHost: a\r\n\r\n", SL_FORM_ORIGIN, "M!#$%&'*+-.^_`|~09", "", "a", "/", NULL,
     SL_FRAMING_NONE, "kh"},
};

TEST(reads_every_row)
{
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        const struct good *row = &GOOD[i];
        CHECK_AT(read_text(REQUEST, &message, row->text) == SL_MESSAGE_DONE, row->text);
        CHECK_AT(message.form == row->form, row->text);
        CHECK_STR(text_of(&message, message.method), row->method);
        CHECK_STR(text_of(&message, message.scheme), row->scheme);
        CHECK_STR(text_of(&message, message.authority), row->authority);
        CHECK_STR(text_of(&message, message.path), row->path);
        CHECK_AT(message.has_query == (row->query != NULL), row->text);
        CHECK_STR(text_of(&message, message.query), row->query ? row->query : "");
        CHECK_AT(message.framing == row->framing, row->text);
        CHECK_AT(message.keeps_alive == (strchr(row->flags, 'k') != NULL), row->text);
        CHECK_AT(message.continues == (strchr(row->flags, 'c') != NULL), row->text);
        CHECK_AT(message.expects_other == (strchr(row->flags, 'e') != NULL), row->text);
        CHECK_AT(message.upgrades == (strchr(row->flags, 'u') != NULL), row->text);
        CHECK_AT(message.takes_trailers == (strchr(row->flags, 't') != NULL), row->text);
        CHECK_AT(message.host_known == (strchr(row->flags, 'h') != NULL), row->text);
        CHECK_AT(message.content_length == (row->framing == SL_FRAMING_LENGTH ? 5 : 0), row->text);
    }
    sl_message_free(&message);
}

struct bad {
    const char *text, *fault;
};

#define H "Host: a\r\n"
#define LINE "GET / HTTP/1.1\r\n" H
static const char REQUEST_LINE[] = "a request line other than METHOD, TARGET and HTTP/1.1 with one space between them";
static const char BARE_LF[] = "a line that ends without CR";
static const char BARE_CR[] = "a bare CR";
static const char AUTHORITY[] = "an authority other than HOST or HOST:PORT";
static const char LENGTH[] = "a Content-Length other than 1 to 18 digits";
static const char CONTROL[] = "a control byte in a field value";
static const char NAME[] = "a field name that is not a token";
static const char SPACE[] = "space in a field name, or before its colon";
static const char TARGET[] = "a target that is not a path, an absolute URI, or * of OPTIONS";
static const char BYTE[] = "a byte in the target that is not visible ASCII";
static const char CODING[] = "a Transfer-Encoding other than chunked";
static const char VERSION[] = "a version other than HTTP/1.0 and HTTP/1.1";
static const char DIFFERS[] = "a Host other than the target's";
static const char HOST[] = "a Host other than HOST or HOST:PORT";
static const char USER[] = "user information in the target";

static const struct bad BAD[] = {
    /* The request line. */
    {"\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"\nGET / HTTP/1.1\r\n" H "\r\n", BARE_LF},
    {" GET / HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET  / HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET /  HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET\t/ HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET /\tHTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET / HTTP/1.1 \r\n" H "\r\n", REQUEST_LINE},
    {"GET / x HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET /\r\n" H "\r\n", REQUEST_LINE},
    {"GET\r\n" H "\r\n", REQUEST_LINE},
    {"GET / http/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET / HTTP/11\r\n" H "\r\n", REQUEST_LINE},
    {"G\x00T / HTTP/1.1\r\n" H "\r\n", NULL}, /* a C text ends there: MORE */
    {"G@T / HTTP/1.1\r\n" H "\r\n", REQUEST_LINE},
    {"GET / HTTP/1.2\r\n" H "\r\n", VERSION},
    {"GET / HTTP/2.0\r\n" H "\r\n", VERSION},
    {"GET / HTTP/0.9\r\n" H "\r\n", VERSION},
    {"GET / HTTP/1.1\n" H "\r\n", BARE_LF},
    {"GET / HTTP/1.1\r" H "\r\n", BARE_CR},
    {"GET /\n" H "\r\n", BARE_LF},
    {"GET\n" H "\r\n", BARE_LF},
    /* Targets. */
    {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", BYTE},
    {"GET /\x01 HTTP/1.1\r\n" H "\r\n", BYTE},
    {"GET /\x7f HTTP/1.1\r\n" H "\r\n", BYTE},
    {"GET /#x HTTP/1.1\r\n" H "\r\n", "a fragment in the target"},
    {"GET http://a#x HTTP/1.1\r\n" H "\r\n", "a fragment in the target"},
    {"GET x HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET ?x HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET a:80 HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET http:/a HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET 1http://a HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET ** HTTP/1.1\r\n" H "\r\n", TARGET},
    {"GET * HTTP/1.1\r\n" H "\r\n", "a target * of another method than OPTIONS"},
    {"GET http:// HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://a:/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://a:x/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://a:123456/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://a:1:2/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://[::1/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://[]/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://[fe80::1%25x]/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://[::1]x/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://%61/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://a\\b/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"GET http://u@a/ HTTP/1.1\r\n" H "\r\n", USER},
    {"GET http://u:p@a/ HTTP/1.1\r\n" H "\r\n", USER},
    {"CONNECT a HTTP/1.1\r\n" H "\r\n", "CONNECT without a port"},
    {"CONNECT [::1] HTTP/1.1\r\n" H "\r\n", "CONNECT without a port"},
    {"CONNECT http://a:80/ HTTP/1.1\r\n" H "\r\n", AUTHORITY},
    {"CONNECT u@a:80 HTTP/1.1\r\n" H "\r\n", USER},
    {"CONNECT a:80 HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "CONNECT with content"},
    {"CONNECT a:80 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", "CONNECT with content"},
    /* Lines of fields. */
    {LINE " X: 1\r\n\r\n", "a line that continues the one before (obs-fold)"},
    {LINE "X: 1\r\n\t2\r\n\r\n", "a line that continues the one before (obs-fold)"},
    {"GET / HTTP/1.1\r\n " H "\r\n", "a line that continues the one before (obs-fold)"},
    {LINE "X : 1\r\n\r\n", SPACE},
    {LINE "X\t: 1\r\n\r\n", SPACE},
    {LINE "X Y: 1\r\n\r\n", SPACE},
    {LINE ": 1\r\n\r\n", "an empty field name"},
    {LINE "X\r\n\r\n", "a line without a colon"},
    {LINE "X(): 1\r\n\r\n", NAME},
    {LINE "\xc3\xa4: 1\r\n\r\n", NAME},
    {LINE "X\x01: 1\r\n\r\n", NAME},
    {LINE "X: 1\nY: 2\r\n\r\n", BARE_LF},
    {LINE "X: 1\n\r\n", BARE_LF},
    {LINE "X: 1\r\n\n", BARE_LF},
    {LINE "X: 1\rY: 2\r\n\r\n", BARE_CR},
    {LINE "X: 1\r\r\n\r\n", BARE_CR},
    {LINE "X: \x01\r\n\r\n", CONTROL},
    {LINE "X: 12345678\x1f\r\n\r\n", CONTROL},
    {LINE "X: 1234567\x7f\r\n\r\n", CONTROL},
    {LINE "X: 123456789012345\x0b 1\r\n\r\n", CONTROL},
    /* Host. */
    {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 without a field Host"},
    {"GET http://a/ HTTP/1.1\r\n\r\n", "HTTP/1.1 without a field Host"},
    {LINE H "\r\n", "several fields Host"},
    {"GET http://b/ HTTP/1.1\r\n" H "\r\n", DIFFERS},
    {"GET http://a:81/ HTTP/1.1\r\n" H "\r\n", DIFFERS},
    {"GET https://a:80/ HTTP/1.1\r\n" H "\r\n", DIFFERS},
    {"GET ftp://a:21/ HTTP/1.1\r\n" H "\r\n", DIFFERS},
    {"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n", DIFFERS},
    {"GET http://[::1]/ HTTP/1.1\r\nHost: [::2]\r\n\r\n", DIFFERS},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", HOST},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", HOST},
    /* Framing. */
    {LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding and Content-Length in one head"},
    {LINE "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     "Transfer-Encoding and Content-Length in one head"},
    {LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "several fields Content-Length"},
    {LINE "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", "several fields Content-Length"},
    {LINE "Content-Length: 5, 5\r\n\r\n", LENGTH},
    {LINE "Content-Length: +5\r\n\r\n", LENGTH},
    {LINE "Content-Length: -5\r\n\r\n", LENGTH},
    {LINE "Content-Length: 0x5\r\n\r\n", LENGTH},
    {LINE "Content-Length: 5 5\r\n\r\n", LENGTH},
    {LINE "Content-Length: 5.\r\n\r\n", LENGTH},
    {LINE "Content-Length:\r\n\r\n", LENGTH},
    {LINE "Content-Length: 1234567890123456789\r\n\r\n", LENGTH},
    {LINE "Transfer-Encoding: gzip, chunked\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: chunked, gzip\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: chunked, chunked\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: chunked;x\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: xchunked\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: chunke\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: \"chunked\"\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: identity\r\n\r\n", CODING},
    {LINE "Transfer-Encoding:\r\n\r\n", CODING},
    {LINE "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     CONTROL},
    {LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "several fields Transfer-Encoding"},
    {LINE "Transfer-Encoding : chunked\r\n\r\n", SPACE},
    {LINE "Transfer-Encoding\r\n : chunked\r\n\r\n", "a line without a colon"},
    {"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"},
};

TEST(refuses_every_row)
{
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        enum sl_message_status status = read_text(REQUEST, &message, BAD[i].text);
        CHECK_AT(status == (BAD[i].fault ? SL_MESSAGE_BROKEN : SL_MESSAGE_MORE), BAD[i].text);
        CHECK_STR(message.fault ? message.fault : "", BAD[i].fault ? BAD[i].fault : "");
    }
    sl_message_free(&message);
}

/* NUL ends no text here. */
TEST(refuses_nul)
{
    static const char value[] = LINE "X: 1\0002\r\n\r\n", name[] = LINE "X\0Y: 1\r\n\r\n";
    static const char target[] = "GET /\0 HTTP/1.1\r\n" H "\r\n", method[] = "G\0T / HTTP/1.1\r\n" H "\r\n";
    struct sl_message message = {0};
    CHECK_EQ(read_sized(REQUEST, &message, value, sizeof value - 1), SL_MESSAGE_BROKEN);
    CHECK_EQ(read_sized(REQUEST, &message, name, sizeof name - 1), SL_MESSAGE_BROKEN);
    CHECK_EQ(read_sized(REQUEST, &message, target, sizeof target - 1), SL_MESSAGE_BROKEN);
    CHECK_EQ(read_sized(REQUEST, &message, method, sizeof method - 1), SL_MESSAGE_BROKEN);
    sl_message_free(&message);
}

/* Of `fields` fields "x:1", and one with a value of `size` bytes. */
static char *head_of(unsigned fields, size_t size, size_t *length)
{
    char *text = malloc(64 + 5 * (size_t)fields + size);
    size_t at = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost:a\r\n");
    for (unsigned i = 0; i < fields; i++, at += 5) memcpy(text + at, "x:1\r\n", 5);
    memcpy(text + at, "y:", 2);
    memset(text + at + 2, 'v', size);
    at += 2 + size;
    memcpy(text + at, "\r\n\r\n", 4);
    *length = at + 4;
    return text;
}

TEST(limits)
{
    struct sl_message message = {0};
    size_t length, overhead, seen = 0, used;
    char *text = head_of(998, 1, &length);
    CHECK_EQ(read_sized(REQUEST, &message, text, length), SL_MESSAGE_DONE);
    CHECK_EQ(message.field_count, 1000);
    free(text);
    text = head_of(999, 1, &length);
    CHECK_EQ(read_sized(REQUEST, &message, text, length), SL_MESSAGE_TOO_LARGE);
    free(text);
    text = head_of(0, 0, &overhead);
    free(text);
    text = head_of(0, SL_MESSAGE_HEAD_MOST - overhead, &length);
    CHECK_EQ(length, SL_MESSAGE_HEAD_MOST);
    CHECK_EQ(read_sized(REQUEST, &message, text, length), SL_MESSAGE_DONE);
    free(text);
    text = head_of(0, SL_MESSAGE_HEAD_MOST - overhead + 1, &length);
    CHECK_EQ(read_sized(REQUEST, &message, text, length), SL_MESSAGE_TOO_LARGE);
    CHECK_EQ(read_once(REQUEST, &message, text, SL_MESSAGE_HEAD_MOST - 1, &seen, &used), SL_MESSAGE_MORE);
    free(text);
    sl_message_free(&message);
}

TEST(connection_has_at_most_64_options)
{
    struct sl_message message = {0};
    char text[512] = LINE "Connection: ";
    for (int i = 0; i < 63; i++) strcat(text, "a,");
    strcat(text, "b\r\n\r\n");
    CHECK_EQ(read_text(REQUEST, &message, text), SL_MESSAGE_DONE);
    strcpy(strstr(text, "b\r\n"), "a,b\r\n\r\n");
    CHECK_EQ(read_text(REQUEST, &message, text), SL_MESSAGE_BROKEN);
    sl_message_free(&message);
}

TEST(names_are_lower_and_known)
{
    static const struct {
        const char *name;
        enum sl_field_name known;
    } rows[] = {
        {"Baggage", SL_FIELD_BAGGAGE},
        {"CONNECTION", SL_FIELD_CONNECTION},
        {"Content-Type", SL_FIELD_CONTENT_TYPE},
        {"Cookie", SL_FIELD_COOKIE},
        {"Expect", SL_FIELD_EXPECT},
        {"Forwarded", SL_FIELD_FORWARDED},
        {"Keep-Alive", SL_FIELD_KEEP_ALIVE},
        {"Max-Forwards", SL_FIELD_MAX_FORWARDS},
        {"Origin", SL_FIELD_ORIGIN},
        {"Proxy-Authenticate", SL_FIELD_PROXY_AUTHENTICATE},
        {"Proxy-Authorization", SL_FIELD_PROXY_AUTHORIZATION},
        {"Proxy-Connection", SL_FIELD_PROXY_CONNECTION},
        {"TE", SL_FIELD_TE},
        {"Trailer", SL_FIELD_TRAILER},
        {"Upgrade", SL_FIELD_UPGRADE},
        {"Via", SL_FIELD_VIA},
        {"WWW-Authenticate", SL_FIELD_WWW_AUTHENTICATE},
        {"Hosts", SL_FIELD_OTHER},
        {"Cookies", SL_FIELD_OTHER},
        {"Originx", SL_FIELD_OTHER},
        {"Vib", SL_FIELD_OTHER},
        {"Tf", SL_FIELD_OTHER},
        {"A", SL_FIELD_OTHER},
    };
    struct sl_message message = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, LINE "%s: Value\r\n\r\n", rows[i].name);
        CHECK_AT(read_text(REQUEST, &message, text) == SL_MESSAGE_DONE, rows[i].name);
        CHECK_AT(message.fields[1].known == rows[i].known, rows[i].name);
        CHECK_STR(text_of(&message, message.fields[1].value), "Value");
        CHECK_EQ(text_of(&message, message.fields[1].name)[0] >= 'a', 1);
    }
    sl_message_free(&message);
}

int main(void)
{
    RUN(reads_every_row);
    RUN(refuses_every_row);
    RUN(refuses_nul);
    RUN(limits);
    RUN(connection_has_at_most_64_options);
    RUN(names_are_lower_and_known);
    return CHECK_REPORT();
}
