# Tells protocols apart by their first bytes, for listeners with `protocol: auto`. It consumes nothing.
from libc.stdint cimport uint8_t

cdef enum Sniffed:
    SNIFF_UNKNOWN = 0        # nothing we speak: close
    SNIFF_MORE = 1           # cannot tell yet: at most 23 bytes need another
    SNIFF_SOCKS5 = 2
    SNIFF_SOCKS4 = 3
    SNIFF_HTTP1 = 4
    SNIFF_HTTP2_PREFACE = 5  # the whole preface of RFC 9113 section 3.4
    SNIFF_TLS = 6            # a TLS record of type handshake
    SNIFF_REQUEST = 7        # of HTTP/1: a request that is no CONNECT

cdef enum:
    SNIFF_BYTES = 24  # no more are ever looked at, but of a request line
    SNIFF_LINE = 65535

# The protocol that the bytes begin. Give it all bytes so far; a longer prefix never contradicts a shorter one.
cdef Sniffed sniff(const uint8_t *data, size_t length) noexcept nogil

# Of bytes that begin HTTP/1: HTTP1 for CONNECT, REQUEST for any other method, or MORE.
cdef Sniffed sniff_method(const uint8_t *data, size_t length) noexcept nogil

# What a tunnel carries, by all bytes so far: HTTP1 once a request line has come whole, HTTP2_PREFACE, MORE of either,
# or UNKNOWN for what is neither. A first line of more than SNIFF_LINE bytes is none.
cdef Sniffed sniff_inside(const uint8_t *data, size_t length) noexcept nogil

# A clean end for an HTTP/2 client while HTTP/2 is not served: the server preface, and a GOAWAY that asks for HTTP/1.1.
cdef bytes http2_refusal()
