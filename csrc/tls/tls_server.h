/* What a TLS listener shows and asks: certificates by name, the protocols it speaks, who may come. Made from PEM texts
 * that the supervisor has read and checked; a reload makes a new one, and connections keep what they began with. */
#ifndef SLUICE_TLS_SERVER_H
#define SLUICE_TLS_SERVER_H

#include <openssl/ssl.h>

#include "relay/leg.h"
#include "tls/tls_context.h"
#include "tls/tls_peer.h"
#include "tls/tls_ticket.h"

enum { SL_TLS_PAIRS_MOST = 64 };

enum sl_tls_client_mode { SL_TLS_CLIENT_OFF = 0, SL_TLS_CLIENT_OPTIONAL = 1, SL_TLS_CLIENT_REQUIRED = 2 };

struct sl_tls_server_options {
    const struct sl_tls_pair *pairs; /* the first one is shown where no other has the name asked for */
    int pair_count;                  /* 1 to SL_TLS_PAIRS_MOST */
    struct sl_tls_text client_ca;    /* who signs the certificates of clients; none: the CAs of all trust domains */
    struct sl_tls_text crl;          /* of them, one for each; then a certificate without a current one is refused */
    enum sl_tls_client_mode client;
    const struct sl_tls_domain_text *domains; /* trust domains; their texts live as long as the server */
    int domain_count;
    enum sl_tls_role role;
    int min_version;              /* TLS1_2_VERSION or TLS1_3_VERSION */
    const char *protocols;        /* ALPN as on the wire, in order of preference; NULL: none */
    const uint8_t *scope;         /* SL_TLS_TICKET_SCOPE bytes: sessions of another scope are not resumed */
    const uint8_t *ticket_secret; /* SL_TLS_TICKET_SECRET bytes, of `ticket_period`; NULL: no session is resumed */
    uint64_t ticket_period;
};

struct sl_tls_server {
    SSL_CTX *contexts[SL_TLS_PAIRS_MOST]; /* contexts[0] is where every connection begins */
    int count;
    const char *protocols;
    struct sl_tls_trust trust;
    struct sl_tls_tickets tickets;
    int64_t crl_until; /* Unix seconds: the earliest nextUpdate; 0: none */
};

/* 1; or 0 with `reason`, a static text. `protocols` of the options has to live as long as the server, and the server as
 * long as handshakes that began with it. */
int sl_tls_server_begin(struct sl_tls_server *server, const struct sl_tls_server_options *options, const char **reason);
void sl_tls_server_end(struct sl_tls_server *server);

/* The client's certificate of a leg whose handshake is done; `certificate` is filled, its references are new. 1, or 0
 * where it shows none. */
int sl_tls_server_client(const struct sl_tls_server *server, const struct sl_leg *leg,
                         struct sl_tls_client_certificate *certificate);
/* Verifies it once more, against this server's CAs and CRLs, and derives its identity anew; times do not count. 1, or 0
 * where it does not stand. */
int sl_tls_server_verify(const struct sl_tls_server *server, struct sl_tls_client_certificate *certificate);

#endif
