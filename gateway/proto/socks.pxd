# SOCKS5 (RFC 1928, RFC 1929) and SOCKS4/4a requests.
from libc.stdint cimport uint8_t

from gateway.proto.codec cimport Codec

cdef enum Socks5Step:
    SOCKS5_GREETING = 0  # RFC 1928 section 3
    SOCKS5_LOGIN = 1     # RFC 1929 section 2
    SOCKS5_ASK = 2       # RFC 1928 section 4

cdef enum Socks4Step:
    SOCKS4_HEADER = 0
    SOCKS4_USER_ID = 1
    SOCKS4_NAME = 2      # SOCKS4a only

cdef enum:
    SOCKS5_MESSAGE_MAX = 513  # a login: VER, ULEN, 255, PLEN, 255; a greeting has 257 and a request 262
    SOCKS4_FIELD_MAX = 255    # user id and name, without their NUL

cdef class Socks5Codec(Codec):
    cdef Socks5Step step
    cdef size_t held                       # bytes of the present message
    cdef uint8_t message[SOCKS5_MESSAGE_MAX]

    cdef size_t wanted(self) noexcept
    cdef int judge_part(self) except -1
    cdef int judge_greeting(self) except -1
    cdef int judge_login(self) except -1
    cdef int judge_request(self) except -1
    cdef int malformed(self, uint8_t rep, str detail) except -1

cdef class Socks4Codec(Codec):
    cdef Socks4Step step
    cdef size_t held                       # bytes of the present field
    cdef uint8_t header[8]                 # VN, CD, DSTPORT, DSTIP
    cdef uint8_t field[SOCKS4_FIELD_MAX + 1]

    cdef int take_header(self, const uint8_t *data, size_t length, size_t *used) except -1
    cdef int take_field(self, const uint8_t *data, size_t length, size_t *used) except -1
    cdef int judge_field(self, size_t size) except -1
