# The worker's event loop: one thread, one epoll, intrusive timers, and the discipline by which objects end.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.csrc cimport sl_segment, sl_timer, sl_wheel

cdef enum:
    SCRATCH_SIZE = 65536       # the worker's one copy buffer; 16 KiB cost 1.67x (DESIGN.md section 2)
    MAX_LEGS = 16              # objects are 16-byte aligned: the low bits of an epoll datum name the descriptor

cdef uint64_t clock_us() noexcept nogil   # CLOCK_MONOTONIC, microseconds

cdef class Handler:
    cdef bint closed           # set once by close(); everything that comes later is ignored
    cdef bint queued           # on the ready list
    cdef bint sharing          # on the list of those with more to do than one turn should hold
    cdef sl_timer timer        # one timer per object; its owner re-arms it as its state changes

    cdef void on_event(self, uint32_t events, int leg) noexcept
    cdef void on_timer(self) noexcept
    cdef void on_turn(self) noexcept
    cdef void on_share(self) noexcept
    cdef void on_drain(self) noexcept
    cdef void on_look(self, uint32_t since) noexcept
    cdef void close(self) noexcept

cdef class Loop:
    cdef int epoll
    cdef bint running
    cdef bint failed           # an error of ours was reported while a handler ran
    cdef sl_wheel wheel
    cdef readonly uint64_t now  # CLOCK_MONOTONIC in milliseconds, read once a turn
    cdef list parked           # closed objects, kept until no event of this turn can name them
    cdef list ready            # handlers that something is outgoing for
    cdef bint late             # timers are due that a turn had no time for
    cdef list shares           # handlers stopped by their budget: they share what time a turn leaves them
    cdef uint8_t *scratch
    cdef sl_segment *segment   # where turns are observed; NULL: nowhere
    cdef readonly uint64_t turns
    cdef uint64_t longest_turn            # microseconds, since somebody took it
    cdef readonly uint64_t failures       # errors of ours

    cdef bint watch(self, int fd, Handler handler, int leg, uint32_t events) noexcept
    cdef bint rewatch(self, int fd, Handler handler, int leg, uint32_t events) noexcept
    cdef void unwatch(self, int fd) noexcept
    cdef void keep(self, Handler handler) noexcept
    cdef void park(self, Handler handler) noexcept
    cdef void later(self, Handler handler) noexcept
    cdef void share(self, Handler handler) noexcept
    cdef void serve_shares(self, uint64_t began) noexcept
    cdef void arm(self, Handler handler, uint64_t delay) noexcept
    cdef void disarm(self, Handler handler) noexcept
    cdef void settle(self, Handler handler) noexcept
    cdef void turn(self) noexcept
