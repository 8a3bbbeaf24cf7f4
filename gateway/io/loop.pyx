"""The worker's event loop: one thread, one epoll, the GIL released only around its wait (DESIGN.md section 2).

Laws kept here:

* A handler is kept alive by one counted reference from `keep` to `park`; the table of descriptors and the timer wheel
  hold borrowed pointers.
* `close` of a handler closes its descriptors (which takes them out of epoll, as no other copy exists), cancels its
  timer and parks it; it is let go when the turn ends, so no event of the current batch can name freed memory. An event
  names its descriptor and which watching of it is meant: one that takes the number over in the same turn gets none of
  the events of the descriptor before it.
* An internal error inside a handler is counted and closes that handler; the loop goes on.
* A handler with something outgoing gets `on_turn` before the next wait. One stopped by its budget gets `on_share`: such
  handlers share what time the events have left of a turn.
"""

import sys

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from gateway.c.segment cimport SL_HISTOGRAM_TURN, sl_segment_observe
from gateway.c.timers cimport sl_wheel_cancel, sl_wheel_init, sl_wheel_set, sl_wheel_take, sl_wheel_wait
from gateway.io.poller cimport epoll_event

cdef enum:
    BATCH = 256
    WATCHED_FIRST = 256        # descriptors that their table has room for at first
    TIMERS_TURN = 6000         # microseconds of a turn, after which timers that are due wait for the next
    READY_TURN = 6000          # microseconds of a turn, after which those that asked for one wait for the next
    READY_LOOK = 4             # of them between two looks at the clock
    SHARED_TURN = 4000         # microseconds of a turn, after which handlers stopped by their budget wait for the next


cdef uint64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t> now.tv_sec * 1000000 + <uint64_t> now.tv_nsec // 1000


cdef class Handler:
    """Something the loop calls: a connection, a listener, a dial, a DNS socket, the bus."""

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        """A descriptor watched as `leg` has `events`."""

    cdef void on_timer(self) noexcept:
        """The timer armed last has fired."""

    cdef void on_turn(self) noexcept:
        """A turn later, as asked by Loop.later."""

    cdef void on_share(self) noexcept:
        """Its share of a turn, as asked by Loop.share."""

    cdef void on_drain(self) noexcept:
        """The worker takes no new clients from now on; client connections are notified."""

    cdef void on_look(self, uint32_t since) noexcept:
        """Time to see whether its peers still acknowledge; `since` milliseconds after the last time."""

    cdef void rejudge(self) noexcept:
        """A new generation: what it asks for, and has no answer yet, is judged by it."""

    cdef void close(self) noexcept:
        """End at once; called by the loop after an internal error, and by owners. Must be safe to call twice."""


cdef class Loop:
    """One poller and one timer wheel. Times are milliseconds of `clock`, by default CLOCK_MONOTONIC; `poller` is an
    epoll of its own by default."""

    def __cinit__(self, Poller poller=None, MonotonicClock clock=None):
        self.poller = Poller() if poller is None else poller
        self.clock = MonotonicClock() if clock is None else clock
        self.scratch = <uint8_t *> malloc(SCRATCH_SIZE)
        if self.scratch is NULL:
            raise MemoryError
        self.parked = []
        self.ready = []
        self.shares = []
        self.now = self.clock.now_us() // 1000
        sl_wheel_init(&self.wheel, self.now)

    def __dealloc__(self):
        free(self.scratch)
        free(self.watched)

    cdef bint make_room(self, int fd) noexcept:
        """Room for a descriptor in the table; False with errno without memory."""
        cdef uint32_t count = self.watched_count if self.watched_count else WATCHED_FIRST
        cdef Watched *grown
        while count <= <uint32_t> fd:
            count *= 2
        grown = <Watched *> realloc(self.watched, count * sizeof(Watched))
        if grown is NULL:
            return False  # with the errno of realloc()
        self.watched, self.watched_count = grown, count
        return True

    cdef bint watch(self, int fd, Handler handler, int leg, uint32_t events) noexcept:
        """Adds a descriptor; False with errno set where the kernel refuses."""
        if <uint32_t> fd >= self.watched_count and not self.make_room(fd):
            return False
        self.serial += 1
        if not self.poller.add(fd, events, <uint64_t> self.serial << 32 | <uint32_t> fd):
            return False
        self.watched[fd].serial = self.serial
        self.pass_on(fd, handler, leg)
        return True

    cdef bint rewatch(self, int fd, Handler handler, int leg, uint32_t events) noexcept:
        """Hands a watched descriptor to another handler or leg, or changes its events; what is ready is reported
        again."""
        self.pass_on(fd, handler, leg)
        return self.poller.change(fd, events, <uint64_t> self.watched[fd].serial << 32 | <uint32_t> fd)

    cdef void pass_on(self, int fd, Handler handler, int leg) noexcept:
        """Hands a watched descriptor to another handler or leg, as it is watched: no edge is reported again."""
        self.watched[fd].handler = <void *> handler
        self.watched[fd].leg = leg

    cdef void unwatch(self, int fd) noexcept:
        """For descriptors that stay open elsewhere (listeners, ZeroMQ, c-ares); closing takes the others out."""
        self.poller.remove(fd)
        if <uint32_t> fd < self.watched_count:
            self.watched[fd].handler = NULL

    cdef void keep(self, Handler handler) noexcept:
        """Holds a reference until `park`."""
        Py_INCREF(handler)

    cdef void park(self, Handler handler) noexcept:
        """Lets go of a kept handler when this turn is over. Its timer is cancelled."""
        sl_wheel_cancel(&self.wheel, &handler.timer)
        self.parked.append(handler)
        Py_DECREF(handler)

    cdef void later(self, Handler handler) noexcept:
        """Calls handler.on_turn before the next wait."""
        if not handler.queued:
            handler.queued = True
            self.ready.append(handler)

    cdef void share(self, Handler handler) noexcept:
        """Calls handler.on_share before the next wait, or in a later turn: those asked for before come first, and all
        of them together get SHARED_TURN of each turn. Events are served first, so a flood delays its own alone."""
        if not handler.sharing:
            handler.sharing = True
            self.shares.append(handler)

    cdef void serve_shares(self, uint64_t began) noexcept:
        """At least one; as many as the turn has time for. One that asks again waits for the next turn."""
        cdef Py_ssize_t count = len(self.shares)
        cdef Py_ssize_t served = 0
        cdef Handler handler
        while served < count:
            handler = self.shares[served]
            served += 1
            handler.sharing = False
            if not handler.closed:
                handler.on_share()
                self.settle(handler)
                if self.clock.now_us() - began >= SHARED_TURN:
                    break
        del self.shares[:served]

    cdef void serve_ready(self, uint64_t began) noexcept:
        """As many as the turn has time for; the others come first in the next one, behind its events. Those asked for
        during it wait for it as well."""
        cdef list ready = self.ready
        cdef Py_ssize_t count = len(ready)
        cdef Py_ssize_t served = 0
        cdef Handler handler
        self.ready = []
        while served < count:
            handler = ready[served]
            served += 1
            handler.queued = False
            if not handler.closed:
                handler.on_turn()
                self.settle(handler)
            if served % READY_LOOK == 0 and self.clock.now_us() - began >= READY_TURN:
                break
        if served < count:
            self.ready = ready[served:] + self.ready

    cdef void arm(self, Handler handler, uint64_t delay) noexcept:
        """Fires handler.on_timer in `delay` milliseconds, in place of an earlier arming."""
        handler.timer.owner = <void *> handler
        sl_wheel_set(&self.wheel, &handler.timer, self.now + delay)

    cdef void disarm(self, Handler handler) noexcept:
        sl_wheel_cancel(&self.wheel, &handler.timer)

    cdef void settle(self, Handler handler) noexcept:
        """After a handler ran: an internal error closes it."""
        if self.failed:
            self.failed = False
            self.failures += 1
            if not handler.closed:
                handler.close()
                self.failed = False

    cdef void turn(self) noexcept:
        """One turn: wait, serve what is ready, fire timers, serve the ready list, let parked objects go."""
        cdef epoll_event events[BATCH]
        cdef int count, i, timeout
        cdef uint64_t began, spent
        cdef Handler handler
        cdef Watched *watched
        cdef sl_timer *timer
        timeout = 0 if self.ready or self.shares or self.late else sl_wheel_wait(&self.wheel, self.now)
        with nogil:
            count = self.poller.wait(events, BATCH, timeout)
        began = self.clock.now_us()
        self.now = began // 1000
        if self.word is not NULL and self.word[0] != self.word_read:
            self.word_read = self.word[0]
            self.reader.on_turn()
            self.settle(self.reader)
        for i in range(count):
            watched = &self.watched[<uint32_t> events[i].data.u64]
            if watched.serial != events[i].data.u64 >> 32 or watched.handler is NULL:
                continue
            handler = <Handler> watched.handler
            if not handler.closed:
                handler.on_event(events[i].events, watched.leg)
                self.settle(handler)
        self.late = False
        while not self.late:
            timer = sl_wheel_take(&self.wheel, self.now)
            if timer is NULL:
                break
            handler = <Handler> <PyObject *> timer.owner
            if not handler.closed:
                handler.on_timer()
                self.settle(handler)
                self.late = self.clock.now_us() - began >= TIMERS_TURN
        if self.ready:
            self.serve_ready(began)
        if self.shares:
            self.serve_shares(began)
        handler = None
        if self.parked:
            self.parked.clear()
        self.turns += 1
        spent = self.clock.now_us() - began
        if spent > self.longest_turn:
            self.longest_turn = spent
        if self.segment is not NULL:
            sl_segment_observe(self.segment, SL_HISTOGRAM_TURN, spent)

    def run(self):
        """Turns until stop()."""
        self.running = True
        previous, sys.unraisablehook = sys.unraisablehook, self._on_unraisable
        try:
            while self.running:
                self.turn()
        finally:
            sys.unraisablehook = previous

    def stop(self):
        """Ends run() after the current turn."""
        self.running = False

    def _on_unraisable(self, unraisable):
        """An exception left a noexcept function: count it, say where, and have the handler closed."""
        self.failed = True
        sys.__unraisablehook__(unraisable)
