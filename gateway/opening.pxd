# The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.
from libc.stdint cimport uint32_t

from gateway.csrc cimport sl_addr, sl_decision
from gateway.logins cimport Credentials
from gateway.parent cimport Introduction, Parent, Passage
from gateway.race cimport Race
from gateway.sockets cimport EPOLLET, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP

cdef enum:
    DIALED = 8                 # see takes_bare; one leg for each attempt of a Race
    LEG_EVENTS = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET   # asked for once, while a leg lives

# Whoever asked: a SOCKS or HTTP/1 connection, later an HTTP/2 stream. Exactly one of the two is called, once.
cdef class Requester(Credentials):
    # Takes sockets as they are: watched as its own legs DIALED and up while they are dialed, whose events it passes on
    # to the Opening, and without what a connection needs only when it lasts (keep_alive of sockets.pxd). It saves six
    # system calls a tunnel. Otherwise, and when a parent is asked, the Opening watches them until they are rewatched.
    cdef bint takes_bare
    cdef Passage passage       # what the upstream descriptor leads to; None: a socket of its own
    cdef void on_opened(self, int fd) noexcept        # connected, and watched
    cdef void on_refused(self, int outcome) noexcept  # sl_outcome
    cdef void on_cut(self) noexcept                   # later: the passage has broken, what was received before stands

cdef class Opening(Race):
    cdef Requester requester
    cdef bint audit            # the listener's
    cdef sl_decision by_name
    cdef Parent parent         # whom the candidates lead to; None: to the destination itself
    cdef Introduction asking   # the parent is being asked
    cdef Passage passage       # or a way to it through a shared connection
    cdef uint32_t lookup_place  # among its look-ups in flight

    cdef void start(self) noexcept
    cdef bint reserve(self) noexcept
    cdef bint over(self, int outcome, int scope) noexcept
    cdef void judge(self, const sl_addr *addresses, int count) noexcept
    cdef void decide(self, const sl_addr *address, sl_decision *out) noexcept
    cdef bint through(self, const sl_decision *decision) noexcept
    cdef void race(self) noexcept
    cdef void ask(self) noexcept
    cdef void ask_passage(self) noexcept
    cdef void opened(self) noexcept
    cdef void refuse(self, int outcome) noexcept
    cdef void finish(self) noexcept
    cdef void cancel(self) noexcept
