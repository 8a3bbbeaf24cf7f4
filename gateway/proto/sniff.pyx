"""Tells SOCKS5, SOCKS4, HTTP/1, HTTP/2 and TLS apart by their first bytes (`protocol: auto`). See sniff.pxd.

One byte decides all but HTTP/2, whose preface (RFC 9113 section 3.4) begins as an HTTP/1 request line does. Which of
the two it is shows at the first byte that differs.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memcmp

cdef const char *PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

cdef bytes DEBUG = b"use HTTP/1.1 CONNECT or SOCKS5"
# Frames of RFC 9113 section 4.1: length (24 bits), type, flags, stream (32 bits).
cdef bytes SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
# GOAWAY (section 6.8): last stream 0, error HTTP_1_1_REQUIRED (0xd, section 7), debug data.
cdef bytes REFUSAL = (
    SETTINGS
    + (8 + len(DEBUG)).to_bytes(3, "big") + b"\x07\x00\x00\x00\x00\x00"
    + b"\x00\x00\x00\x00" + b"\x00\x00\x00\x0d" + DEBUG
)


cdef Sniffed sniff(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t same
    if length == 0:
        return SNIFF_MORE
    if data[0] == 0x05:
        return SNIFF_SOCKS5
    if data[0] == 0x04:
        return SNIFF_SOCKS4
    if data[0] == 0x16:  # RFC 8446 section 5.1: ContentType handshake
        return SNIFF_TLS
    same = length if length < SNIFF_BYTES else SNIFF_BYTES
    if memcmp(data, PREFACE, same) == 0:
        return SNIFF_HTTP2_PREFACE if same == SNIFF_BYTES else SNIFF_MORE
    # RFC 9112 section 2.2: an empty line before the request line is not an error.
    if data[0] == c"\r" or is_token(data[0]):
        return SNIFF_HTTP1
    return SNIFF_UNKNOWN


cdef Sniffed sniff_method(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t blank = 0, same
    while blank < length and blank < 2 and data[blank] in (c"\r", c"\n"):
        blank += 1
    same = min(length - blank, <size_t> 8)
    if memcmp(data + blank, b"CONNECT ", same) != 0:
        return SNIFF_REQUEST
    return SNIFF_HTTP1 if same == 8 else SNIFF_MORE


cdef Sniffed sniff_inside(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t blank = 0, end
    cdef Sniffed found = sniff(data, length)
    if found != SNIFF_HTTP1:
        return found if found == SNIFF_MORE or found == SNIFF_HTTP2_PREFACE else SNIFF_UNKNOWN
    while blank < length and blank < 2 and data[blank] in (c"\r", c"\n"):
        blank += 1
    end = blank
    while end < length and (0x20 <= data[end] < 0x7F or data[end] >= 0x80):
        end += 1
    if end == length or (data[end] == c"\r" and end + 1 == length):
        return SNIFF_MORE if end - blank < SNIFF_LINE else SNIFF_UNKNOWN
    if data[end] == c"\r":
        if data[end + 1] != c"\n":
            return SNIFF_UNKNOWN
    elif data[end] != c"\n":
        return SNIFF_UNKNOWN
    # RFC 9112 section 3: a method, a target, a version. What is wrong with them is told by who reads the request.
    return SNIFF_HTTP1 if end - blank > 9 and memcmp(data + end - 9, b" HTTP/1.", 8) == 0 else SNIFF_UNKNOWN


cdef bytes http2_refusal():
    return REFUSAL


cdef bint is_token(uint8_t byte) noexcept nogil:
    """RFC 9110 section 5.6.2: tchar."""
    if c"a" <= byte <= c"z" or c"A" <= byte <= c"Z" or c"0" <= byte <= c"9":
        return True
    return byte in (
        c"!", c"#", c"$", c"%", c"&", c"'", c"*", c"+", c"-", c".", c"^", c"_", c"`", c"|", c"~"
    )
