# The client's side of a proxy's protocol before a tunnel stands: SOCKS5 (RFC 1928, 1929), HTTP CONNECT (RFC 9110).
# Codecs know bytes only: no descriptor, no clock, no policy.
from libc.stdint cimport uint8_t

cdef enum HandshakeStatus:
    HANDSHAKE_FAILED = 0   # refused or malformed; `detail` says why
    HANDSHAKE_MORE = 1     # send `out` if any; more has to come
    HANDSHAKE_DONE = 2     # bytes behind the used ones are the tunnel's

cdef enum:
    HANDSHAKE_MAX = 16384  # bytes of an answer that may lie unread without being whole

cdef class Handshake:
    cdef bytes out                   # to send now, or None; take_out() hands it over
    cdef readonly str detail         # of a failure, bounded, never raw input

    # Takes all that lies unread, from the first byte that was not used before; *used says how many belong to answers
    # that are whole. Answers a HandshakeStatus.
    cdef int take(self, const uint8_t *data, size_t length, size_t *used) noexcept
    cdef int judge(self, const uint8_t *data, size_t length, size_t *used) except -1
    cdef int fail(self, str detail) noexcept
    cdef int say(self, bytes data) except -1
    cdef bytes take_out(self)

cdef enum Socks5Wait:
    SOCKS5_METHOD = 0
    SOCKS5_STATUS = 1
    SOCKS5_REPLY = 2

cdef class Socks5Handshake(Handshake):
    cdef Socks5Wait step
    cdef bytes user
    cdef bytes password
    cdef bytes request

    cdef int method(self, uint8_t chosen) except -1
    cdef int reply(self, const uint8_t *data, size_t length, size_t *used) except -1

cdef class HttpHandshake(Handshake):
    cdef int interim                 # 1xx answers seen
    cdef size_t searched             # bytes of what lies unread that end no head
    cdef int head(self, const uint8_t *data, size_t length) except -1
