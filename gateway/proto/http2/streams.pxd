# The streams of one HTTP/2 connection: a table by number, a memory of those that ended, and a ring of those that have
# something to send.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from cpython.ref cimport PyObject

cdef enum StreamFlag:
    STREAM_REMOTE_ENDED = 1    # END_STREAM came
    STREAM_LOCAL_ENDED = 2     # END_STREAM went out
    STREAM_ANSWERED = 4        # a response header block went out
    STREAM_CONNECT = 8         # its request was CONNECT: no trailers
    STREAM_QUEUED = 16         # in the ring
    STREAM_STALLED = 32        # had something to send and no window; counted once until it moves on
    STREAM_MALFORMED = 64      # its request is: the answer is followed by RST_STREAM
    STREAM_HEAD = 128          # its answer has no content
    STREAM_PARKED = 256        # on the list of those that wait for a window
    STREAM_BULK = 1024         # its bytes go through a pipe
    STREAM_LATE = 512          # a short exchange that has lasted for one period of its connection's timer
    STREAM_WIDE = 2048         # a read has filled a frame: the next ones ask for several
    STREAM_GRPC = 4096         # its request is one of gRPC
    STREAM_PAGE = 8192         # where no rule allows its request, the diagnostic page answers it
    STREAM_EARLY = 16384       # `body` stands in front of what its tunnel sends, and does not end the stream

# RFC 9113 section 5.1, for streams that are in the table: which of STREAM_REMOTE_ENDED and STREAM_LOCAL_ENDED hold.
cdef enum StreamState:
    STATE_OPEN = 0
    STATE_HALF_CLOSED_REMOTE = 1
    STATE_HALF_CLOSED_LOCAL = 2
    STATE_CLOSED = 3           # ended both ways, and its owner has not dropped it yet

# How a stream ended, for frames that come late (RFC 9113 section 5.1).
cdef enum StreamEnd:
    END_UNKNOWN = 0            # long ago, or never opened
    END_BOTH = 1               # END_STREAM both ways
    END_RESET_BY_PEER = 2
    END_RESET_BY_US = 3        # or left by us: what still comes is ignored

cdef enum:
    ENDS_KEPT = 64

cdef struct H2Stream:
    uint32_t id
    uint16_t flags             # StreamFlag
    int64_t send_window        # bytes that the peer takes; SETTINGS can make it negative (section 6.9.2)
    int64_t receive_window     # bytes that the peer may still send
    uint32_t room              # bytes that receive_window is filled up to
    uint32_t returned          # consumed and not yet returned by WINDOW_UPDATE
    int64_t expected           # bytes of content that Content-Length has promised; -1: nothing was
    PyObject *owner            # of the tunnel; borrowed; NULL for a stream without a tunnel
    PyObject *body             # bytes to send, owned; NULL for none
    uint32_t body_from
    uint32_t first_slice       # of the bytes read now, in the worker's list; 0 for none (work.pxd)
    uint32_t last_slice
    H2Stream *bucket           # next in the table
    H2Stream *next             # in the ring, or among those that wait for a window
    H2Stream *previous

cdef struct Ended:
    uint32_t id
    uint8_t how                # StreamEnd

cdef struct StreamTable:
    H2Stream **buckets         # a power of two of them
    uint32_t size
    uint32_t count
    uint32_t cursor            # bucket where streams_any looks first
    H2Stream *ring             # the one whose turn it is; NULL: no stream has something to send
    H2Stream *parked           # a ring of those that have something to send and no window; NULL: none
    Ended ends[ENDS_KEPT]
    uint32_t ends_at

cdef bint streams_begin(StreamTable *table) noexcept
cdef H2Stream *streams_find(const StreamTable *table, uint32_t identifier) noexcept nogil
# A new stream with `window` to send; NULL without memory.
cdef H2Stream *streams_add(StreamTable *table, uint32_t identifier, int64_t window, uint32_t room) noexcept
# One side has sent END_STREAM: STREAM_REMOTE_ENDED or STREAM_LOCAL_ENDED. False, with nothing changed, for a transition
# that the table of states does not have.
cdef bint stream_ends(H2Stream *stream, StreamFlag side) noexcept nogil
# Forgets a stream but for how it ended. The pointer is invalid after that.
cdef void streams_drop(StreamTable *table, H2Stream *stream, StreamEnd how) noexcept
# The same for a number that never became a stream.
cdef void streams_note(StreamTable *table, uint32_t identifier, StreamEnd how) noexcept nogil
cdef StreamEnd streams_end(const StreamTable *table, uint32_t identifier) noexcept nogil
# To the end of the ring; nothing when it is there already. out: out of the ring.
cdef void ring_add(StreamTable *table, H2Stream *stream) noexcept nogil
cdef void ring_out(StreamTable *table, H2Stream *stream) noexcept nogil
# Out of the ring, and onto the list of those that wait for a window, which ring_add and ring_out take it from.
cdef void ring_park(StreamTable *table, H2Stream *stream) noexcept nogil
# A window has opened: `stream` is in the ring again if it is one of those; NULL: all of them are.
cdef void ring_unpark(StreamTable *table, H2Stream *stream) noexcept nogil
# Any stream, for going over all of them: the one after `stream`, NULL after the last; NULL begins.
cdef H2Stream *streams_next(const StreamTable *table, const H2Stream *stream) noexcept nogil
# Some stream, for ending all of them one by one, whatever the table's size; NULL: none is left.
cdef H2Stream *streams_any(StreamTable *table) noexcept nogil
cdef void streams_free(StreamTable *table) noexcept
