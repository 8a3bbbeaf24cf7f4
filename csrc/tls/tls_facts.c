/* The facts of a handshake, see tls_facts.h. */
#include "tls/tls_facts.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "tls/tls_wire.h"

static const struct sl_tls *tls_of(const struct sl_leg *leg)
{
    return sl_tls_leg_ssl(leg) ? (const struct sl_tls *)(void *)leg->transport : NULL;
}

void sl_tls_facts_of(const struct sl_leg *leg, struct sl_tls_facts *out)
{
    SSL *ssl = sl_tls_leg_ssl(leg);
    const SSL_CIPHER *cipher = ssl ? SSL_get_current_cipher(ssl) : NULL;
    int group;
    *out = (struct sl_tls_facts){0};
    if (!ssl) return;
    out->sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (!cipher) return;
    out->version = SSL_get_version(ssl);
    out->cipher = SSL_CIPHER_standard_name(cipher);
    group = (int)SSL_get_negotiated_group(ssl);
    if (group) out->group = SSL_group_to_name(ssl, group);
    SSL_get0_alpn_selected(ssl, &out->alpn, &out->alpn_length);
}

/* Behind the library's own reasons, and before those that all of its parts share. */
static int is_alert(int reason)
{
    return reason >= SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + UINT8_MAX;
}

static enum sl_tls_result of_certificate(long verified)
{
    switch (verified) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return SL_TLS_RESULT_CERTIFICATE_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID: return SL_TLS_RESULT_CERTIFICATE_NOT_YET_VALID;
    case X509_V_ERR_CERT_REVOKED: return SL_TLS_RESULT_CERTIFICATE_REVOKED;
    case X509_V_ERR_INVALID_PURPOSE: return SL_TLS_RESULT_CERTIFICATE_PURPOSE;
    case X509_V_ERR_CRL_HAS_EXPIRED: return SL_TLS_RESULT_CRL_EXPIRED;
    case X509_V_ERR_UNABLE_TO_GET_CRL: return SL_TLS_RESULT_CRL_MISSING;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return SL_TLS_RESULT_NAME_MISMATCH;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED: return SL_TLS_RESULT_UNKNOWN_CA;
    default: return SL_TLS_RESULT_CERTIFICATE_INVALID;
    }
}

enum sl_tls_result sl_tls_result_for(unsigned long last, long verified)
{
    int reason = ERR_GET_REASON(last);
    if (last == 0) return SL_TLS_RESULT_ENDED;
    if (ERR_GET_LIB(last) != ERR_LIB_SSL) return SL_TLS_RESULT_MALFORMED;
    if (is_alert(reason)) return SL_TLS_RESULT_ALERT;
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return of_certificate(verified);
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return SL_TLS_RESULT_CERTIFICATE_MISSING;
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_BAD_RECORD_TYPE: return SL_TLS_RESULT_NOT_TLS;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_VERSION_TOO_LOW: return SL_TLS_RESULT_NO_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM: return SL_TLS_RESULT_NO_CIPHER;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING: return SL_TLS_RESULT_ENDED;
    case ERR_R_MALLOC_FAILURE:
    case ERR_R_INTERNAL_ERROR: return SL_TLS_RESULT_INTERNAL;
    default: return SL_TLS_RESULT_MALFORMED;
    }
}

uint8_t sl_tls_alert_in(unsigned long last)
{
    int reason = ERR_GET_REASON(last);
    if (ERR_GET_LIB(last) != ERR_LIB_SSL || !is_alert(reason)) return 0;
    return (uint8_t)(reason - SSL_AD_REASON_OFFSET);
}

/* Alerts of TLS 1.3 and ALPN are missing in the library's own table before OpenSSL 3.2. */
const char *sl_tls_alert_of(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    if (!tls || !tls->alert) return NULL;
    switch (tls->alert) {
    case SSL_AD_MISSING_EXTENSION: return "missing extension";
    case SSL_AD_CERTIFICATE_REQUIRED: return "certificate required";
    case SSL_AD_NO_APPLICATION_PROTOCOL: return "no application protocol";
    default: return SSL_alert_desc_string_long(tls->alert);
    }
}

enum sl_tls_result sl_tls_result_of(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    if (!tls) return SL_TLS_RESULT_INTERNAL;
    if (tls->ready) return SSL_session_reused(tls->ssl) ? SL_TLS_RESULT_RESUMED : SL_TLS_RESULT_FULL;
    return tls->error ? (enum sl_tls_result)tls->result : SL_TLS_RESULT_INTERNAL;
}
