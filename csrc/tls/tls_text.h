/* PEM texts as they are handed over, and lists of what they hold. */
#ifndef SLUICE_TLS_TEXT_H
#define SLUICE_TLS_TEXT_H

#include <openssl/bio.h>
#include <openssl/x509.h>
#include <stddef.h>

struct sl_tls_text {
    const char *text; /* NULL: none */
    size_t length;
};

/* To be read from; NULL for none. */
BIO *sl_tls_text_open(const struct sl_tls_text *text);
/* For pem_password_cb: a key behind a password is an error, not a question at the terminal. */
int sl_tls_no_password(char *to, int size, int writing, void *unused);
/* The end of a PEM text, rather than one that cannot be read. */
int sl_tls_text_at_end(void);
/* All certificates of a text, one at least; NULL where one cannot be read. The caller frees them. */
STACK_OF(X509) * sl_tls_text_certificates(const struct sl_tls_text *text);

#endif
