/* Chunks: what is read, whole and in pieces, and every rule that they can break. */
#include <stdlib.h>
#include <string.h>

#include "bytes/chunks.h"
#include "check.h"

struct row {
    const char *text, *content; /* content NULL: broken */
    size_t used;                /* 0: all of it */
};

static const struct row ROWS[] = {
    {"0\r\n\r\n", "", 3},
    {"0\r\nX: 1\r\n\r\n", "", 3},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 13},
    {"5\r\nhello\r\n1\r\n,\r\n00006\r\n world\r\n000\r\n\r\n", "hello, world", 36},
    {"a\r\n0123456789\r\n0\r\n", "0123456789", 0},
    {"A\r\n0123456789\r\n0\r\n", "0123456789", 0},
    {"0000000000000001\r\nx\r\n0000000000000000\r\n", "x", 0},
    {"1;a\r\nx\r\n0;b=c\r\n", "x", 0},
    {"1;a=\"b\\\"c \xc3\t\";d\r\nx\r\n0\r\n", "x", 0},
    {"1;a=b;c=d\r\n\n\r\n0\r\n", "\n", 0},
    {"\r\n", NULL, 0},
    {"x\r\n", NULL, 0},
    {" 1\r\nx\r\n", NULL, 0},
    {"1 \r\nx\r\n", NULL, 0},
    {"\t1\r\nx\r\n", NULL, 0},
    {"+1\r\nx\r\n", NULL, 0},
    {"-1\r\nx\r\n", NULL, 0},
    {"0x1\r\nx\r\n", NULL, 0},
    {"1\nx\r\n", NULL, 0},
    {"1\rx\r\n", NULL, 0},
    {"1\r\rx\r\n", NULL, 0},
    {"1\r\nx\n", NULL, 0},
    {"1\r\nx\r0", NULL, 0},
    {"1\r\nxy", NULL, 0},
    {"1\r\nx0\r\n", NULL, 0},
    {"1;\r\nx\r\n", NULL, 0},
    {"1; a\r\nx\r\n", NULL, 0},
    {"1 ;a\r\nx\r\n", NULL, 0},
    {"1;a \r\nx\r\n", NULL, 0},
    {"1;a\nx\r\n", NULL, 0},
    {"1;a=\r\nx\r\n", NULL, 0},
    {"1;a=b\nx\r\n", NULL, 0},
    {"1;a=\"b\r\nx\r\n", NULL, 0},
    {"1;a=\"b\"c\r\nx\r\n", NULL, 0},
    {"1;a=\"b\\\x01\"\r\nx\r\n", NULL, 0},
    {"00000000000000001\r\nx\r\n", NULL, 0},
    {"10000000000000000\r\nx\r\n", NULL, 0},
    {"fffffffffffffffff\r\nx\r\n", NULL, 0},
};

/* Reads `length` bytes, `step` at a time, out of memory that ends with them. Returns the last status. */
static enum sl_chunks_status read_in(const char *text, size_t length, size_t step, char *content, size_t *used)
{
    struct sl_chunks chunks = {0};
    enum sl_chunks_status status = SL_CHUNKS_MORE;
    size_t done = 0, at = 0, size, part;
    *used = 0;
    while (status != SL_CHUNKS_BROKEN && status != SL_CHUNKS_TRAILERS && *used < length) {
        part = length - *used < step ? length - *used : step;
        uint8_t *copy = malloc(part);
        size_t took;
        memcpy(copy, text + *used, part);
        status = sl_chunks_read(&chunks, copy, part, &at, &size, &took);
        if (status == SL_CHUNKS_DATA) {
            CHECK(size > 0 && at + size == took);
            memcpy(content + done, copy + at, size);
            done += size;
        } else if (status == SL_CHUNKS_MORE) {
            CHECK_EQ(took, part);
        }
        free(copy);
        *used += took;
    }
    content[done] = 0;
    if (status == SL_CHUNKS_BROKEN) CHECK(chunks.fault != NULL);
    return status;
}

static void check_row(const struct row *row, const char *text, size_t length)
{
    char content[64];
    size_t used;
    for (size_t step = 1; step <= length; step++) {
        enum sl_chunks_status status = read_in(text, length, step, content, &used);
        CHECK_AT(status == (row->content ? SL_CHUNKS_TRAILERS : SL_CHUNKS_BROKEN), row->text);
        if (!row->content) continue;
        CHECK_STR(content, row->content);
        CHECK_EQ(used, row->used ? row->used : strlen(row->text));
    }
}

TEST(every_row)
{
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        char longer[128];
        check_row(&ROWS[i], ROWS[i].text, strlen(ROWS[i].text));
        snprintf(longer, sizeof longer, "%sGET / HTTP/1.1\r\n\r\n", ROWS[i].text);
        check_row(&ROWS[i], longer, strlen(longer));
    }
}

TEST(extensions_are_bounded)
{
    char text[512], extension[257] = ";", content[64];
    size_t used;
    memset(extension + 1, 'x', 255);
    /* The CR is one of the 256 bytes. */
    snprintf(text, sizeof text, "1%.255s\r\nx\r\n0\r\n", extension);
    CHECK_EQ(read_in(text, strlen(text), 1, content, &used), SL_CHUNKS_TRAILERS);
    snprintf(text, sizeof text, "1%s\r\nx\r\n0\r\n", extension);
    CHECK_EQ(read_in(text, strlen(text), 1, content, &used), SL_CHUNKS_BROKEN);
}

TEST(the_largest_chunk)
{
    struct sl_chunks chunks = {0};
    size_t at, size, used;
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"ffffffffffffffff\r\nxyz", 21, &at, &size, &used),
             SL_CHUNKS_DATA);
    CHECK_EQ(at, 18);
    CHECK_EQ(size, 3);
    CHECK_EQ(used, 21);
    CHECK(chunks.left == UINT64_MAX - 3);
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"", 0, &at, &size, &used), SL_CHUNKS_MORE);
}

TEST(what_ended_stays_so)
{
    struct sl_chunks chunks = {0};
    size_t at, size, used;
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"0\r\n", 3, &at, &size, &used), SL_CHUNKS_TRAILERS);
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"1\r\n", 3, &at, &size, &used), SL_CHUNKS_TRAILERS);
    CHECK_EQ(used, 0);
    memset(&chunks, 0, sizeof chunks);
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"x", 1, &at, &size, &used), SL_CHUNKS_BROKEN);
    CHECK_EQ(sl_chunks_read(&chunks, (const uint8_t *)"1\r\n", 3, &at, &size, &used), SL_CHUNKS_BROKEN);
}

TEST(lines_are_read_as_they_were_written)
{
    static const uint64_t sizes[] = {1, 9, 10, 15, 16, 255, 65536, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct sl_chunks chunks = {0};
        uint8_t line[SL_CHUNK_LINE_MOST + 1];
        size_t length = sl_chunk_line(line, sizes[i]), at, size, used;
        line[length] = 'x';
        CHECK(length <= SL_CHUNK_LINE_MOST);
        CHECK_EQ(sl_chunks_read(&chunks, line, length + 1, &at, &size, &used), SL_CHUNKS_DATA);
        CHECK_EQ(at, length);
        CHECK(chunks.left == sizes[i] - 1);
    }
}

int main(void)
{
    RUN(every_row);
    RUN(extensions_are_bounded);
    RUN(the_largest_chunk);
    RUN(what_ended_stays_so);
    RUN(lines_are_read_as_they_were_written);
    return CHECK_REPORT();
}
