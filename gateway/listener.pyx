"""One inherited listening socket: accepts in bounded batches, and rests while descriptors run short.

* A client is accepted only while there are descriptors for it and for what will be dialed for it, so whoever was
  accepted can be served; the others wait in the queue, where a sibling finds them.
* Nobody is turned away before its request was read: limits of sources are for requests (opening.pyx).

Level-triggered on purpose: a batch that stopped at its bound is reported again in the next turn, and a sibling's
socket that this worker watches for a while (ADOPT) needs no hand-over of state.
"""

import os

from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memmove, memset

from gateway.connection cimport Connection
from gateway.csrc cimport (
    SL_COUNTER_ACCEPTED, SL_SCOPE_DESCRIPTORS, sl_addr, sl_addr_from_sockaddr, sockaddr, sockaddr_storage, socklen_t,
)
from gateway.sockets cimport EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4, tune

cdef enum:
    ACCEPT_BATCH = 64          # connections of one socket in one turn
    DRAIN_BATCHES = 80         # of one socket when the worker drains: more than the supervisor's backlog
    REST = 50                  # milliseconds without accepting when there is no descriptor or memory left
    FILES_KEPT = 64            # descriptors left to others: look-ups, further attempts of a race, files read and closed
    RESUME = 16                # clients there must be room for before accepting goes on


cdef void unmap(sl_addr *peer) noexcept:
    """A dual-stack socket shows IPv4 peers as ::ffff:a.b.c.d; policy and logs know them as a.b.c.d."""
    cdef int i
    for i in range(10):
        if peer.bytes[i] != 0:
            return
    if peer.family != 6 or peer.bytes[10] != 0xFF or peer.bytes[11] != 0xFF:
        return
    memmove(peer.bytes, peer.bytes + 12, 4)
    memset(peer.bytes + 4, 0, 12)
    peer.family = 4


cdef class Listener(Handler):
    """Accepts for one worker from the socket `fd` of listener `index`; the descriptor stays open after close."""

    def __init__(self, Context context, int fd, int index):
        self.context = context
        self.fd = fd
        self.index = index
        self.closed = True

    def open(self):
        """Starts accepting."""
        if self.closed:
            tune(self.fd, self.context.keep_alive)
            if not self.context.loop.watch(self.fd, self, 0, EPOLLIN):
                raise OSError(errno, os.strerror(errno))
            self.closed = False
            self.context.loop.keep(self)

    def shut(self):
        """Stops accepting; what waits in the queue stays there for whoever accepts from the socket next."""
        self.close()

    def drain_queue(self):
        """Accepts what waits in the queue now, so that nobody who was told "connected" by the kernel is reset.
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
            tune(self.fd, self.context.keep_alive)

    cdef bint accept_batch(self) noexcept:
        """Whether more may wait: the batch was full."""
        cdef sockaddr_storage storage
        cdef socklen_t length
        cdef sl_addr peer
        cdef uint16_t port
        cdef int fd, code, _next
        if self.context.full and self.context.has_files(RESUME, 0, FILES_KEPT):
            self.context.set_full(False)
        for _next in range(ACCEPT_BATCH):
            if not self.emptying and not self.context.has_files(1, 0, FILES_KEPT):
                if not self.context.full:
                    self.context.limited(SL_SCOPE_DESCRIPTORS)
                    self.context.set_full(True)
                self.rest()
                return False
            length = sizeof(storage)
            fd = accept4(self.fd, <sockaddr *> &storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                code = errno
                if code == EINTR or code == ECONNABORTED:
                    continue
                if code in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    self.context.limited(SL_SCOPE_DESCRIPTORS)
                    if code == EMFILE:  # a limit lowered from outside: siblings may have room
                        self.context.ask_file_limit()
                        self.context.set_full(True)
                    self.rest()
                return False
            self.context.count(SL_COUNTER_ACCEPTED)
            memset(&peer, 0, sizeof(peer))
            sl_addr_from_sockaddr(<sockaddr *> &storage, &peer, &port)
            unmap(&peer)
            self.take(fd, &peer, port)
        return True

    cdef void take(self, int fd, const sl_addr *peer, uint16_t port) noexcept:
        """A connection for `fd`."""
        cdef Connection connection = Connection(self.context, fd, self.index)
        connection.peer = peer[0]
        connection.peer_port = port
        connection.source = self.context.source_of(peer)
        connection.enter()

    cdef void rest(self) noexcept:
        """Leaves the queue alone for a moment instead of spinning on it."""
        if not self.closed:
            self.context.loop.rewatch(self.fd, self, 0, 0)
            self.context.loop.arm(self, REST)

    cdef void on_timer(self) noexcept:
        """Goes on, once there is room for more than one: it must not stop and go with every client that leaves."""
        if self.context.full:
            self.context.ask_file_limit()
            if not self.context.has_files(RESUME, 0, FILES_KEPT):
                self.rest()
                return
        self.context.set_full(False)
        self.context.loop.rewatch(self.fd, self, 0, EPOLLIN)

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.context.loop.unwatch(self.fd)
            self.context.loop.park(self)
