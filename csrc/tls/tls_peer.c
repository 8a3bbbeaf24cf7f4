/* Identities of certificates, see tls_peer.h. */
#include "tls/tls_peer.h"

#include <openssl/x509v3.h>
#include <string.h>
#include <strings.h>

#include "bytes/spiffe.h"

#define SCHEME "spiffe://"
#define MIDDLE ".serviceaccount.identity."

enum { SCHEME_LENGTH = sizeof SCHEME - 1 };

int sl_tls_trust_begin(struct sl_tls_trust *trust, const struct sl_tls_domain_text *domains, int count,
                       enum sl_tls_role role)
{
    *trust = (struct sl_tls_trust){.role = role};
    if (count < 0 || count > SL_TLS_DOMAINS_MOST) return 0;
    for (int i = 0; i < count; i++) {
        struct sl_tls_domain *domain = &trust->domains[i];
        domain->name = domains[i].name;
        domain->linkerd = domains[i].linkerd && *domains[i].linkerd ? domains[i].linkerd : NULL;
        domain->authorities = sl_tls_text_certificates(&domains[i].authorities);
        if (!domain->authorities) return 0;
        trust->count = i + 1;
    }
    return 1;
}

void sl_tls_trust_end(struct sl_tls_trust *trust)
{
    for (int i = 0; i < trust->count; i++) sk_X509_pop_free(trust->domains[i].authorities, X509_free);
    trust->count = 0;
}

static int is_authority(const struct sl_tls_domain *domain, const X509 *one)
{
    for (int i = 0; i < sk_X509_num(domain->authorities); i++)
        if (X509_cmp(sk_X509_value(domain->authorities, i), one) == 0) return 1;
    return 0;
}

uint64_t sl_tls_domains_of(const struct sl_tls_trust *trust, const STACK_OF(X509) * chain)
{
    uint64_t found = 0;
    for (int at = 1; at < sk_X509_num(chain); at++) /* behind the certificate itself */
        for (int i = 0; i < trust->count; i++)
            if (is_authority(&trust->domains[i], sk_X509_value(chain, at))) found |= (uint64_t)1 << i;
    return found;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* The first name found counts; another one of a second identity makes them ambiguous. */
static void found(struct sl_tls_identity *out, const char *id, size_t length)
{
    if (out->status == SL_TLS_IDENTITY_NONE) {
        memcpy(out->text, id, length);
        out->text[length] = 0;
        out->status = SL_TLS_IDENTITY_FOUND;
    } else if (out->status == SL_TLS_IDENTITY_FOUND && (strlen(out->text) != length || memcmp(out->text, id, length))) {
        out->status = SL_TLS_IDENTITY_AMBIGUOUS;
    }
}

static void take_uri(struct sl_tls_identity *out, const char *uri, size_t length, int *others)
{
    struct sl_spiffe parts;
    if (length < SCHEME_LENGTH || strncasecmp(uri, SCHEME, SCHEME_LENGTH) != 0)
        ++*others;
    else if (sl_spiffe_read(uri, length, &parts))
        found(out, uri, length);
    else
        out->status = SL_TLS_IDENTITY_INVALID;
}

/* sa.ns.serviceaccount.identity.LINKERD.DOMAIN; a service account may have dots, a namespace has none. */
static void take_dns(const struct sl_tls_trust *trust, struct sl_tls_identity *out, const char *name, size_t length)
{
    char suffix[sizeof MIDDLE + 2 * SL_SPIFFE_DOMAIN], id[SL_TLS_IDENTITY_MOST + 1];
    struct sl_spiffe parts;
    for (int i = 0; i < trust->count; i++) {
        const struct sl_tls_domain *domain = &trust->domains[i];
        size_t end, dot;
        int made;
        if (!domain->linkerd) continue;
        made = snprintf(suffix, sizeof suffix, MIDDLE "%s.%s", domain->linkerd, domain->name);
        if (made < 0 || (size_t)made >= sizeof suffix || length <= (size_t)made) continue;
        end = length - (size_t)made;
        if (strncasecmp(name + end, suffix, (size_t)made) != 0) continue;
        for (dot = end; dot > 0 && name[dot - 1] != '.'; dot--) continue;
        if (dot < 2 || dot == end) continue;
        made = snprintf(id, sizeof id, SCHEME "%s/ns/%.*s/sa/%.*s", domain->name, (int)(end - dot), name + dot,
                        (int)dot - 1, name);
        if (made < 0 || (size_t)made >= sizeof id || !sl_spiffe_read(id, (size_t)made, &parts))
            out->status = SL_TLS_IDENTITY_INVALID;
        else
            found(out, id, (size_t)made);
    }
}

/* Printable ASCII: no NUL that would end a name early, no control character. */
static int is_readable(const ASN1_STRING *name)
{
    const unsigned char *bytes = ASN1_STRING_get0_data(name);
    for (int i = 0; i < ASN1_STRING_length(name); i++)
        if (bytes[i] < 0x21 || bytes[i] > 0x7e) return 0;
    return 1;
}

static void take_names(const struct sl_tls_trust *trust, const X509 *certificate, struct sl_tls_identity *out)
{
    int repeated = 0, others = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &repeated, NULL);
    if (!names) {
        if (repeated != -1) out->status = SL_TLS_IDENTITY_INVALID; /* twice, or not to be read */
        return;
    }
    if (sk_GENERAL_NAME_num(names) > SL_TLS_NAMES_MOST) out->status = SL_TLS_IDENTITY_INVALID;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && out->status <= SL_TLS_IDENTITY_FOUND; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *text = name->d.ia5;
        if (name->type != GEN_URI && name->type != GEN_DNS) continue;
        if (!is_readable(text))
            out->status = SL_TLS_IDENTITY_INVALID;
        else if (name->type == GEN_URI)
            take_uri(out, (const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text), &others);
        else
            take_dns(trust, out, (const char *)ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
    }
    /* An X.509-SVID has one URI (X509-SVID.md section 2). */
    if (out->status == SL_TLS_IDENTITY_FOUND && others) out->status = SL_TLS_IDENTITY_AMBIGUOUS;
    GENERAL_NAMES_free(names);
}

/* Whether the name that was found counts: a CA of its domain stands above it. Fills in the workload of the first domain. */
static int counts(const struct sl_tls_trust *trust, uint64_t domains, struct sl_tls_identity *out)
{
    struct sl_spiffe parts;
    int at = 0;
    if (!sl_spiffe_read(out->text, strlen(out->text), &parts)) return 0;
    while (at < trust->count &&
           (strlen(trust->domains[at].name) != parts.domain_length ||
            memcmp(trust->domains[at].name, parts.domain, parts.domain_length) != 0 || !(domains >> at & 1)))
        at++;
    if (at == trust->count) return 0;
    if (at != 0 || !parts.namespace_) return 1;
    memcpy(out->namespace_, parts.namespace_, parts.namespace_length);
    memcpy(out->account, parts.account, parts.account_length);
    return 1;
}

/* The one CN or OU of the subject. */
static void take_role(enum sl_tls_role role, const X509 *certificate, struct sl_tls_identity *out)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int nid = role == SL_TLS_ROLE_CN ? NID_commonName : NID_organizationalUnitName;
    int at = X509_NAME_get_index_by_NID(subject, nid, -1), length;
    unsigned char *text = NULL;
    if (at < 0) return;
    if (X509_NAME_get_index_by_NID(subject, nid, at) >= 0) {
        out->status = SL_TLS_IDENTITY_AMBIGUOUS;
        return;
    }
    length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    out->status = length > 0 && length <= SL_TLS_ROLE_MOST ? SL_TLS_IDENTITY_FOUND : SL_TLS_IDENTITY_INVALID;
    for (int i = 0; i < length && out->status == SL_TLS_IDENTITY_FOUND; i++)
        if (text[i] < 0x20 || text[i] == 0x7f) out->status = SL_TLS_IDENTITY_INVALID;
    if (out->status == SL_TLS_IDENTITY_FOUND) {
        memcpy(out->text, role == SL_TLS_ROLE_CN ? "CN=" : "OU=", 3);
        memcpy(out->text + 3, text, (size_t)length);
        out->text[3 + length] = 0;
    }
    OPENSSL_free(text);
}

void sl_tls_identify(const struct sl_tls_trust *trust, const X509 *certificate, uint64_t domains,
                     struct sl_tls_identity *out)
{
    out->status = SL_TLS_IDENTITY_NONE;
    memset(out->namespace_, 0, sizeof out->namespace_);
    memset(out->account, 0, sizeof out->account);
    take_names(trust, certificate, out);
    if (out->status == SL_TLS_IDENTITY_FOUND && !counts(trust, domains, out)) out->status = SL_TLS_IDENTITY_NONE;
    if (out->status == SL_TLS_IDENTITY_NONE && trust->role != SL_TLS_ROLE_NONE)
        take_role(trust->role, certificate, out);
    if (out->status != SL_TLS_IDENTITY_FOUND) out->text[0] = 0;
}

const char *sl_tls_identity_fault(enum sl_tls_identity_status status)
{
    if (status == SL_TLS_IDENTITY_AMBIGUOUS) return "identity_ambiguous";
    return status == SL_TLS_IDENTITY_INVALID ? "identity_invalid" : NULL;
}

void sl_tls_client_certificate_free(struct sl_tls_client_certificate *certificate)
{
    X509_free(certificate->leaf);
    sk_X509_pop_free(certificate->chain, X509_free);
    certificate->leaf = NULL;
    certificate->chain = NULL;
}
