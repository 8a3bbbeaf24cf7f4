/* Sessions of a TLS listener: resumed ones by tickets that the client keeps, and the certificate a session was begun
 * with. The inside of tls_server.h. */
#ifndef SLUICE_TLS_SESSION_H
#define SLUICE_TLS_SESSION_H

#include "tls/tls_server.h"

/* Binds the sessions of a context to a scope, and has tickets sealed with the server's keys; without a secret there are
 * none. 1, or 0. */
int sl_tls_sessions(SSL_CTX *context, struct sl_tls_server *server, const uint8_t *scope);

/* Unix seconds; 0 for a time that cannot be read. */
int64_t sl_tls_seconds(const ASN1_TIME *time);

#endif
