# The way from a complete request to a connected socket: decide by name, resolve, judge each address, dial.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision
from gateway.c.leg cimport sl_leg
from gateway.c.segment cimport sl_tls_side
from gateway.dial.detour cimport Detour
from gateway.dial.origination cimport Origination, OriginationStep
from gateway.dial.parent_way cimport ParentWay
from gateway.dial.race cimport Race, RaceStep
from gateway.dns.resolution cimport Resolution
from gateway.parent.parent cimport ParentStep
from gateway.state.parts cimport WorkerParts
from gateway.state.queues cimport QueueEntry
from gateway.state.record cimport Record
from gateway.state.request cimport Request
from gateway.tls.client cimport TlsClient
from gateway.tls.session cimport TlsSession

cdef class Opening(QueueEntry):
    cdef WorkerParts parts
    cdef Record record
    cdef Request request       # request that is opened; None once that is over
    cdef Race race
    cdef OpeningResolution resolution  # look-up of the name under way; None: none
    cdef ParentWay way         # way through a parent, whose addresses are the candidates; None: no parent
    cdef Detour detour         # addresses to dial in place of those asked for; None: none
    cdef Origination origination  # TLS handshake under way on `leg`; None: none
    cdef sl_leg leg            # connected leg, once it is no attempt any more; descriptor -1: none
    cdef sl_decision by_name   # decision of the name phase
    cdef uint32_t events       # events of that leg, reported and left to its next owner
    cdef uint32_t request_place  # place among the source's requests under way; 0: none
    cdef uint32_t lookup_place  # place among the source's look-ups that began a moment ago; 0: none
    cdef uint64_t began        # loop milliseconds at which the current step began
    cdef int late              # sl_outcome of a wait for a kept connection that takes too long; -1: it does not wait
    cdef bint counted          # against the rates of its listener, by this opening or one before it
    cdef int scope             # sl_scope of the limit that refuses it
    cdef uint8_t stage         # Stage
    cdef uint8_t restarts      # restarts so far, by reloads that changed the way

    # Calls on_opened or on_refused of `request` once, maybe before it returns; none after cancel().
    cdef void start(self, Request request) noexcept
    # Judges again when a generation has come; False when that refused it, or began anew.
    cdef bint review(self) noexcept
    # Its request waits for a connection that is kept, at most so many milliseconds: it is refused as `late` after that.
    cdef void wait(self, uint64_t patience, int late) noexcept
    # The request may have one now.
    cdef void go_on_pooled(self) noexcept
    # Ends without notifying the request, and without a tunnel.
    cdef void cancel(self) noexcept

    # ---- its steps -------------------------------------------------------------------------------------------------
    cdef void set_out(self) noexcept
    cdef void denied(self, int outcome) noexcept
    cdef void hold(self) noexcept
    cdef void go_on_by_name(self) noexcept
    cdef bytes host(self)
    cdef bint known(self) noexcept
    cdef void resolve(self) noexcept
    cdef void resolved(self, int status, const sl_addr *addresses, int count) noexcept
    cdef void judge(self, const sl_addr *addresses, int count) noexcept
    cdef void go_on_by_address(self) noexcept
    cdef bint leads_on(self) noexcept
    cdef bint turns_off(self) noexcept
    cdef bint reuse(self) noexcept
    cdef void set_off(self) noexcept
    cdef void dial(self) noexcept
    cdef void advance(self) noexcept
    cdef void act(self, RaceStep step) noexcept
    cdef void lost(self, int outcome) noexcept
    cdef void won(self) noexcept
    cdef bint through(self, const sl_decision *decision) noexcept
    cdef void ask(self) noexcept
    cdef void asked(self, ParentStep step) noexcept
    cdef void originate(self, TlsClient client, bytes name, sl_tls_side side) noexcept
    cdef void originated(self, OriginationStep step) noexcept
    cdef void connected(self) noexcept
    cdef void begin_tls(self, TlsClient client) noexcept
    cdef void blame_tls(self, TlsSession failed) noexcept
    cdef void opened(self) noexcept

    # ---- places ----------------------------------------------------------------------------------------------------
    cdef bint get(self, int kind) noexcept
    cdef bint reserve(self) noexcept
    cdef bint in_turn(self) noexcept
    cdef bint over(self, int outcome, int scope) noexcept

    # ---- the end ---------------------------------------------------------------------------------------------------
    cdef void restart(self) noexcept
    cdef void refuse(self, int outcome) noexcept
    cdef void finish(self) noexcept
    cdef void give_up_way(self) noexcept

# One look-up of an opening that DNS is asked for.
cdef class OpeningResolution(Resolution):
    cdef Opening opening       # until DNS has nothing more to do for it

# The opening of a complete request, to be started.
cdef Opening opening_of(WorkerParts parts, Record record)
