# Buffers that all HTTP/2 connections of a worker share: what one of them reads or writes in one step.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from gateway.proto.http2.budget cimport Budgets
from gateway.proto.http2.streams cimport H2Stream

cdef enum:
    INPUT_SIZE = 262144        # one recv() from a client: the larger, the fewer sendmsg() to the origins
    INPUT_FIRST = 16384        # before it has shown that DATA is what it sends
    TURN_BLOCKS = 128          # header blocks of all connections together, as events of one turn
    TURN_BLOCKS_SURE = 2       # of a connection when those are used up
    TURN_FRAMES = 8192         # the same for frames of any kind
    TURN_FRAMES_SURE = 32
    FRAMES_A_STREAM = 8        # that the first DATA for a stream costs as much as: it is a sendmsg() of its own
    SOURCES = 256              # sources with a budget that is remembered
    OUTPUT_SIZE = 327680       # frames of one send() to a client
    SLICES = 1024              # pieces of DATA in one input that are not put out yet; number 0: no piece

# A piece of one stream's DATA, where it lies in the input.
cdef struct Slice:
    const uint8_t *data
    uint32_t size
    uint32_t next              # of the same stream; 0 for none

# The same, to be sent with others by one call.
cdef struct Piece:             # struct iovec
    void *base
    size_t size

# The rest of a source's budgets when its last connection ended.
cdef struct Remembered:
    uint64_t source            # as limits know it; 0: none
    Budgets budgets

cdef class H2Work:
    cdef uint64_t buffered     # bytes of clients' connections that were received and not consumed
    cdef uint64_t turn         # that `blocks` and `frames` are of
    cdef int32_t blocks        # left
    cdef int32_t frames
    cdef Remembered sources[SOURCES]
    cdef uint8_t *input
    cdef uint8_t *output
    cdef Slice slices[SLICES]
    cdef uint32_t used         # slices
    cdef H2Stream *touched[SLICES]  # streams with slices, or with an end to be carried through
    cdef uint32_t touches

    # Adds a piece to what waits for `stream`; False when there is no room. A size of 0 only touches it.
    cdef bint add(self, H2Stream *stream, const uint8_t *data, uint32_t size) noexcept
    # A connection's share of turn number `turn`, in frames and in header blocks.
    cdef void share(self, uint64_t turn, int32_t *frames, int32_t *blocks) noexcept
    # The budgets of a new connection are what its source has left, and no less than a quarter; those of one that has
    # ended are remembered.
    cdef void recall(self, uint64_t source, Budgets *budgets, uint64_t now) noexcept
    cdef void remember(self, uint64_t source, const Budgets *budgets) noexcept
    # All that waits for `stream`, which has it now: at most SLICES pieces of `total` bytes together; their number.
    cdef int take(self, H2Stream *stream, Piece *pieces, uint32_t *total) noexcept
    # `stream` was forgotten. Returns the bytes that waited for it.
    cdef uint32_t forget(self, H2Stream *stream) noexcept
