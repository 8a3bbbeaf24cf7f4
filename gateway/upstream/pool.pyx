"""The connections to each parent gateway of type http2tunnel. See pool.pxd.

* A request gets a stream of the first connection that has one free; a new connection is dialed when none has.
* A connection takes requests once the parent's SETTINGS came, which say how many it carries.
* After a failure (no connection, no SETTINGS, a broken protocol, an end before any answer) it does not dial for 100 ms,
  after each further one for twice as long, up to 5 s; requests are refused meanwhile as that failure was. The first
  answer ends it.
* A reload that changes or drops a parent leaves its pool to the tunnels it has.
"""

import base64

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from gateway.io.leg cimport leg_of
from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_HOST_UNREACHABLE,
    SL_OUTCOME_INTERNAL, SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_REFUSED, SL_OUTCOME_UPSTREAM_FAILED,
    SL_REASON_SOURCE_ADDRESS, SL_REASON_TLS_UPSTREAM,
)
from gateway.c.leg cimport sl_leg_drains_pipes, sl_leg_reset, sl_plain_leg
from gateway.c.segment cimport SL_COUNTER_PARENTS_FAILED, SL_TLS_SIDE_PARENT
from gateway.dial.origination cimport ORIGINATION_DONE, ORIGINATION_WAITS, late_refusal, origination_of
from gateway.dial.places cimport address_text
from gateway.parent.parent cimport ParentStream
from gateway.dial.race cimport RACE_GOES_ON, RACE_LOST, RACE_NEXT, RACE_WON, race_of
from gateway.io.loop cimport Handler

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


@cython.final
cdef class ParentPool(ParentConnections):
    """Made by ParentPools. It acts in a turn of its own: no request is answered inside its own call."""

    def __cinit__(self, WorkerParts parts, ParentPools shared, Parent parent, SourcePool source, tuple key):
        self.parts, self.shared, self.parent, self.source, self.key = parts, shared, parent, source, key
        self.connections = []
        self.waiting = {}
        self.reason = -1
        self.leg.fd = -1

    cdef void queue(self, ConnectStream stream) noexcept:
        self.waiting[stream] = None
        self.parts.loop.later(self)

    cdef void unqueue(self, ConnectStream stream) noexcept:
        self.waiting.pop(stream, None)

    cdef void on_turn(self) noexcept:
        if self.origination is not None:
            self.originated(self.origination.on_turn())
        self.serve()

    cdef void serve(self) noexcept:
        """Gives streams to those who wait, as far as there are, and sees to it that there will be more."""
        cdef ParentConnection connection
        cdef ConnectStream stream
        while self.waiting:
            connection = self.pick()
            if connection is None:
                break
            stream = next(iter(self.waiting))
            del self.waiting[stream]
            connection.asked = True
            stream.tls = connection.tls
            if not stream.go(connection):
                stream.refused(SL_OUTCOME_INTERNAL, -1)
        if self.waiting and self.race is None and self.opening is None and self.origination is None:
            if self.failures and self.parts.loop.now < self.retry_at:
                self.refuse_all()
            else:
                self.begin()
        if self.retired and not self.waiting:
            for connection in list(self.connections):
                connection.retire()
            if self.is_empty():
                self.shared.forget(self)

    cdef bint is_empty(self) noexcept:
        return (not self.waiting and not self.connections and self.opening is None and self.race is None
                and self.origination is None)

    cdef ParentConnection pick(self):
        """The first one with a free stream: so the last ones become idle when there is less to do, and end."""
        cdef ParentConnection connection
        for connection in self.connections:
            if connection.room():
                return connection
        return None

    cdef void refuse_all(self) noexcept:
        """Those who wait now."""
        cdef ConnectStream stream
        cdef list refused = list(self.waiting)
        self.waiting.clear()
        for stream in refused:
            stream.tls = self.fault
            stream.refused(self.outcome, self.reason)

    # ---- connections -------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept:
        cdef WorkerParts parts = self.parts
        cdef Race race
        cdef int i
        self.reason, self.fault = -1, None
        if not parts.files.has_room(0, 1, FILES_KEPT):
            self.failed(SL_OUTCOME_GATEWAY_LIMIT, -1, FAILURES[SL_OUTCOME_GATEWAY_LIMIT])
            return
        race = self.race = race_of(parts, self, None, None)
        race.sources = self.source
        parts.files.apart += 1
        if not race.enter(self.parent.count):
            self.act(RACE_LOST)
            return
        for i in range(self.parent.count):
            race.candidates[i].address = self.parent.addresses[i]
            race.candidates[i].port = self.parent.ports[i]
        race.candidate_count = self.parent.count
        self.act(race.run())

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if self.origination is not None:
            self.originated(self.origination.on_event(events))
        elif self.race is not None:
            self.act(self.race.on_event(events, leg))

    cdef void on_timer(self) noexcept:
        cdef Origination origination = self.origination
        if origination is not None:
            origination.expire()
            self.end_origination()
            self.failed_tls(origination.tls, SL_OUTCOME_DIAL_TIMEOUT)
        elif self.race is not None:
            self.act(self.race.on_time())

    cdef void act(self, RaceStep step) noexcept:
        if step == RACE_NEXT:
            step = self.race.advance()
        if step == RACE_WON:
            self.dialed()
        elif step != RACE_GOES_ON:
            self.lost()

    cdef void lost(self) noexcept:
        """A source's own limits are not in question here: what stopped it is the gateway's."""
        cdef int outcome = self.race.failure
        detail = FAILURES.get(outcome, "it cannot be reached")
        if self.race.is_sourceless():
            self.reason, detail = SL_REASON_SOURCE_ADDRESS, "no source address can be used"
        if outcome == SL_OUTCOME_ADDRESS_PROHIBITED:
            outcome = SL_OUTCOME_UPSTREAM_FAILED
        self.end_race()
        self.failed(outcome, self.reason, detail)

    cdef int end_race(self) noexcept:
        """The descriptor of the winner, -1 without one; watched as before."""
        cdef Race race = self.race
        cdef int fd = race.take_winner() if race.winner >= 0 else -1
        self.race = None
        race.end()
        self.parts.files.apart -= 1
        self.parts.loop.disarm(self)
        return fd

    cdef void dialed(self) noexcept:
        """Connected; TLS comes next, within the time of the race, where the parent has it."""
        cdef uint64_t deadline = self.race.deadline
        cdef bytes name = address_text(&self.race.candidates[self.race.targets[self.race.winner]].address)
        self.leg = leg_of(self.end_race())
        if self.parent.tls is None:
            self.connect(None, 0)
            return
        self.parts.files.apart += 1
        self.parts.loop.arm(self, deadline - min(deadline, self.parts.loop.now))
        self.origination = origination_of(self.parts, self, self.parent.tls, &self.leg, name, SL_TLS_SIDE_PARENT)
        self.originated(self.origination.on_event(0))

    cdef void originated(self, OriginationStep step) noexcept:
        cdef Origination origination = self.origination
        if step == ORIGINATION_WAITS:
            return
        if step == ORIGINATION_DONE:
            self.origination = None
            self.parts.files.apart -= 1
            self.parts.loop.disarm(self)
            self.connect(origination.tls, origination.events)
        else:
            self.end_origination()
            self.failed_tls(origination.tls, SL_OUTCOME_UPSTREAM_FAILED)

    cdef void end_origination(self) noexcept:
        self.origination = None
        self.parts.files.apart -= 1
        self.parts.loop.disarm(self)
        sl_leg_reset(&self.leg)
        self.leg = sl_plain_leg(-1)

    cdef void connect(self, TlsSession tls, uint32_t events) noexcept:
        """A connection of HTTP/2 on the leg; what came with the end of a handshake is read at once."""
        cdef ParentConnection connection = ParentConnection(self.parts, self)
        self.opening = connection
        connection.leg, self.leg = self.leg, sl_plain_leg(-1)
        connection.tls = tls
        connection.writer.copies = not sl_leg_drains_pipes(&connection.leg)
        if not connection.start():
            self.opening = None
            self.failed(SL_OUTCOME_INTERNAL, -1, "an internal error")
        elif events:
            connection.on_event(events, 0)

    cdef void failed_tls(self, TlsSession fault, int outcome) noexcept:
        self.fault = fault
        self.failed(outcome, SL_REASON_TLS_UPSTREAM,
                    f"the TLS handshake failed: {fault.fault.decode('ascii').replace('_', ' ')}")

    cdef void on_room(self, Handler handler) noexcept:
        cdef ParentConnection connection = <ParentConnection> handler
        if connection is self.opening:
            self.opening = None
            if connection.session.peer.streams == 0:
                connection.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it allows no streams")
                connection.leave()
                return
            self.connections.append(connection)
        if self.waiting or self.retired:
            self.parts.loop.later(self)

    cdef void on_proved(self, Handler connection) noexcept:
        if self.failures:
            self.failures = 0
            self.shared.report(self.parent.name, True, "it answers again")

    cdef void on_gone(self, Handler handler, int outcome, str detail) noexcept:
        cdef ParentConnection connection = <ParentConnection> handler
        cdef TlsSession refused
        if connection is self.opening:
            self.opening = None
        elif connection in self.connections:
            self.connections.remove(connection)
        if detail is not None:
            refused = late_refusal(self.parts, self.parent.tls, &connection.leg)
            if refused is not None:
                self.failed_tls(refused, SL_OUTCOME_UPSTREAM_FAILED)
            else:
                self.failed(outcome, -1, detail)
        if self.waiting or self.retired:
            self.parts.loop.later(self)

    cdef void failed(self, int outcome, int reason, str detail) noexcept:
        """No connection, or not one that is of use. Who waits is told in the pool's next turn."""
        cdef uint64_t pause = <uint64_t> BACKOFF_FIRST << min(self.failures, <uint32_t> 6)
        self.outcome, self.reason = outcome, reason
        self.retry_at = self.parts.loop.now + min(pause, <uint64_t> BACKOFF_LAST)
        self.failures += 1
        self.parts.meter.count(SL_COUNTER_PARENTS_FAILED)
        self.shared.report(self.parent.name, False, detail)
        self.refuse_all()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void end(self) noexcept:
        """With the worker."""
        cdef ParentConnection connection
        if self.race is not None:
            self.end_race()
        if self.origination is not None:
            self.end_origination()
        for connection in [*self.connections, *([self.opening] if self.opening is not None else [])]:
            connection.pool = None  # nothing has failed
            connection.close()
        self.connections = []
        self.opening = None

    cdef void close(self) noexcept:
        """An internal error in a turn: those who waited in it are refused, and the pool goes on."""
        self.outcome, self.reason = SL_OUTCOME_INTERNAL, -1
        self.refuse_all()


@cython.final
cdef class ParentPools(ParentStreams):
    """All shared connections of a worker. `report(name, ok, text)` tells the supervisor how one to a parent went."""

    def __init__(self, WorkerParts parts, report):
        self.parts = parts
        self.report = report
        self.pools = {}

    cdef ParentStream ask(self, Parent parent, SourcePool source, Handler owner, str target):
        cdef ParentPool pool
        cdef ConnectStream stream
        cdef tuple key = (parent.identity, source.addresses if source is not None else None)
        cdef list request = [(b":method", b"CONNECT"), (b":authority", target.encode("ascii"))]
        if parent.user is not None:
            token = base64.b64encode(parent.user + b":" + (parent.password or b""))
            request.append((b"proxy-authorization", b"Basic " + token))
        pool = self.pools.get(key)
        if pool is None:
            pool = self.pools[key] = ParentPool(self.parts, self, parent, source, key)
        stream = ConnectStream(self.parts, pool, owner, request)
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
                self.parts.loop.later(pool)

    cdef void forget(self, ParentPool pool) noexcept:
        self.pools.pop(pool.key, None)

    cdef void close(self) noexcept:
        cdef ParentPool pool
        for pool in list(self.pools.values()):
            pool.end()
