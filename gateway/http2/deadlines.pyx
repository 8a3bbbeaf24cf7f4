"""Everything that has begun and not ended has its time. See deadlines.pxd."""

from libc.stdint cimport UINT64_MAX, uint64_t

from gateway.proto.http2.frames cimport frames_inside

cdef enum:
    GREETING = 1               # what is unfinished; the others carry a number beside these
    BLOCK = 2
    FRAME = 3
    LOOK_AGAIN = 100           # milliseconds, for room in the worker's budget


cdef uint64_t unfinished(H2Core input, bint kept) noexcept:
    if not input.greeted:
        return <uint64_t> GREETING << 32
    if input.block_stream:
        return <uint64_t> BLOCK << 32 | input.block_stream
    if kept or not frames_inside(&input.reader) or within_data(input):
        return 0
    return <uint64_t> FRAME << 32 | input.reader.count


cdef inline uint64_t since(bint awaited, uint64_t before, uint64_t now) noexcept:
    return 0 if not awaited else before if before else now


cdef uint64_t deadlines_look(Deadlines *deadlines, H2Core input, bint kept, uint64_t now, uint64_t greeting,
                             uint64_t request, uint64_t idle) noexcept:
    cdef uint64_t at = UINT64_MAX
    cdef uint64_t what = unfinished(input, kept)
    if what != deadlines.unfinished:
        deadlines.unfinished, deadlines.unfinished_since = what, now
    deadlines.unacknowledged_since = since(input.unacknowledged != 0, deadlines.unacknowledged_since, now)
    if not input.greeted:
        return deadlines.unfinished_since + greeting
    deadlines.idle_since = since(input.streams.count == 0, deadlines.idle_since, now)
    if what:
        at = deadlines.unfinished_since + request
    if deadlines.unacknowledged_since:
        at = min(at, deadlines.unacknowledged_since + request)
    if deadlines.idle_since:
        at = min(at, deadlines.idle_since + idle)
    return at


cdef Late deadlines_late(const Deadlines *deadlines, H2Core input, uint64_t now, uint64_t greeting, uint64_t request,
                         uint64_t idle) noexcept:
    if deadlines.unfinished and deadlines.unfinished_since + (request if input.greeted else greeting) <= now:
        return LATE_UNFINISHED
    if not input.greeted:
        return LATE_NOT
    if deadlines.unacknowledged_since and deadlines.unacknowledged_since + request <= now:
        return LATE_SETTINGS
    if deadlines.idle_since and deadlines.idle_since + idle <= now:
        return LATE_IDLE
    return LATE_NOT


cdef uint64_t deadlines_room(Deadlines *deadlines, H2Core input, uint64_t now) noexcept:
    if not input.withheld and not input.is_over():
        deadlines.room_asked = 0
        return UINT64_MAX
    if deadlines.room_asked == 0:
        deadlines.room_asked = now + LOOK_AGAIN
    return deadlines.room_asked


cdef bint deadlines_room_due(Deadlines *deadlines, H2Core input, uint64_t now) noexcept:
    if deadlines.room_asked == 0 or deadlines.room_asked > now:
        return False
    deadlines.room_asked = 0
    input.return_connection()
    return True


cdef void deadlines_arm(Deadlines *deadlines, Loop loop, Handler handler, uint64_t at) noexcept:
    if at == UINT64_MAX or (deadlines.armed and deadlines.armed <= at):
        return
    deadlines.armed = at
    loop.arm(handler, at - min(at, loop.now))
