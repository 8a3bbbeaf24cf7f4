/* Content in chunks, see chunks.h. */
#include "bytes/chunks.h"

enum { DIGITS_MOST = 16, EXTRA_MOST = 256 };

/* What comes next. A chunk: SIZE *[ ; NAME [ = VALUE ] ] CRLF DATA CRLF. */
enum state {
    SIZE = 0, /* its first digit */
    DIGITS,   /* a further one, ";" or CR */
    NAME,     /* of an extension: its first byte */
    NAME_MORE,
    VALUE, /* of an extension: its first byte */
    VALUE_MORE,
    QUOTED,
    ESCAPED,
    QUOTED_END,
    LINE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LAST_LF, /* as LINE_LF, of the last chunk */
    ENDED,
    FAULTY,
};

static int hex(uint8_t byte)
{
    uint8_t lower = byte | 0x20;
    if (byte >= '0' && byte <= '9') return byte - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static int is_token(uint8_t byte)
{
    switch (byte) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~': return 1;
    default: return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
    }
}

/* Quoted text and what may be escaped in it (RFC 9110 section 5.6.4). */
static int is_text(uint8_t byte)
{
    return (byte >= ' ' && byte != 0x7f) || byte == '\t';
}

static void fail(struct sl_chunks *chunks, uint8_t byte, const char *otherwise)
{
    chunks->state = FAULTY;
    chunks->fault = byte == '\n' ? "a line of a chunk that ends without CR" : otherwise;
}

/* Behind a size or an extension: the next one, or the end of the line. */
static void after(struct sl_chunks *chunks, uint8_t byte, const char *otherwise)
{
    if (byte == ';')
        chunks->state = NAME;
    else if (byte == '\r')
        chunks->state = chunks->left ? LINE_LF : LAST_LF;
    else
        fail(chunks, byte, otherwise);
}

static void take_size(struct sl_chunks *chunks, uint8_t byte)
{
    static const char bad[] = "a chunk size other than 1 to 16 hexadecimal digits";
    int digit = hex(byte);
    if (digit < 0 && chunks->state == DIGITS) {
        chunks->extra = 1;
        after(chunks, byte, bad);
    } else if (digit < 0 || (chunks->state == DIGITS && chunks->extra == DIGITS_MOST) || chunks->left >> 60) {
        fail(chunks, byte, bad);
    } else {
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        chunks->extra = chunks->state == SIZE ? 1 : (uint16_t)(chunks->extra + 1);
        chunks->state = DIGITS;
    }
}

static void take_extension(struct sl_chunks *chunks, uint8_t byte)
{
    static const char bad[] = "a chunk extension other than ;NAME or ;NAME=VALUE";
    if (++chunks->extra > EXTRA_MOST) {
        fail(chunks, byte, "more than 256 bytes of extensions of a chunk");
        return;
    }
    switch (chunks->state) {
    case NAME:
    case NAME_MORE:
        if (is_token(byte))
            chunks->state = NAME_MORE;
        else if (chunks->state == NAME_MORE && byte == '=')
            chunks->state = VALUE;
        else if (chunks->state == NAME_MORE)
            after(chunks, byte, bad);
        else
            fail(chunks, byte, bad);
        return;
    case VALUE:
    case VALUE_MORE:
        if (is_token(byte))
            chunks->state = VALUE_MORE;
        else if (chunks->state == VALUE && byte == '"')
            chunks->state = QUOTED;
        else if (chunks->state == VALUE_MORE)
            after(chunks, byte, bad);
        else
            fail(chunks, byte, bad);
        return;
    case QUOTED:
        if (!is_text(byte))
            fail(chunks, byte, bad);
        else if (byte == '"' || byte == '\\')
            chunks->state = byte == '"' ? QUOTED_END : ESCAPED;
        return;
    case ESCAPED:
        if (is_text(byte))
            chunks->state = QUOTED;
        else
            fail(chunks, byte, bad);
        return;
    default: after(chunks, byte, bad); return;
    }
}

/* One byte that is not content. */
static void take(struct sl_chunks *chunks, uint8_t byte)
{
    switch (chunks->state) {
    case SIZE:
    case DIGITS: take_size(chunks, byte); return;
    case LINE_LF:
    case LAST_LF:
        if (byte == '\n')
            chunks->state = chunks->state == LINE_LF ? DATA : ENDED;
        else
            fail(chunks, byte, "a bare CR in the line of a chunk");
        return;
    case DATA_CR:
    case DATA_LF:
        if (byte == (chunks->state == DATA_CR ? '\r' : '\n'))
            chunks->state = chunks->state == DATA_CR ? DATA_LF : SIZE;
        else
            fail(chunks, 0, "other bytes than CRLF behind a chunk");
        return;
    default: take_extension(chunks, byte); return;
    }
}

enum sl_chunks_status sl_chunks_read(struct sl_chunks *chunks, const uint8_t *data, size_t length, size_t *at,
                                     size_t *size, size_t *used)
{
    size_t i = 0;
    *size = 0;
    while (chunks->state < ENDED && i < length) {
        if (chunks->state == DATA) {
            *at = i;
            *size = length - i < chunks->left ? length - i : (size_t)chunks->left;
            chunks->left -= *size;
            if (chunks->left == 0) chunks->state = DATA_CR;
            *used = i + *size;
            return SL_CHUNKS_DATA;
        }
        take(chunks, data[i++]);
    }
    *used = i;
    if (chunks->state == FAULTY) return SL_CHUNKS_BROKEN;
    return chunks->state == ENDED ? SL_CHUNKS_TRAILERS : SL_CHUNKS_MORE;
}

size_t sl_chunk_line(uint8_t out[SL_CHUNK_LINE_MOST], uint64_t size)
{
    size_t digits = 1;
    while (digits < 16 && size >> (4 * digits)) digits++;
    for (size_t i = 0; i < digits; i++) out[i] = (uint8_t)"0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
