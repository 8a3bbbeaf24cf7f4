/* SPIFFE IDs, see spiffe.h. */
#include "bytes/spiffe.h"

#include <string.h>

static int in_domain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static int in_path(unsigned char c)
{
    return in_domain(c) || (c >= 'A' && c <= 'Z');
}

/* /ns/NAMESPACE/sa/ACCOUNT, and nothing more; the path was read before. */
static void read_workload(const char *path, size_t length, struct sl_spiffe *out)
{
    const char *space = path + 4, *end = path + length, *middle, *account;
    if (length < 4 || memcmp(path, "/ns/", 4) != 0) return;
    middle = memchr(space, '/', (size_t)(end - space));
    if (!middle || end - middle < 4 || memcmp(middle, "/sa/", 4) != 0) return;
    account = middle + 4;
    if (memchr(account, '/', (size_t)(end - account))) return;
    if (middle - space > SL_SPIFFE_NAMESPACE || end - account > SL_SPIFFE_ACCOUNT) return;
    out->namespace_ = space;
    out->namespace_length = (size_t)(middle - space);
    out->account = account;
    out->account_length = (size_t)(end - account);
}

int sl_spiffe_read(const char *id, size_t length, struct sl_spiffe *out)
{
    size_t at = SL_SPIFFE_SCHEME, from;
    memset(out, 0, sizeof *out);
    if (length > SL_SPIFFE_MOST || length < at || memcmp(id, "spiffe://", at) != 0) return 0;
    while (at < length && in_domain((unsigned char)id[at])) at++;
    if (at == SL_SPIFFE_SCHEME || at > SL_SPIFFE_SCHEME + SL_SPIFFE_DOMAIN || at == length) return 0;
    out->domain = id + SL_SPIFFE_SCHEME;
    out->domain_length = at - SL_SPIFFE_SCHEME;
    while (at < length) {
        if (id[at] != '/') return 0;
        from = ++at;
        while (at < length && in_path((unsigned char)id[at])) at++;
        if (at == from || (id[from] == '.' && (at == from + 1 || (at == from + 2 && id[from + 1] == '.')))) return 0;
    }
    read_workload(out->domain + out->domain_length, length - SL_SPIFFE_SCHEME - out->domain_length, out);
    return 1;
}
