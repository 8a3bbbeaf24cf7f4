"""Content of one message on its way out by a stream of HTTP/2. See sending.pxd.

It leaves at the end of the turn, as far as windows and the socket let it. What is kept is one receive of the source, or
two: it stops from WAITING_MOST on, and where no window is open.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from gateway.c.segment cimport SL_COUNTER_HTTP2_STALLS
from gateway.proto.http2.core cimport H2Core
from gateway.proto.http2.frames cimport (
    FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, free_bytes, put_bytes, sent_bytes, write_header,
)
from gateway.proto.http2.streams cimport STREAM_LOCAL_ENDED, STREAM_STALLED, ring_out, ring_park


cdef bint sending_put(Sending *sending, H2Carrier carrier, H2Stream *stream, const uint8_t *data,
                      size_t length) noexcept:
    cdef size_t size
    if length == 0:
        return not sending.full
    if not put_bytes(&sending.waiting, data, length):
        sending.failed = True
        return False
    carrier.schedule(stream)
    size = sending.waiting.end - sending.waiting.begin
    sending.full = (size >= WAITING_MOST or carrier.writer.blocked
                    or carrier.session.sendable(stream, WAITING_MOST) < size)
    return not sending.full


cdef size_t sending_fill(Sending *sending, H2Carrier carrier, H2Stream *stream, Message trailers, uint8_t *at,
                         size_t room, uint32_t most, bint *drained) noexcept:
    cdef H2Core session = carrier.session
    cdef size_t left = sending.waiting.end - sending.waiting.begin
    cdef size_t written = 0
    cdef uint32_t size
    cdef bint end
    while left and room > written + FRAME_HEADER and most:
        size = <uint32_t> min(min(left, room - written - FRAME_HEADER), <size_t> min(most, session.frame_size()))
        size = session.sendable(stream, size)
        if size == 0:
            ring_park(&session.streams, stream)
            if not stream.flags & STREAM_STALLED:
                stream.flags |= STREAM_STALLED
                carrier.meter.count(SL_COUNTER_HTTP2_STALLS)
            return written
        stream.flags &= ~STREAM_STALLED
        end = sending.ending and size == left and trailers is None
        write_header(at + written, size, FRAME_DATA, FLAG_END_STREAM if end else 0, stream.id)
        memcpy(at + written + FRAME_HEADER, sending.waiting.data + sending.waiting.begin, size)
        written += size + FRAME_HEADER
        sent_bytes(&sending.waiting, size)
        session.sent(stream, size, end)
        left -= size
        most -= size
    if left:
        return written
    ring_out(&session.streams, stream)
    if sending.ending:
        if not stream.flags & STREAM_LOCAL_ENDED:
            written += end_message(sending, carrier, stream, trailers, at + written, room - written)
    elif sending.full:
        sending.full = False
        drained[0] = True
    return written


cdef size_t end_message(Sending *sending, H2Carrier carrier, H2Stream *stream, Message trailers, uint8_t *at,
                        size_t room) noexcept:
    """END_STREAM by itself, or trailers: they leave with the content where nothing else is in front of them. The bytes
    written."""
    cdef H2Core session = carrier.session
    cdef Outgoing block
    cdef size_t size
    if trailers is None:
        if room < FRAME_HEADER:
            carrier.schedule(stream)
            return 0
        write_header(at, 0, FRAME_DATA, FLAG_END_STREAM, stream.id)
        session.sent(stream, 0, True)
        return FRAME_HEADER
    memset(&block, 0, sizeof(block))
    if not session.put_trailers(stream, &trailers.head, &block):
        sending.failed = True
        return 0
    size = block.end
    if size > room or session.out.data is not NULL:
        sending.failed = not put_bytes(&session.out, block.data, size)
        carrier.write_later()
        size = 0
    else:
        memcpy(at, block.data, size)
    free_bytes(&block)
    return size


cdef void sending_free(Sending *sending) noexcept:
    free_bytes(&sending.waiting)
