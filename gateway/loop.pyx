"""The worker's event loop: one thread, one epoll, the GIL released only around epoll_wait (DESIGN.md section 2).

Laws kept here:

* A handler is kept alive by one counted reference from `keep` to `park`; epoll and the timer wheel hold borrowed
  pointers.
* `close` of a handler closes its descriptors (which takes them out of epoll: nobody else holds a copy), cancels its
  timer and parks it; it is let go when the turn ends, so no event of the current batch can name freed memory.
* An error of ours inside a handler is counted and closes that handler; the loop goes on.
* A handler with something outgoing gets `on_turn` before the next wait. One stopped by its budget gets `on_share`: such
  handlers share what time the events have left of a turn.
"""

import os
import sys

from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uintptr_t
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from gateway.csrc cimport (
    SL_HISTOGRAM_TURN, sl_segment_observe, sl_wheel_cancel, sl_wheel_init, sl_wheel_set, sl_wheel_take,
    sl_wheel_wait,
)

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL

cdef enum:
    BATCH = 256
    TIMERS_TURN = 6000         # microseconds of a turn, after which timers that are due wait for the next
    SHARED_TURN = 4000         # microseconds of a turn, after which handlers stopped by their budget wait for the next


cdef uint64_t clock_us() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <uint64_t> now.tv_sec * 1000000 + <uint64_t> now.tv_nsec // 1000


cdef class Handler:
    """Something the loop calls: a connection, a listener, a dial, a DNS socket, the bus."""

    def __cinit__(self, *args, **kwargs):
        self.timer.owner = <void *> self

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        """A descriptor watched as `leg` has `events`."""

    cdef void on_timer(self) noexcept:
        """The timer armed last has fired."""

    cdef void on_turn(self) noexcept:
        """A turn later, as asked by Loop.later."""

    cdef void on_share(self) noexcept:
        """Its share of a turn, as asked by Loop.share."""

    cdef void on_drain(self) noexcept:
        """The worker takes nobody new from now on; said to client connections."""

    cdef void on_look(self, uint32_t since) noexcept:
        """Time to see whether its peers still acknowledge; `since` milliseconds after the last time."""

    cdef void close(self) noexcept:
        """End at once; called by the loop after an error of ours, and by owners. Must be safe to call twice."""


cdef class Loop:
    """One epoll and one timer wheel. Times are milliseconds of CLOCK_MONOTONIC."""

    def __cinit__(self):
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))
        self.scratch = <uint8_t *> malloc(SCRATCH_SIZE)
        if self.scratch is NULL:
            raise MemoryError
        self.parked = []
        self.ready = []
        self.shares = []
        self.now = clock_us() // 1000
        sl_wheel_init(&self.wheel, self.now)

    def __dealloc__(self):
        free(self.scratch)
        if self.epoll >= 0:
            os.close(self.epoll)

    cdef bint watch(self, int fd, Handler handler, int leg, uint32_t events) noexcept:
        """Adds a descriptor; False with errno set where the kernel refuses."""
        cdef epoll_event event
        event.events = events
        event.data.u64 = <uint64_t> <uintptr_t> <PyObject *> handler | <uint64_t> leg
        return epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) == 0

    cdef bint rewatch(self, int fd, Handler handler, int leg, uint32_t events) noexcept:
        """Hands a watched descriptor to another handler or leg, or changes its events."""
        cdef epoll_event event
        event.events = events
        event.data.u64 = <uint64_t> <uintptr_t> <PyObject *> handler | <uint64_t> leg
        return epoll_ctl(self.epoll, EPOLL_CTL_MOD, fd, &event) == 0

    cdef void unwatch(self, int fd) noexcept:
        """For descriptors that stay open elsewhere (listeners, ZeroMQ, c-ares); closing takes the others out."""
        cdef epoll_event event
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &event)

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
                if clock_us() - began >= SHARED_TURN:
                    break
        del self.shares[:served]

    cdef void arm(self, Handler handler, uint64_t delay) noexcept:
        """Fires handler.on_timer in `delay` milliseconds, in place of an earlier arming."""
        sl_wheel_set(&self.wheel, &handler.timer, self.now + delay)

    cdef void disarm(self, Handler handler) noexcept:
        sl_wheel_cancel(&self.wheel, &handler.timer)

    cdef void settle(self, Handler handler) noexcept:
        """After a handler ran: an error of ours closes it."""
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
        cdef sl_timer *timer
        cdef list ready
        timeout = 0 if self.ready or self.shares or self.late else sl_wheel_wait(&self.wheel, self.now)
        with nogil:
            count = epoll_wait(self.epoll, events, BATCH, timeout)
        began = clock_us()
        self.now = began // 1000
        for i in range(count):
            handler = <Handler> <PyObject *> <uintptr_t> (events[i].data.u64 & ~<uint64_t> (MAX_LEGS - 1))
            if not handler.closed:
                handler.on_event(events[i].events, <int> (events[i].data.u64 & (MAX_LEGS - 1)))
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
                self.late = clock_us() - began >= TIMERS_TURN
        if self.ready:
            ready, self.ready = self.ready, []
            for handler in ready:
                handler.queued = False
                if not handler.closed:
                    handler.on_turn()
                    self.settle(handler)
        if self.shares:
            self.serve_shares(began)
        handler = None
        if self.parked:
            self.parked.clear()
        self.turns += 1
        spent = clock_us() - began
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
