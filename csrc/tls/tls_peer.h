/* The identity that a client's certificate stands for (DECISIONS.md section 1). The chain was verified before; this is
 * what its names mean, and under whose authority they count.
 *
 *   SPIFFE    one URI SAN, spiffe://DOMAIN/..., under a CA of the trust domain DOMAIN
 *   Linkerd   DNS SAN sa.ns.serviceaccount.identity.LINKERD.DOMAIN, likewise; it is the same identity as
 *             spiffe://DOMAIN/ns/ns/sa/sa
 *   role      CN or OU of the subject, where the configuration asks for it, as "CN=name"
 *
 * Names of two identities are none. A NUL, or more names than SL_TLS_NAMES_MOST, makes a certificate that names nothing. */
#ifndef SLUICE_TLS_PEER_H
#define SLUICE_TLS_PEER_H

#include <openssl/x509.h>
#include <stdint.h>

#include "tls/tls_text.h"

enum {
    SL_TLS_DOMAINS_MOST = 64,
    SL_TLS_NAMES_MOST = 1000,    /* SANs of one certificate that are looked at */
    SL_TLS_IDENTITY_MOST = 2048, /* SL_SPIFFE_MOST */
    SL_TLS_ROLE_MOST = 255,
};

enum sl_tls_role { SL_TLS_ROLE_NONE = 0, SL_TLS_ROLE_CN = 1, SL_TLS_ROLE_OU = 2 };

/* A trust domain as configured. Texts live as long as what is made of them. */
struct sl_tls_domain_text {
    const char *name;
    const char *linkerd; /* namespace that Linkerd itself runs in; NULL or "": no such names */
    struct sl_tls_text authorities;
};

struct sl_tls_domain {
    const char *name, *linkerd;
    STACK_OF(X509) * authorities;
};

struct sl_tls_trust {
    struct sl_tls_domain domains[SL_TLS_DOMAINS_MOST]; /* the first one's names are namespaces and service accounts */
    int count;
    enum sl_tls_role role;
};

enum sl_tls_identity_status {
    SL_TLS_IDENTITY_NONE = 0, /* no name that counts */
    SL_TLS_IDENTITY_FOUND = 1,
    SL_TLS_IDENTITY_AMBIGUOUS = 2, /* names of two identities */
    SL_TLS_IDENTITY_INVALID = 3,   /* a name that cannot be read, or too many of them */
};

struct sl_tls_identity {
    enum sl_tls_identity_status status;
    char text[SL_TLS_IDENTITY_MOST + 1]; /* FOUND: a SPIFFE ID, or a role with its "CN=" or "OU=" */
    char namespace_[64];                 /* "": none, as of every domain but the first */
    char account[254];
};

/* A client's certificate, as its handshake or a later look has verified it. Both references are the holder's. */
struct sl_tls_client_certificate {
    X509 *leaf;             /* NULL: none was shown */
    STACK_OF(X509) * chain; /* the intermediate ones that came with it; NULL: none, as of a resumed session */
    int64_t until;          /* Unix seconds: the end of its own time */
    struct sl_tls_identity identity;
};

/* 1; 0 where a CA cannot be read or there are too many. sl_tls_trust_end() in either case. */
int sl_tls_trust_begin(struct sl_tls_trust *trust, const struct sl_tls_domain_text *domains, int count,
                       enum sl_tls_role role);
void sl_tls_trust_end(struct sl_tls_trust *trust);

/* The domains that have a CA in a verified chain, a bit each. NULL: none. */
uint64_t sl_tls_domains_of(const struct sl_tls_trust *trust, const STACK_OF(X509) * chain);

/* The identity of a certificate whose chain has CAs of `domains`. */
void sl_tls_identify(const struct sl_tls_trust *trust, const X509 *certificate, uint64_t domains,
                     struct sl_tls_identity *out);

void sl_tls_client_certificate_free(struct sl_tls_client_certificate *certificate);

/* "identity_ambiguous", "identity_invalid"; NULL for what is no fault. */
const char *sl_tls_identity_fault(enum sl_tls_identity_status status);

#endif
