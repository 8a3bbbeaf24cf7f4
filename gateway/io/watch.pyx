"""Python callbacks on the loop, for what is rare: the bus, the channel, a clock. Connections never come here."""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from gateway.io.sockets cimport EPOLLIN


cdef class Watch(Handler):
    """Calls `callback()` whenever `fd` is readable or has ended (level-triggered), and a turn after again()."""

    def __init__(self, Loop loop, int fd, callback):
        self.loop = loop
        self.fd = fd
        self.callback = callback
        if not loop.watch(fd, self, 0, EPOLLIN):
            raise OSError(errno, os.strerror(errno))
        loop.keep(self)

    def again(self):
        """One more call before the loop waits."""
        self.loop.later(self)

    def stop(self):
        """No more calls; the descriptor stays open."""
        self.close()

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        self.callback()

    cdef void on_turn(self) noexcept:
        self.callback()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.loop.unwatch(self.fd)
            self.loop.park(self)


cdef class Word(Handler):
    """Calls `callback()` in each turn that finds the first u64 of `memory` changed, before any event of that turn.

    A change wakes no loop: the writer has to.
    """

    def __init__(self, Loop loop, memory, callback):
        cdef const unsigned char[::1] view = memory
        if view.shape[0] < <Py_ssize_t> sizeof(uint64_t):
            raise ValueError("the shared word is missing")
        self.loop = loop
        self.memory = memory
        self.callback = callback
        loop.word = <const uint64_t *> <const void *> &view[0]
        loop.word_read = loop.word[0]
        loop.reader = self

    @property
    def value(self):
        """As it stands."""
        return self.loop.word[0]

    cdef void on_turn(self) noexcept:
        self.callback()

    cdef void close(self) noexcept:
        # An error in one call is counted by the loop and must not end the looks.
        pass


cdef class Clock(Handler):
    """Calls `callback()` after `delay` seconds from start(), then each `period` seconds when that is not 0."""

    def __init__(self, Loop loop, callback, double period=0):
        self.loop = loop
        self.callback = callback
        self.period = period
        loop.keep(self)

    def start(self, double delay):
        """Arms, or arms again."""
        self.loop.arm(self, <uint64_t> (delay * 1000))

    def stop(self):
        """Not fired until the next start()."""
        self.loop.disarm(self)

    cdef void on_timer(self) noexcept:
        if self.period > 0:
            self.loop.arm(self, <uint64_t> (self.period * 1000))
        self.callback()

    cdef void close(self) noexcept:
        # An error in one call is counted by the loop and must not stop a clock.
        pass
