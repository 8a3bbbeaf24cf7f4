/* Keys of session tickets (RFC 8446 4.6.1, RFC 5077): derived from one secret, so that all workers have the same ones, and
 * renewed by the clock, so that none has to be told.
 *
 *   secret of a period ──HMAC──▶ secret of the next one       what is gone cannot be computed again
 *          └──HMAC with `scope`──▶ name, cipher key, MAC key  a listener's own; another CA, CRL or certificate: others
 *
 * A ticket is good in its period and the one after. */
#ifndef SLUICE_TLS_TICKET_H
#define SLUICE_TLS_TICKET_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdint.h>

enum { SL_TLS_TICKET_PERIOD = 3600, SL_TLS_TICKET_SECRET = 32, SL_TLS_TICKET_SCOPE = 32 };

struct sl_tls_ticket_key {
    uint8_t name[16], cipher[32], mac[32];
};

struct sl_tls_tickets {
    uint64_t period;                      /* Unix time / SL_TLS_TICKET_PERIOD */
    uint8_t secret[SL_TLS_TICKET_SECRET]; /* of the period */
    uint8_t scope[SL_TLS_TICKET_SCOPE];
    struct sl_tls_ticket_key now, before;
    int has_before; /* there was a period before */
};

/* `secret` is that of `period`. 1, or 0 where the library fails. */
int sl_tls_tickets_begin(struct sl_tls_tickets *tickets, uint64_t period, const uint8_t secret[SL_TLS_TICKET_SECRET],
                         const uint8_t scope[SL_TLS_TICKET_SCOPE]);
/* The keys are those of `unix_time` from now on; a clock that was set back changes nothing. 1, or 0. */
int sl_tls_tickets_advance(struct sl_tls_tickets *tickets, uint64_t unix_time);
void sl_tls_tickets_end(struct sl_tls_tickets *tickets);

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb, once the keys are those of now. */
int sl_tls_tickets_apply(const struct sl_tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                         EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing);

#endif
