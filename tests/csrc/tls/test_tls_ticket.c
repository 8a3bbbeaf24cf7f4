/* Keys of session tickets: the same for all workers, others for each listener and hour. */
#include "check.h"

#include "tls/tls_ticket.h"

enum { HOUR = 1000 };

static const uint8_t SECRET[SL_TLS_TICKET_SECRET] = {1, 2, 3}, SCOPE[SL_TLS_TICKET_SCOPE] = {4}, OTHER[32] = {5};

static int same(const struct sl_tls_ticket_key *one, const struct sl_tls_ticket_key *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

static struct sl_tls_tickets begun(const uint8_t *scope)
{
    struct sl_tls_tickets made;
    CHECK(sl_tls_tickets_begin(&made, HOUR, SECRET, scope));
    return made;
}

TEST(workers_agree_whenever_they_began)
{
    struct sl_tls_tickets early = begun(SCOPE), late = begun(SCOPE), steady = begun(SCOPE);
    CHECK(same(&early.now, &late.now));
    for (uint64_t hour = HOUR; hour <= HOUR + 5; hour++)
        CHECK(sl_tls_tickets_advance(&steady, hour * SL_TLS_TICKET_PERIOD + 7));
    CHECK(sl_tls_tickets_advance(&late, (HOUR + 5) * SL_TLS_TICKET_PERIOD));
    CHECK(same(&steady.now, &late.now));
    CHECK(same(&steady.before, &late.before));
    CHECK(!same(&steady.now, &early.now));
    CHECK(memcmp(steady.secret, SECRET, sizeof SECRET) != 0);
}

TEST(the_key_before_is_that_of_the_hour_before)
{
    struct sl_tls_tickets tickets = begun(SCOPE), first = begun(SCOPE);
    CHECK(!tickets.has_before);
    CHECK(sl_tls_tickets_advance(&tickets, (HOUR + 1) * SL_TLS_TICKET_PERIOD));
    CHECK(tickets.has_before && same(&tickets.before, &first.now));
    CHECK(sl_tls_tickets_advance(&tickets, (HOUR + 2) * SL_TLS_TICKET_PERIOD));
    CHECK(!same(&tickets.before, &first.now));
}

TEST(a_clock_set_back_changes_nothing)
{
    struct sl_tls_tickets tickets = begun(SCOPE), first = begun(SCOPE);
    CHECK(sl_tls_tickets_advance(&tickets, 5));
    CHECK(same(&tickets.now, &first.now) && tickets.period == HOUR);
}

TEST(each_scope_has_keys_of_its_own)
{
    struct sl_tls_tickets one = begun(SCOPE), other = begun(OTHER);
    CHECK(memcmp(one.now.name, other.now.name, sizeof one.now.name) != 0);
    CHECK(memcmp(one.now.cipher, other.now.cipher, sizeof one.now.cipher) != 0);
    CHECK(memcmp(one.now.mac, other.now.mac, sizeof one.now.mac) != 0);
    CHECK(memcmp(one.now.cipher, one.now.mac, sizeof one.now.mac) != 0);
}

TEST(a_gap_beyond_reason_is_an_error)
{
    struct sl_tls_tickets tickets = begun(SCOPE);
    CHECK(!sl_tls_tickets_advance(&tickets, UINT64_MAX));
    sl_tls_tickets_end(&tickets);
    CHECK_EQ(tickets.period, 0);
}

int main(void)
{
    RUN(workers_agree_whenever_they_began);
    RUN(the_key_before_is_that_of_the_hour_before);
    RUN(a_clock_set_back_changes_nothing);
    RUN(each_scope_has_keys_of_its_own);
    RUN(a_gap_beyond_reason_is_an_error);
    return CHECK_REPORT();
}
