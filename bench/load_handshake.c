/* The client's side of SOCKS5 without authentication and of HTTP/1.1 CONNECT, and what HTTP/2 asks for: bytes only. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "load_common.h"
#include "load_handshake.h"

static uint16_t port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET ? ((const struct sockaddr_in *)address)->sin_port
                                               : ((const struct sockaddr_in6 *)address)->sin6_port);
}

/* VER CMD RSV ATYP DST.ADDR DST.PORT, RFC 1928 section 4. */
static size_t prepare_socks5(uint8_t *out, const struct sockaddr_storage *origin, const char *ask)
{
    size_t length = 4;

    memcpy(out, "\5\1\0", 3);
    if (ask) {
        out[3] = 3;
        out[length++] = (uint8_t)strlen(ask);
        memcpy(out + length, ask, strlen(ask));
        length += strlen(ask);
    } else if (origin->ss_family == AF_INET) {
        out[3] = 1;
        memcpy(out + length, &((const struct sockaddr_in *)origin)->sin_addr, 4);
        length += 4;
    } else {
        out[3] = 4;
        memcpy(out + length, &((const struct sockaddr_in6 *)origin)->sin6_addr, 16);
        length += 16;
    }
    write_number(out + length, 2, port_of(origin));
    return length + 2;
}

/* host:port, as both a CONNECT head and HTTP/2's :authority have it. */
static size_t prepare_authority(char *out, size_t size, const struct sockaddr_storage *origin, const char *ask)
{
    char address[INET6_ADDRSTRLEN] = "", host[256];
    unsigned port = port_of(origin);

    if (ask)
        snprintf(host, sizeof host, "%s", ask);
    else if (origin->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)origin)->sin_addr, host, sizeof host);
    else {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)origin)->sin6_addr, address, sizeof address);
        snprintf(host, sizeof host, "[%s]", address);
    }
    return (size_t)snprintf(out, size, "%s:%u", host, port);
}

static size_t prepare_connect(char *out, size_t size, const struct sockaddr_storage *origin, const char *ask)
{
    char authority[240];

    prepare_authority(authority, sizeof authority, origin, ask);
    return (size_t)snprintf(out, size, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
}

int handshake_prepare(struct handshake *handshake, enum via via, const struct sockaddr_storage *origin, const char *ask)
{
    handshake->via = via;
    handshake->request_length = 0;
    if (ask && (strlen(ask) == 0 || strlen(ask) > 220)) return 0;
    if (via == SOCKS5) handshake->request_length = prepare_socks5(handshake->request, origin, ask);
    char *text = (char *)handshake->request;
    if (via == CONNECT) handshake->request_length = prepare_connect(text, sizeof handshake->request, origin, ask);
    if (via == HTTP2) handshake->request_length = prepare_authority(text, sizeof handshake->request, origin, ask);
    return 1;
}

static enum handshake_status read_socks5(int asked, const uint8_t *data, size_t length, int *code)
{
    size_t whole;

    if (length < 2) return HANDSHAKE_MORE;
    if (data[0] != 5 || data[1] == 0xff) {
        *code = data[1];
        return data[0] == 5 ? HANDSHAKE_REFUSED : HANDSHAKE_BROKEN;
    }
    if (data[1] != 0) return HANDSHAKE_BROKEN; /* a method that was not offered */
    if (!asked) return length == 2 ? HANDSHAKE_ASK : HANDSHAKE_BROKEN;
    data += 2;
    length -= 2;
    if (length < 5) return HANDSHAKE_MORE;
    whole = data[3] == 1 ? 10 : data[3] == 4 ? 22 : data[3] == 3 ? 7u + data[4] : 0;
    if (data[0] != 5 || data[2] != 0 || whole == 0) return HANDSHAKE_BROKEN;
    *code = data[1];
    if (data[1] != 0) return HANDSHAKE_REFUSED;
    if (length < whole) return HANDSHAKE_MORE;
    return length == whole ? HANDSHAKE_OPEN : HANDSHAKE_BROKEN; /* the origin speaks when spoken to */
}

static enum handshake_status read_connect(const uint8_t *data, size_t length, int *code)
{
    const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);

    if (!end) return HANDSHAKE_MORE;
    if (length < 13 || memcmp(data, "HTTP/1.", 7) != 0 || data[8] != ' ') return HANDSHAKE_BROKEN;
    *code = 0;
    for (size_t i = 9; i < 12; i++) {
        if (data[i] < '0' || data[i] > '9') return HANDSHAKE_BROKEN;
        *code = *code * 10 + (data[i] - '0');
    }
    if (*code / 100 != 2) return HANDSHAKE_REFUSED;
    return end + 4 == data + length ? HANDSHAKE_OPEN : HANDSHAKE_BROKEN;
}

enum handshake_status handshake_read(const struct handshake *handshake, int asked, const uint8_t *data, size_t length,
                                     int *code)
{
    return handshake->via == SOCKS5 ? read_socks5(asked, data, length, code) : read_connect(data, length, code);
}
