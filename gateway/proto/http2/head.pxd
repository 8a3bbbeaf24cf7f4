# The header block of one HTTP/2 request (RFC 9113 section 8): field by field in, a request or a failure out. Of what is
# not a CONNECT of the classic form, all of it as a message.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from gateway.c.message cimport sl_span
from gateway.proto.codec cimport Codec
from gateway.proto.http2.hpack cimport Field
from gateway.proto.message cimport Message

cdef enum:
    HEAD_LIST_MAX = 16384      # MAX_HEADER_LIST_SIZE: names, values and 32 for each field (section 6.5.2)
    HEAD_LIST_LAST = 131072    # bytes decoded at all: beyond them the connection ends
    HEAD_TARGET_MAX = 512      # bytes of :authority, :path or Host that can matter
    HEAD_SCHEME_MAX = 16       # the same of :scheme

# How a CONNECT says where to: the first one fixes it for its connection.
cdef enum Dialect:
    DIALECT_NONE = 0
    DIALECT_RFC = 1            # :authority alone (RFC 9113 section 8.5)
    DIALECT_PIPY = 2           # :scheme and :path, no :authority

cdef enum HeadMethod:
    HEAD_NONE = 0
    HEAD_CONNECT = 1
    HEAD_GET = 2
    HEAD_HEAD = 3
    HEAD_POST = 4
    HEAD_OTHER = 5

cdef struct HeadText:
    uint8_t text[HEAD_TARGET_MAX]
    size_t length              # as sent; more than HEAD_TARGET_MAX: too long, and not kept
    bint seen

cdef class H2Head(Codec):
    cdef HeadMethod method
    cdef Dialect dialect       # of a CONNECT, once finish() has answered REQUEST or CREDENTIALS
    cdef bint trailers         # the block follows the content: no pseudo-header may be in it
    cdef bint regular          # a field that is not a pseudo-header was read
    cdef bint has_scheme
    cdef bint has_protocol     # :protocol (RFC 8441)
    cdef bint collects         # requests other than a CONNECT of the classic form become messages; the caller's to set
    cdef bint ends             # no content follows; the caller's to set, before finish()
    cdef bint too_many         # it has more fields than a message may have
    cdef Message message       # such a request, or trailers; None: no such request, or trailers without a field
    cdef uint8_t scheme_length
    cdef char[HEAD_SCHEME_MAX] scheme   # as sent
    cdef bint malformed        # the message is, so its stream ends with PROTOCOL_ERROR
    cdef bint refused_fields   # fields that no CONNECT may have
    cdef int authorizations
    cdef size_t size           # of the list, as MAX_HEADER_LIST_SIZE counts
    cdef int64_t expected      # Content-Length; -1: none
    cdef HeadText authority
    cdef HeadText path
    cdef HeadText host_field

    # A new block begins.
    cdef void begin(self, bint trailers) noexcept
    cdef void field(self, const Field *field) noexcept
    # The block has ended. A CodecStatus: REQUEST (a CONNECT, or any other method), CREDENTIALS, or FAILED with outcome
    # and detail; `malformed`: the stream is in error as well. For trailers only `malformed` counts.
    cdef int finish(self) noexcept

    cdef void collect(self, const Field *field) noexcept
    cdef void begin_message(self) noexcept
    cdef void keep_text(self, const Field *field, sl_span *out) noexcept
    cdef int judge_message(self) except -1
    cdef void pseudo(self, const Field *field) noexcept
    cdef void ordinary(self, const Field *field) except *
    cdef void keep(self, HeadText *kept, const Field *field) noexcept
    cdef void bad(self, str detail) noexcept
    cdef int judge(self) except -1
    cdef int judge_connect(self) except -1
    cdef bint set_bare_target(self) noexcept
