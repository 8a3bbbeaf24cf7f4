"""The server's side of an HTTP/2 connection for tests and tools in Python. See h2_core_probe.pyx."""

from libc.stdint cimport uint32_t, uint64_t

from gateway.proto.http2.core cimport EVENT_END, EVENT_GOAWAY, EVENT_REFUSED, EVENT_REQUEST, EventKind, H2Event
from gateway.proto.http2.head cimport HEAD_CONNECT
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport END_BOTH
from gateway.proto.message cimport Message
from tests.support.h2_core_probe cimport CoreProbe, made, number_of, shown

from tests.support.proto_probe import host_of


cdef class Probe(CoreProbe):
    """One session."""

    cdef H2Server session
    cdef uint64_t worker       # bytes buffered by all sessions of a worker

    def __init__(self, int auth=0, now=0, streams=None, bint requests=False):
        self.core = self.session = H2Server(auth)
        self.session.worker = &self.worker
        self.session.requests = requests
        if streams is not None:
            self.session.streams_most = streams
        if not self.session.begin(now):
            raise MemoryError

    def allow(self, int frames, int blocks, now=0):
        """The events of what receive() had no share for, with a share of so much; what follows has no other."""
        self.session.allow(frames, blocks, now)
        return self.go_on()

    cdef tuple told(self, EventKind kind, H2Event *event):
        head = self.session.head
        if kind == EVENT_REQUEST and head.message is not None:
            if head.detail is not None:
                return "broken", number_of(event), head.outcome, head.detail, bool(head.malformed)
            return "message", number_of(event), shown(head.message), bool(event.end)
        if kind == EVENT_REQUEST:
            what = "connect" if self.session.head.method == HEAD_CONNECT else "plain"
            asked = host_of(head), head.port, head.detail, bool(event.end)
            return "request", number_of(event), event.status, what, *asked
        if kind == EVENT_REFUSED:
            return "refused", event.status, host_of(head), head.port
        if kind == EVENT_END:
            trailers = shown(head.message)
            return ("end", number_of(event)) if trailers is None else ("end", number_of(event), trailers["fields"])
        if kind == EVENT_GOAWAY:
            return ("shutdown",)
        return CoreProbe.told(self, kind, event)

    def respond(self, uint32_t identifier, list fields, bint end=False):
        """A header block of (name, value)."""
        self.session.respond(self.stream(identifier), self.session.deflater.encode(fields), end)

    def respond_message(self, uint32_t identifier, list fields, bint end=False):
        """The same by a message."""
        cdef Message head = made(fields)
        self.session.respond_message(self.stream(identifier), &head.head, end)

    def inform(self, uint32_t identifier, list fields):
        """An interim response."""
        cdef Message head = made(fields)
        self.session.inform(self.stream(identifier), &head.head)

    def finish(self, uint32_t identifier):
        """The stream has ended both ways."""
        self.session.drop(self.stream(identifier), END_BOTH)

    @property
    def dialect(self):
        """0: not known, 1: RFC 9113, 2: Pipy."""
        return self.session.dialect

    @property
    def count(self):
        """Open streams."""
        return self.session.streams.count

    @property
    def stopped(self):
        """Whether input is left that the share did not reach."""
        return self.session.is_stopped()

    @property
    def of_worker(self):
        """Bytes received and not consumed, of this session and of those that share a budget with it."""
        return self.worker

    @of_worker.setter
    def of_worker(self, bytes_buffered):
        self.worker = bytes_buffered

    @property
    def is_over(self):
        """Whether it is to be read no further."""
        return self.session.is_over()

    @property
    def buffered(self):
        """Bytes received and not consumed."""
        return self.session.buffered
