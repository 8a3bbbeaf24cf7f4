# Requests of a source that wait for a place: in order by destination, the destinations in turn.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.state.limits cimport Limits
from gateway.io.loop cimport Handler, Loop

cdef enum EnterResult:
    ENTER_REFUSED = 0          # so many wait already
    ENTER_DONE = 1             # the place is held
    ENTER_QUEUED = 2           # on_place follows, once; unless it leaves the queue before

cdef enum:
    NOT_QUEUED = 255

# Something that holds places, and can wait for them; for one at a time.
cdef class QueueEntry(Handler):
    cdef uint8_t queued_for    # sl_limit, or NOT_QUEUED
    cdef uint8_t shared        # bit per kind: its place is counted for its destination
    cdef uint64_t source       # the source of these places
    cdef uint32_t waiting_place  # among those that wait to be under way

    # Where its place of a kind is kept.
    cdef uint32_t *place(self, int kind) noexcept
    # The purpose of that place; equal for those that wait for each other.
    cdef bytes destination(self, int kind)
    cdef void on_place(self, int kind) noexcept

# Those of one source that wait for one kind.
cdef class SourceQueue:
    cdef uint64_t source
    cdef int kind
    cdef dict waiting          # destination -> {QueueEntry: None}, both in order
    cdef dict held             # destination -> places that are counted for it
    cdef bint due              # on the list of those that get their turn

cdef class PlaceQueues(Handler):
    cdef Loop loop
    cdef Limits limits
    cdef list queues           # by kind: source -> SourceQueue
    cdef uint32_t count        # of SourceQueues
    cdef readonly uint32_t waiting  # entries
    cdef list due              # SourceQueues with a place that may be free

    cdef EnterResult enter(self, QueueEntry entry, int kind) noexcept
    # Gives a place back; nothing happens when it is not held.
    cdef void leave(self, QueueEntry entry, int kind) noexcept
    # Another owner of a place gave it back.
    cdef void freed(self, uint64_t source, int kind) noexcept
    # Does not wait any more.
    cdef void quit(self, QueueEntry entry) noexcept

    cdef SourceQueue queue_of(self, uint64_t source, int kind)
    cdef bint take(self, SourceQueue queue, QueueEntry entry, int kind) noexcept
    cdef void look(self, SourceQueue queue) noexcept
    cdef void remove(self, SourceQueue queue, QueueEntry entry, bytes destination) noexcept
    cdef void serve(self, SourceQueue queue) noexcept
