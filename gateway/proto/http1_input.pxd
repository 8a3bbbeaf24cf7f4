# Messages of one HTTP/1 connection, one after the other: bytes in, heads and pieces of content out.
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.message cimport sl_chunks
from gateway.proto.message cimport Message

cdef enum Http1Event:
    H1_BROKEN = 0              # `fault` says which rule; nothing more is read
    H1_MORE = 1                # the input is used up as far as it goes
    H1_HEAD = 2                # `message` has it; of an interim response another one follows
    H1_DATA = 3                # content: `piece`, valid until keep()
    H1_END = 4                 # the content is whole; `trailers` may be None. What follows is rest
    H1_TOO_LARGE = 5           # a head, or trailers

cdef enum Http1Stage:
    STAGE_NOTHING = 0          # whatever comes is rest
    STAGE_HEAD = 1
    STAGE_LENGTH = 2
    STAGE_CHUNKS = 3
    STAGE_TRAILERS = 4
    STAGE_CLOSE = 5

cdef class Http1Input:
    cdef uint8_t stage         # Http1Stage
    cdef bint response
    cdef bint to_head          # the response is to HEAD
    cdef bint held             # the input is `rest` itself
    cdef Message message
    cdef Message trailers
    cdef const uint8_t *piece
    cdef size_t piece_length
    cdef const char *fault
    cdef uint64_t left         # of STAGE_LENGTH
    cdef sl_chunks chunks
    cdef size_t seen
    cdef const uint8_t *data   # the input, from the first byte that is not used
    cdef size_t length
    cdef uint8_t *rest         # malloc'd: bytes that are not used yet; NULL: none
    cdef size_t rest_length

    # The next message begins.
    cdef void begin_request(self) noexcept
    cdef void begin_response(self, bint to_head) noexcept
    # A head of a response that is not wanted any more: its memory is that of the next one.
    cdef inline void give_back(self, Message message) noexcept:
        if self.message is None:
            self.message = message
    # Input, behind what is left of the one before. False without memory.
    cdef bint feed(self, const uint8_t *data, size_t length) noexcept
    cdef Http1Event next(self) noexcept
    # Before the input goes away: what is not used is kept. False without memory.
    cdef bint keep(self) noexcept
    # Whether bytes are left that no message has used.
    cdef bint has_rest(self) noexcept
    cdef bytes take_rest(self)
    # The connection has ended: H1_END where that ends the content, H1_MORE between messages, else H1_BROKEN.
    cdef Http1Event end(self) noexcept
    cdef bint is_between(self) noexcept
    # Whether a head is to be read of which no byte was yet, and there are some.
    cdef bint is_fresh(self) noexcept

    cdef Http1Event read_head(self) noexcept
    cdef Http1Event read_chunks(self) noexcept
    cdef Http1Event read_trailers(self) noexcept
    cdef Http1Event broken(self, const char *fault) noexcept
    cdef void use(self, size_t bytes) noexcept
