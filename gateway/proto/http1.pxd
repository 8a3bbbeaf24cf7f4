# HTTP/1.0 and HTTP/1.1 CONNECT requests (RFC 9112, RFC 9110 section 9.3.6).
from libc.stdint cimport uint8_t

from gateway.proto.codec cimport Codec

cdef enum:
    HTTP1_HEAD_MAX = 16384  # bytes of request line, header lines and line ends
    HTTP1_LINES_MAX = 100   # header lines

cdef enum Http1Method:
    HTTP1_CONNECT = 0
    HTTP1_HEAD = 1          # its answers have no body
    HTTP1_OTHER = 2

cdef class Http1Codec(Codec):
    cdef uint8_t *line      # a line that has not come whole, malloc'd; it may hold credentials, so it is wiped
    cdef size_t line_length
    cdef size_t line_room
    cdef size_t head        # bytes of the head so far
    cdef int lines          # header lines so far
    cdef int hosts
    cdef int authorizations
    cdef Http1Method method
    cdef bint started       # the request line was read
    cdef bint blank         # an empty line came before it
    cdef bint old           # HTTP/1.0

    cdef int keep(self, const uint8_t *data, size_t length) except -1
    cdef void forget(self) noexcept
    cdef int take_line(self, const uint8_t *line, size_t length) except -1
    cdef int take_request_line(self, const uint8_t *line, size_t length) except -1
    cdef int take_field(self, const uint8_t *line, size_t length) except -1
    cdef int end_of_head(self) except -1
    cdef int malformed(self, str detail) except -1
