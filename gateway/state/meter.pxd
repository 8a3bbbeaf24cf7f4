# The counters of a worker, in its slot's segment of shared memory, and the numbers of its requests.
from libc.stdint cimport uint64_t

from gateway.c.segment cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_PROTOCOL_ERRORS, sl_counter, sl_family, sl_label_key, sl_segment,
    sl_segment_labelled,
)
from gateway.io.loop cimport Loop

cdef class Meter:
    cdef Loop loop
    cdef sl_segment *segment
    cdef object mapping        # keeps the segment mapped
    cdef readonly int slot
    cdef readonly str prefix   # of request ids: "<slot>-<start>-"
    cdef uint64_t sequence     # of the last request
    cdef uint64_t published_turns     # figures of the loop that the segment holds
    cdef uint64_t published_failures

    cdef inline void count(self, sl_counter counter) noexcept:
        self.segment.counters[<unsigned> counter] += 1

    cdef inline uint64_t *labelled(self, sl_family family, unsigned a, unsigned b, unsigned c, unsigned slot) noexcept:
        return sl_segment_labelled(self.segment, sl_label_key(family, a, b, c, slot))

    cdef inline void set_gauge(self, sl_counter counter, uint64_t value) noexcept:
        self.segment.counters[<unsigned> counter] = value

    cdef inline void add(self, sl_counter counter, uint64_t amount) noexcept:
        self.segment.counters[<unsigned> counter] += amount

    # A peer has broken a rule of its protocol; `outcome` is the reason that the metric shows.
    cdef inline void broke_rules(self, unsigned protocol, unsigned outcome) noexcept:
        self.count(SL_COUNTER_PROTOCOL_ERRORS)
        self.labelled(SL_FAMILY_PROTOCOL_ERRORS, protocol, outcome, 0, 0)[0] += 1

    # The number of a new request, which its id ends in.
    cdef inline uint64_t number(self) noexcept:
        self.sequence += 1
        return self.sequence

    # A request was refused for a limit; `scope` is an sl_scope.
    cdef void limited(self, int scope) noexcept
