/* The readers of inner.h together: which of TLS, HTTP/1 and HTTP/2 the bytes are. */
#include "bytes/inner.h"

#include <string.h>

#include "bytes/hello.h"
#include "bytes/inner_http1.h"
#include "bytes/inner_http2.h"
#include "bytes/starttls.h"

/* What is neither TLS nor HTTP so far: a dialog ahead of TLS, SSH, or something that has no name. */
static enum sl_inner_status read_other(const uint8_t *data, size_t length, int last, struct sl_inner *out)
{
    size_t hello = 0;
    enum sl_dialog dialog = sl_dialog_read(data, length, &hello);
    enum sl_inner_status status = dialog == SL_DIALOG_OPEN ? SL_INNER_MORE : SL_INNER_OTHER;

    memset(out, 0, sizeof *out);
    if (dialog == SL_DIALOG_HELLO) status = sl_hello_read(data + hello, length - hello, last, out);
    if (status == SL_INNER_MORE) out->harmless = out->kept = dialog == SL_DIALOG_HELLO ? hello : length;
    out->dialog = dialog != SL_DIALOG_NONE;
    out->ssh = (length >= 8 && memcmp(data, "SSH-2.0-", 8) == 0) || (length >= 9 && memcmp(data, "SSH-1.99-", 9) == 0);
    return status;
}

enum { RECORD_FIRST = 20, RECORD_LAST = 22 }; /* types of records by which sl_hello_read() may have noted something */

enum sl_inner_status sl_inner_read(const uint8_t *data, size_t length, struct sl_inner *out)
{
    size_t seen = length < SL_INNER_MAX ? length : SL_INNER_MAX;
    int last = seen == SL_INNER_MAX;
    enum sl_inner_status status;

    memset(out, 0, sizeof *out);
    status = sl_hello_read(data, seen, last, out);
    if (status == SL_INNER_OTHER) { /* no byte begins both */
        if (data[0] & 0x80 || (data[0] >= RECORD_FIRST && data[0] <= RECORD_LAST)) memset(out, 0, sizeof *out);
        status = sl_inner_http1(data, seen, last, out);
    }
    if (status == SL_INNER_OTHER) status = read_other(data, seen, last, out);
    if (status != SL_INNER_MORE) out->harmless = out->kept = out->word = 0;
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

    if (status != SL_INNER_MORE) return status;
    if (out->dialog) { /* no server takes a part of what comes behind it */
        memset(out, 0, sizeof *out);
        return SL_INNER_OTHER;
    }
    if (sl_hello_read(data, length, 0, &ignored) == SL_INNER_MORE || sl_inner_is_http2(data, length))
        return SL_INNER_OTHER; /* of these no server takes a part */
    memcpy(data + length, "\r\n\r\n", SL_INNER_TAIL);
    status = sl_inner_read(data, length + SL_INNER_TAIL, out);
    return status == SL_INNER_MORE ? SL_INNER_OTHER : status;
}
