# Who waits for a name, and how they are told.
from gateway.csrc cimport sl_addr
from gateway.dns_cache cimport Answer
from gateway.loop cimport Handler

cdef enum:
    MAX_ADDRESSES = 32         # of one answer; the rest is left out

cdef enum ResolveStatus:
    RESOLVE_FAILED = 0         # NXDOMAIN, no address, a single label that is not in /etc/hosts
    RESOLVE_OK = 1
    RESOLVE_TIMEOUT = 2        # no answer in time
    RESOLVE_FULL = 3           # not asked: too many names or waiters were there already
    RESOLVE_BROKEN = 4         # the servers cannot tell: SERVFAIL, REFUSED, FORMERR, a lame or malformed answer

cdef class Waiter(Handler):
    # Who waits for an answer. `addresses` are valid during the call only. Called at most once, maybe before known()
    # returns; never once it is closed.
    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept
    # Before that: DNS has left the question unanswered for a moment; said once, also to one that closed.
    cdef void on_slow(self) noexcept
    # Instead of that, for one that closed meanwhile: nothing is under way for it any more.
    cdef void on_left(self) noexcept

cdef class Caller(Waiter):
    cdef object callback

# Tells a waiter, unless it has closed. The addresses of each family take turns in being the first.
cdef void give(Answer answer, Waiter waiter) noexcept
