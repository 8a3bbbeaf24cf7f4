/* The reader of dns_answer.h. Names are compared in lower-cased wire form: length-prefixed labels, the root's zero last. */
#include "bytes/dns_answer.h"

#include <string.h>

enum { HEADER = 12, QUESTION_REST = 4, RECORD_REST = 10 }; /* bytes of the fixed parts */
enum { NAME_ROOM = 255 };                                  /* RFC 1035 section 2.3.4 */
enum { TYPE_CNAME = 5, CLASS_IN = 1 };
enum { RCODE_OK = 0, RCODE_NXDOMAIN = 3 };
enum { FLAG_RESPONSE = 0x8000, OPCODE_AND_RCODE = 0x7800 | 0xf };

struct wire_name {
    uint8_t bytes[NAME_ROOM];
    size_t length;
};

struct message {
    const uint8_t *data;
    size_t length;
    size_t answers; /* where the answer section begins */
    unsigned count; /* records to look at */
};

struct record {
    struct wire_name owner;
    unsigned type, class;
    uint32_t ttl;
    size_t data, length; /* RDATA, inside the message */
};

static unsigned u16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Appends one label, its length byte included. Returns 0 when the name grows too long. */
static int append(struct wire_name *name, const uint8_t *label, size_t length)
{
    if (name->length + 1 + length > NAME_ROOM) return 0;
    name->bytes[name->length++] = (uint8_t)length;
    for (size_t i = 0; i < length; i++) name->bytes[name->length++] = lower(label[i]);
    return 1;
}

/* Reads the name at *at, following pointers (RFC 1035 section 4.1.4), and moves *at behind it. Every pointer has to lead
 * further back than the one before, so there is no way to go in circles. Returns 0 when it is broken. */
static int read_name(const struct message *m, size_t *at, struct wire_name *out)
{
    size_t place = *at, bound = *at;
    int jumped = 0;

    out->length = 0;
    while (place < m->length) {
        unsigned first = m->data[place];
        if (first >= 0xc0) {
            if (place + 2 > m->length) return 0;
            size_t target = u16(m->data + place) & 0x3fff;
            if (!jumped) *at = place + 2;
            jumped = 1;
            if (target >= bound) return 0;
            place = bound = target;
            continue;
        }
        if (first > 63 || place + 1 + first > m->length || !append(out, m->data + place + 1, first)) return 0;
        place += 1 + first;
        if (first == 0) {
            if (!jumped) *at = place;
            return 1;
        }
    }
    return 0;
}

/* The wire form of a canonical name. Returns 0 for other bytes. */
static int from_text(const char *text, size_t length, struct wire_name *out)
{
    size_t start = 0;

    out->length = 0;
    for (size_t i = 0; i <= length; i++)
        if (i == length || text[i] == '.') {
            if (i == start || i - start > 63 || !append(out, (const uint8_t *)text + start, i - start)) return 0;
            start = i + 1;
        }
    return append(out, NULL, 0);
}

static int same(const struct wire_name *a, const struct wire_name *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

/* Reads the record at *at and moves *at behind it. Returns 0 when it is cut short. */
static int read_record(const struct message *m, size_t *at, struct record *out)
{
    if (!read_name(m, at, &out->owner) || m->length - *at < RECORD_REST) return 0;
    const uint8_t *fixed = m->data + *at;
    out->type = u16(fixed);
    out->class = u16(fixed + 2);
    out->ttl = (uint32_t)u16(fixed + 4) << 16 | u16(fixed + 6);
    if (out->ttl >> 31) /* RFC 2181 section 8: the top bit set is zero */
        out->ttl = 0;
    out->length = u16(fixed + 8);
    out->data = *at + RECORD_REST;
    if (m->length - out->data < out->length) return 0;
    *at = out->data + out->length;
    return 1;
}

static void add(struct sl_dns_answer *out, const struct message *m, const struct record *record)
{
    if (out->count == SL_DNS_ADDRESSES) return;
    struct sl_addr *address = &out->addresses[out->count++];
    memset(address, 0, sizeof *address);
    memcpy(address->bytes, m->data + record->data, record->length);
    address->family = record->length == 4 ? 4 : 6;
    if (record->ttl < out->ttl) out->ttl = record->ttl;
}

/* Looks through the answer section for what `owner` has. Returns 1 with its addresses in *out, 2 with *alias, 0 with
 * neither, -1 when the section is broken. */
static int look_up(const struct message *m, const struct wire_name *owner, unsigned type, struct sl_dns_answer *out,
                   struct record *alias)
{
    struct record record;
    size_t at = m->answers;
    int found = 0;

    for (unsigned i = 0; i < m->count; i++) {
        if (!read_record(m, &at, &record)) return -1;
        if (record.class != CLASS_IN || !same(&record.owner, owner)) continue;
        if (record.type == type && record.length == (type == SL_DNS_A ? 4 : 16)) {
            add(out, m, &record);
            found = 1;
        } else if (record.type == TYPE_CNAME && !found) {
            *alias = record;
            found = 2;
        }
    }
    return found;
}

/* Follows the aliases from `name` to addresses, in whatever order the records stand. */
static enum sl_dns_status follow(const struct message *m, struct wire_name *name, unsigned type,
                                 struct sl_dns_answer *out)
{
    struct record alias;

    for (int hops = 0; hops <= SL_DNS_CHAIN; hops++) {
        int found = look_up(m, name, type, out, &alias);
        if (found <= 0) return found == 0 ? SL_DNS_NONE : SL_DNS_MALFORMED;
        if (found == 1) return SL_DNS_FOUND;
        size_t at = alias.data;
        if (!read_name(m, &at, name) || at != alias.data + alias.length) return SL_DNS_MALFORMED;
        if (alias.ttl < out->ttl) out->ttl = alias.ttl;
    }
    return SL_DNS_MALFORMED;
}

enum sl_dns_status sl_dns_answer_read(const uint8_t *data, size_t length, const char *name, size_t name_length,
                                      unsigned type, struct sl_dns_answer *out)
{
    struct message m = {.data = data, .length = length};
    struct wire_name asked, question;
    size_t at = HEADER;

    out->count = 0;
    out->ttl = UINT32_MAX >> 1;
    if (length < HEADER || !from_text(name, name_length, &asked)) return SL_DNS_MALFORMED;
    unsigned flags = u16(data + 2);
    if (!(flags & FLAG_RESPONSE) || u16(data + 4) != 1) return SL_DNS_MALFORMED;
    if (!read_name(&m, &at, &question) || length - at < QUESTION_REST || !same(&question, &asked) ||
        u16(data + at) != type || u16(data + at + 2) != CLASS_IN)
        return SL_DNS_MALFORMED;
    if ((flags & OPCODE_AND_RCODE) == RCODE_NXDOMAIN) return SL_DNS_NONE;
    if ((flags & OPCODE_AND_RCODE) != RCODE_OK) return SL_DNS_REFUSED;
    m.answers = at + QUESTION_REST;
    m.count = u16(data + 6) < SL_DNS_RECORDS ? u16(data + 6) : SL_DNS_RECORDS;
    return follow(&m, &asked, type, out);
}
