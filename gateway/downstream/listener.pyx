"""One listening socket: accepts in bounded batches, and rests while descriptors run short.

* A client is accepted only while there are descriptors for it and for what will be dialed for it, so an
  accepted client can be served; the others wait in the queue, where a sibling finds them.
* No client is turned away before its request was read: limits of sources are for requests (opening.pyx).

Level-triggered on purpose: a batch that stopped at its bound is reported again in the next turn, and a sibling's
socket that this worker watches for a while (ADOPT) needs no hand-over of state.
"""

import os

cimport cython
from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from gateway.downstream.stream_connection cimport StreamConnection
from gateway.state.speakers cimport source_of, unmap
from gateway.c.addr cimport sl_addr, sl_addr_from_sockaddr
from gateway.c.segment cimport SL_COUNTER_ACCEPTED, SL_SCOPE_DESCRIPTORS
from gateway.c.socket cimport sockaddr, sockaddr_storage, socklen_t
from gateway.io.loop cimport clock_us
from gateway.io.sockets cimport EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, tune

cdef enum:
    ACCEPT_BATCH = 64          # connections of one socket in one turn
    ACCEPTS_LOOK = 8           # of them between two looks at the clock
    ACCEPTS_TURN = 2000        # microseconds of a turn, after which the others wait for the next
    DRAIN_BATCHES = 80         # of one socket when the worker drains: more than the supervisor's backlog
    REST = 50                  # milliseconds without accepting when there is no descriptor or memory left
    FILES_KEPT = 64            # descriptors left to others: look-ups, further attempts of a race, files read and closed
    RESUME = 16                # clients there must be room for before accepting goes on


@cython.final
cdef class Listener(Handler):
    """Accepts for one worker from the socket `fd` of listener `index`, which a generation may change; the descriptor
    stays open after close."""

    def __init__(self, WorkerParts parts, int fd, int index):
        self.parts = parts
        self.fd = fd
        self.index = index
        self.closed = True

    def open(self):
        """Starts accepting."""
        if self.closed:
            tune(self.fd, self.parts.settings.keep_alive)
            if not self.parts.loop.watch(self.fd, self, 0, EPOLLIN):
                raise OSError(errno, os.strerror(errno))
            self.closed = False
            self.parts.loop.keep(self)

    def shut(self):
        """Stops accepting; what waits in the queue stays there for the worker that accepts from the socket next."""
        self.close()

    def drain_queue(self):
        """Accepts what waits in the queue now, so that no client whose handshake the kernel completed is reset.
        Bounded by what a queue can hold: where new ones come as fast as they are taken it would not end. They are to
        be refused, so nothing is kept back for what would be dialed for them."""
        cdef int _batch
        self.emptying = True
        for _batch in range(DRAIN_BATCHES):
            if self.closed or not self.accept_batch():
                return

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        self.accept_batch()

    def set_options(self):
        """Options that what is accepted from now on inherits; limits.keepAlive may change with a generation."""
        if not self.closed:
            tune(self.fd, self.parts.settings.keep_alive)

    cdef bint accept_batch(self) noexcept:
        """Whether more may wait: the batch was full."""
        cdef sockaddr_storage storage
        cdef socklen_t length
        cdef sl_addr peer
        cdef uint16_t port
        cdef int fd, code, _next
        if self.parts.files.full and self.parts.files.has_room(RESUME, 0, FILES_KEPT):
            self.parts.files.set_full(False)
        for _next in range(ACCEPT_BATCH):
            if not self.emptying and not self.parts.files.has_room(1, 0, FILES_KEPT):
                if not self.parts.files.full:
                    self.parts.meter.limited(SL_SCOPE_DESCRIPTORS)
                    self.parts.files.set_full(True)
                self.rest()
                return False
            length = sizeof(storage)
            fd = accept4(self.fd, <sockaddr *> &storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                code = errno
                if code == EINTR or code == ECONNABORTED:
                    continue
                if code in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    self.parts.meter.limited(SL_SCOPE_DESCRIPTORS)
                    if code == EMFILE:  # a limit lowered from outside: siblings may have room
                        self.parts.files.ask_limit()
                        self.parts.files.set_full(True)
                    self.rest()
                return False
            self.parts.meter.count(SL_COUNTER_ACCEPTED)
            memset(&peer, 0, sizeof(peer))
            sl_addr_from_sockaddr(<sockaddr *> &storage, &peer, &port)
            unmap(&peer)
            self.take(fd, &peer, port)
            if _next % ACCEPTS_LOOK == ACCEPTS_LOOK - 1 and clock_us() >= self.parts.loop.now * 1000 + ACCEPTS_TURN \
                    and not self.emptying:
                break
        return True

    cdef void take(self, int fd, const sl_addr *peer, uint16_t port) noexcept:
        """A connection for `fd`."""
        cdef StreamConnection connection = StreamConnection.__new__(StreamConnection)
        connection.parts = self.parts
        connection.listener = <uint8_t> self.index
        connection.peer = peer[0]
        connection.peer_port = port
        connection.source = source_of(self.parts, peer)
        connection.enter(fd)

    cdef void rest(self) noexcept:
        """Leaves the queue alone for a moment instead of spinning on it."""
        if not self.closed:
            self.parts.loop.rewatch(self.fd, self, 0, 0)
            self.parts.loop.arm(self, REST)

    cdef void on_timer(self) noexcept:
        """Goes on, once there is room for more than one: it must not stop and go with every client that leaves."""
        if self.parts.files.full:
            self.parts.files.ask_limit()
            if not self.parts.files.has_room(RESUME, 0, FILES_KEPT):
                self.rest()
                return
        self.parts.files.set_full(False)
        self.parts.loop.rewatch(self.fd, self, 0, EPOLLIN)

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.parts.loop.unwatch(self.fd)
            self.parts.loop.park(self)
