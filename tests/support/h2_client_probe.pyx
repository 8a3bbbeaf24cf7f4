"""The client's side of an HTTP/2 connection for tests in Python. See h2_core_probe.pyx."""

from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.core cimport (
    EVENT_ANSWER, EVENT_END, EVENT_GOAWAY, EVENT_INTERIM, EVENT_SETTINGS, EventKind, H2Event,
)
from gateway.proto.http2.outbound cimport ROOM_FIRST
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.message cimport Message
from tests.support.h2_core_probe cimport CoreProbe, made, number_of, shown


cdef class ClientProbe(CoreProbe):
    """One connection."""

    cdef H2Client session

    def __init__(self, now=0, bint collects=False):
        self.core = self.session = H2Client()
        self.session.collects = collects
        if not self.session.begin(now):
            raise MemoryError

    def ask(self, list fields):
        """A request of (name, value); the stream's number, or None where none may be opened."""
        cdef H2Stream *stream
        if self.session.free_streams() == 0:
            return None
        stream = self.session.ask(self.session.deflater.encode(fields))
        return stream.id if stream is not NULL else None

    def ask_message(self, list fields, bint end=False):
        """The same by a message."""
        cdef Message head = made(fields)
        cdef H2Stream *stream = self.session.ask_message(&head.head, False, end)
        return stream.id if stream is not NULL else None

    cdef tuple told(self, EventKind kind, H2Event *event):
        if kind == EVENT_SETTINGS:
            return ("settings",)
        if kind == EVENT_INTERIM or (kind == EVENT_ANSWER and self.session.collects):
            what = "interim" if kind == EVENT_INTERIM else "response"
            return what, number_of(event), shown(self.session.message), bool(event.end)
        if kind == EVENT_END and self.session.message is not None:
            return "trailers", number_of(event), shown(self.session.message)["fields"]
        if kind == EVENT_ANSWER:
            return "answer", number_of(event), event.code, bool(event.end)
        if kind == EVENT_END:
            return "data", number_of(event), b"", True
        if kind == EVENT_GOAWAY:
            return "goaway", event.code
        return CoreProbe.told(self, kind, event)

    @property
    def free_streams(self):
        """How many streams may be opened now."""
        return self.session.free_streams()

    @property
    def rooms(self):
        """Receive windows of all streams together, bytes."""
        return self.session.grown + ROOM_FIRST * self.session.streams.count
