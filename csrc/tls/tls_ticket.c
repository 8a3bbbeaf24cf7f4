/* Keys of session tickets, see tls_ticket.h. */
#include "tls/tls_ticket.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

enum { PERIODS_MOST = 100000 }; /* of one step; eleven years */

/* HMAC-SHA256 of a word and, where there is one, the scope. */
static int derive(const uint8_t *secret, const char *word, const uint8_t *scope, uint8_t out[32])
{
    uint8_t text[16 + SL_TLS_TICKET_SCOPE];
    size_t length = strlen(word);
    unsigned made = 32;
    memcpy(text, word, length);
    if (scope) memcpy(text + length, scope, SL_TLS_TICKET_SCOPE), length += SL_TLS_TICKET_SCOPE;
    return HMAC(EVP_sha256(), secret, SL_TLS_TICKET_SECRET, text, length, out, &made) != NULL;
}

static int make_key(const struct sl_tls_tickets *tickets, struct sl_tls_ticket_key *key)
{
    uint8_t name[32];
    int done = derive(tickets->secret, "name", tickets->scope, name) &&
               derive(tickets->secret, "cipher", tickets->scope, key->cipher) &&
               derive(tickets->secret, "mac", tickets->scope, key->mac);
    memcpy(key->name, name, sizeof key->name);
    return done;
}

int sl_tls_tickets_begin(struct sl_tls_tickets *tickets, uint64_t period, const uint8_t secret[SL_TLS_TICKET_SECRET],
                         const uint8_t scope[SL_TLS_TICKET_SCOPE])
{
    *tickets = (struct sl_tls_tickets){.period = period};
    memcpy(tickets->secret, secret, SL_TLS_TICKET_SECRET);
    memcpy(tickets->scope, scope, SL_TLS_TICKET_SCOPE);
    return make_key(tickets, &tickets->now);
}

int sl_tls_tickets_advance(struct sl_tls_tickets *tickets, uint64_t unix_time)
{
    uint64_t period = unix_time / SL_TLS_TICKET_PERIOD;
    uint8_t next[SL_TLS_TICKET_SECRET];
    if (period <= tickets->period) return 1;
    if (period - tickets->period > PERIODS_MOST) return 0;
    while (tickets->period < period) {
        if (tickets->period + 1 == period && !make_key(tickets, &tickets->before)) return 0;
        if (!derive(tickets->secret, "next", NULL, next)) return 0;
        memcpy(tickets->secret, next, sizeof next);
        tickets->period++;
    }
    OPENSSL_cleanse(next, sizeof next);
    tickets->has_before = 1;
    return make_key(tickets, &tickets->now);
}

void sl_tls_tickets_end(struct sl_tls_tickets *tickets)
{
    OPENSSL_cleanse(tickets, sizeof *tickets);
}

static int use(const struct sl_tls_ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
               int sealing)
{
    uint8_t secret[sizeof key->mac];
    char digest[] = "sha256";
    OSSL_PARAM parameters[3];
    memcpy(secret, key->mac, sizeof secret);
    parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof secret);
    parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    parameters[2] = OSSL_PARAM_construct_end();
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, sealing) == 1 &&
           EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/* What the library wants to hear: -1 an error, 0 no such key (a full handshake), 1 done, 2 done, and send a new one. */
int sl_tls_tickets_apply(const struct sl_tls_tickets *tickets, unsigned char name[16], unsigned char *iv,
                         EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    if (sealing) {
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return -1;
        memcpy(name, tickets->now.name, sizeof tickets->now.name);
        return use(&tickets->now, iv, cipher, mac, 1) ? 1 : -1;
    }
    if (CRYPTO_memcmp(name, tickets->now.name, sizeof tickets->now.name) == 0)
        return use(&tickets->now, iv, cipher, mac, 0) ? 1 : -1;
    if (tickets->has_before && CRYPTO_memcmp(name, tickets->before.name, sizeof tickets->before.name) == 0)
        return use(&tickets->before, iv, cipher, mac, 0) ? 2 : -1;
    return 0;
}
