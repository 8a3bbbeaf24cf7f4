"""Bytes of a leg as DATA frames. See framing.pxd.

What is not covered by the windows is not read, so nothing of a stream waits here. A stream is read by single frames,
one plain recv() each, until one was filled: most have less, and readv() with a list of pieces costs more.
"""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport iovec, sl_leg_peek, sl_leg_receive, sl_leg_receive_parts
from gateway.c.segment cimport SL_COUNTER_HTTP2_STALLS
from gateway.proto.http2.frames cimport FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, write_header
from gateway.proto.http2.streams cimport STREAM_STALLED, STREAM_WIDE, ring_out, ring_park

cdef enum:
    FRAMES_MOST = 32           # of one read


cdef Framed read_frames(Meter meter, H2Outbound session, H2Stream *stream, sl_leg *leg, uint8_t *at, size_t room,
                        uint32_t most, Reading *reading) noexcept:
    cdef iovec pieces[FRAMES_MOST]
    cdef uint32_t frame = session.frame_size()
    cdef uint32_t part, left
    cdef ssize_t got
    cdef int count = 0
    cdef size_t end = 0
    most = min(most, min(<uint32_t> (room - FRAME_HEADER), frame * FRAMES_MOST))
    if stream.flags & STREAM_WIDE:
        most -= min(most - 1, FRAME_HEADER * (most // frame))  # room for the headers between frames
    else:
        most = min(most, frame)
    reading.asked = left = session.sendable(stream, most)
    if left == 0:
        return without_window(meter, session, stream, leg, at, reading)
    stream.flags &= ~STREAM_STALLED
    if left <= frame:
        return read_frame(session, stream, leg, at, reading)
    while left:
        part = min(left, frame)
        pieces[count].iov_base = at + end + FRAME_HEADER
        pieces[count].iov_len = part
        end += part + FRAME_HEADER
        left -= part
        count += 1
    got = sl_leg_receive_parts(leg, pieces, count)
    if got <= 0:
        return without_bytes(session, stream, got, at, reading)
    reading.got = left = <uint32_t> got
    end = 0
    while left:
        part = min(left, frame)
        write_header(at + end, part, FRAME_DATA, 0, stream.id)
        end += part + FRAME_HEADER
        left -= part
    reading.written = end
    return FRAMED_BYTES


cdef Framed read_frame(H2Outbound session, H2Stream *stream, sl_leg *leg, uint8_t *at, Reading *reading) noexcept:
    cdef ssize_t got = sl_leg_receive(leg, at + FRAME_HEADER, reading.asked)
    if got <= 0:
        return without_bytes(session, stream, got, at, reading)
    reading.got = <uint32_t> got
    if reading.got == session.frame_size():
        stream.flags |= STREAM_WIDE
    write_header(at, reading.got, FRAME_DATA, 0, stream.id)
    reading.written = FRAME_HEADER + <size_t> got
    return FRAMED_BYTES


cdef Framed without_window(Meter meter, H2Outbound session, H2Stream *stream, sl_leg *leg, uint8_t *at,
                           Reading *reading) noexcept:
    """Nothing can be sent but an end of file."""
    cdef uint8_t byte
    cdef ssize_t got = sl_leg_peek(leg, &byte, 1)
    if got <= 0:
        return without_bytes(session, stream, got, at, reading)
    ring_park(&session.streams, stream)
    if not stream.flags & STREAM_STALLED:
        stream.flags |= STREAM_STALLED
        meter.count(SL_COUNTER_HTTP2_STALLS)
    return FRAMED_STALLED


cdef Framed without_bytes(H2Outbound session, H2Stream *stream, ssize_t got, uint8_t *at, Reading *reading) noexcept:
    """The end, an error, or nothing now: a read has answered `got`."""
    ring_out(&session.streams, stream)
    if got < 0:
        return FRAMED_NOTHING if errno == EAGAIN else FRAMED_FAILED
    write_header(at, 0, FRAME_DATA, FLAG_END_STREAM, stream.id)
    session.sent(stream, 0, True)
    reading.written = FRAME_HEADER
    return FRAMED_END
