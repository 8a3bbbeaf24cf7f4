/* Contexts as both sides of TLS fill them, see tls_context.h. */
#include "tls/tls_context.h"

#include <openssl/pem.h>

/* Names of groups that an older library does not know would refuse the whole list. */
#define HYBRID_GROUPS "X25519MLKEM768:X25519:P-256:P-384"
#define GROUPS "X25519:P-256:P-384"
/* AES-128-GCM first: nothing is gained by longer keys that P-256 and X25519 do not match, and it costs the least. */
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_1_2 "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"

const char *sl_tls_context_strengthen(SSL_CTX *context, int min_version)
{
    if (SSL_CTX_set_min_proto_version(context, min_version) != 1) return "the version is not known";
    if (SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1 || SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) != 1)
        return "the library has no strong cipher";
    if (SSL_CTX_set1_groups_list(context, HYBRID_GROUPS) != 1 && SSL_CTX_set1_groups_list(context, GROUPS) != 1)
        return "the library has no X25519";
    return NULL;
}

static int use_chain(SSL_CTX *context, const struct sl_tls_text *text)
{
    BIO *bio = sl_tls_text_open(text);
    X509 *one = bio ? PEM_read_bio_X509(bio, NULL, sl_tls_no_password, NULL) : NULL;
    int done = one && SSL_CTX_use_certificate(context, one) == 1;
    X509_free(one);
    while (done && (one = PEM_read_bio_X509(bio, NULL, sl_tls_no_password, NULL)))
        if (!SSL_CTX_add0_chain_cert(context, one)) X509_free(one), done = 0;
    done = done && sl_tls_text_at_end();
    BIO_free(bio);
    return done;
}

static int use_key(SSL_CTX *context, const struct sl_tls_text *text)
{
    BIO *bio = sl_tls_text_open(text);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, sl_tls_no_password, NULL) : NULL;
    int done = key && SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    return done;
}

const char *sl_tls_context_show(SSL_CTX *context, const struct sl_tls_pair *pair)
{
    if (!use_chain(context, &pair->chain)) return "the certificate cannot be read";
    if (!use_key(context, &pair->key)) return "the key cannot be read, or is not that of the certificate";
    return NULL;
}

X509_STORE *sl_tls_context_store(const struct sl_tls_text *authorities)
{
    STACK_OF(X509) *found = sl_tls_text_certificates(authorities);
    X509_STORE *store = found ? X509_STORE_new() : NULL;
    int done = store != NULL;
    for (int i = 0; done && i < sk_X509_num(found); i++)
        done = X509_STORE_add_cert(store, sk_X509_value(found, i)) == 1;
    sk_X509_pop_free(found, X509_free);
    if (done) return store;
    X509_STORE_free(store);
    return NULL;
}
