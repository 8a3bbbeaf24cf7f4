# Awaited acts of an HTTP/2 peer, on either side of a connection: since when, and until when.
from libc.stdint cimport uint64_t

from gateway.proto.http2.frames cimport FRAME_DATA, frames_inside
from gateway.proto.http2.core cimport H2Core
from gateway.proto.http2.streams cimport streams_find
from gateway.io.loop cimport Handler, Loop

# Loop milliseconds, 0: it is not awaited.
cdef struct Deadlines:
    uint64_t armed             # the timer is armed for that time
    uint64_t unfinished        # which greeting, header block or frame has begun and not ended: a number for each
    uint64_t unfinished_since
    uint64_t unacknowledged_since   # own SETTINGS
    uint64_t idle_since        # without a stream
    uint64_t room_asked        # a look for room in the worker's budget is due then; 0: there was room

# Whether the input ends within a DATA frame of an open stream, whose tunnel has an idle time of its own.
cdef inline bint within_data(H2Core input) noexcept:
    return (input.reader.inside and input.reader.frame.type == FRAME_DATA
            and streams_find(&input.streams, input.reader.frame.stream) is not NULL)

# Whether nothing is awaited now, and nothing was at the last look. It says no where a look would have to tell.
cdef inline bint deadlines_none(const Deadlines *deadlines, H2Core input) noexcept:
    return not (deadlines.unfinished or deadlines.unacknowledged_since or deadlines.idle_since
                or not input.greeted or input.unacknowledged or input.block_stream or input.streams.count == 0
                or (frames_inside(&input.reader) and not within_data(input)))

# The first of what is awaited that is late.
cdef enum Late:
    LATE_NOT = 0
    LATE_UNFINISHED = 1        # the greeting, a header block or a frame
    LATE_SETTINGS = 2          # own SETTINGS were not acknowledged
    LATE_IDLE = 3

# A look: when the first of what is awaited is late, UINT64_MAX when nothing is. `greeting`: the peer's milliseconds for
# its first SETTINGS; `request`: for all else; `idle`: without a stream. `kept`: input waits for a share.
cdef uint64_t deadlines_look(Deadlines *deadlines, H2Core input, bint kept, uint64_t now, uint64_t greeting,
                             uint64_t request, uint64_t idle) noexcept
# The first that is late now, by the times of the last look.
cdef Late deadlines_late(const Deadlines *deadlines, H2Core input, uint64_t now, uint64_t greeting, uint64_t request,
                         uint64_t idle) noexcept
# When the next look for room in the worker's budget is due; UINT64_MAX: there is room.
cdef uint64_t deadlines_room(Deadlines *deadlines, H2Core input, uint64_t now) noexcept
# Whether it is due now: then the connection's window is returned as far as there is room.
cdef bint deadlines_room_due(Deadlines *deadlines, H2Core input, uint64_t now) noexcept
# Has on_timer called at that time, or earlier: it is to look again. So what comes and goes costs no arming.
cdef void deadlines_arm(Deadlines *deadlines, Loop loop, Handler handler, uint64_t at) noexcept
