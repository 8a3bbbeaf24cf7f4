/* Reads the head of the HTTP/1 request that a tunnel's first bytes may be (RFC 9112), and hands an HTTP/2 preface on to
 * inner_http2.h. The cleartext half of inner.h: callers outside csrc/ use sl_inner_read. */
#ifndef SLUICE_INNER_HTTP1_H
#define SLUICE_INNER_HTTP1_H

#include "bytes/inner.h"

/* Over all bytes so far; `last`: what comes behind them is not looked at, so a name that was read counts and the answer
 * is SL_INNER_TOO_LONG instead of _MORE. Returns any status of cleartext. */
enum sl_inner_status sl_inner_http1(const uint8_t *data, size_t length, int last, struct sl_inner *out);

#endif
