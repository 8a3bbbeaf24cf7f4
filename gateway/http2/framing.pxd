# Bytes of a leg as DATA frames, without a copy: they are read straight behind the headers of their frames.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport sl_leg
from gateway.proto.http2.outbound cimport H2Outbound
from gateway.proto.http2.streams cimport H2Stream
from gateway.state.meter cimport Meter

cdef enum Framed:
    FRAMED_NOTHING = 0         # the leg has nothing now
    FRAMED_FAILED = 1
    FRAMED_STALLED = 2         # it has bytes, and no window is open: the stream waits for one
    FRAMED_BYTES = 3
    FRAMED_END = 4             # the end of file, as a frame of its own that needs no window

cdef struct Reading:
    uint32_t asked             # bytes of payload, as far as windows go
    uint32_t got
    size_t written             # bytes of frames

# Frames at `at`: at most `room` bytes of them, more than a header's, and `most` of payload; H2Outbound.sent() for the
# payload is the caller's. The stream stays in the ring behind FRAMED_BYTES alone.
cdef Framed read_frames(Meter meter, H2Outbound session, H2Stream *stream, sl_leg *leg, uint8_t *at, size_t room,
                        uint32_t most, Reading *reading) noexcept
