/* Request targets in normal form, byte by byte, and parameters of queries. */
#include <stdlib.h>

#include "bytes/target.h"
#include "check.h"

struct row {
    const char *in;
    enum sl_target_status status;
    const char *out;
    int doubtful;
};

static enum sl_target_status normal(const char *in, size_t length, char out[512], int *doubtful)
{
    /* At the end of its memory, so that the sanitizer sees a read too far. */
    uint8_t *copy = malloc(length + 1);
    size_t out_length;
    if (!copy) abort();
    memcpy(copy, in, length);
    uint8_t *exact = realloc(copy, length ? length : 1);
    enum sl_target_status status = sl_path_normal(exact, length, out, 511, &out_length, doubtful);
    out[status == SL_TARGET_OK ? out_length : 0] = 0;
    free(exact);
    return status;
}

TEST(paths)
{
    static const struct row rows[] = {
        {"/", SL_TARGET_OK, "/", 0},
        {"", SL_TARGET_OK, "/", 0},
        {"/a", SL_TARGET_OK, "/a", 0},
        {"/a/", SL_TARGET_OK, "/a/", 0},
        {"/a/b", SL_TARGET_OK, "/a/b", 0},
        {"/A/b", SL_TARGET_OK, "/A/b", 0},
        {"/%61", SL_TARGET_OK, "/a", 0},
        {"/%7e%2D%2e5%5F", SL_TARGET_OK, "/~-.5_", 0},
        {"/%3a", SL_TARGET_OK, "/%3A", 0}, /* reserved: stays escaped, with capital digits */
        {"/:@!$&'()*+,;=", SL_TARGET_OK, "/:@!$&'()*+,;=", 0},
        {"/a|b", SL_TARGET_OK, "/a%7Cb", 0},
        {"/%7cb", SL_TARGET_OK, "/%7Cb", 0},
        {"/{x}\"<>[]^`", SL_TARGET_OK, "/%7Bx%7D%22%3C%3E%5B%5D%5E%60", 0},
        {"/\xc3\xa9", SL_TARGET_OK, "/%C3%A9", 0},
        {"/%c3%A9", SL_TARGET_OK, "/%C3%A9", 0},
        {"/%25", SL_TARGET_OK, "/%25", 0}, /* decoded once, never twice */
        {"/%252e%252e", SL_TARGET_OK, "/%252e%252e", 0},
        {"/%20", SL_TARGET_OK, "/%20", 0},
        {"/...", SL_TARGET_OK, "/...", 0},
        {"/.a", SL_TARGET_OK, "/.a", 0},
        {"/a.", SL_TARGET_OK, "/a.", 0},
        {"/..a", SL_TARGET_OK, "/..a", 0},
        {"//", SL_TARGET_OK, "//", 1},
        {"//a", SL_TARGET_OK, "//a", 1},
        {"/a//b", SL_TARGET_OK, "/a//b", 1},
        {"/a//", SL_TARGET_OK, "/a//", 1},
        {"/a\\b", SL_TARGET_OK, "/a%5Cb", 1},
        {"/a%5cb", SL_TARGET_OK, "/a%5Cb", 1},
        {"/a%2fb", SL_TARGET_OK, "/a%2Fb", 1},
        {"/a%00", SL_TARGET_OK, "/a%00", 1},
        {"/..;/a", SL_TARGET_OK, "/..;/a", 1},
        {"/.;a", SL_TARGET_OK, "/.;a", 1},
        {"/%2e%2e%2fa", SL_TARGET_OK, "/..%2Fa", 1},
        {"/.", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/..", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/a/./b", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/a/../b", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/a/..", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/%2e", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"/.%2E/a", SL_TARGET_DOT_SEGMENT, NULL, 0},
        {"a", SL_TARGET_NO_SLASH, NULL, 0},
        {"*", SL_TARGET_NO_SLASH, NULL, 0},
        {"%2Fa", SL_TARGET_NO_SLASH, NULL, 0},
        {"/a b", SL_TARGET_BAD_BYTE, NULL, 0},
        {"/a?b", SL_TARGET_BAD_BYTE, NULL, 0},
        {"/a#b", SL_TARGET_BAD_BYTE, NULL, 0},
        {"/\t", SL_TARGET_BAD_BYTE, NULL, 0},
        {"/\x7f", SL_TARGET_BAD_BYTE, NULL, 0},
        {"/%", SL_TARGET_BAD_ESCAPE, NULL, 0},
        {"/%4", SL_TARGET_BAD_ESCAPE, NULL, 0},
        {"/%4g", SL_TARGET_BAD_ESCAPE, NULL, 0},
        {"/%g4", SL_TARGET_BAD_ESCAPE, NULL, 0},
        {"/%%41", SL_TARGET_BAD_ESCAPE, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[512];
        int doubtful;
        CHECK_AT(normal(rows[i].in, strlen(rows[i].in), out, &doubtful) == rows[i].status, rows[i].in);
        if (rows[i].status != SL_TARGET_OK) continue;
        CHECK_STR(out, rows[i].out);
        CHECK_AT(doubtful == rows[i].doubtful, rows[i].in);
    }
}

/* What each byte becomes, as it is and escaped: RFC 3986 sections 2.3 and 3.3 in a table of their own. */
TEST(every_byte)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    static const char plain[] = "!$&'()*+,;=:@/";
    for (int byte = 0; byte < 256; byte++) {
        char in[5] = {'/', 'x', (char)byte, 'y', 0}, escaped[16], out[512], want[512];
        int doubtful, is_bad = byte <= ' ' || byte == 0x7f || byte == '?' || byte == '#';
        enum sl_target_status status = normal(in, 4, out, &doubtful);
        if (byte == '%') continue;
        CHECK_EQ(status, is_bad ? SL_TARGET_BAD_BYTE : SL_TARGET_OK);
        int kept = byte && (strchr(unreserved, byte) || strchr(plain, byte));
        snprintf(want, sizeof want, kept ? "/x%cy" : "/x%%%02Xy", (unsigned)byte);
        if (!is_bad) CHECK_STR(out, want);
        snprintf(escaped, sizeof escaped, "/x%%%02xy", (unsigned)byte);
        int decoded = byte && strchr(unreserved, byte);
        snprintf(want, sizeof want, decoded ? "/x%cy" : "/x%%%02Xy", (unsigned)byte);
        CHECK_EQ(normal(escaped, strlen(escaped), out, &doubtful), SL_TARGET_OK);
        CHECK_STR(out, want);
        CHECK_EQ(doubtful, byte == '/' || byte == '\\' || byte == 0);
    }
}

TEST(room)
{
    char out[8];
    size_t length;
    int doubtful;
    CHECK_EQ(sl_path_normal((const uint8_t *)"/||", 3, out, 7, &length, &doubtful), SL_TARGET_OK);
    CHECK_EQ(length, 7);
    CHECK_EQ(sl_path_normal((const uint8_t *)"/||", 3, out, 6, &length, &doubtful), SL_TARGET_TOO_LONG);
    CHECK_EQ(length, 0);
    CHECK_EQ(sl_path_normal((const uint8_t *)"", 0, out, 0, &length, &doubtful), SL_TARGET_TOO_LONG);
    CHECK_STR(sl_target_status_text(SL_TARGET_TOO_LONG), "the path is too long");
    CHECK_STR(sl_target_status_text((enum sl_target_status)99), "internal error");
}

/* The decoded value of a parameter, or NULL. */
static const char *parameter(const char *query, const char *name, char out[64])
{
    struct sl_query_value value;
    size_t length = 0;
    if (!sl_query_find((const uint8_t *)query, strlen(query), name, strlen(name), &value)) return NULL;
    for (int byte; (byte = sl_query_next(&value)) >= 0 && length < 63;) out[length++] = (char)byte;
    out[length] = 0;
    return out;
}

TEST(parameters)
{
    char out[64];
    CHECK_STR(parameter("a=1&b=2", "a", out), "1");
    CHECK_STR(parameter("a=1&b=2", "b", out), "2");
    CHECK_STR(parameter("a=1&a=2", "a", out), "1"); /* the first counts */
    CHECK_STR(parameter("a&a=2", "a", out), "");
    CHECK_STR(parameter("a=", "a", out), "");
    CHECK_STR(parameter("a=b=c", "a", out), "b=c");
    CHECK_STR(parameter("%61=%31%2b+", "a", out), "1+ ");
    CHECK_STR(parameter("a+b=%", "a b", out), "%");
    CHECK_STR(parameter("a=%4&b=1", "a", out), "%4"); /* an escape never reaches into the next parameter */
    CHECK_STR(parameter("a=%&26=x", "a", out), "%");
    CHECK_STR(parameter("=1", "", out), "1");
    CHECK(!parameter("ab=1", "a", out));
    CHECK(!parameter("a=1", "ab", out));
    CHECK(!parameter("A=1", "a", out));
    CHECK(!parameter("", "a", out));
    CHECK(!parameter("&&", "", out));
    CHECK(!parameter("b=a", "a", out));
}

int main(void)
{
    RUN(paths);
    RUN(every_byte);
    RUN(room);
    RUN(parameters);
    return CHECK_REPORT();
}
