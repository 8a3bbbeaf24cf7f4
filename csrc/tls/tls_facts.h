/* The facts of a handshake: what was agreed on, and how it failed. For logs and metrics; nothing is decided by them. */
#ifndef SLUICE_TLS_FACTS_H
#define SLUICE_TLS_FACTS_H

#include <stdint.h>

#include "base/contract.h"
#include "tls/tls_leg.h"

/* Texts of the library's own, NULL where nothing was agreed on. */
struct sl_tls_facts {
    const char *version;       /* "TLSv1.3"; static */
    const char *cipher;        /* as IANA names it, "TLS_AES_128_GCM_SHA256"; static */
    const char *group;         /* of the key exchange, "x25519"; this and the next two live as long as the leg */
    const unsigned char *alpn; /* not terminated */
    unsigned alpn_length;
    const char *sni; /* asked for by the client, untrusted */
};

/* What is known of a TLS leg, at any time: before the handshake is done, that may be nothing. */
void sl_tls_facts_of(const struct sl_leg *leg, struct sl_tls_facts *out);

/* How the handshake of a TLS leg went: FULL or RESUMED where it is done, else why it failed. INTERNAL for a leg without
 * TLS, and for one that neither is done nor has failed. */
enum sl_tls_result sl_tls_result_of(const struct sl_leg *leg);

/* The alert by which the peer has ended a TLS leg, in the handshake or behind it, as "handshake failure"; static. NULL:
 * it sent none. */
const char *sl_tls_alert_of(const struct sl_leg *leg);

/* For tls_leg.c: the alert in an error of the library, 0 for none. */
uint8_t sl_tls_alert_in(unsigned long last);
/* For tls_leg.c: what an error of the library means. `last` is the last one of its queue, 0 for none; `verified` is what
 * SSL_get_verify_result() says. */
enum sl_tls_result sl_tls_result_for(unsigned long last, long verified);

#endif
