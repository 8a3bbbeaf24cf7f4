# Names to addresses: what is fixed, what is remembered, else one DNS query for all that wait for the same name.
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.dns_answer cimport sl_dns_answer
from gateway.dns.cache cimport Answer
from gateway.dns.channel cimport LEGS, Channel, NameQuery
from gateway.dns.resolution cimport MAX_ADDRESSES, RESOLVE_BROKEN, RESOLVE_FULL, RESOLVE_OK, RESOLVE_TIMEOUT, Resolution
from gateway.dns.names cimport KnownNames
from gateway.io.loop cimport Handler, Loop

cdef class Resolver(Handler):
    cdef Loop loop
    cdef object servers
    cdef uint64_t timeout      # milliseconds, as the rest: of one resolution
    cdef uint64_t min_ttl
    cdef uint64_t max_ttl
    cdef uint64_t negative_ttl
    cdef readonly KnownNames names
    cdef Channel channel       # the one that gets new queries; None until there is one
    cdef dict open             # name -> Query that has no answer yet
    cdef dict queue            # source -> deque of Query: those that wait for their turn to be sent
    cdef Py_ssize_t queued     # queries in it
    cdef int burst             # queries sent since the timer was armed
    cdef bint retired          # another resolver took over: end when the last query has
    cdef readonly int flying   # queries that c-ares holds
    cdef readonly int slow     # those of them that are not answered in a moment
    cdef readonly int waiting  # resolutions
    cdef readonly uint64_t queries      # names asked of DNS servers
    cdef readonly uint64_t joined       # look-ups that joined a query under way
    cdef readonly uint64_t failures     # queries that gave no address
    cdef readonly uint64_t overflows    # look-ups refused because too many wait
    cdef uint64_t *query_tally  # the owner's counter of queries; NULL: none

    # Joins the query for a name; begins it, for `source`, when there is none. on_resolved is called once, unless the
    # resolution closes before.
    cdef void wait(self, bytes name, Resolution resolution, uint64_t source) noexcept
    cdef Query next(self)
    cdef Channel current(self)
    cdef uint64_t lifetime(self, uint64_t seconds) noexcept
    cdef void pump(self) noexcept
    cdef void landed(self) noexcept
    cpdef void retire(self) noexcept

cdef class Query(NameQuery):
    cdef Resolver resolver
    cdef dict lookups          # Lookup -> None, in the order they came
    cdef int legs              # questions that c-ares holds
    cdef int rounds            # how often c-ares was asked again
    cdef bint sent
    cdef bint slow             # counted as such by the resolver
    cdef uint8_t replies[LEGS]  # Reply, or AWAITED
    cdef list found            # of each leg: packed sl_addr records
    cdef uint64_t deadline     # loop milliseconds
    cdef uint64_t expires      # of what was found
    cdef Answer answer         # None until it is known
    cdef list due              # those of `lookups` that get the answer
    cdef int told              # how many of `due` have

    cdef void join(self, Resolution resolution) noexcept
    cdef void send(self) noexcept
    cdef void ask(self, int leg) noexcept
    cdef void again(self) noexcept
    cdef void landed(self) noexcept
    cdef void conclude(self) noexcept
    cdef void settle(self, Answer answer) noexcept
    cdef void merge(self) noexcept
    cdef void deliver(self, int budget) noexcept

cdef class Lookup(Handler):
    # One resolution that waits for a query, until its own time is over.
    cdef Query query
    cdef Resolution resolution
    cdef uint64_t until        # loop milliseconds
    cdef bint slow             # the resolution was notified that it takes long

    cdef void finish(self, Answer answer, int without) noexcept
