"""The connections to each parent gateway of type http2tunnel. See parent_pool.pxd.

* A request gets a stream of the first connection that has one free; a new connection is dialed when none has.
* A connection takes requests once the parent's SETTINGS came, which say how many it carries.
* After a failure (no connection, no SETTINGS, a broken protocol, an end before any answer) nobody dials for 100 ms,
  after each further one for twice as long, up to 5 s; requests are refused meanwhile as that failure was. The first
  answer ends it.
* A reload that changes or drops a parent leaves its pool to the tunnels it has.
"""

import base64

from libc.stdint cimport uint32_t, uint64_t

from gateway.csrc cimport (
    SL_COUNTER_PARENTS_FAILED, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT,
    SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_INTERNAL, SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_REFUSED,
    SL_OUTCOME_UPSTREAM_FAILED, SL_REASON_SOURCE_ADDRESS,
)
from gateway.parent cimport Introduced, Passage
from gateway.race cimport Candidate

cdef enum:
    BACKOFF_FIRST = 100        # milliseconds
    BACKOFF_LAST = 5000
    FILES_KEPT = 16            # descriptors that are left to others

cdef dict FAILURES = {
    SL_OUTCOME_REFUSED: "the connection was refused",
    SL_OUTCOME_DIAL_TIMEOUT: "no connection in time",
    SL_OUTCOME_HOST_UNREACHABLE: "the host is unreachable",
    SL_OUTCOME_NET_UNREACHABLE: "the network is unreachable",
    SL_OUTCOME_GATEWAY_LIMIT: "the gateway has run out of descriptors, source ports or memory",
    SL_OUTCOME_ADDRESS_PROHIBITED: "the parent's address is this gateway",
}


cdef class ParentDial(Race):
    """Made by a pool, with (context, pool). It has no record: what it dials is for whoever comes."""

    def __cinit__(self, Context context, ParentPool pool):
        self.pool = pool

    cdef void start(self) noexcept:
        cdef Parent parent = self.pool.parent
        cdef int i
        self.context.loop.keep(self)
        self.context.files_apart += 1
        if not self.enter(parent.count):
            self.lost(SL_OUTCOME_INTERNAL)
            return
        for i in range(parent.count):
            self.candidates[i].address = parent.addresses[i]
            self.candidates[i].port = parent.ports[i]
        self.candidate_count = parent.count
        self.run()

    cdef bint may_dial(self, int leg) noexcept:
        return self.context.has_files(0, 1 if self.dialing else 0, FILES_KEPT)

    cdef SourcePool sources(self, const Candidate *candidate):
        return self.pool.source

    cdef void sourceless(self) noexcept:
        self.pool.reason = SL_REASON_SOURCE_ADDRESS

    cdef void won(self, const Candidate *candidate) noexcept:
        cdef ParentPool pool = self.pool
        cdef int fd = self.fds[self.winner]
        self.fds[self.winner] = -1
        self.finish()
        pool.dialed(fd)

    cdef void lost(self, int outcome) noexcept:
        cdef ParentPool pool = self.pool
        if self.closed:
            return
        self.finish()
        pool.dial = None
        # A source's own limits are not in question here: what stopped it is the gateway's.
        detail = "no source address can be used" if pool.reason >= 0 else FAILURES.get(outcome, "it cannot be reached")
        if outcome == SL_OUTCOME_ADDRESS_PROHIBITED:
            outcome = SL_OUTCOME_UPSTREAM_FAILED
        pool.failed(outcome, pool.reason, detail)

    cdef void finish(self) noexcept:
        """The end, without telling anybody."""
        self.closed = True
        self.pool = None
        self.winner = -1
        self.close_attempts()
        self.context.files_apart -= 1
        self.context.loop.park(self)

    cdef void close(self) noexcept:
        """An error of ours on the way."""
        self.lost(SL_OUTCOME_INTERNAL)


cdef class ParentPool(ParentHome):
    """Made by SharedPassages. It acts in a turn of its own: nobody is told anything while he asks."""

    def __cinit__(self, Context context, SharedPassages shared, Parent parent, SourcePool source, tuple key):
        self.context, self.shared, self.parent, self.source, self.key = context, shared, parent, source, key
        self.connections = []
        self.waiting = {}
        self.reason = -1

    cdef void queue(self, ParentStream stream) noexcept:
        self.waiting[stream] = None
        self.context.loop.later(self)

    cdef void unqueue(self, ParentStream stream) noexcept:
        self.waiting.pop(stream, None)

    cdef void on_turn(self) noexcept:
        self.serve()

    cdef void serve(self) noexcept:
        """Gives streams to those who wait, as far as there are, and sees to it that there will be more."""
        cdef ParentConnection connection
        cdef ParentStream stream
        while self.waiting:
            connection = self.pick()
            if connection is None:
                break
            stream = next(iter(self.waiting))
            del self.waiting[stream]
            connection.asked = True
            if not stream.go(connection):
                stream.refused(SL_OUTCOME_INTERNAL, -1)
        if self.waiting and self.dial is None and self.opening is None:
            if self.failures and self.context.loop.now < self.retry_at:
                self.refuse_all()
            else:
                self.begin()
        if self.retired and not self.waiting:
            for connection in list(self.connections):
                connection.retire()
            if self.is_empty():
                self.shared.forget(self)

    cdef bint is_empty(self) noexcept:
        return not self.waiting and not self.connections and self.opening is None and self.dial is None

    cdef ParentConnection pick(self):
        """The first one with a free stream: so the last ones become idle when there is less to do, and end."""
        cdef ParentConnection connection
        for connection in self.connections:
            if connection.room():
                return connection
        return None

    cdef void refuse_all(self) noexcept:
        """Those who wait now."""
        cdef ParentStream stream
        cdef list refused = list(self.waiting)
        self.waiting.clear()
        for stream in refused:
            stream.refused(self.outcome, self.reason)

    # ---- connections -------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept:
        self.reason = -1
        if not self.context.has_files(0, 1, FILES_KEPT):
            self.failed(SL_OUTCOME_GATEWAY_LIMIT, -1, FAILURES[SL_OUTCOME_GATEWAY_LIMIT])
            return
        self.dial = ParentDial(self.context, self)
        self.dial.start()

    cdef void dialed(self, int fd) noexcept:
        self.dial = None
        if self.shared.buffers is None:
            self.shared.buffers = ParentBuffers()
        self.opening = ParentConnection(self.context, self, self.shared.buffers, fd)
        if not self.opening.start():
            self.opening = None
            self.failed(SL_OUTCOME_INTERNAL, -1, "an error of ours")

    cdef void on_room(self, ParentConnection connection) noexcept:
        if connection is self.opening:
            self.opening = None
            if connection.session.peer.streams == 0:
                connection.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it allows no streams")
                connection.leave()
                return
            self.connections.append(connection)
        if self.waiting or self.retired:
            self.context.loop.later(self)

    cdef void on_proved(self, ParentConnection connection) noexcept:
        if self.failures:
            self.failures = 0
            self.shared.report(self.parent.name, True, "it answers again")

    cdef void on_gone(self, ParentConnection connection, int outcome, str detail) noexcept:
        if connection is self.opening:
            self.opening = None
        elif connection in self.connections:
            self.connections.remove(connection)
        if detail is not None:
            self.failed(outcome, -1, detail)
        if self.waiting or self.retired:
            self.context.loop.later(self)

    cdef void failed(self, int outcome, int reason, str detail) noexcept:
        """No connection, or not one that is of use. Who waits is told in the pool's next turn."""
        cdef uint64_t pause = <uint64_t> BACKOFF_FIRST << min(self.failures, <uint32_t> 6)
        self.outcome, self.reason = outcome, reason
        self.retry_at = self.context.loop.now + min(pause, <uint64_t> BACKOFF_LAST)
        self.failures += 1
        self.context.count(SL_COUNTER_PARENTS_FAILED)
        self.shared.report(self.parent.name, False, detail)
        self.refuse_all()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void end(self) noexcept:
        """With the worker."""
        cdef ParentConnection connection
        if self.dial is not None:
            self.dial.finish()
            self.dial = None
        for connection in [*self.connections, *([self.opening] if self.opening is not None else [])]:
            connection.home = None  # nothing has failed
            connection.close()
        self.connections = []
        self.opening = None

    cdef void close(self) noexcept:
        """An error of ours in a turn: those who waited in it are refused, and the pool goes on."""
        self.outcome, self.reason = SL_OUTCOME_INTERNAL, -1
        self.refuse_all()


cdef class SharedPassages(Passages):
    """All shared connections of a worker. `report(name, ok, text)` tells the supervisor how one to a parent went."""

    def __init__(self, Context context, report):
        self.context = context
        self.report = report
        self.pools = {}

    cdef Passage ask(self, Parent parent, SourcePool source, Introduced owner, str target):
        cdef ParentPool pool
        cdef ParentStream stream
        cdef tuple key = (parent.identity, source.addresses if source is not None else None)
        cdef list request = [(b":method", b"CONNECT"), (b":authority", target.encode("ascii"))]
        if parent.user is not None:
            token = base64.b64encode(parent.user + b":" + (parent.password or b""))
            request.append((b"proxy-authorization", b"Basic " + token))
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = ParentPool(self.context, self, parent, source, key)
        stream = ParentStream(self.context, pool, owner, request)
        pool.queue(stream)
        return stream

    cdef void keep_only(self, list parents) noexcept:
        cdef ParentPool pool
        cdef set identities = {(<Parent> parent).identity for parent in parents if (<Parent> parent).shared}
        for pool in list(self.pools.values()):
            pool.retired = pool.key[0] not in identities
            if pool.is_empty():
                self.forget(pool)
            elif pool.retired:
                self.context.loop.later(pool)

    cdef void forget(self, ParentPool pool) noexcept:
        self.pools.pop(pool.key, None)

    cdef void close(self) noexcept:
        cdef ParentPool pool
        for pool in list(self.pools.values()):
            pool.end()
