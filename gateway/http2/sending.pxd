# Content of one message on its way out by a stream of HTTP/2: what no frame has yet, and the end behind it. Of either
# side of a connection.
from libc.stdint cimport uint8_t, uint32_t

from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.message cimport Message

cdef enum:
    WAITING_MOST = 65536       # bytes that are kept before the source is to stop

cdef struct Sending:
    Outgoing waiting
    bint ending                # behind `waiting` the message ends
    bint full                  # the source was stopped
    bint failed                # no memory: the stream is to be reset

# Takes all of it, and has the stream scheduled. False: the source is to stop until sending_fill() says `drained`.
cdef bint sending_put(Sending *sending, H2Carrier carrier, H2Stream *stream, const uint8_t *data,
                      size_t length) noexcept
# Frames at `at`: at most `room` bytes of them and `most` of payload; the bytes written. Takes the stream out of the
# ring when there is nothing more now. `drained`: the source may go on. STREAM_LOCAL_ENDED tells the end.
cdef size_t sending_fill(Sending *sending, H2Carrier carrier, H2Stream *stream, Message trailers, uint8_t *at,
                         size_t room, uint32_t most, bint *drained) noexcept
cdef void sending_free(Sending *sending) noexcept
