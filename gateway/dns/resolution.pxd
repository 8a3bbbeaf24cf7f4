# A request that waits for a name, and how it is notified.
from gateway.c.addr cimport sl_addr
from gateway.dns.cache cimport Answer
from gateway.io.loop cimport Handler

cdef enum:
    MAX_ADDRESSES = 32         # of one answer; the rest is left out

cdef enum ResolveStatus:
    RESOLVE_FAILED = 0         # NXDOMAIN, no address, a single label that is not in /etc/hosts
    RESOLVE_OK = 1
    RESOLVE_TIMEOUT = 2        # no answer in time
    RESOLVE_FULL = 3           # not asked: too many names or resolutions were there already
    RESOLVE_BROKEN = 4         # the servers cannot tell: SERVFAIL, REFUSED, FORMERR, a lame or malformed answer
    RESOLVE_UNKNOWN = 5        # not known yet: a query is needed

cdef class Resolution(Handler):
    # Waits for an answer. `addresses` are valid during the call only. Called at most once, maybe before wait()
    # returns; never once it is closed.
    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept
    # Before that: DNS has left the question unanswered for a moment; called once, also for one that closed.
    cdef void on_slow(self) noexcept
    # Instead of that, for one that closed before: nothing is under way for it any more.
    cdef void on_left(self) noexcept

cdef class CallbackResolution(Resolution):
    cdef object callback

# The addresses of an answer; their number. Those of each family take turns in being the first.
cdef int turned(Answer answer, sl_addr *addresses) noexcept
# Notifies a resolution, unless it has closed.
cdef void give(Answer answer, Resolution resolution) noexcept
