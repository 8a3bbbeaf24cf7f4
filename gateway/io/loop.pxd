# The worker's event loop: one thread, one poller, intrusive timers, and the discipline by which objects end.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.segment cimport sl_segment
from gateway.c.timers cimport sl_timer, sl_wheel
from gateway.io.poller cimport MonotonicClock, Poller

cdef enum:
    SLICE_US = 200             # long work runs in slices: hardly longer than a round trip (DESIGN.md section 2)
    SCRATCH_SIZE = 65536       # the worker's one copy buffer; 16 KiB cost 1.67x (DESIGN.md section 2)

cdef uint64_t clock_us() noexcept nogil   # of the machine, whatever clock a loop has: CLOCK_MONOTONIC, microseconds

cdef class Handler:
    cdef uint8_t closed        # bool: set once by close(); everything that comes later is ignored
    cdef uint8_t queued        # bool: on the ready list
    cdef uint8_t sharing       # bool: on the list of those with more to do than one turn should hold
    cdef sl_timer timer        # one timer per object; its owner re-arms it as its state changes

    cdef void on_event(self, uint32_t events, int leg) noexcept
    cdef void on_timer(self) noexcept
    cdef void on_turn(self) noexcept
    cdef void on_share(self) noexcept
    cdef void on_drain(self) noexcept
    cdef void on_look(self, uint32_t since) noexcept
    cdef void rejudge(self) noexcept
    cdef void close(self) noexcept

# The owner of a watched descriptor. It can change hands without a system call.
cdef struct Watched:
    void *handler              # borrowed; NULL: not watched any more
    uint32_t serial            # of this watching: an event that an earlier one of the same number left is not for it
    int leg                    # number that the handler knows it by

cdef class Loop:
    cdef Poller poller
    cdef MonotonicClock clock
    cdef Watched *watched      # by descriptor, malloc'd
    cdef uint32_t watched_count
    cdef uint32_t serial       # of the last watching
    cdef bint running
    cdef bint failed           # an internal error was reported while a handler ran
    cdef sl_wheel wheel
    cdef readonly uint64_t now  # of its clock, in milliseconds; read once a turn
    cdef list parked           # closed objects, kept until no event of this turn can name them
    cdef list ready            # handlers that something is outgoing for
    cdef bint late             # timers are due that a turn had no time for
    cdef list shares           # handlers stopped by their budget: they share what time a turn leaves them
    cdef uint8_t *scratch
    cdef const uint64_t *word  # of shared memory, read at the beginning of each turn; NULL: none
    cdef uint64_t word_read    # its value there
    cdef Handler reader        # gets on_turn in the turn that finds another value
    cdef sl_segment *segment   # where turns are observed; NULL: nowhere
    cdef readonly uint64_t turns
    cdef uint64_t longest_turn            # microseconds, since it was last read
    cdef readonly uint64_t failures       # internal errors

    cdef bint watch(self, int fd, Handler handler, int leg, uint32_t events) noexcept
    cdef bint rewatch(self, int fd, Handler handler, int leg, uint32_t events) noexcept
    cdef void pass_on(self, int fd, Handler handler, int leg) noexcept
    cdef void unwatch(self, int fd) noexcept
    cdef bint make_room(self, int fd) noexcept
    cdef void keep(self, Handler handler) noexcept
    cdef void park(self, Handler handler) noexcept
    cdef void later(self, Handler handler) noexcept
    cdef void share(self, Handler handler) noexcept
    cdef void serve_ready(self, uint64_t began) noexcept
    cdef void serve_shares(self, uint64_t began) noexcept
    cdef void arm(self, Handler handler, uint64_t delay) noexcept
    cdef void disarm(self, Handler handler) noexcept
    cdef void settle(self, Handler handler) noexcept
    cdef void turn(self) noexcept
