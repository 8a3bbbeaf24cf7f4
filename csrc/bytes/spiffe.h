/* A workload's SPIFFE ID (SPIFFE-ID.md sections 2.1 to 2.3): whether a text is one, and its parts. Whose word it is, and
 * which trust domains count, is not decided here.
 *
 *   spiffe://cluster.local/ns/shop/sa/cart      the form of Istio and SPIRE has a namespace and a service account */
#ifndef SLUICE_SPIFFE_H
#define SLUICE_SPIFFE_H

#include <stddef.h>

enum {
    SL_SPIFFE_SCHEME = 9,     /* bytes before the trust domain: "spiffe://" */
    SL_SPIFFE_MOST = 2048,    /* bytes of an ID */
    SL_SPIFFE_DOMAIN = 255,   /* of a trust domain */
    SL_SPIFFE_NAMESPACE = 63, /* of a namespace that is one */
    SL_SPIFFE_ACCOUNT = 253,  /* of a service account likewise */
};

/* Parts of the text that was read. */
struct sl_spiffe {
    const char *domain;
    size_t domain_length;
    const char *namespace_; /* NULL: another form of path */
    size_t namespace_length;
    const char *account;
    size_t account_length;
};

/* Returns 1, or 0 where it is not the one spelling of an ID: a domain in lower case, and a path whose segments are not
 * empty, `.` or `..`. */
int sl_spiffe_read(const char *id, size_t length, struct sl_spiffe *out);

#endif
