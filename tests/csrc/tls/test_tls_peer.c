/* Identities of certificates: each form of name, whose CA it needs, and names that count for nothing. */
#include "check.h"

#include "tls/tls_peer.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

enum { NAMES_MOST = 1200 };

static EVP_PKEY *key;
static X509 *mesh_ca, *other_ca;
static struct sl_tls_trust trust; /* mesh.test with Linkerd and mesh_ca; other.test with other_ca */

static X509 *made(const char *common_name, const char *unit)
{
    X509 *one = X509_new();
    X509_NAME *subject = X509_get_subject_name(one);
    X509_set_version(one, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(one), 1);
    X509_gmtime_adj(X509_getm_notBefore(one), -60);
    X509_gmtime_adj(X509_getm_notAfter(one), 3600);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0);
    if (unit) X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8, (const unsigned char *)unit, -1, -1, 0);
    X509_set_issuer_name(one, subject);
    X509_set_pubkey(one, key);
    return one;
}

static void add_name(GENERAL_NAMES *names, int type, const char *text, int length)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    ASN1_STRING_set(value, text, length);
    GENERAL_NAME_set0_value(name, type, value);
    sk_GENERAL_NAME_push(names, name);
}

/* A certificate with names, each behind "U:" (URI) or "D:" (DNS). */
static X509 *named(const char *const *texts, int count)
{
    X509 *one = made("cart", NULL);
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    for (int i = 0; i < count; i++)
        add_name(names, texts[i][0] == 'U' ? GEN_URI : GEN_DNS, texts[i] + 2, (int)strlen(texts[i]) - 2);
    if (count) X509_add1_ext_i2d(one, NID_subject_alt_name, names, 0, 0);
    GENERAL_NAMES_free(names);
    X509_sign(one, key, EVP_sha256());
    return one;
}

static struct sl_tls_identity identity_of(X509 *one, uint64_t domains)
{
    static struct sl_tls_identity found;
    sl_tls_identify(&trust, one, domains, &found);
    X509_free(one);
    return found;
}

static struct pem {
    char text[4096];
    size_t length;
} pems[2];

static struct sl_tls_text pem_of(X509 *one, struct pem *to)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, one);
    to->length = (size_t)BIO_read(bio, to->text, sizeof to->text);
    BIO_free(bio);
    return (struct sl_tls_text){to->text, to->length};
}

static void begin(enum sl_tls_role role)
{
    struct sl_tls_domain_text domains[2] = {
        {.name = "mesh.test", .linkerd = "linkerd", .authorities = pem_of(mesh_ca, &pems[0])},
        {.name = "other.test", .linkerd = "", .authorities = pem_of(other_ca, &pems[1])},
    };
    CHECK(sl_tls_trust_begin(&trust, domains, 2, role));
}

#define CART "U:spiffe://mesh.test/ns/shop/sa/cart"
#define CART_DNS "D:cart.shop.serviceaccount.identity.linkerd.mesh.test"

struct row {
    const char *names[4];
    unsigned domains; /* whose CAs stand above it */
    enum sl_tls_identity_status status;
    const char *text, *space, *account;
};

static const struct row ROWS[] = {
    {{CART}, 1, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/ns/shop/sa/cart", "shop", "cart"},
    {{CART_DNS}, 1, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/ns/shop/sa/cart", "shop", "cart"},
    {{CART, CART_DNS}, 1, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/ns/shop/sa/cart", "shop", "cart"},
    {{CART, CART}, 1, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/ns/shop/sa/cart", "shop", "cart"},
    {{"D:v1.cart.shop.serviceaccount.identity.linkerd.mesh.test"},
     1,
     SL_TLS_IDENTITY_FOUND,
     "spiffe://mesh.test/ns/shop/sa/v1.cart",
     "shop",
     "v1.cart"},
    {{"U:spiffe://mesh.test/vm/42"}, 1, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/vm/42", "", ""},
    {{"U:spiffe://other.test/ns/shop/sa/cart"},
     2,
     SL_TLS_IDENTITY_FOUND,
     "spiffe://other.test/ns/shop/sa/cart",
     "",
     ""},
    {{"D:cart.example.com", CART}, 3, SL_TLS_IDENTITY_FOUND, "spiffe://mesh.test/ns/shop/sa/cart", "shop", "cart"},
    /* under another domain's CA, or none */
    {{CART}, 2, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{CART_DNS}, 2, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{CART}, 0, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{"U:spiffe://stranger.test/ns/shop/sa/cart"}, 3, SL_TLS_IDENTITY_NONE, "", "", ""},
    /* a domain without Linkerd; other names of its form */
    {{"D:cart.shop.serviceaccount.identity.linkerd.other.test"}, 3, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{"D:shop.serviceaccount.identity.linkerd.mesh.test"}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{"D:.shop.serviceaccount.identity.linkerd.mesh.test"}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{"D:cart.shop.serviceaccount.identity.linkerd.mesh.test.evil.test"}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
    {{"D:cart.example.com"}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
    /* two identities, also where one of them would not count */
    {{CART, "U:spiffe://mesh.test/ns/shop/sa/till"}, 1, SL_TLS_IDENTITY_AMBIGUOUS, "", "", ""},
    {{CART, "U:spiffe://stranger.test/ns/shop/sa/cart"}, 1, SL_TLS_IDENTITY_AMBIGUOUS, "", "", ""},
    {{CART, "D:till.shop.serviceaccount.identity.linkerd.mesh.test"}, 1, SL_TLS_IDENTITY_AMBIGUOUS, "", "", ""},
    {{CART, "U:https://example.com/"}, 1, SL_TLS_IDENTITY_AMBIGUOUS, "", "", ""},
    {{"U:https://example.com/"}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
    /* not in the one spelling of a SPIFFE ID */
    {{"U:SPIFFE://mesh.test/x"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://Mesh.test/x"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test/"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test/a//b"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test/ns/../sa/x"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test/a?b"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test:8443/a"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{"U:spiffe://mesh.test/a%2fb"}, 1, SL_TLS_IDENTITY_INVALID, "", "", ""},
    {{NULL}, 1, SL_TLS_IDENTITY_NONE, "", "", ""},
};

TEST(names_mean_identities)
{
    begin(SL_TLS_ROLE_NONE);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const struct row *row = &ROWS[i];
        int count = 0;
        struct sl_tls_identity found;
        while (count < 4 && row->names[count]) count++;
        found = identity_of(named(row->names, count), row->domains);
        CHECK_AT(found.status == row->status, row->names[0]);
        CHECK_AT(strcmp(found.text, row->text) == 0, row->names[0]);
        CHECK_AT(strcmp(found.namespace_, row->space) == 0 && strcmp(found.account, row->account) == 0, row->names[0]);
    }
    sl_tls_trust_end(&trust);
}

TEST(a_nul_in_a_name_makes_it_invalid)
{
    static const char uri[] = "spiffe://mesh.test/ns/shop/sa/cart\0.evil";
    static const char dns[] = "cart.shop.serviceaccount.identity.linkerd.mesh.test\0.evil.test";
    begin(SL_TLS_ROLE_NONE);
    for (int kind = 0; kind < 2; kind++) {
        X509 *one = made("cart", NULL);
        GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
        add_name(names, kind ? GEN_DNS : GEN_URI, kind ? dns : uri, kind ? (int)sizeof dns - 1 : (int)sizeof uri - 1);
        X509_add1_ext_i2d(one, NID_subject_alt_name, names, 0, 0);
        GENERAL_NAMES_free(names);
        X509_sign(one, key, EVP_sha256());
        CHECK_EQ(identity_of(one, 1).status, SL_TLS_IDENTITY_INVALID);
    }
    sl_tls_trust_end(&trust);
}

TEST(names_up_to_a_thousand)
{
    static char texts[NAMES_MOST][64];
    const char *names[NAMES_MOST];
    begin(SL_TLS_ROLE_NONE);
    for (int i = 0; i < NAMES_MOST; i++) {
        snprintf(texts[i], sizeof texts[i], "D:host-%d.example.com", i);
        names[i] = texts[i];
    }
    names[SL_TLS_NAMES_MOST - 1] = CART;
    CHECK_EQ(identity_of(named(names, SL_TLS_NAMES_MOST), 1).status, SL_TLS_IDENTITY_FOUND);
    CHECK_EQ(identity_of(named(names, SL_TLS_NAMES_MOST + 1), 1).status, SL_TLS_IDENTITY_INVALID);
    sl_tls_trust_end(&trust);
}

TEST(a_role_counts_where_it_is_asked_for)
{
    const char *cart = CART;
    begin(SL_TLS_ROLE_CN);
    CHECK_STR(identity_of(made("build-bot", "ci"), 0).text, "CN=build-bot");
    CHECK_STR(identity_of(made("x", "ci"), 0).namespace_, "");
    CHECK_STR(identity_of(named(&cart, 1), 1).text, "spiffe://mesh.test/ns/shop/sa/cart");
    CHECK_STR(identity_of(named(&cart, 1), 0).text, "CN=cart");
    CHECK_EQ(identity_of(made("a\nb", NULL), 0).status, SL_TLS_IDENTITY_INVALID);
    sl_tls_trust_end(&trust);
    begin(SL_TLS_ROLE_OU);
    CHECK_STR(identity_of(made("build-bot", "ci"), 0).text, "OU=ci");
    CHECK_EQ(identity_of(made("build-bot", NULL), 0).status, SL_TLS_IDENTITY_NONE);
    X509 *two = made("x", "ci");
    X509_NAME_add_entry_by_txt(X509_get_subject_name(two), "OU", MBSTRING_UTF8, (const unsigned char *)"cd", -1, -1, 0);
    CHECK_EQ(identity_of(two, 0).status, SL_TLS_IDENTITY_AMBIGUOUS);
    sl_tls_trust_end(&trust);
}

TEST(domains_are_those_of_the_chain)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    begin(SL_TLS_ROLE_NONE);
    CHECK_EQ(sl_tls_domains_of(&trust, NULL), 0);
    sk_X509_push(chain, mesh_ca);
    CHECK_EQ(sl_tls_domains_of(&trust, chain), 0); /* the certificate itself is not an authority */
    sk_X509_push(chain, other_ca);
    CHECK_EQ(sl_tls_domains_of(&trust, chain), 2);
    sk_X509_push(chain, mesh_ca);
    CHECK_EQ(sl_tls_domains_of(&trust, chain), 3);
    sk_X509_free(chain);
    sl_tls_trust_end(&trust);
}

TEST(authorities_have_to_be_readable)
{
    struct sl_tls_domain_text broken = {.name = "mesh.test", .authorities = {"no PEM", 6}};
    CHECK(!sl_tls_trust_begin(&trust, &broken, 1, SL_TLS_ROLE_NONE));
    sl_tls_trust_end(&trust);
    CHECK(!sl_tls_trust_begin(&trust, &broken, SL_TLS_DOMAINS_MOST + 1, SL_TLS_ROLE_NONE));
    sl_tls_trust_end(&trust);
}

int main(void)
{
    key = EVP_EC_gen("P-256");
    mesh_ca = made("mesh CA", NULL);
    other_ca = made("other CA", NULL);
    X509_sign(mesh_ca, key, EVP_sha256());
    X509_sign(other_ca, key, EVP_sha256());
    RUN(names_mean_identities);
    RUN(a_nul_in_a_name_makes_it_invalid);
    RUN(names_up_to_a_thousand);
    RUN(a_role_counts_where_it_is_asked_for);
    RUN(domains_are_those_of_the_chain);
    RUN(authorities_have_to_be_readable);
    X509_free(mesh_ca);
    X509_free(other_ca);
    EVP_PKEY_free(key);
    return CHECK_REPORT();
}
