/* Reads the client's side of a dialog that may turn into TLS half-way: the lines of SMTP (RFC 3207) and IMAP (RFC 9051
 * section 6.2.1), and of POP3, FTP, NNTP and ManageSieve, whose words are alike; SSLRequest of PostgreSQL (protocol 3.0,
 * "SSL Session Encryption") and of MySQL (Protocol::SSLRequest). What the server answers is not looked at: a client that
 * was refused goes on in clear, and shows it. A part of inner.h: callers outside csrc/ use sl_inner_read. */
#ifndef SLUICE_STARTTLS_H
#define SLUICE_STARTTLS_H

#include <stddef.h>
#include <stdint.h>

enum { SL_DIALOG_MAX = 4096 }; /* client bytes ahead of a ClientHello (DECISIONS.md section 3) */

enum sl_dialog {
    SL_DIALOG_NONE = 0, /* none of these, or TLS cannot follow any more */
    SL_DIALOG_OPEN,     /* all bytes so far belong to it and name nothing */
    SL_DIALOG_HELLO,    /* a ClientHello begins at *hello */
};

/* Over all bytes so far. It is for bytes that are neither TLS nor HTTP: a request line may read like a command. */
enum sl_dialog sl_dialog_read(const uint8_t *data, size_t length, size_t *hello);

#endif
