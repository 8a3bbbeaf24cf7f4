/* The name inside a tunnel: real ClientHellos of tests/vectors/inner/, hellos built and broken field by field, and
 * HTTP/1 heads by the sentence, HTTP/2 frame by frame, and first messages of other protocols. Every vector is read at
 * every prefix and with bytes behind it: MORE until the answer, and the answer never changes. Each reading has the bytes
 * in memory of exactly their size. */
#include "check.h"
#include "inner.h"

#include <glob.h>
#include <stdlib.h>

struct bytes {
    size_t length;
    uint8_t data[80000];
};

struct expectation {
    enum sl_inner_status status;
    const char *name;    /* canonical; NULL = none */
    const char *address; /* of an HTTP host that is a literal */
    int ech;
};

static const char *const STATUS[] = {"internal",  "more",      "other",     "tls_name", "tls_none",
                                     "http_name", "http_none", "malformed", "too_long"};

static enum sl_inner_status read_copy(const uint8_t *data, size_t length, struct sl_inner *out)
{
    uint8_t *copy = malloc(length ? length : 1);
    enum sl_inner_status status;
    if (!copy) abort();
    memcpy(copy, data, length);
    memset(out, 0xff, sizeof *out);
    status = sl_inner_read(copy, length, out);
    free(copy);
    return status;
}

static void check_answer(const struct expectation *want, enum sl_inner_status status, const struct sl_inner *got,
                         const char *what)
{
    char address[SL_ADDR_TEXT] = "";
    if (status != want->status) CHECK_FAIL("%s: %s, want %s", what, STATUS[status], STATUS[want->status]);
    CHECK_AT(got->name_length == strlen(got->name), what);
    if (strcmp(got->name, want->name ? want->name : "") != 0) CHECK_FAIL("%s: the name is \"%s\"", what, got->name);
    if (got->address.family) sl_addr_format(&got->address, address);
    if (strcmp(address, want->address ? want->address : "") != 0)
        CHECK_FAIL("%s: the address is \"%s\"", what, address);
    CHECK_AT(got->ech == want->ech, what);
}

/* Reads a vector whole, at every prefix and with bytes behind it. Returns the length at which the answer was known. */
static size_t check_vector(const uint8_t *data, size_t length, const struct expectation *want, const char *what)
{
    static const char *const behind[] = {"\r\n\r\n", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
                                         "\x16\x03\x01\x01\x05", "\xff\xff\xff"};
    static const struct expectation more = {.status = SL_INNER_MORE};
    struct sl_inner inner;
    struct bytes longer;
    size_t known = SIZE_MAX;

    for (size_t n = 0; n <= length; n++) {
        enum sl_inner_status status = read_copy(data, n, &inner);
        if (known == SIZE_MAX && status != SL_INNER_MORE) known = n;
        check_answer(known == SIZE_MAX ? &more : want, status, &inner, what);
    }
    if (want->status == SL_INNER_MORE) return length;
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        memcpy(longer.data, data, length);
        memcpy(longer.data + length, behind[i], strlen(behind[i]));
        enum sl_inner_status status = read_copy(longer.data, length + strlen(behind[i]), &inner);
        check_answer(want, status, &inner, what);
    }
    return known;
}

/* ---- building hellos ---- */

static void put(struct bytes *b, const void *data, size_t length)
{
    if (length > sizeof b->data - b->length) abort();
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void put_number(struct bytes *b, size_t width, size_t value)
{
    while (width--) put(b, &(uint8_t){(uint8_t)(value >> 8 * width)}, 1);
}

/* Opens a vector with a length prefix; close_vector writes the length of what was put since. */
static size_t open_vector(struct bytes *b, size_t width)
{
    put_number(b, width, 0);
    return b->length;
}

static void close_vector(struct bytes *b, size_t width, size_t from)
{
    size_t end = b->length, length = end - from;
    b->length = from - width;
    put_number(b, width, length);
    b->length = end;
}

struct hello {
    size_t session_id, cipher_bytes, compressions;
    int no_extensions;
    struct bytes extensions;
};

static void add_extension(struct hello *h, size_t type, const void *data, size_t length)
{
    put_number(&h->extensions, 2, type);
    put_number(&h->extensions, 2, length);
    put(&h->extensions, data, length);
}

/* One entry of a ServerNameList. */
static void put_name(struct bytes *list, size_t type, const char *name, size_t length)
{
    put_number(list, 1, type);
    put_number(list, 2, length);
    put(list, name, length);
}

static void add_names(struct hello *h, const struct bytes *list)
{
    struct bytes data = {.length = 0};
    put_number(&data, 2, list->length);
    put(&data, list->data, list->length);
    add_extension(h, 0, data.data, data.length);
}

static void add_name(struct hello *h, const char *name)
{
    struct bytes list = {.length = 0};
    put_name(&list, 0, name, strlen(name));
    add_names(h, &list);
}

/* The handshake message alone. */
static void build_message(const struct hello *h, struct bytes *out)
{
    static const uint8_t zeros[512];
    size_t message, part;
    out->length = 0;
    put_number(out, 1, 1);
    message = open_vector(out, 3);
    put_number(out, 2, 0x0303);
    put(out, zeros, 32);
    put_number(out, 1, h->session_id);
    put(out, zeros, h->session_id);
    put_number(out, 2, h->cipher_bytes);
    put(out, zeros, h->cipher_bytes);
    put_number(out, 1, h->compressions);
    put(out, zeros, h->compressions);
    if (!h->no_extensions) {
        part = open_vector(out, 2);
        put(out, h->extensions.data, h->extensions.length);
        close_vector(out, 2, part);
    }
    close_vector(out, 3, message);
}

/* Cuts a message into records of at most `size` bytes. */
static void put_records(struct bytes *out, const struct bytes *message, size_t version, size_t size)
{
    for (size_t at = 0; at < message->length; at += size) {
        size_t n = message->length - at < size ? message->length - at : size;
        put_number(out, 1, 22);
        put_number(out, 2, version);
        put_number(out, 2, n);
        put(out, message->data + at, n);
    }
}

static void build(const struct hello *h, struct bytes *out)
{
    struct bytes message;
    build_message(h, &message);
    out->length = 0;
    put_records(out, &message, 0x0301, 16384);
}

static void check_hello(const struct hello *h, enum sl_inner_status status, const char *name, const char *what)
{
    struct expectation want = {.status = status, .name = name};
    struct bytes out;
    size_t known;
    build(h, &out);
    known = check_vector(out.data, out.length, &want, what);
    if (status != SL_INNER_MALFORMED) CHECK_AT(known == out.length, what);
}

#define PLAIN_HELLO {.session_id = 32, .cipher_bytes = 6, .compressions = 1}

/* ---- tests ---- */

/* `# comment`, `expect: <status> [name]`, and bytes in hex. */
static int load(const char *path, struct bytes *out, char *status, char *name)
{
    char line[1024];
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    out->length = 0;
    *status = *name = 0;
    while (fgets(line, sizeof line, file)) {
        char *at = line;
        unsigned byte;
        int used;
        if (line[0] == '#' || sscanf(line, "expect: %15s %255s", status, name) >= 1) continue;
        while (sscanf(at, "%2x%n", &byte, &used) == 1) {
            put_number(out, 1, byte);
            at += used;
        }
        if (strspn(at, " \n") != strlen(at)) CHECK_FAIL("%s: not hex: %s", path, at);
    }
    fclose(file);
    return 1;
}

typedef void check_hello_file(const struct bytes *hello, const struct expectation *want, const char *path);

static void for_each_real_hello(check_hello_file *check)
{
    char pattern[4096], status[16], name[256];
    const char *slash = strrchr(__FILE__, '/');
    int folder = slash ? (int)(slash - __FILE__) + 1 : 0;
    glob_t found;
    struct bytes hello;
    snprintf(pattern, sizeof pattern, "%.*s../vectors/inner/*.hex", folder, __FILE__);
    REQUIRE(glob(pattern, 0, NULL, &found) == 0);
    CHECK(found.gl_pathc >= 13);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct expectation want = {.name = name};
        CHECK(load(found.gl_pathv[i], &hello, status, name));
        for (unsigned n = 0; n < sizeof STATUS / sizeof *STATUS; n++)
            if (strcmp(status, STATUS[n]) == 0) want.status = (enum sl_inner_status)n;
        CHECK_AT(want.status != SL_INNER_INTERNAL, found.gl_pathv[i]);
        check(&hello, &want, found.gl_pathv[i]);
    }
    globfree(&found);
}

static void whole_and_split(const struct bytes *hello, const struct expectation *want, const char *path)
{
    CHECK_AT(check_vector(hello->data, hello->length, want, path) == hello->length, path);
}

TEST(real_client_hellos)
{
    for_each_real_hello(whole_and_split);
}

static void over_many_records(const struct bytes *hello, const struct expectation *want, const char *path)
{
    struct bytes message = {.length = 0}, split;
    put(&message, hello->data + 5, hello->length - 5);
    for (size_t size = 1; size < message.length; size += size < 64 ? 1 : 61) {
        split.length = 0;
        put_records(&split, &message, 0x0301, size);
        CHECK_AT(check_vector(split.data, split.length, want, path) == split.length, path);
    }
}

TEST(real_client_hellos_over_many_records)
{
    for_each_real_hello(over_many_records);
}

TEST(names_of_hellos)
{
    char label63[64], longest[254], too_long[256];
    memset(label63, 'a', 63);
    label63[63] = 0;
    snprintf(longest, sizeof longest, "%s.%s.%s.%.61s", label63, label63, label63, label63);
    snprintf(too_long, sizeof too_long, "%s.%s.%s.%.62s", label63, label63, label63, label63);
    const struct {
        const char *name, *canonical; /* NULL = malformed */
    } rows[] = {
        {"example.com", "example.com"}, {"EXAMPLE.com", "example.com"}, {"example.com.", "example.com"},
        {"a_b.example", "a_b.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"}, {longest, longest}, {"localhost", "localhost"},
        {"", NULL}, {".", NULL}, {"a..b", NULL}, {"b\xc3\xbc" "cher.example", NULL}, {"192.0.2.1", NULL},
        {"::1", NULL}, {"*.example.com", NULL},
        {"exa mple.com", NULL}, {"example.com:443", NULL}, {too_long, NULL}, {"example.1", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello h = PLAIN_HELLO;
        add_name(&h, rows[i].name);
        check_hello(&h, rows[i].canonical ? SL_INNER_TLS_NAME : SL_INNER_MALFORMED, rows[i].canonical, rows[i].name);
    }
    struct hello h = PLAIN_HELLO;
    struct bytes list = {.length = 0};
    put_name(&list, 0, "a\0b.example", 11);
    add_names(&h, &list);
    check_hello(&h, SL_INNER_MALFORMED, NULL, "a NUL in the name");

    static char huge[4000];
    memset(huge, 'a', sizeof huge);
    for (size_t length = 255; length <= sizeof huge; length += 749) { /* only the first fits a buffer */
        struct hello large = PLAIN_HELLO;
        list.length = 0;
        put_name(&list, 0, huge, length);
        add_names(&large, &list);
        check_hello(&large, SL_INNER_MALFORMED, NULL, "a name larger than any");
    }
}

TEST(server_name_lists)
{
    {
        struct hello h = PLAIN_HELLO;
        struct bytes list = {.length = 0};
        put_name(&list, 0, "a.example", 9);
        put_name(&list, 0, "a.example", 9);
        add_names(&h, &list);
        check_hello(&h, SL_INNER_MALFORMED, NULL, "two host names, though equal");
    }
    {
        struct hello h = PLAIN_HELLO;
        struct bytes list = {.length = 0};
        put_name(&list, 7, "anything", 8);
        put_name(&list, 0, "a.example", 9);
        put_name(&list, 8, "", 0);
        add_names(&h, &list);
        check_hello(&h, SL_INNER_TLS_NAME, "a.example", "a host name among names of other types");
    }
    {
        struct hello h = PLAIN_HELLO;
        struct bytes list = {.length = 0};
        put_name(&list, 7, "a.example", 9);
        add_names(&h, &list);
        check_hello(&h, SL_INNER_MALFORMED, NULL, "only a name of another type");
    }
    {
        struct hello h = PLAIN_HELLO;
        struct bytes list = {.length = 0};
        add_names(&h, &list);
        check_hello(&h, SL_INNER_MALFORMED, NULL, "an empty list");
    }
    {
        struct hello h = PLAIN_HELLO;
        add_extension(&h, 0, "", 0);
        check_hello(&h, SL_INNER_MALFORMED, NULL, "no list at all");
    }
    {
        struct hello h = PLAIN_HELLO;
        add_name(&h, "a.example");
        add_extension(&h, 16, "\0\3\2h2", 5);
        add_name(&h, "b.example");
        check_hello(&h, SL_INNER_MALFORMED, NULL, "server_name twice");
    }
    static const struct {
        const char *data;
        size_t length;
        const char *what;
    } lists[] = {
        {"\0\4\0\0\1a\0", 7, "a byte behind the list"},   {"\0\5\0\0\1a", 6, "a list longer than its extension"},
        {"\0\4\0\0\2a", 6, "a name longer than its list"}, {"\0\2\0\0", 4, "a list that ends inside a length"},
        {"\0", 1, "a list length cut short"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct hello h = PLAIN_HELLO;
        add_extension(&h, 0, lists[i].data, lists[i].length);
        add_extension(&h, 16, "\0\3\2h2", 5);
        check_hello(&h, SL_INNER_MALFORMED, NULL, lists[i].what);
    }
}

TEST(other_extensions)
{
    struct hello h = PLAIN_HELLO;
    struct expectation want = {.status = SL_INNER_TLS_NAME, .name = "public.example", .ech = 1};
    struct bytes out;
    add_extension(&h, 0x0a0a, "", 0); /* GREASE, RFC 8701 */
    add_extension(&h, 0xfe0d, "\0\0\1\0\1\7", 6);
    add_name(&h, "public.example");
    add_extension(&h, 0xfafa, "\0", 1);
    build(&h, &out);
    CHECK_EQ(check_vector(out.data, out.length, &want, "ECH ahead of the name"), out.length);

    struct hello bare = PLAIN_HELLO;
    want.status = SL_INNER_TLS_NONE;
    want.name = NULL;
    add_extension(&bare, 0xfe0d, "", 0);
    build(&bare, &out);
    CHECK_EQ(check_vector(out.data, out.length, &want, "ECH without a name"), out.length);
}

TEST(fields_of_a_hello)
{
    static const struct {
        struct hello hello;
        enum sl_inner_status status;
        const char *what;
    } rows[] = {
        {{.session_id = 0, .cipher_bytes = 2, .compressions = 1}, SL_INNER_TLS_NONE, "the smallest fields"},
        {{.cipher_bytes = 2, .compressions = 1, .no_extensions = 1}, SL_INNER_TLS_NONE, "no extensions field at all"},
        {{.session_id = 33, .cipher_bytes = 2, .compressions = 1}, SL_INNER_MALFORMED, "a session id of 33 bytes"},
        {{.cipher_bytes = 0, .compressions = 1}, SL_INNER_MALFORMED, "no cipher suites"},
        {{.cipher_bytes = 3, .compressions = 1}, SL_INNER_MALFORMED, "half a cipher suite"},
        {{.cipher_bytes = 2, .compressions = 0}, SL_INNER_MALFORMED, "no compression method"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_hello(&rows[i].hello, rows[i].status, NULL, rows[i].what);
}

/* Every length field of a good hello, made one larger and one smaller. */
TEST(lengths_that_do_not_add_up)
{
    /* Message 8, session id 43, suites 77, methods 84, extensions 87, server_name 91, its list 93, its name 96. */
    static const size_t places[] = {8, 43, 77, 84, 87, 91, 93, 96};
    struct hello h = PLAIN_HELLO;
    struct expectation malformed = {.status = SL_INNER_MALFORMED};
    struct bytes good, bad;
    add_name(&h, "a.example");
    build(&h, &good);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int step = -1; step <= 1; step += 2) {
            char what[32];
            snprintf(what, sizeof what, "length at %zu, %+d", places[i], step);
            bad = good;
            bad.data[places[i]] = (uint8_t)(bad.data[places[i]] + step);
            check_vector(bad.data, bad.length, &malformed, what);
        }
}

/* One byte changed anywhere: whatever the answer, it is the same at every length. */
TEST(broken_hellos_answer_alike_at_every_prefix)
{
    struct hello h = PLAIN_HELLO;
    struct bytes good, bad;
    struct sl_inner whole, part;
    add_name(&h, "a.example");
    add_extension(&h, 43, "\2\3\4", 3);
    build(&h, &good);
    for (size_t at = 0; at < good.length; at++)
        for (unsigned value = 0; value < 256; value += 5) {
            enum sl_inner_status status, final;
            bad = good;
            bad.data[at] = (uint8_t)value;
            final = sl_inner_read(bad.data, bad.length, &whole);
            CHECK(final > SL_INNER_INTERNAL && final <= SL_INNER_TOO_LONG);
            for (size_t n = 0; n < bad.length; n++) {
                status = sl_inner_read(bad.data, n, &part);
                if (status == SL_INNER_MORE) continue;
                REQUIRE(status == final && strcmp(part.name, whole.name) == 0);
            }
        }
}

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

TEST(records)
{
    static const struct {
        const uint8_t *data;
        size_t length;
        enum sl_inner_status status;
        const char *what;
    } rows[] = {
        {BYTES("\x16\x03\x01\x00\x00"), SL_INNER_MALFORMED, "an empty handshake record"},
        {BYTES("\x16\x03\x01\x40\x01"), SL_INNER_MALFORMED, "a record over 16,384 bytes"},
        {BYTES("\x16\x03\x03\x00\x10\x02"), SL_INNER_MALFORMED, "a ServerHello"},
        {BYTES("\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03"), SL_INNER_MORE, "a hello larger than is looked at"},
        {BYTES("\x16\x00\x00\x00\x09\x01\x01\x00\x00"), SL_INNER_OTHER, "another binary message"},
        {BYTES("\x16\x03\x01\x00\x04\x01\x00\x00\x30\x17"), SL_INNER_MALFORMED, "another record inside the hello"},
        {BYTES("\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x00"), SL_INNER_MALFORMED, "an empty record inside"},
        {BYTES("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), SL_INNER_MALFORMED, "a hello of nothing"},
        {BYTES("\x16\x10"), SL_INNER_OTHER, "a version no server takes"},
        {BYTES("\x16\x01\x00\x00\x2a\x00"), SL_INNER_OTHER, "a binary message that begins with 0x16"},
        {BYTES("\x16\x00\x00\x00"), SL_INNER_MORE, "as much of another"},
        {BYTES("\x15\x03\x01\x00\x02\x01"), SL_INNER_MALFORMED, "an alert ahead of the hello"},
        {BYTES("\x15\x03\x03\x00\x02\x02"), SL_INNER_MALFORMED, "a fatal alert"},
        {BYTES("\x15\x03\x03\x00\x02\x03"), SL_INNER_OTHER, "what only looks like an alert"},
        {BYTES("\x14\x03\x03\x00\x01\x01"), SL_INNER_MALFORMED, "a ChangeCipherSpec ahead of the hello"},
        {BYTES("\x14\x03\x00\x00\x2a"), SL_INNER_OTHER, "what only looks like a ChangeCipherSpec"},
        {BYTES("\x17"), SL_INNER_OTHER, "application data"},
        {BYTES("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), SL_INNER_MALFORMED, "an SSL 2 hello that offers TLS"},
        {BYTES("\x80\x2e\x01\x00\x02\x00\x06\x00\x0f\x00\x10"), SL_INNER_MALFORMED, "an SSL 2 hello"},
        {BYTES("\x80\x2e\x01\x00\x02\x00\x06\x00\x0f\x00\x11"), SL_INNER_OTHER, "its lengths do not add up"},
        {BYTES("\x80\x08"), SL_INNER_OTHER, "too short for an SSL 2 hello"},
        {BYTES("\x80\x2e\x02"), SL_INNER_OTHER, "an SSL 2 message of another type"},
        {BYTES("\x80\x2e\x01\x01"), SL_INNER_OTHER, "an SSL 2 hello of no known version"},
        {BYTES("\x80\x2e\x01\x00\x01"), SL_INNER_OTHER, "another"},
        {BYTES("\x80\x2e\x01\x03\x05"), SL_INNER_OTHER, "a third"},
        {BYTES("\xff\xfb"), SL_INNER_MORE, "telnet, so far"},
        {BYTES("\xff\xfb\x18"), SL_INNER_OTHER, "telnet"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct expectation want = {.status = rows[i].status};
        CHECK_AT(check_vector(rows[i].data, rows[i].length, &want, rows[i].what) == rows[i].length, rows[i].what);
    }
}

TEST(record_versions_are_not_looked_at)
{
    static const size_t versions[] = {0x0300, 0x0301, 0x0304, 0x03ff, 0x0000, 0x0200, 0x0f0f};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct hello h = PLAIN_HELLO;
        struct expectation want = {.status = SL_INNER_TLS_NAME, .name = "a.example"};
        struct bytes message, out = {.length = 0};
        add_name(&h, "a.example");
        build_message(&h, &message);
        put_records(&out, &message, versions[i], 50);
        CHECK_EQ(check_vector(out.data, out.length, &want, "a strange record version"), out.length);
    }
}

/* The last byte that is looked at may still decide; without an answer there a name that was read counts. */
TEST(no_more_than_the_limit_is_looked_at)
{
    static const uint8_t filler[SL_INNER_MAX];
    struct sl_inner inner;
    struct bytes out, message;
    for (size_t room = 0; room < 3; room++) { /* the last record's header is not split by chance */
        struct hello h = PLAIN_HELLO;
        add_name(&h, "a.example");
        build(&h, &out);
        add_extension(&h, 21, filler, 65000);
        build_message(&h, &message);
        out.length = 0;
        put_records(&out, &message, 0x0301, 16384 - room);
        CHECK(out.length < SL_INNER_MAX);
        CHECK_EQ(read_copy(out.data, out.length - 1, &inner), SL_INNER_MORE);
        CHECK_EQ(inner.harmless, 0);
        CHECK_EQ(read_copy(out.data, out.length, &inner), SL_INNER_TLS_NAME);
        CHECK_STR(inner.name, "a.example");
    }
    static const struct {
        const char *head;
        enum sl_inner_status status;
        const char *name;
    } rows[] = {
        {"GET /", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nCookie: ", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nHost: a", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: ", SL_INNER_HTTP_NAME, "a.example"},
        {"GET http://a.example/ HTTP/1.1\r\nCookie: ", SL_INNER_HTTP_NAME, "a.example"},
        {"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\nCookie: ", SL_INNER_MALFORMED, ""},
        {"CONNECT ", SL_INNER_TOO_LONG, ""},
        {"SAY xyz\t", SL_INNER_OTHER, ""},
        {"a-word", SL_INNER_MORE, ""},
        {"SAY ", SL_INNER_OTHER, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = strlen(rows[i].head);
        memcpy(out.data, rows[i].head, length);
        memset(out.data + length, 'x', sizeof out.data - length);
        if (rows[i].status != SL_INNER_OTHER) CHECK_EQ(read_copy(out.data, SL_INNER_MAX - 1, &inner), SL_INNER_MORE);
        for (size_t n = SL_INNER_MAX; n <= sizeof out.data; n += sizeof out.data - SL_INNER_MAX) {
            CHECK_EQ(read_copy(out.data, n, &inner), rows[i].status);
            CHECK_STR(inner.name, rows[i].name);
        }
    }
}

/* A hello larger than is looked at: its name counts if it is among the first extensions. */
TEST(a_hello_beyond_the_limit)
{
    static const uint8_t filler[40000];
    for (int named = 0; named < 2; named++) {
        struct hello h = PLAIN_HELLO;
        struct sl_inner inner;
        struct bytes message, out = {.length = 0};
        if (named) add_name(&h, "a.example");
        add_extension(&h, 21, filler, sizeof filler);
        add_extension(&h, 22, filler, 65000 - sizeof filler);
        build_message(&h, &message);
        put_records(&out, &message, 0x0301, 60); /* headers make it longer */
        CHECK(out.length > SL_INNER_MAX);
        CHECK_EQ(read_copy(out.data, SL_INNER_MAX - 1, &inner), SL_INNER_MORE);
        CHECK_EQ(read_copy(out.data, SL_INNER_MAX, &inner), named ? SL_INNER_TLS_NAME : SL_INNER_TOO_LONG);
        CHECK_STR(inner.name, named ? "a.example" : "");
    }
}

#include "test_inner_first.h"
#include "test_inner_http.h"
#include "test_inner_http2.h"

int main(void)
{
    RUN(real_client_hellos);
    RUN(real_client_hellos_over_many_records);
    RUN(names_of_hellos);
    RUN(server_name_lists);
    RUN(other_extensions);
    RUN(fields_of_a_hello);
    RUN(lengths_that_do_not_add_up);
    RUN(broken_hellos_answer_alike_at_every_prefix);
    RUN(records);
    RUN(record_versions_are_not_looked_at);
    RUN(no_more_than_the_limit_is_looked_at);
    RUN(a_hello_beyond_the_limit);
    RUN(requests_with_a_name);
    RUN(requests_without_a_name);
    RUN(requests_that_are_malformed);
    RUN(what_is_not_http);
    RUN(every_method_is_a_token);
    RUN(first_messages);
    RUN(a_word_without_an_end);
    RUN(what_has_ended);
    RUN(http2_requests);
    RUN(http2_frames_around_the_request);
    RUN(http2_that_is_malformed);
    RUN(http2_blocks_by_the_library);
    RUN(http2_beyond_the_limit);
    return CHECK_REPORT();
}
