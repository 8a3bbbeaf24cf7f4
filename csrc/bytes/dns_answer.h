/* Reads the answer to one DNS question for the addresses of a name (RFC 1035 section 4): those at the end of its chain of
 * aliases, and how long they hold. It asks nothing, keeps nothing, and trusts no byte of the message.
 *
 * The work is bounded whatever the message says: records past SL_DNS_RECORDS are not looked at, a chain of more than
 * SL_DNS_CHAIN aliases is refused, and so is a loop. Records whose owner is not on the chain count for nothing. */
#ifndef SLUICE_DNS_ANSWER_H
#define SLUICE_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"

enum { SL_DNS_ADDRESSES = 32, SL_DNS_RECORDS = 256, SL_DNS_CHAIN = 16 };
enum { SL_DNS_A = 1, SL_DNS_AAAA = 28 }; /* record types that hold addresses */

enum sl_dns_status {
    SL_DNS_MALFORMED = 0, /* no answer to this question, cut short, or aliases without end */
    SL_DNS_FOUND = 1,
    SL_DNS_NONE = 2,   /* the name does not exist (NXDOMAIN), or has no address of this type */
    SL_DNS_REFUSED = 3 /* the server has no answer: SERVFAIL, REFUSED and every other code */
};

struct sl_dns_answer {
    struct sl_addr addresses[SL_DNS_ADDRESSES]; /* in the order of the message; more than these are left out */
    unsigned count;
    uint32_t ttl; /* seconds: the smallest of the addresses' and of the aliases' on the way (RFC 2181 section 8) */
};

/* `name` is canonical (name.h); `type` is SL_DNS_A or SL_DNS_AAAA. *out means something only with SL_DNS_FOUND. */
enum sl_dns_status sl_dns_answer_read(const uint8_t *data, size_t length, const char *name, size_t name_length,
                                      unsigned type, struct sl_dns_answer *out);

#endif
