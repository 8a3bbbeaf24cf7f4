/* The readers of inner.h together: which of TLS, HTTP/1 and HTTP/2 the bytes are. */
#include "inner.h"

#include <string.h>

#include "hello.h"
#include "inner_http1.h"
#include "inner_http2.h"

enum sl_inner_status sl_inner_read(const uint8_t *data, size_t length, struct sl_inner *out)
{
    size_t seen = length < SL_INNER_MAX ? length : SL_INNER_MAX;
    int last = seen == SL_INNER_MAX;
    enum sl_inner_status status;

    memset(out, 0, sizeof *out);
    status = sl_hello_read(data, seen, last, out);
    if (status == SL_INNER_OTHER) { /* no byte begins both */
        memset(out, 0, sizeof *out);
        status = sl_inner_http1(data, seen, last, out);
    }
    if (status != SL_INNER_MORE)
        out->harmless = out->kept = out->word = 0;
    if (status != SL_INNER_TLS_NAME && status != SL_INNER_TLS_NONE && status != SL_INNER_HTTP_NAME) {
        memset(out->name, 0, sizeof out->name);
        out->name_length = 0;
        memset(&out->address, 0, sizeof out->address);
        out->ech = 0;
    }
    return status;
}

enum sl_inner_status sl_inner_ended(uint8_t *data, size_t length, struct sl_inner *out)
{
    enum sl_inner_status status = sl_inner_read(data, length, out);
    struct sl_inner ignored;

    if (status != SL_INNER_MORE)
        return status;
    if (sl_hello_read(data, length, 0, &ignored) == SL_INNER_MORE || sl_inner_is_http2(data, length))
        return SL_INNER_OTHER; /* of these no server takes a part */
    memcpy(data + length, "\r\n\r\n", SL_INNER_TAIL);
    status = sl_inner_read(data, length + SL_INNER_TAIL, out);
    return status == SL_INNER_MORE ? SL_INNER_OTHER : status;
}
