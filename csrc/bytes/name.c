/* Canonical host names and policy patterns. */
#include "bytes/name.h"

#include <string.h>

enum { DIGIT = 1, HEX = 2, NAME_BYTE = 4 };

static unsigned byte_class(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return DIGIT | HEX | NAME_BYTE;
    if ((byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F')) return HEX | NAME_BYTE;
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '-' || byte == '_') return NAME_BYTE;
    return 0;
}

/* Whether a label makes the whole "end in a number" (WHATWG URL, section 3.5): decimal digits, or 0x and hex digits. */
static int is_number(const char *label, size_t length)
{
    unsigned all = DIGIT | HEX;
    size_t from = length >= 2 && label[0] == '0' && label[1] == 'x' ? 2 : 0;
    for (size_t i = from; i < length; i++) all &= byte_class((uint8_t)label[i]);
    return from ? (all & HEX) != 0 : (all & DIGIT) != 0;
}

enum sl_name_status sl_name_canonical(const uint8_t *in, size_t length, char out[SL_NAME_BUFFER], size_t *out_length,
                                      struct sl_addr *address)
{
    *out_length = 0;
    memset(address, 0, sizeof *address);
    if (length == 0) return SL_NAME_EMPTY;
    size_t whole = length;
    if (in[length - 1] == '.') length--;
    if (length == 0) return SL_NAME_EMPTY;

    size_t label = 0; /* where the label begins */
    size_t kept = length < SL_NAME_MAX ? length : SL_NAME_MAX;
    for (size_t i = 0; i < kept; i++) {
        uint8_t byte = in[i];
        if (byte == '.') {
            if (i == label) return SL_NAME_EMPTY_LABEL;
            if (i - label > SL_LABEL_MAX) return SL_NAME_LABEL_TOO_LONG;
            label = i + 1;
        } else if (!byte_class(byte)) {
            if (byte == ':' && sl_addr_parse((const char *)in, whole, address)) return SL_NAME_ADDRESS;
            return byte >= 0x80 ? SL_NAME_NON_ASCII : SL_NAME_BAD_BYTE;
        }
        out[i] = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
    }
    if (length > SL_NAME_MAX) return SL_NAME_TOO_LONG;
    if (length == label) return SL_NAME_EMPTY_LABEL;
    if (length - label > SL_LABEL_MAX) return SL_NAME_LABEL_TOO_LONG;
    out[length] = 0;
    *out_length = length;
    if (!is_number(out + label, length - label)) return SL_NAME_OK;
    return sl_addr_parse((const char *)in, whole, address) ? SL_NAME_ADDRESS : SL_NAME_NUMERIC;
}

enum sl_name_status sl_name_pattern(const uint8_t *in, size_t length, char out[SL_NAME_BUFFER], size_t *out_length,
                                    int *wildcard)
{
    struct sl_addr address;
    *wildcard = 0;
    *out_length = 0;
    out[0] = 0;
    const uint8_t *star = length ? memchr(in, '*', length) : NULL;
    if (!star) return sl_name_canonical(in, length, out, out_length, &address);
    if (star != in || (length > 1 && in[1] != '.')) return SL_NAME_BAD_WILDCARD;
    *wildcard = 1;
    if (length == 1) return SL_NAME_OK;
    if (memchr(in + 2, '*', length - 2)) return SL_NAME_BAD_WILDCARD;
    enum sl_name_status status = sl_name_canonical(in + 2, length - 2, out, out_length, &address);
    return status == SL_NAME_ADDRESS ? SL_NAME_NUMERIC : status; /* nothing lies below an address */
}

const char *sl_name_status_text(enum sl_name_status status)
{
#define SL_NAME_TEXT(name, text) text,
    static const char *const texts[] = {SL_NAME_STATUSES(SL_NAME_TEXT)};
    return texts[(unsigned)status < SL_NAME_STATUS_COUNT ? status : 0];
}
