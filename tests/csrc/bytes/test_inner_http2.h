/* The HTTP/2 rows of test_inner.c: what the first header block of a cleartext connection shows. Included there, and
 * nowhere else. */
#include <nghttp2/nghttp2.h>

#define PREFACE_TEXT "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum {
    DATA = 0,
    HEADERS = 1,
    PRIORITY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PUSH_PROMISE = 5,
    PING = 6,
    CONTINUATION = 9
};
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };

static void put_frame(struct bytes *out, unsigned type, unsigned flags, size_t stream, const void *data, size_t length)
{
    put_number(out, 3, length);
    put_number(out, 1, type);
    put_number(out, 1, flags);
    put_number(out, 4, stream);
    put(out, data, length);
}

static void begin(struct bytes *out)
{
    out->length = 0;
    put(out, PREFACE_TEXT, 24);
    put_frame(out, SETTINGS, 0, 0, "\0\3\0\0\0\144", 6);
}

/* A literal without indexing and without Huffman coding (RFC 7541 section 6.2.2). */
static void put_field(struct bytes *block, const char *name, const char *value)
{
    put_number(block, 1, 0);
    put_number(block, 1, strlen(name));
    put(block, name, strlen(name));
    put_number(block, 1, strlen(value));
    put(block, value, strlen(value));
}

/* ":method: GET, :scheme: http", from the static table. */
static void begin_block(struct bytes *block)
{
    block->length = 0;
    put(block, "\x82\x86", 2);
}

static void check_http2(const struct bytes *data, enum sl_inner_status status, const char *name, const char *address,
                        const char *what)
{
    struct expectation want = {.status = status, .name = name, .address = address};
    size_t known = check_vector(data->data, data->length, &want, what);
    CHECK_AT(status == SL_INNER_MALFORMED || known == data->length, what);
    check_dropping(data->data, data->length, what);
}

struct pairs {
    const char *what, *fields[8]; /* name, value, ... */
    enum sl_inner_status status;
    const char *name, *address;
};

static void build_pairs(const struct pairs *row, struct bytes *block)
{
    begin_block(block);
    for (size_t i = 0; i + 1 < 8 && row->fields[i]; i += 2) put_field(block, row->fields[i], row->fields[i + 1]);
}

TEST(http2_requests)
{
    static const struct pairs rows[] = {
        {":authority", {":path", "/", ":authority", "a.example"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"a port and capitals", {":authority", "A.Example.:8080"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"host alone", {":path", "/", "host", "a.example"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"both", {":authority", "a.example", "host", "a.example:80"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"behind other fields", {"x", "y", ":authority", "a.example"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"a name in capitals", {":Authority", "a.example"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"an address", {":authority", "192.0.2.1:80"}, SL_INNER_HTTP_NAME, NULL, "192.0.2.1"},
        {"an IPv6 address", {":authority", "[2001:db8::1]"}, SL_INNER_HTTP_NAME, NULL, "2001:db8::1"},
        {"a URL in the path", {":path", "http://a.example/"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"the target of a CONNECT in the path", {":path", "a.example:443"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"the asterisk", {":path", "*", ":authority", "a.example"}, SL_INNER_HTTP_NAME, "a.example", NULL},
        {"neither", {":path", "/"}, SL_INNER_HTTP_NONE, NULL, NULL},
        {"an empty one", {":path", "/", ":authority", ""}, SL_INNER_HTTP_NONE, NULL, NULL},
        {"two that differ", {":authority", "a.example", "host", "b.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"ports that differ", {":authority", "a.example:1", "host", "a.example:2"}, SL_INNER_MALFORMED, NULL, NULL},
        {"one of them empty", {":authority", "", "host", "b.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"twice", {":authority", "a.example", ":authority", "a.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"host twice", {"host", "a.example", "host", "a.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"user information", {":authority", "u@a.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"a list", {":authority", "a.example,b.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"a URL elsewhere", {":path", "http://b.example/", ":authority", "a.example"}, SL_INNER_MALFORMED, NULL, NULL},
        {"an invalid path", {":path", "a b", ":authority", "a.example"}, SL_INNER_MALFORMED, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytes block, data;
        build_pairs(&rows[i], &block);
        begin(&data);
        put_frame(&data, HEADERS, END_HEADERS | END_STREAM, 1, block.data, block.length);
        check_http2(&data, rows[i].status, rows[i].name, rows[i].address, rows[i].what);
        begin(&data); /* cut into CONTINUATION frames of one byte, an empty one behind them */
        put_frame(&data, HEADERS, END_STREAM, 1, block.data, 1);
        for (size_t at = 1; at < block.length; at++) put_frame(&data, CONTINUATION, 0, 1, block.data + at, 1);
        put_frame(&data, CONTINUATION, END_HEADERS, 1, "", 0);
        if (data.length <= 512) check_http2(&data, rows[i].status, rows[i].name, rows[i].address, rows[i].what);
    }
}

TEST(http2_frames_around_the_request)
{
    struct bytes block, padded = {.length = 0}, data;
    begin_block(&block);
    put_field(&block, ":authority", "a.example");

    put_number(&padded, 1, 3); /* padding, then exclusive dependency and weight */
    put(&padded, "\x80\0\0\0\x0f", 5);
    put(&padded, block.data, block.length);
    put(&padded, "\0\0\0", 3);
    begin(&data);
    put_frame(&data, PING, 0, 0, "12345678", 8);
    put_frame(&data, PRIORITY, 0, 3, "\0\0\0\0\1", 5);
    put_frame(&data, 0x5a, 0xff, 0, "unknown", 7);
    put_frame(&data, SETTINGS, 1, 0, "", 0);
    put_frame(&data, HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 1, padded.data, padded.length);
    check_http2(&data, SL_INNER_HTTP_NAME, "a.example", NULL, "frames ahead, padding and priority");

    begin(&data);
    put_frame(&data, HEADERS, END_HEADERS, 1, block.data, block.length);
    struct expectation want = {.status = SL_INNER_HTTP_NAME, .name = "a.example"};
    size_t first = data.length;
    put_frame(&data, HEADERS, END_HEADERS, 3, "\xff\xff\xff\xff\xff", 5);
    CHECK_EQ(check_vector(data.data, data.length, &want, "a second request that is not looked at"), first);
}

TEST(http2_that_is_malformed)
{
    static const struct {
        const char *what, *payload;
        size_t length;
        unsigned type, flags;
    } rows[] = {
        {"padding beyond the frame", "\x05\x82\x86", 3, HEADERS, END_HEADERS | PADDED},
        {"padded and empty", "", 0, HEADERS, END_HEADERS | PADDED},
        {"no room for a priority", "\0\0\0\0", 4, HEADERS, END_HEADERS | WITH_PRIORITY},
        {"an index beyond the tables", "\xff\xff\x01", 3, HEADERS, END_HEADERS},
        {"an integer without an end", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", 9, HEADERS, END_HEADERS},
        {"a literal cut short", "\x82\x40\x0a:auth", 8, HEADERS, END_HEADERS},
        {"CONTINUATION first", "\x82", 1, CONTINUATION, END_HEADERS},
        {"PUSH_PROMISE first", "\0\0\0\2\x82", 5, PUSH_PROMISE, END_HEADERS},
    };
    struct bytes data;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(&data);
        put_frame(&data, rows[i].type, rows[i].flags, 1, rows[i].payload, rows[i].length);
        check_http2(&data, SL_INNER_MALFORMED, NULL, NULL, rows[i].what);
    }
    begin(&data);
    put_frame(&data, HEADERS, 0, 1, "\x82", 1);
    put_frame(&data, PING, 0, 0, "12345678", 8);
    check_http2(&data, SL_INNER_MALFORMED, NULL, NULL, "a frame inside a block");
    begin(&data);
    put_frame(&data, HEADERS, 0, 1, "\x82", 1);
    put_frame(&data, CONTINUATION, END_HEADERS, 3, "\x86", 1);
    check_http2(&data, SL_INNER_MALFORMED, NULL, NULL, "another stream's CONTINUATION");
}

/* As real clients write them: Huffman codes, the dynamic table, and its size changed at the block's beginning. */
TEST(http2_blocks_by_the_library)
{
    static const size_t tables[] = {4096, 0, 512, 65536};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        nghttp2_nv fields[] = {
            {(uint8_t *)":method", (uint8_t *)"POST", 7, 4, 0},
            {(uint8_t *)":path", (uint8_t *)"/pkg.Service/Method", 5, 19, 0},
            {(uint8_t *)":authority", (uint8_t *)"grpc.a.example:50051", 10, 20, 0},
            {(uint8_t *)"te", (uint8_t *)"trailers", 2, 8, 0},
        };
        nghttp2_hd_deflater *deflater;
        struct bytes data;
        uint8_t block[512];
        REQUIRE(nghttp2_hd_deflate_new(&deflater, 65536) == 0);
        if (i > 0) REQUIRE(nghttp2_hd_deflate_change_table_size(deflater, tables[i]) == 0);
        ssize_t length = nghttp2_hd_deflate_hd(deflater, block, sizeof block, fields, 4);
        nghttp2_hd_deflate_del(deflater);
        REQUIRE(length > 0);
        begin(&data);
        put_frame(&data, HEADERS, END_HEADERS, 1, block, (size_t)length);
        check_http2(&data, SL_INNER_HTTP_NAME, "grpc.a.example", NULL, "a block by nghttp2");
    }
}

/* A block larger than is looked at: a name in its whole frames counts. Frames ahead of it never are too many. */
TEST(http2_beyond_the_limit)
{
    static const uint8_t filler[8000];
    struct sl_inner inner;
    for (int named = 0; named < 2; named++) {
        struct bytes block, data = {.length = 0};
        begin_block(&block);
        if (named) put_field(&block, ":authority", "a.example");
        put(&block, "\0\1x\x7f\xff\xff\x03", 7); /* a value of 65,662 bytes */
        put(&data, PREFACE_TEXT, 24);
        put_frame(&data, HEADERS, 0, 1, block.data, block.length);
        while (data.length <= SL_INNER_MAX) put_frame(&data, CONTINUATION, 0, 1, filler, sizeof filler);
        CHECK_EQ(read_copy(data.data, SL_INNER_MAX - 1, &inner), SL_INNER_MORE);
        CHECK_EQ(read_copy(data.data, SL_INNER_MAX, &inner), named ? SL_INNER_HTTP_NAME : SL_INNER_TOO_LONG);
        CHECK_STR(inner.name, named ? "a.example" : "");
    }
    struct bytes data;
    begin(&data);
    while (data.length <= SL_INNER_MAX) put_frame(&data, PING, 0, 0, "12345678", 8);
    CHECK_EQ(read_copy(data.data, SL_INNER_MAX, &inner), SL_INNER_MORE);
    CHECK_EQ(inner.kept, 24);
    CHECK(inner.harmless > 60000);
    data.length = 0;
    put(&data, PREFACE_TEXT, 24);
    put_number(&data, 3, 0xffffff); /* one that no server takes */
    put_number(&data, 6, 0);
    memset(data.data + data.length, 0, sizeof data.data - data.length);
    CHECK_EQ(read_copy(data.data, SL_INNER_MAX, &inner), SL_INNER_TOO_LONG);
}
