/* Reads the TLS ClientHello that a tunnel's first bytes may be (RFC 8446 section 4.1.2) and the server name in it (RFC
 * 6066 section 3), over any number of records. The TLS half of inner.h: for bytes of any kind there is sl_inner_read. */
#ifndef SLUICE_HELLO_H
#define SLUICE_HELLO_H

#include "bytes/inner.h"

/* Over all bytes so far: SL_INNER_MORE, _TLS_NAME, _TLS_NONE, _MALFORMED, or _OTHER for what is not a TLS client's
 * beginning. `last`: what comes behind them is not looked at, so a name that was read counts, and the answer is
 * _TOO_LONG instead of _MORE. Bytes of *out are written before the answer is known; they mean something only with
 * _TLS_NAME and _TLS_NONE. */
enum sl_inner_status sl_hello_read(const uint8_t *data, size_t length, int last, struct sl_inner *out);

#endif
