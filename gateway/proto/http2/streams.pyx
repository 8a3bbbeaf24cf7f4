"""The streams of one HTTP/2 connection. See streams.pxd."""

from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef enum:
    BUCKETS = 8                # at first; they double with the streams


cdef uint8_t[4] FOLLOWERS      # of each StreamState, a bit for each that may follow
FOLLOWERS[<int> STATE_OPEN] = 1 << STATE_HALF_CLOSED_REMOTE | 1 << STATE_HALF_CLOSED_LOCAL
FOLLOWERS[<int> STATE_HALF_CLOSED_REMOTE] = 1 << STATE_CLOSED
FOLLOWERS[<int> STATE_HALF_CLOSED_LOCAL] = 1 << STATE_CLOSED
FOLLOWERS[<int> STATE_CLOSED] = 0

STATES = ("open", "half-closed (remote)", "half-closed (local)", "closed")


cdef inline uint32_t place(uint32_t identifier, uint32_t size) noexcept nogil:
    return (identifier >> 1) & (size - 1)  # one side's numbers are all odd, or all even


cdef bint streams_begin(StreamTable *table) noexcept:
    memset(table, 0, sizeof(table[0]))
    table.buckets = <H2Stream **> calloc(BUCKETS, sizeof(H2Stream *))
    table.size = BUCKETS if table.buckets is not NULL else 0
    return table.size != 0


cdef H2Stream *streams_find(const StreamTable *table, uint32_t identifier) noexcept nogil:
    cdef H2Stream *stream
    if table.size == 0:
        return NULL
    stream = table.buckets[place(identifier, table.size)]
    while stream is not NULL and stream.id != identifier:
        stream = stream.bucket
    return stream


cdef void grow(StreamTable *table) noexcept nogil:
    """Twice the buckets; without memory the old ones serve on."""
    cdef uint32_t size = 2 * table.size
    cdef H2Stream **buckets = <H2Stream **> calloc(size, sizeof(H2Stream *))
    cdef H2Stream *stream
    cdef H2Stream *following
    cdef uint32_t i
    if buckets is NULL:
        return
    for i in range(table.size):
        stream = table.buckets[i]
        while stream is not NULL:
            following = stream.bucket
            stream.bucket = buckets[place(stream.id, size)]
            buckets[place(stream.id, size)] = stream
            stream = following
    free(table.buckets)
    table.buckets, table.size = buckets, size


cdef H2Stream *streams_add(StreamTable *table, uint32_t identifier, int64_t window, uint32_t room) noexcept:
    cdef H2Stream *stream = <H2Stream *> calloc(1, sizeof(H2Stream))
    cdef H2Stream **bucket
    if stream is NULL:
        return NULL
    if table.count >= table.size:
        grow(table)
    stream.id = identifier
    stream.send_window = window
    stream.receive_window = stream.room = room
    stream.expected = -1
    bucket = &table.buckets[place(identifier, table.size)]
    stream.bucket = bucket[0]
    bucket[0] = stream
    table.count += 1
    return stream


cdef bint stream_ends(H2Stream *stream, StreamFlag side) noexcept nogil:
    cdef int state = stream.flags & STATE_CLOSED
    if not FOLLOWERS[state] >> (state | side) & 1:
        return False
    stream.flags |= side
    return True


def transitions():
    """The table by names, for tests and docs: each state and those that may follow it."""
    return {STATES[state]: [STATES[next] for next in range(4) if FOLLOWERS[<int> state] >> <int> next & 1]
            for state in range(4)}


cdef void streams_drop(StreamTable *table, H2Stream *stream, StreamEnd how) noexcept:
    cdef H2Stream **link = &table.buckets[place(stream.id, table.size)]
    while link[0] is not stream:
        link = &link[0].bucket
    link[0] = stream.bucket
    ring_out(table, stream)
    streams_note(table, stream.id, how)
    table.count -= 1
    Py_XDECREF(stream.body)
    free(stream)


cdef void streams_note(StreamTable *table, uint32_t identifier, StreamEnd how) noexcept nogil:
    cdef Ended *ended = &table.ends[table.ends_at % ENDS_KEPT]
    ended.id, ended.how = identifier, <uint8_t> how
    table.ends_at += 1


cdef StreamEnd streams_end(const StreamTable *table, uint32_t identifier) noexcept nogil:
    cdef int i
    for i in range(ENDS_KEPT):
        if table.ends[i].id == identifier:
            return <StreamEnd> table.ends[i].how
    return END_UNKNOWN


cdef void link(H2Stream **ring, H2Stream *stream) noexcept nogil:
    """To the end of a ring."""
    if ring[0] is NULL:
        ring[0] = stream.next = stream.previous = stream
        return
    stream.next = ring[0]
    stream.previous = ring[0].previous
    stream.previous.next = stream
    ring[0].previous = stream


cdef void unlink(H2Stream **ring, H2Stream *stream) noexcept nogil:
    if stream.next is stream:
        ring[0] = NULL
    else:
        stream.next.previous = stream.previous
        stream.previous.next = stream.next
        if ring[0] is stream:
            ring[0] = stream.next
    stream.next = stream.previous = NULL


cdef void ring_add(StreamTable *table, H2Stream *stream) noexcept nogil:
    if stream.flags & STREAM_QUEUED:
        return
    ring_out(table, stream)
    stream.flags |= STREAM_QUEUED
    link(&table.ring, stream)


cdef void ring_out(StreamTable *table, H2Stream *stream) noexcept nogil:
    if stream.flags & STREAM_QUEUED:
        unlink(&table.ring, stream)
    elif stream.flags & STREAM_PARKED:
        unlink(&table.parked, stream)
    stream.flags &= ~(STREAM_QUEUED | STREAM_PARKED)


cdef void ring_park(StreamTable *table, H2Stream *stream) noexcept nogil:
    ring_out(table, stream)
    stream.flags |= STREAM_PARKED
    link(&table.parked, stream)


cdef void ring_unpark(StreamTable *table, H2Stream *stream) noexcept nogil:
    if stream is not NULL:
        if stream.flags & STREAM_PARKED:
            ring_add(table, stream)
        return
    while table.parked is not NULL:
        ring_add(table, table.parked)


cdef H2Stream *streams_next(const StreamTable *table, const H2Stream *stream) noexcept nogil:
    cdef uint32_t i = 0
    if stream is not NULL:
        if stream.bucket is not NULL:
            return stream.bucket
        i = place(stream.id, table.size) + 1
    while i < table.size:
        if table.buckets[i] is not NULL:
            return table.buckets[i]
        i += 1
    return NULL


cdef H2Stream *streams_any(StreamTable *table) noexcept nogil:
    if table.count == 0:
        return NULL
    while table.buckets[table.cursor & (table.size - 1)] is NULL:
        table.cursor += 1
    return table.buckets[table.cursor & (table.size - 1)]


cdef void streams_free(StreamTable *table) noexcept:
    while table.count:
        streams_drop(table, streams_any(table), END_UNKNOWN)
    free(table.buckets)
    table.buckets, table.size = NULL, 0
