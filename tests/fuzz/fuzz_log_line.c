/* Fuzzes access log lines with hostile texts. The laws: whatever was asked for, the line is one line of printable ASCII
 * with its quotes in pairs; it never grows past its room, and given less room it is written whole or not at all.
 * Input: one byte for each of four texts says how long it is, two say the room; the texts follow. */
#include "bytes/log_line.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS = 4, HEAD = TEXTS + 2 };

static void require(int condition)
{
    if (!condition) abort();
}

/* JSON needs no more than this to be read back here: strings end, braces match, and nothing follows the line. */
static void check_line(const char *line, size_t length)
{
    int quoted = 0, depth = 0;

    require(line[length - 1] == '\n');
    for (size_t i = 0; i + 1 < length; i++) {
        require(line[i] >= 0x20 && line[i] < 0x7f);
        if (quoted && line[i] == '\\') {
            i++; /* whatever is escaped */
            require(i + 1 < length && strchr("\"\\/bfnrtu", line[i]) != NULL);
        } else if (line[i] == '"') {
            quoted = !quoted;
        } else if (!quoted && line[i] == '{') {
            depth++;
        } else if (!quoted && line[i] == '}') {
            depth--;
            require(depth > 0 || i + 2 == length);
        }
    }
    require(!quoted && depth == 0);
}

/* A request line: its path is cut to the room, and it is a line all the same. */
static void check_request(struct sl_log_line *line, const struct sl_log_text texts[TEXTS], size_t room)
{
    char *out = malloc(room ? room : 1); /* of its own, so that a write past the end is found */
    struct sl_log_clock clock = {0};
    struct sl_log_request request = {
        .method = texts[0],
        .path = {texts[1].bytes ? texts[1].bytes : "", texts[1].bytes ? texts[1].length : 0},
        .query = texts[2],
        .has_query = texts[3].length & 1,
        .status = (unsigned)texts[3].length,
        .first_byte_ms = -1,
    };
    require(out != NULL);
    line->request = &request;
    size_t length = sl_log_line_write(out, room, &clock, line);
    require(length <= room);
    if (length) check_line(out, length);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[SL_LOG_LINE_MOST], part[SL_LOG_LINE_MOST];
    static const struct sl_addr nowhere;
    struct sl_log_clock clock = {0};
    struct sl_log_text texts[TEXTS];

    if (size < HEAD) return 0;
    const char *at = (const char *)data + HEAD;
    size_t left = size - HEAD;
    for (size_t i = 0; i < TEXTS; i++) {
        size_t length = data[i] < left ? data[i] : left;
        texts[i] = (struct sl_log_text){data[i] == 0xff ? NULL : at, length};
        at += length;
        left -= length;
    }
    struct sl_log_line line = {
        .unix_ms = left,
        .event = "close",
        .id_prefix = "0-1-",
        .sequence = size,
        .generation = left,
        .protocol = "http",
        .listener = {"mesh", 4},
        .peer = &nowhere,
        .address = &nowhere,
        .user = texts[0],
        .name = texts[1],
        .inner = texts[2],
        .verdict = "deny",
        .rule = {"a rule", 6},
        .phase = "inner",
        .reason = "rule_deny",
        .outcome = "denied",
        .carried = size & 1,
        .dns_ms = (int32_t)size - 8,
        .dial_ms = -1,
    };
    size_t length = sl_log_line_write(whole, sizeof whole, &clock, &line);
    require(length > 0 && length <= sizeof whole);
    check_line(whole, length);

    size_t room = (size_t)(data[TEXTS] << 8 | data[TEXTS + 1]) % sizeof part;
    memset(part, 0x55, sizeof part);
    size_t got = sl_log_line_write(part, room, &clock, &line);
    require(got == (length <= room ? length : 0) && (got == 0 || memcmp(part, whole, got) == 0));
    for (size_t i = room; i < sizeof part; i++) require(part[i] == 0x55);
    check_request(&line, texts, room);
    return 0;
}
