"""One inherited listening socket: accepts in bounded batches, and rests when descriptors run out.

Level-triggered on purpose: a batch that stopped at its bound is reported again in the next turn, and a sibling's
socket that this worker watches for a while (ADOPT) needs no hand-over of state.
"""

import os

from libc.errno cimport ECONNABORTED, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, errno
from libc.stdint cimport uint32_t
from libc.string cimport memmove, memset

from gateway.connection cimport Connection
from gateway.csrc cimport (
    SL_COUNTER_ACCEPTED, SL_COUNTER_LIMITED, sl_addr, sl_addr_from_sockaddr, sockaddr, sockaddr_storage, socklen_t,
)
from gateway.sockets cimport EPOLLIN, SOCK_CLOEXEC, SOCK_NONBLOCK, accept4

cdef enum:
    ACCEPT_BATCH = 64          # connections of one socket in one turn
    DRAIN_BATCHES = 80         # of one socket when the worker drains: more than the supervisor's backlog
    REST = 50                  # milliseconds without accepting after the kernel had no descriptor or memory to give


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
            if not self.context.loop.watch(self.fd, self, 0, EPOLLIN):
                raise OSError(errno, os.strerror(errno))
            self.closed = False
            self.context.loop.keep(self)

    def shut(self):
        """Stops accepting; what waits in the queue stays there for whoever accepts from the socket next."""
        self.close()

    def drain_queue(self):
        """Accepts what waits in the queue now, so that nobody who was told "connected" by the kernel is reset.
        Bounded by what a queue can hold: where new ones come as fast as they are taken it would not end."""
        cdef int _batch
        for _batch in range(DRAIN_BATCHES):
            if self.closed or not self.accept_batch():
                return

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        self.accept_batch()

    cdef bint accept_batch(self) noexcept:
        """Whether more may wait: the batch was full."""
        cdef sockaddr_storage storage
        cdef socklen_t length
        cdef Connection connection
        cdef int fd, _next
        for _next in range(ACCEPT_BATCH):
            length = sizeof(storage)
            fd = accept4(self.fd, <sockaddr *> &storage, &length, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EINTR or errno == ECONNABORTED:
                    continue
                if errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    self.context.count(SL_COUNTER_LIMITED)
                    self.rest()
                return False
            self.context.count(SL_COUNTER_ACCEPTED)
            connection = Connection(self.context, fd, self.index)
            sl_addr_from_sockaddr(<sockaddr *> &storage, &connection.peer, &connection.peer_port)
            unmap(&connection.peer)
            connection.enter()
        return True

    cdef void rest(self) noexcept:
        """Out of descriptors: leave the queue alone for a moment instead of spinning on it."""
        self.resting = True
        self.context.loop.rewatch(self.fd, self, 0, 0)
        self.context.loop.arm(self, REST)

    cdef void on_timer(self) noexcept:
        self.resting = False
        self.context.loop.rewatch(self.fd, self, 0, EPOLLIN)

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.context.loop.unwatch(self.fd)
            self.context.loop.park(self)
