/* Answers to DNS questions: aliases in every order, time to live, and messages broken in every way. */
#include <stdlib.h>

#include "check.h"
#include "bytes/dns_answer.h"

/* A message under construction. Names are written as text, without compression unless said. */
struct writer {
    uint8_t data[65535];
    size_t length;
};

static struct writer w; /* one at a time: it is large */

static void byte(unsigned value)
{
    w.data[w.length++] = (uint8_t)value;
}

static void word(unsigned value)
{
    byte(value >> 8);
    byte(value & 0xff);
}

static void name(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ".");
        byte((unsigned)length);
        memcpy(w.data + w.length, text, length);
        w.length += length;
        text += length + (text[length] == '.');
    }
    byte(0);
}

static void begin(unsigned flags, unsigned answers, const char *asked, unsigned type)
{
    w.length = 0;
    word(0x1234);
    word(flags);
    word(1);
    word(answers);
    word(0);
    word(0);
    name(asked);
    word(type);
    word(1);
}

static void fixed(unsigned type, unsigned long ttl, unsigned length)
{
    word(type);
    word(1);
    word((unsigned)(ttl >> 16));
    word(ttl & 0xffff);
    word(length);
}

static void a(const char *owner, unsigned long ttl, unsigned last)
{
    name(owner);
    fixed(SL_DNS_A, ttl, 4);
    word(0xc000);
    byte(2);
    byte(last);
}

static void cname(const char *owner, unsigned long ttl, const char *target)
{
    name(owner);
    fixed(5, ttl, (unsigned)strlen(target) + 2);
    name(target);
}

/* Reads what was written from memory of exactly that size, so that the sanitizer sees every byte too far. */
static enum sl_dns_status answer(const char *asked, unsigned type, struct sl_dns_answer *out)
{
    uint8_t *exact = malloc(w.length ? w.length : 1);
    memcpy(exact, w.data, w.length);
    enum sl_dns_status status = sl_dns_answer_read(exact, w.length, asked, strlen(asked), type, out);
    free(exact);
    return status;
}

TEST(addresses)
{
    struct sl_dns_answer out;
    begin(0x8180, 2, "Example.COM", SL_DNS_A);
    a("example.com", 300, 1);
    a("EXAMPLE.com", 60, 2);
    CHECK_EQ(answer("example.com", SL_DNS_A, &out), SL_DNS_FOUND);
    CHECK_EQ(out.count, 2);
    CHECK_EQ(out.ttl, 60);
    CHECK_EQ(out.addresses[0].family, 4);
    CHECK_EQ(out.addresses[0].bytes[0], 192);
    CHECK_EQ(out.addresses[1].bytes[3], 2);
    CHECK_EQ(out.addresses[1].bytes[4], 0);
}

TEST(ipv6)
{
    struct sl_dns_answer out;
    begin(0x8180, 2, "six.test", SL_DNS_AAAA);
    a("six.test", 5, 1); /* of the other type: not an answer to this question */
    word(0xc00c);        /* the question's name */
    fixed(SL_DNS_AAAA, 7, 16);
    for (unsigned i = 0; i < 16; i++) byte(i);
    CHECK_EQ(answer("six.test", SL_DNS_AAAA, &out), SL_DNS_FOUND);
    CHECK_EQ(out.count, 1);
    CHECK_EQ(out.ttl, 7);
    CHECK_EQ(out.addresses[0].family, 6);
    CHECK_EQ(out.addresses[0].bytes[15], 15);
}

TEST(chain_in_any_order)
{
    struct sl_dns_answer out;
    begin(0x8180, 3, "www.test", SL_DNS_A);
    cname("www.test", 300, "cdn.test");
    cname("cdn.test", 30, "node.test");
    a("node.test", 100, 9);
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_FOUND);
    CHECK_EQ(out.ttl, 30);
    CHECK_EQ(out.addresses[0].bytes[3], 9);

    begin(0x8180, 3, "www.test", SL_DNS_A);
    a("node.test", 100, 9);
    cname("cdn.test", 300, "node.test");
    cname("www.test", 20, "cdn.test");
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_FOUND);
    CHECK_EQ(out.count, 1);
    CHECK_EQ(out.ttl, 20);
}

TEST(records_beside_the_chain_count_for_nothing)
{
    struct sl_dns_answer out;
    begin(0x8180, 3, "www.test", SL_DNS_A);
    a("other.test", 1, 1);
    cname("third.test", 1, "www.test");
    a("www.test", 50, 2);
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_FOUND);
    CHECK_EQ(out.count, 1);
    CHECK_EQ(out.ttl, 50);
    CHECK_EQ(out.addresses[0].bytes[3], 2);

    begin(0x8180, 2, "www.test", SL_DNS_A);
    cname("elsewhere.test", 9, "node.test");
    a("node.test", 9, 1);
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_NONE);

    begin(0x8180, 1, "www.test", SL_DNS_A); /* not of class IN */
    a("www.test", 50, 2);
    w.data[w.length - 11] = 3;
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_NONE);
}

TEST(chains_end)
{
    struct sl_dns_answer out;
    char from[32], to[32];
    for (unsigned links = SL_DNS_CHAIN - 1; links <= SL_DNS_CHAIN + 1; links++) {
        begin(0x8180, links + 1, "n0.test", SL_DNS_A);
        for (unsigned i = 0; i < links; i++) {
            snprintf(from, sizeof from, "n%u.test", i);
            snprintf(to, sizeof to, "n%u.test", i + 1);
            cname(from, 60, to);
        }
        a(to, 60, 1);
        CHECK_EQ(answer("n0.test", SL_DNS_A, &out), links <= SL_DNS_CHAIN ? SL_DNS_FOUND : SL_DNS_MALFORMED);
    }
    begin(0x8180, 2, "a.test", SL_DNS_A);
    cname("a.test", 60, "b.test");
    cname("b.test", 60, "a.test");
    CHECK_EQ(answer("a.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x8180, 1, "a.test", SL_DNS_A);
    cname("a.test", 60, "a.test");
    CHECK_EQ(answer("a.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x8180, 1, "a.test", SL_DNS_A); /* an alias of what the server did not follow */
    cname("a.test", 60, "b.test");
    CHECK_EQ(answer("a.test", SL_DNS_A, &out), SL_DNS_NONE);
}

TEST(codes)
{
    struct sl_dns_answer out;
    begin(0x8183, 0, "gone.test", SL_DNS_A);
    CHECK_EQ(answer("gone.test", SL_DNS_A, &out), SL_DNS_NONE);
    begin(0x8180, 0, "empty.test", SL_DNS_A);
    CHECK_EQ(answer("empty.test", SL_DNS_A, &out), SL_DNS_NONE);
    for (unsigned code = 1; code < 16; code++) {
        begin(0x8180 | code, 1, "x.test", SL_DNS_A);
        a("x.test", 1, 1);
        CHECK_EQ(answer("x.test", SL_DNS_A, &out), code == 3 ? SL_DNS_NONE : SL_DNS_REFUSED);
    }
    begin(0x8180 | 1 << 11, 1, "x.test", SL_DNS_A); /* another opcode */
    a("x.test", 1, 1);
    CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_REFUSED);
}

TEST(time_to_live)
{
    static const struct {
        unsigned long ttl;
        uint32_t want;
    } rows[] = {
        {0, 0}, {1, 1}, {0x7fffffff, 0x7fffffff}, {0x80000000, 0}, {0xffffffff, 0},
    };
    struct sl_dns_answer out;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(0x8180, 1, "x.test", SL_DNS_A);
        a("x.test", rows[i].ttl, 1);
        CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_FOUND);
        CHECK_EQ(out.ttl, rows[i].want);
    }
}

TEST(another_question)
{
    struct sl_dns_answer out;
    begin(0x8180, 1, "evil.test", SL_DNS_A);
    a("good.test", 1, 1);
    CHECK_EQ(answer("good.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x8180, 1, "good.test", SL_DNS_AAAA);
    a("good.test", 1, 1);
    CHECK_EQ(answer("good.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x0180, 1, "good.test", SL_DNS_A); /* a question, no answer */
    a("good.test", 1, 1);
    CHECK_EQ(answer("good.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x8180, 1, "good.test", SL_DNS_A);
    a("good.test", 1, 1);
    w.data[5] = 2; /* two questions */
    CHECK_EQ(answer("good.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
}

TEST(cut_anywhere)
{
    struct sl_dns_answer out;
    begin(0x8180, 2, "www.test", SL_DNS_A);
    cname("www.test", 300, "cdn.test");
    a("cdn.test", 300, 1);
    size_t whole = w.length;
    for (w.length = 0; w.length < whole; w.length++) CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    CHECK_EQ(answer("www.test", SL_DNS_A, &out), SL_DNS_FOUND);
}

TEST(broken_names)
{
    struct sl_dns_answer out;
    static const uint8_t names[][4] = {
        {0xc0, 0x1a, 0, 0}, /* points at itself: the question "x.test" ends at 24 */
        {0xc0, 0xff, 0, 0}, /* points ahead */
        {0x40, 0, 0, 0},    /* reserved label types */
        {0x80, 0, 0, 0},    {0xff, 0xff, 0, 0},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        begin(0x8180, 1, "x.test", SL_DNS_A);
        for (unsigned j = 0; j < 4; j++) byte(names[i][j]);
        for (unsigned j = 0; j < 64; j++) byte(0);
        CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    }
    begin(0x8180, 1, "x.test", SL_DNS_A); /* longer than 255 bytes by way of a pointer into the label before it */
    for (unsigned i = 0; i < 5; i++) {
        byte(63);
        for (unsigned j = 0; j < 63; j++) byte('a');
    }
    byte(0);
    for (unsigned j = 0; j < 10; j++) byte(0);
    CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
    begin(0x8180, 1, "x.test", SL_DNS_A); /* an alias whose RDATA is longer than its name */
    name("x.test");
    fixed(5, 1, 4);
    name("y");
    byte(0);
    CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_MALFORMED);
}

TEST(bad_questions_of_ours)
{
    struct sl_dns_answer out;
    char label[70];
    memset(label, 'a', sizeof label);
    begin(0x8180, 0, "x.test", SL_DNS_A);
    CHECK_EQ(sl_dns_answer_read(w.data, w.length, "", 0, SL_DNS_A, &out), SL_DNS_MALFORMED);
    CHECK_EQ(sl_dns_answer_read(w.data, w.length, "x..test", 7, SL_DNS_A, &out), SL_DNS_MALFORMED);
    CHECK_EQ(sl_dns_answer_read(w.data, w.length, label, sizeof label, SL_DNS_A, &out), SL_DNS_MALFORMED);
}

TEST(more_than_is_taken)
{
    struct sl_dns_answer out;
    begin(0x8180, SL_DNS_ADDRESSES + 8, "x.test", SL_DNS_A);
    for (unsigned i = 0; i < SL_DNS_ADDRESSES + 8; i++) a("x.test", 60, i);
    CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_FOUND);
    CHECK_EQ(out.count, SL_DNS_ADDRESSES);

    begin(0x8180, 2000, "x.test", SL_DNS_A); /* what lies past SL_DNS_RECORDS is not looked at */
    for (unsigned i = 0; i < SL_DNS_RECORDS; i++) a("y.test", 60, i & 0xff);
    a("x.test", 60, 1);
    CHECK_EQ(answer("x.test", SL_DNS_A, &out), SL_DNS_NONE);
}

int main(void)
{
    RUN(addresses);
    RUN(ipv6);
    RUN(chain_in_any_order);
    RUN(records_beside_the_chain_count_for_nothing);
    RUN(chains_end);
    RUN(codes);
    RUN(time_to_live);
    RUN(another_question);
    RUN(cut_anywhere);
    RUN(broken_names);
    RUN(bad_questions_of_ours);
    RUN(more_than_is_taken);
    return CHECK_REPORT();
}
