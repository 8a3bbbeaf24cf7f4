/* The fields of the library's contexts that both sides of TLS fill alike: versions and ciphers, a certificate with its
 * key, stores of CAs. */
#ifndef SLUICE_TLS_CONTEXT_H
#define SLUICE_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/tls_text.h"

/* A certificate with the intermediate ones behind it, and its key. */
struct sl_tls_pair {
    struct sl_tls_text chain, key;
};

/* Versions from `min_version` on, strong ciphers and groups alone. NULL; or why the library cannot, a static text. */
const char *sl_tls_context_strengthen(SSL_CTX *context, int min_version);
/* The certificate that is shown, and its key. Returns as above. */
const char *sl_tls_context_show(SSL_CTX *context, const struct sl_tls_pair *pair);
/* A store of all CAs of a text; NULL where one cannot be read. The caller frees it. */
X509_STORE *sl_tls_context_store(const struct sl_tls_text *authorities);

#endif
