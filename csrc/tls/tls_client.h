/* TLS towards a parent or an origin: the CAs and names that it has to have, the certificate it is shown, and sessions
 * that are resumed. Made from PEM texts that the supervisor has read and checked; many legs share one.
 *
 * The peer's chain is verified against the CAs, always, and its certificate has to have one of the names asked for:
 * one of `names`, or, without these, the server's name; without that, the host or the address that was dialed. Names
 * count as subject alternative names alone, never as the CN (RFC 9525 section 2). */
#ifndef SLUICE_TLS_CLIENT_H
#define SLUICE_TLS_CLIENT_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "relay/leg.h"
#include "tls/tls_context.h"

struct sl_tls_work;

enum {
    SL_TLS_CLIENT_NAMES = 64,    /* in the list of names, at most */
    SL_TLS_CLIENT_NAME = 2048,   /* bytes of one, at most: a SPIFFE ID */
    SL_TLS_CLIENT_SESSIONS = 64, /* kept, one for each name that hashes to another place */
    SL_TLS_SESSION_NAME = 256,   /* bytes of such a name, with its NUL */
};

/* Texts live as long as the client. */
struct sl_tls_client_options {
    X509_STORE *authorities;        /* shared; the client keeps a reference */
    const struct sl_tls_pair *pair; /* shown where the peer asks; NULL: none */
    const char *server_name;        /* SNI and the name to verify; NULL: those of each leg */
    const char *const *names;       /* DNS names, addresses and URIs, one of which has to be there; none: as above */
    int name_count;
    int min_version;          /* TLS1_2_VERSION or TLS1_3_VERSION */
    const uint8_t *protocols; /* ALPN as on the wire; NULL: none */
    unsigned protocols_length;
};

/* The last session with one name. */
struct sl_tls_kept {
    SSL_SESSION *session; /* NULL: none */
    char name[SL_TLS_SESSION_NAME];
};

struct sl_tls_client {
    SSL_CTX *context;
    const char *server_name;
    const char *const *names;
    int name_count;
    struct sl_tls_kept *kept; /* SL_TLS_CLIENT_SESSIONS, malloc'd with the first session; NULL: none yet */
};

/* 1; or 0 with `reason`, a static text. The client stays where it is as long as handshakes that it began. */
int sl_tls_client_begin(struct sl_tls_client *client, const struct sl_tls_client_options *options, const char **reason);
/* Legs that are past their handshake live on. */
void sl_tls_client_end(struct sl_tls_client *client);

/* Puts TLS on a leg whose peer listens; `name`: the host that was dialed, or its address as text. 1, or 0 without memory
 * or with an invalid name: the leg stays as it was. */
int sl_tls_client_leg(struct sl_tls_client *client, struct sl_leg *leg, struct sl_tls_work *work, const char *name);

/* The name of the peer's verified certificate that was asked for, of a leg whose handshake is done; NULL: an address, or
 * no certificate. It lives as long as leg and client. */
const char *sl_tls_client_peer(const struct sl_tls_client *client, const struct sl_leg *leg);

#endif
