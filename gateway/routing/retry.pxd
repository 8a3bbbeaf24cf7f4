# Further tries of requests, as their route wants them.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.message cimport sl_message

cdef enum:
    BUDGET_SLOTS = 10

# Retries that a route may cost: a share of its requests, and some a second whatever there are.
cdef class RetryBudget:
    cdef double ratio          # retries for each request
    cdef double minimum        # retries in the time that is counted
    cdef uint64_t slot         # milliseconds; ten of them are counted
    cdef uint64_t latest       # number of the slot that is filled
    cdef uint32_t requests[BUDGET_SLOTS]
    cdef uint32_t retries[BUDGET_SLOTS]
    cdef void turn(self, uint64_t now) noexcept
    # A request that is no retry; `now` in milliseconds of the loop.
    cdef void note(self, uint64_t now) noexcept
    # Whether one more retry may be; it is counted where it may.
    cdef bint take(self, uint64_t now) noexcept

cdef class Retry:
    cdef frozenset codes       # statuses after which there is another try
    cdef frozenset grpc        # those of gRPC, as text
    cdef uint32_t attempts     # tries beyond the first
    cdef uint64_t backoff      # milliseconds; the shortest wait
    cdef uint64_t timeout      # milliseconds of one try; 0: none of its own
    cdef bint any_method       # also those that are not idempotent
    cdef RetryBudget budget
    # Whether a request may be sent twice: by its method, and as it asks for no other protocol.
    cdef bint suits(self, const sl_message *request) noexcept
    # Whether a response calls for another try; `ends`: it has no content.
    cdef bint follows(self, const sl_message *response, bint ends) noexcept
    # Milliseconds before try number `tries` + 1: the back-off doubles, and up to half of it is added by chance.
    cdef uint64_t pause(self, unsigned tries, uint64_t draw) noexcept

cdef enum AttemptStep:
    ATTEMPT_NONE = 0           # there is no further one
    ATTEMPT_LIMITED = 1        # there would be, and the budget is used up
    ATTEMPT_WAITS = 2          # it begins at `at`

# The tries of one request.
cdef class Attempts:
    cdef Retry retry
    cdef uint32_t left
    cdef uint32_t made         # beyond the first
    cdef uint64_t at           # loop milliseconds at which the next one begins; 0: none waits
    # After one that failed at `now`; `latest`: the request's own limit, 0: none.
    cdef AttemptStep next(self, uint64_t now, uint64_t latest, uint64_t draw) noexcept

# Of a request that is sent for the first time, and counted; None: there is one try.
cdef Attempts attempts_of(Retry retry, const sl_message *request, uint64_t now)
