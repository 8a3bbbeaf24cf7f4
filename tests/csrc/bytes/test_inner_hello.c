/* Names of ClientHellos: real ones of tests/vectors/inner/, and hellos that are built and broken field by field. */
#include "inner_fixture.h"

#include <glob.h>

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
    snprintf(pattern, sizeof pattern, "%.*s../../vectors/inner/*.hex", folder, __FILE__);
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
        {"example.com", "example.com"},
        {"EXAMPLE.com", "example.com"},
        {"example.com.", "example.com"},
        {"a_b.example", "a_b.example"},
        {"xn--bcher-kva.example", "xn--bcher-kva.example"},
        {longest, longest},
        {"localhost", "localhost"},
        {"", NULL},
        {".", NULL},
        {"a..b", NULL},
        {"b\xc3\xbc"
         "cher.example",
         NULL},
        {"192.0.2.1", NULL},
        {"::1", NULL},
        {"*.example.com", NULL},
        {"exa mple.com", NULL},
        {"example.com:443", NULL},
        {too_long, NULL},
        {"example.1", NULL},
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
        {"\0\4\0\0\1a\0", 7, "a byte behind the list"},
        {"\0\5\0\0\1a", 6, "a list longer than its extension"},
        {"\0\4\0\0\2a", 6, "a name longer than its list"},
        {"\0\2\0\0", 4, "a list that ends inside a length"},
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
    return CHECK_REPORT();
}
