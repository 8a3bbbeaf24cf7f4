/* Reads the first request of the cleartext HTTP/2 connection that a tunnel's first bytes may be (RFC 9113, HPACK by
 * libnghttp2). The h2c half of inner.h: callers outside csrc/ use sl_inner_read. */
#ifndef SLUICE_INNER_HTTP2_H
#define SLUICE_INNER_HTTP2_H

#include "bytes/inner.h"

/* Whether they begin with the whole first line of the preface. */
int sl_inner_is_http2(const uint8_t *data, size_t length);

/* Over all bytes so far, for which sl_inner_is_http2() holds; `last` as in inner_http1.h. Returns
 * SL_INNER_HTTP_NAME or _HTTP_NONE by the first header block's :authority and host, _MALFORMED, _MORE, _TOO_LONG. */
enum sl_inner_status sl_inner_http2(const uint8_t *data, size_t length, int last, struct sl_inner *out);

#endif
