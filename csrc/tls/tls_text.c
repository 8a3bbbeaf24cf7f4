/* PEM texts, see tls_text.h. */
#include "tls/tls_text.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>

BIO *sl_tls_text_open(const struct sl_tls_text *text)
{
    return text->text && text->length <= INT_MAX ? BIO_new_mem_buf(text->text, (int)text->length) : NULL;
}

int sl_tls_no_password(char *to, int size, int writing, void *unused)
{
    (void)to, (void)size, (void)writing, (void)unused;
    return -1;
}

int sl_tls_text_at_end(void)
{
    unsigned long last = ERR_peek_last_error();
    int end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    return end;
}

STACK_OF(X509) * sl_tls_text_certificates(const struct sl_tls_text *text)
{
    BIO *bio = sl_tls_text_open(text);
    STACK_OF(X509) *found = bio ? sk_X509_new_null() : NULL;
    int done = found != NULL;
    X509 *one;
    while (done && (one = PEM_read_bio_X509(bio, NULL, sl_tls_no_password, NULL)))
        if (!sk_X509_push(found, one)) X509_free(one), done = 0;
    done = done && sl_tls_text_at_end() && sk_X509_num(found) > 0;
    BIO_free(bio);
    if (done) return found;
    sk_X509_pop_free(found, X509_free);
    return NULL;
}
