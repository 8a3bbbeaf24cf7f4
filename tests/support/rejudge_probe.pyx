"""Tunnels that stand, for tests: what judging again makes of each, without clients and a supervisor around it."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.c.addr cimport sl_addr_parse
from gateway.c.contract cimport SL_PHASE_ADDRESS, SL_PHASE_INNER, sl_reason_text, sl_verdict_text
from gateway.c.judge cimport (
    SL_DECISION_PROVISIONAL, SL_SHOWS_TLS, SL_SHOWS_UNKNOWN, sl_decision, sl_judge, sl_judged_upstream, sl_question,
)
from gateway.io.leg cimport leg_of
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.tunnel.inner cimport InnerCheck
from gateway.tunnel.rejudge cimport Rejudge
from gateway.tunnel.socket_tunnel cimport SocketTunnel
from gateway.tunnel.states cimport INSPECTION_HOLDING


cdef class Standing:
    """A tunnel over two descriptors, opened under the active generation as a gateway would open it."""

    cdef SocketTunnel tunnel

    def __init__(self, WorkerParts parts, int client, int upstream, *, str name=None, str address=None, str user=None,
                 str inner=None):
        cdef Record record = Record(parts)
        cdef sl_decision decision
        cdef sl_question question
        cdef const char *way
        cdef SocketTunnel tunnel = SocketTunnel()
        self.tunnel = tunnel
        tunnel.parts, tunnel.record = parts, record
        tunnel.client, tunnel.upstream = leg_of(client), leg_of(upstream)
        record.port = 443
        record.name = name.encode("ascii") if name is not None else None
        record.user = user.encode("ascii") if user is not None else None
        parse(record, address)
        record.names_itself = inner is not None
        record.shown = SL_SHOWS_TLS if inner is not None else SL_SHOWS_UNKNOWN
        record.inner = inner.encode("ascii") if inner is not None else None
        record.question(&question)
        if inner is not None:
            question.shows = SL_SHOWS_TLS
            question.inner, question.inner_length = PyBytes_AS_STRING(record.inner), PyBytes_GET_SIZE(record.inner)
        sl_judge(&parts.generation.image.image, &question, SL_PHASE_INNER if inner is not None else SL_PHASE_ADDRESS,
                 NULL, &decision, NULL)
        record.decided(&decision)
        way = sl_judged_upstream(&parts.generation.image.image, &decision)
        record.upstream = <bytes> way if way is not NULL else None
        if decision.flags & SL_DECISION_PROVISIONAL:
            tunnel.inspection = InnerCheck()
            tunnel.inspection.state = INSPECTION_HOLDING
        parts.loop.keep(tunnel)
        parts.roster.entered(tunnel)
        tunnel.begin()

    def judge_again(self):
        """One visit of a sweep, under the generation that is active now."""
        cdef Rejudge sweep = Rejudge(self.tunnel.parts)
        sweep.visit(self.tunnel)

    @property
    def said(self):
        """The decision it stands by: "allow rule_allow Kind/name"."""
        cdef Record record = self.tunnel.record
        words = (sl_verdict_text(record.decision.verdict), sl_reason_text(record.decision.reason))
        return " ".join([word.decode("ascii") for word in words] + ([record.rule] if record.rule else []))

    @property
    def state(self):
        """open, draining or ended."""
        return "ended" if self.tunnel.closed else "draining" if self.tunnel.deadline else "open"


cdef int parse(Record record, str address) except -1:
    cdef bytes text = address.encode("ascii") if address is not None else b""
    if text and not sl_addr_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &record.address):
        raise ValueError(address)
    return 0
