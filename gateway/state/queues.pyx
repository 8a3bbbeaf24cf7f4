"""Requests of a source that wait for a place: in order by destination, the destinations in turn.

What a source holds is counted in the table of limits.pyx; here waits what is over.

* Seven eighths of a limit are taken without a look at what for. The last eighth is shared out: a destination gets one
  of its places while it has fewer of them than are still free. So a destination that does not answer leaves room for
  the others, however many requests for it come.
* Places given back by this worker are passed on before the loop waits again; those that a sibling gives back are found
  within LOOK_AGAIN.
* As long as nothing of any source waits and no shared place is held, none of this costs more than one comparison.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.limit_table cimport SL_LIMIT_COUNT, SL_LIMIT_REQUESTS, SL_LIMIT_WAITING

cdef enum:
    LOOK_AGAIN = 50            # milliseconds
    SERVED = 64                # entries of one queue that go on in one turn


cdef class QueueEntry(Handler):
    """Something that holds places; see queues.pxd."""

    def __cinit__(self, *args):
        self.queued_for = NOT_QUEUED

    cdef uint32_t *place(self, int kind) noexcept:
        return NULL

    cdef bytes destination(self, int kind):
        return b""

    cdef void on_place(self, int kind) noexcept:
        pass


cdef class SourceQueue:
    """Those of one source that wait for one kind; see queues.pxd."""

    def __cinit__(self, uint64_t source, int kind):
        self.source, self.kind = source, kind
        self.waiting, self.held = {}, {}


cdef class PlaceQueues(Handler):
    """All queues of a worker."""

    def __cinit__(self, Loop loop, Limits limits):
        self.loop, self.limits = loop, limits
        self.queues = [{} for _ in range(SL_LIMIT_COUNT)]
        self.due = []
        loop.keep(self)

    cdef EnterResult enter(self, QueueEntry entry, int kind) noexcept:
        """A place of `kind` now, or a place in the queue, or neither."""
        cdef SourceQueue queue = None
        cdef dict waiting
        cdef bytes destination
        if self.count == 0:
            if self.limits.enter_at_once(entry.source, kind, entry.place(kind)):
                return ENTER_DONE
        else:
            queue = self.queues[kind].get(entry.source)
        if (queue is None or not queue.waiting) and self.take(queue, entry, kind):
            return ENTER_DONE
        if kind == SL_LIMIT_REQUESTS and not self.limits.enter(entry.source, SL_LIMIT_WAITING, &entry.waiting_place):
            return ENTER_REFUSED
        queue = self.queue_of(entry.source, kind)
        destination = entry.destination(kind)
        waiting = queue.waiting.setdefault(destination, {})
        waiting[entry] = None
        entry.queued_for = <uint8_t> kind
        if self.waiting == 0:
            self.loop.arm(self, LOOK_AGAIN)
        self.waiting += 1
        if len(waiting) == 1:
            self.look(queue)  # a destination that has nothing under way may get a place that the others may not
        return ENTER_QUEUED

    cdef SourceQueue queue_of(self, uint64_t source, int kind):
        """The queue, made when there is none."""
        cdef SourceQueue queue = self.queues[kind].get(source)
        if queue is None:
            queue = self.queues[kind][source] = SourceQueue(source, kind)
            self.count += 1
        return queue

    cdef bint take(self, SourceQueue queue, QueueEntry entry, int kind) noexcept:
        """A place for an entry, if its destination may have one more."""
        cdef bytes destination
        cdef uint64_t free, own = 0
        if self.limits.enter_at_once(entry.source, kind, entry.place(kind)):
            return True
        free = self.limits.free(entry.source, kind)
        destination = entry.destination(kind)
        if queue is not None:
            own = queue.held.get(destination, 0)
        if own >= free or not self.limits.enter(entry.source, kind, entry.place(kind)):
            return False
        queue = self.queue_of(entry.source, kind)
        queue.held[destination] = own + 1
        entry.shared |= 1 << kind
        return True

    cdef void leave(self, QueueEntry entry, int kind) noexcept:
        cdef uint32_t *place = entry.place(kind)
        cdef SourceQueue queue
        cdef bytes destination
        if place is NULL or place[0] == 0:
            return  # a dial to a parent holds none: it is for whatever request comes
        self.limits.leave(kind, place)
        if self.count == 0:
            return
        if entry.shared & 1 << kind:
            entry.shared &= ~<uint8_t> (1 << kind)
            queue = self.queues[kind].get(entry.source)
            destination = entry.destination(kind)
            if queue is not None and destination in queue.held:
                queue.held[destination] -= 1
                if queue.held[destination] == 0:
                    del queue.held[destination]
        self.freed(entry.source, kind)

    cdef void freed(self, uint64_t source, int kind) noexcept:
        cdef SourceQueue queue
        if self.count == 0:
            return
        queue = self.queues[kind].get(source)
        if queue is None:
            return
        if queue.waiting:
            self.look(queue)
        elif not queue.held:
            del self.queues[kind][source]
            self.count -= 1

    cdef void look(self, SourceQueue queue) noexcept:
        """The queue gets its turn before the loop waits again."""
        if not queue.due:
            queue.due = True
            self.due.append(queue)
            self.loop.later(self)

    cdef void quit(self, QueueEntry entry) noexcept:
        cdef SourceQueue queue
        if entry.queued_for == NOT_QUEUED:
            return
        queue = self.queues[entry.queued_for].get(entry.source)
        self.remove(queue, entry, entry.destination(entry.queued_for))
        self.freed(entry.source, queue.kind)  # the next one of that destination may be luckier

    cdef void remove(self, SourceQueue queue, QueueEntry entry, bytes destination) noexcept:
        """Out of the queue; its destination is the last one now."""
        cdef dict waiting = queue.waiting.pop(destination)
        del waiting[entry]
        if waiting:
            queue.waiting[destination] = waiting
        entry.queued_for = NOT_QUEUED
        self.limits.leave(SL_LIMIT_WAITING, &entry.waiting_place)
        self.waiting -= 1

    cdef void serve(self, SourceQueue queue) noexcept:
        """Passes free places on, one for each destination in turn."""
        cdef QueueEntry entry
        cdef list granted = []
        cdef Py_ssize_t before = -1
        queue.due = False
        while queue.waiting and before != len(granted):
            before = len(granted)
            for destination in list(queue.waiting):
                if self.limits.free(queue.source, queue.kind) == 0:
                    break
                entry = next(iter(queue.waiting[destination]))
                if not self.take(queue, entry, queue.kind):
                    continue
                self.remove(queue, entry, destination)
                granted.append(entry)
                if len(granted) == SERVED:
                    self.look(queue)
                    before = SERVED
                    break
        for entry in granted:
            if entry.closed:  # by one that went on before it
                self.leave(entry, queue.kind)
                continue
            entry.on_place(queue.kind)
            self.loop.settle(entry)
        self.freed(queue.source, queue.kind) if not queue.waiting else None

    cdef void on_turn(self) noexcept:
        cdef SourceQueue queue
        cdef list due = self.due
        self.due = []
        for queue in due:
            self.serve(queue)

    cdef void on_timer(self) noexcept:
        """A sibling may have given something back."""
        cdef dict by_source
        cdef SourceQueue queue
        if self.waiting == 0:
            return
        for by_source in self.queues:
            for queue in by_source.values():
                if queue.waiting:
                    self.look(queue)
        self.loop.arm(self, LOOK_AGAIN)

    cdef void close(self) noexcept:
        # An error in one turn is counted by the loop and must not end the queues.
        pass
