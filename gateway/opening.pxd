# The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.
from libc.stdint cimport uint8_t, uint32_t

from gateway.context cimport Generation
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
    cdef void rejudge_opening(self) noexcept          # a new generation: what has no answer yet is judged by it

# How far it has come, and so what a new generation has to judge again.
cdef enum Stage:
    STAGE_NAME = 0             # the name may be asked for
    STAGE_RESOLVING = 1        # its addresses are looked up
    STAGE_ADDRESS = 2          # the candidates are those that may be dialed
    STAGE_PARENT = 3           # the candidates are a parent's

cdef class Opening(Race):
    cdef Requester requester
    cdef bint audit            # the listener's
    cdef sl_decision by_name
    cdef Parent parent         # whom the candidates lead to; None: to the destination itself
    cdef Introduction asking   # the parent is being asked
    cdef Passage passage       # or a way to it through a shared connection
    cdef uint32_t request_place  # among the source's requests under way
    cdef uint32_t lookup_place  # among its look-ups that began a moment ago
    cdef uint8_t stage         # Stage
    cdef uint8_t restarts      # how often a reload changed its way

    cdef void start(self) noexcept
    cdef void set_out(self) noexcept
    cdef bint get(self, int kind) noexcept
    cdef void go_on_by_name(self) noexcept
    cdef void resolve(self) noexcept
    cdef void go_on_by_address(self) noexcept
    # Judges again when a generation has come; False when that refused it, or began anew.
    cdef bint review(self) noexcept
    # The parts of review(), by stage.
    cdef bint review_addresses(self, Generation before) noexcept
    cdef bint review_parent(self, Generation before) noexcept
    cdef bint same_way(self, Generation before, const sl_decision *one, const sl_decision *other)
    cdef void forbid(self, int candidate) noexcept
    cdef void restart(self) noexcept
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
    cdef void give_up_way(self) noexcept
    cdef void cancel(self) noexcept
