/* What the cryptography alone costs: handshakes and records of the installed libssl, in memory, the server's side only.
 *
 *   tls [HANDSHAKES [IDLE [ROWS]]]      defaults 500, 5000 and 4; 0 leaves a part out, 1 row is TLS 1.3 with P-256 alone
 *
 * Rows: TLS 1.3 and 1.2, P-256 and RSA-2048 certificates, X25519, without and with a client certificate, full and resumed;
 * CPU microseconds of the server per handshake. Then 16 KiB records of AES-128-GCM, CPU microseconds per MB, and the
 * resident bytes of an idle connection. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECORD = 16384, RECORDS = 8192, PAIR = 65536 };

struct ends {
    SSL *client, *server;
    BIO *pair[2];
};

static double spent; /* CPU seconds of the server's calls */

static double cpu(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static X509 *certify(EVP_PKEY *key, const char *name)
{
    X509 *made = X509_new();
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made), 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(made));
    X509_set_pubkey(made, key);
    X509_sign(made, key, EVP_sha256());
    return made;
}

static SSL_CTX *context(int server, int version, EVP_PKEY *key, X509 *certificate, X509 *trusted)
{
    SSL_CTX *made = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    SSL_CTX_set_min_proto_version(made, version);
    SSL_CTX_set_max_proto_version(made, version);
    SSL_CTX_set1_groups_list(made, "X25519:P-256"); /* X25519 is used; the other is the curve of a certificate */
    SSL_CTX_set_ciphersuites(made, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set_cipher_list(made, "ECDHE+AESGCM");
    SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(made, (const unsigned char *)"floor", 5);
    if (key) SSL_CTX_use_certificate(made, certificate), SSL_CTX_use_PrivateKey(made, key);
    if (trusted) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(made), trusted);
        SSL_CTX_set_verify(made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return made;
}

static struct ends join(SSL_CTX *client, SSL_CTX *server, SSL_SESSION *session)
{
    struct ends e = {.client = SSL_new(client), .server = SSL_new(server)};
    BIO_new_bio_pair(&e.pair[0], PAIR, &e.pair[1], PAIR);
    SSL_set_bio(e.client, e.pair[0], e.pair[0]);
    SSL_set_bio(e.server, e.pair[1], e.pair[1]);
    SSL_set_connect_state(e.client);
    SSL_set_accept_state(e.server);
    if (session) SSL_set_session(e.client, session);
    for (int client_done = 0, server_done = 0; !client_done || !server_done;) {
        double before;
        client_done = SSL_do_handshake(e.client) == 1;
        before = cpu();
        server_done = SSL_do_handshake(e.server) == 1;
        spent += cpu() - before;
        if (ERR_peek_error()) ERR_print_errors_fp(stderr), exit(1);
    }
    return e;
}

static void part(struct ends *e)
{
    SSL_shutdown(e->client); /* else its session may not be resumed */
    SSL_free(e->client);
    SSL_free(e->server);
}

/* A session that can be resumed: TLS 1.3 sends its ticket behind the handshake. */
static SSL_SESSION *session_of(struct ends *e)
{
    char byte;
    SSL_write(e->server, "x", 1);
    SSL_read(e->client, &byte, 1);
    return SSL_get1_session(e->client);
}

static void handshakes(SSL_CTX *client, SSL_CTX *server, int count, const char *name)
{
    struct ends e = join(client, server, NULL);
    SSL_SESSION *session = session_of(&e);
    double full;
    part(&e);
    spent = 0;
    for (int i = 0; i < count; i++) {
        e = join(client, server, NULL);
        part(&e);
    }
    full = spent / count * 1e6;
    spent = 0;
    for (int i = 0; i < count; i++) {
        SSL_SESSION *used = SSL_SESSION_dup(session);
        e = join(client, server, used);
        if (!SSL_session_reused(e.server)) fprintf(stderr, "%s: not resumed\n", name), exit(1);
        part(&e);
        SSL_SESSION_free(used);
    }
    printf("%-36s full %8.1f us   resumed %8.1f us\n", name, full, spent / count * 1e6);
    SSL_SESSION_free(session);
}

static void records(SSL_CTX *client, SSL_CTX *server)
{
    static char bytes[RECORD];
    struct ends e = join(client, server, NULL);
    double out = 0, in = 0, before;
    for (int i = 0; i < RECORDS; i++) {
        before = cpu();
        SSL_write(e.server, bytes, RECORD);
        out += cpu() - before;
        SSL_read(e.client, bytes, RECORD);
        SSL_write(e.client, bytes, RECORD);
        before = cpu();
        SSL_read(e.server, bytes, RECORD);
        in += cpu() - before;
    }
    printf("records of 16 KiB: out %.1f us per MB, in %.1f us per MB\n", out * 1e6 / RECORDS * 64,
           in * 1e6 / RECORDS * 64);
    part(&e);
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1) exit(1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* The pair's buffers are given back: only what the library keeps is counted, of the server's side. */
static void idle(SSL_CTX *client, SSL_CTX *server, int count, const char *name)
{
    SSL **kept;
    long before;
    pid_t child;
    fflush(stdout);
    if ((child = fork()) != 0) { /* memory that others gave back would be used again */
        waitpid(child, NULL, 0);
        return;
    }
    kept = calloc((size_t)count, sizeof *kept);
    before = resident();
    for (int i = 0; i < count; i++) {
        struct ends e = join(client, server, NULL);
        kept[i] = e.server;
        SSL_shutdown(e.client);
        SSL_free(e.client);
        SSL_set_bio(kept[i], NULL, NULL);
    }
    printf("%-36s %ld bytes each\n", name, (resident() - before) / count);
    exit(0);
}

int main(int argc, char **argv)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    static const char *const keys[] = {"P-256", "RSA-2048"};
    int count = argc > 1 ? atoi(argv[1]) : 500, many = argc > 2 ? atoi(argv[2]) : 5000;
    int rows = argc > 3 ? atoi(argv[3]) : 4;
    printf("%s\n", OpenSSL_version(OPENSSL_VERSION));
    for (int v = 0; v < 2; v++)
        for (int k = 0; k < 2 && 2 * v + k < rows; k++)
            for (int mutual = 0; mutual < 2; mutual++) {
                EVP_PKEY *key = k ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
                X509 *certificate = certify(key, "floor");
                SSL_CTX *client = context(0, versions[v], mutual ? key : NULL, certificate, NULL);
                SSL_CTX *server = context(1, versions[v], key, certificate, mutual ? certificate : NULL);
                char name[80], held[80];
                snprintf(name, sizeof name, "TLS 1.%d %s%s", v ? 2 : 3, keys[k], mutual ? ", client certificate" : "");
                snprintf(held, sizeof held, "idle%s", mutual ? ", client certificate" : "");
                if (many && !v && !k) idle(client, server, many, held);
                if (count) handshakes(client, server, count, name);
                if (count && rows > 1 && !v && !k && !mutual) records(client, server);
                SSL_CTX_free(client);
                SSL_CTX_free(server);
                X509_free(certificate);
                EVP_PKEY_free(key);
            }
    return 0;
}
