"""The client's side of SOCKS5 (RFC 1928, RFC 1929) and of HTTP/1.1 CONNECT (RFC 9110 section 9.3.6), as bytes.

With it the gateway asks a parent gateway for a tunnel. An answer may be split anywhere; bytes behind it are the
tunnel's and are never touched: the caller peeks, and takes from the socket only what was used. A parent is
configured, not trusted: every answer is bounded.
"""

import base64

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp, memset

from gateway.c.addr cimport sl_addr, sl_addr_parse

cdef enum:
    INTERIM_MAX = 8            # 1xx answers before the final one

REPLIES = {
    1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable",
    5: "connection refused", 6: "TTL expired", 7: "command not supported", 8: "address type not supported",
}


cdef class Handshake:
    """See client_handshake.pxd. `host` is a canonical name or an address as text, `user`, `password` bytes or None."""

    cdef int take(self, const uint8_t *data, size_t length, size_t *used) noexcept:
        cdef int status = HANDSHAKE_FAILED
        used[0] = 0
        if self.detail is not None:
            return status
        status = self.judge(data, length, used)
        if status == HANDSHAKE_MORE and length - used[0] >= HANDSHAKE_MAX:
            return self.fail("an answer without end")
        return status

    cdef int judge(self, const uint8_t *data, size_t length, size_t *used) except -1:
        return self.fail("nothing was asked")

    cdef int fail(self, str detail) noexcept:
        self.detail = detail
        return HANDSHAKE_FAILED

    cdef int say(self, bytes data) except -1:
        """Queues bytes behind those that wait: a parent may answer before it was asked."""
        self.out = data if self.out is None else self.out + data
        return 0

    cdef bytes take_out(self):
        cdef bytes out = self.out
        self.out = None
        return out


cdef class Socks5Handshake(Handshake):
    """Offers no authentication, or only user and password where there is a user (each at most 255 bytes)."""

    def __init__(self, str host, uint16_t port, bytes user=None, bytes password=None):
        cdef sl_addr address
        cdef bytes text = host.encode("ascii")
        self.step = SOCKS5_METHOD
        self.user, self.password = user, password or b""
        memset(&address, 0, sizeof(address))
        if sl_addr_parse(text, len(text), &address):
            target = (b"\x01" if address.family == 4 else b"\x04") + address.bytes[:4 if address.family == 4 else 16]
        else:
            target = bytes((3, len(text))) + text
        self.request = b"\x05\x01\x00" + target + port.to_bytes(2, "big")
        self.out = b"\x05\x01\x00" if user is None else b"\x05\x01\x02"

    cdef int judge(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef const uint8_t *rest
        while length - used[0] >= 2:
            rest = data + used[0]
            if self.step == SOCKS5_REPLY:
                return self.reply(rest, length - used[0], used)
            if self.step == SOCKS5_METHOD:
                if rest[0] != 5:
                    return self.fail("it does not speak SOCKS5")
                if self.method(rest[1]) == HANDSHAKE_FAILED:
                    return HANDSHAKE_FAILED
            elif rest[0] != 1 or rest[1] != 0:
                return self.fail("it refused the user and password")
            else:
                self.step = SOCKS5_REPLY
                self.say(self.request)
            used[0] += 2
        return HANDSHAKE_MORE

    cdef int method(self, uint8_t chosen) except -1:
        """RFC 1928 section 3. Only what was offered can be chosen."""
        if chosen == 0 and self.user is None:
            self.step = SOCKS5_REPLY
            self.say(self.request)
        elif chosen == 2 and self.user is not None:
            self.step = SOCKS5_STATUS
            self.say(bytes((1, len(self.user))) + self.user + bytes((len(self.password),)) + self.password)
            self.password = None
        else:
            return self.fail("it wants another authentication")
        return HANDSHAKE_MORE

    cdef int reply(self, const uint8_t *data, size_t length, size_t *used) except -1:
        """RFC 1928 section 6. A refusal counts as soon as it is seen: some end the connection behind two bytes."""
        cdef size_t size
        if data[0] != 5:
            return self.fail("it does not speak SOCKS5")
        if data[1] != 0:
            return self.fail(REPLIES.get(data[1], "unknown failure"))
        if length < 5:
            return HANDSHAKE_MORE
        if data[3] == 1:
            size = 10
        elif data[3] == 4:
            size = 22
        elif data[3] == 3:
            size = 7 + data[4]
        else:
            return self.fail("an unknown type of address")
        if length < size:
            return HANDSHAKE_MORE
        used[0] += size
        return HANDSHAKE_DONE


cdef class HttpHandshake(Handshake):
    """CONNECT of HTTP/1.1, with Basic credentials where there is a user (RFC 7617)."""

    def __init__(self, str host, uint16_t port, bytes user=None, bytes password=None):
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if user is not None:
            token = base64.b64encode(user + b":" + (password or b"")).decode("ascii")
            lines.append(f"Proxy-Authorization: Basic {token}")
        self.out = "\r\n".join([*lines, "", ""]).encode("ascii")

    cdef int judge(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef size_t start = 0, at
        cdef int status
        # Each answer's head ends with an empty line; what was searched before is not searched again.
        for at in range(self.searched, length):
            if data[at] != b"\n" or at - start < 3:
                continue
            if data[at - 1] == b"\n" or (data[at - 1] == b"\r" and data[at - 2] == b"\n"):
                status = self.head(data + start, at + 1 - start)
                start = at + 1
                if status != HANDSHAKE_FAILED:
                    used[0] = start
                if status != HANDSHAKE_MORE:
                    return status
        if length - start >= 5 and memcmp(data + start, b"HTTP/", 5) != 0:
            return self.fail("it does not speak HTTP")
        self.searched = length - start
        return HANDSHAKE_MORE

    cdef int head(self, const uint8_t *data, size_t length) except -1:
        """One head. A 2xx opens the tunnel whatever its fields say of a body (RFC 9110 section 9.3.6)."""
        cdef int code = 0, at
        if length < 12 or memcmp(data, b"HTTP/1.", 7) != 0 or data[8] != b" ":
            return self.fail("it does not speak HTTP/1")
        for at in range(9, 12):
            if not b"0" <= data[at] <= b"9":
                return self.fail("a status that is not a number")
            code = code * 10 + data[at] - 48
        if 200 <= code < 300:
            return HANDSHAKE_DONE
        if 100 <= code < 200 and code != 101 and self.interim < INTERIM_MAX:
            self.interim += 1
            return HANDSHAKE_MORE
        return self.fail(f"it answered {code}")
