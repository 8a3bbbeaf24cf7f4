"""The way to a destination through a parent gateway (DECISIONS.md section 3). See parent_way.pxd.

A name goes to the parent unresolved, an address after it was judged here.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from gateway.c.contract cimport SL_OUTCOME_CONNECTED, SL_OUTCOME_UPSTREAM_FAILED
from gateway.c.judge cimport sl_judged_port
from gateway.c.leg cimport sl_leg_send
from gateway.c.proxy_header cimport SL_PROXY_OUT_MOST, sl_proxy_header_write
from gateway.dial.race cimport LEG_EVENTS
from gateway.io.leg cimport leg_of
from gateway.io.sockets cimport EPOLLIN, EPOLLRDHUP
from gateway.parent.parent cimport PARENT_CONNECTED, PARENT_FAILED, PARENT_UNASKED, PARENT_WAITS


cdef ParentWay way_through(WorkerParts parts, Race race, const sl_decision *decision, const char *upstream):
    cdef ParentWay way = ParentWay.__new__(ParentWay)  # whose outcome is SL_OUTCOME_INTERNAL until another is known
    cdef Record record = race.record
    cdef sl_decision by = decision[0]  # which may be one of the race's
    cdef Parent parent
    cdef int i
    if race.candidate_count:
        record.address = race.candidates[0].address
    record.decided(&by)
    record.upstream = upstream
    parent = way.parent = parts.settings.parents.get(record.upstream)
    if parent is None or parent.shared:
        return None if parent is None else way
    if not race.enter(parent.count):
        return None
    for i in range(parent.count):
        race.candidates[i].address = parent.addresses[i]
        race.candidates[i].port = parent.ports[i]
        race.candidates[i].decision = by
    race.candidate_count = parent.count
    return way


cdef bytes announcement(Record record):
    """A PROXY header for the client of a record. Its destination is the one asked for, where an address was; identities
    are the gateway's own and stay here."""
    cdef uint8_t header[SL_PROXY_OUT_MOST]
    cdef size_t length = sl_proxy_header_write(&record.peer, record.peer_port, &record.address, record.port, header)
    return header[:length]


cdef uint16_t port_of(Record record) noexcept:
    """The port that the parent is asked for."""
    return sl_judged_port(&record.generation.image.image, &record.decision, record.port)


@cython.final
cdef class ParentWay:
    """Made by an opening whose decision names a parent."""

    cdef ParentStep ask(self, WorkerParts parts, Record record, sl_leg *leg, uint32_t events) noexcept:
        cdef ParentStep step
        try:
            codec = self.parent.handshake(record.name, &record.address, port_of(record))
        except Exception:
            return PARENT_UNASKED
        self.asking = ParentRequest(parts.loop, codec)
        if self.parent.announces and self.parent.tls is None:
            self.asking.unsent = announcement(record)
        self.asking.leg = leg
        step = self.asking.start()
        if step == PARENT_WAITS and events:
            step = self.asking.on_event(events)
        return self.stands(step)

    cdef bint announce(self, Record record, sl_leg *leg) noexcept:
        """A header of a few bytes finds room in a new socket."""
        cdef bytes header
        if not self.parent.announces:
            return True
        header = announcement(record)
        return sl_leg_send(leg, PyBytes_AS_STRING(header), PyBytes_GET_SIZE(header), False) == PyBytes_GET_SIZE(header)

    cdef ParentStep on_event(self, uint32_t events) noexcept:
        return self.stands(self.asking.on_event(events))

    cdef ParentStep stands(self, ParentStep step) noexcept:
        if step == PARENT_FAILED:
            self.outcome = SL_OUTCOME_UPSTREAM_FAILED
        # Bytes, or an end, may lie behind the answer.
        self.events = EPOLLIN | (EPOLLRDHUP if self.asking.ended else 0)
        return step

    cdef ParentStep ask_shared(self, WorkerParts parts, Record record, Handler owner) noexcept:
        try:
            self.parent_stream = parts.parent_streams.ask(
                self.parent, record.generation.pool(&record.decision), owner,
                self.parent.target(record.name, &record.address, port_of(record)))
        except Exception:
            return PARENT_UNASKED
        return PARENT_WAITS

    cdef ParentStep on_turn(self, WorkerParts parts, Record record, Handler owner, sl_leg *leg) noexcept:
        cdef ParentStream parent_stream = self.parent_stream
        if parent_stream is None or not parent_stream.answered:
            return PARENT_WAITS
        if parent_stream.outcome == SL_OUTCOME_CONNECTED:
            if not parts.loop.watch(parent_stream.fd, owner, 0, LEG_EVENTS):
                return PARENT_UNASKED
            leg[0] = leg_of(parent_stream.take())
            record.upstream_tls = parent_stream.tls
            return PARENT_CONNECTED
        record.upstream_tls = parent_stream.tls
        if parent_stream.reason >= 0:
            record.decision.reason = <uint8_t> parent_stream.reason
        self.outcome = parent_stream.outcome
        return PARENT_FAILED

    cdef bint waits(self) noexcept:
        return self.asking is not None or self.parent_stream is not None

    cdef void give_up(self) noexcept:
        self.asking = None
        if self.parent_stream is not None:
            self.parent_stream.cancel()
            self.parent_stream = None
