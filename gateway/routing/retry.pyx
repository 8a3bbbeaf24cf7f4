"""Further tries of requests, as their route wants them. See retry.pxd.

Idempotent are the methods that RFC 9110 section 9.2.2 calls so. A budget is that of Linkerd's ServiceProfile and of
Gateway API's retryConstraint: at most a share of the requests of the last seconds, and a few a second beyond, so that
an origin in trouble gets hardly more load by retries. Each worker counts its own.
"""

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memset

from gateway.c.message cimport sl_message_at, sl_message_find_name
from gateway.proto.message cimport is_method

cdef enum:
    BACKOFF = 25               # milliseconds, where the route says nothing
    DOUBLINGS = 6              # of the back-off
    BUDGET = 10000             # milliseconds that are counted

cdef double SHARE = 0.2        # of requests, where the route has no budget
cdef double A_SECOND = 10.0    # likewise, retries
# As `retry.linkerd.io/grpc` names statuses of gRPC.
cdef dict GRPC = {"cancelled": b"1", "deadline-exceeded": b"4", "resource-exhausted": b"8", "internal": b"13",
                  "unavailable": b"14"}


@cython.final
cdef class RetryBudget:
    """`ratio`: retries for each request; `a_second`: retries that need none; `length`: milliseconds to look back."""

    def __init__(self, double ratio, double a_second, uint64_t length):
        self.ratio, self.slot = ratio, max(1, length // BUDGET_SLOTS)
        self.minimum = a_second * length / 1000

    cdef void turn(self, uint64_t now) noexcept:
        """The slots that have begun since are empty."""
        cdef uint64_t number = now // self.slot
        if number >= self.latest + BUDGET_SLOTS:
            memset(self.requests, 0, sizeof(self.requests))
            memset(self.retries, 0, sizeof(self.retries))
            self.latest = number
        while self.latest < number:
            self.latest += 1
            self.requests[self.latest % BUDGET_SLOTS] = self.retries[self.latest % BUDGET_SLOTS] = 0

    cdef void note(self, uint64_t now) noexcept:
        self.turn(now)
        self.requests[self.latest % BUDGET_SLOTS] += 1

    cdef bint take(self, uint64_t now) noexcept:
        cdef uint64_t requests = 0, retries = 0
        cdef int i
        self.turn(now)
        for i in range(BUDGET_SLOTS):
            requests += self.requests[i]
            retries += self.retries[i]
        if retries + 1 > self.ratio * requests + self.minimum:
            return False
        self.retries[self.latest % BUDGET_SLOTS] += 1
        return True


@cython.final
cdef class Retry:
    """`given`: {codes, attempts, backoff, grpc, timeout, any_method, budget}."""

    def __init__(self, given):
        share, a_second, length = given.get("budget") or (SHARE, A_SECOND, BUDGET)
        self.codes = frozenset(given.get("codes", ()))
        self.grpc = frozenset([GRPC[name] for name in given.get("grpc", ())])
        self.attempts = given.get("attempts") or 1
        self.backoff = BACKOFF if given.get("backoff") is None else given["backoff"]
        self.timeout = given.get("timeout") or 0
        self.any_method = given.get("any_method", False)
        self.budget = RetryBudget(share, a_second, length)

    cdef bint suits(self, const sl_message *request) noexcept:
        if request.upgrades:
            return False
        return self.any_method or (
            is_method(request, b"GET", 3) or is_method(request, b"HEAD", 4) or is_method(request, b"PUT", 3)
            or is_method(request, b"DELETE", 6) or is_method(request, b"OPTIONS", 7)
            or is_method(request, b"TRACE", 5))

    cdef bint follows(self, const sl_message *response, bint ends) noexcept:
        cdef int at
        if response.status in self.codes:
            return True
        if not self.grpc or not ends:
            return False
        at = sl_message_find_name(response, b"grpc-status", 11, 0)
        return at >= 0 and sl_message_at(response, response.fields[at].value)[:response.fields[at].value.length] in (
            self.grpc)

    cdef uint64_t pause(self, unsigned tries, uint64_t draw) noexcept:
        cdef uint64_t wait = self.backoff << min(max(tries, 1) - 1, <unsigned> DOUBLINGS)
        return wait + (draw % (wait // 2 + 1))


cdef Attempts attempts_of(Retry retry, const sl_message *request, uint64_t now):
    cdef Attempts made
    retry.budget.note(now)
    if not retry.suits(request):
        return None
    made = Attempts.__new__(Attempts)
    made.retry, made.left = retry, retry.attempts
    return made


@cython.final
cdef class Attempts:
    """Made by attempts_of()."""

    cdef AttemptStep next(self, uint64_t now, uint64_t latest, uint64_t draw) noexcept:
        cdef uint64_t at
        if self.left == 0:
            return ATTEMPT_NONE
        at = now + self.retry.pause(self.made + 1, draw)
        if latest and at >= latest:
            return ATTEMPT_NONE
        if not self.retry.budget.take(now):
            self.left = 0
            return ATTEMPT_LIMITED
        self.left -= 1
        self.made += 1
        self.at = at
        return ATTEMPT_WAITS
