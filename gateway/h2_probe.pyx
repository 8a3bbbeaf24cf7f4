"""An HTTP/2 session for tests and tools in Python: bytes in, events and bytes out."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.h2_frames cimport FRAME_DATA, FLAG_END_STREAM, free_bytes, put_frame
from gateway.h2_head cimport HEAD_CONNECT
from gateway.h2_session cimport (
    EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_NONE, EVENT_REFUSED, EVENT_REQUEST, EVENT_RESET,
    EVENT_SHUTDOWN, EVENT_WINDOW, EventKind, H2Event, H2Session,
)
from gateway.h2_streams cimport END_BOTH, END_RESET_BY_PEER, END_RESET_BY_US, H2Stream, streams_find


cdef class Probe:
    """One session. Streams go by their numbers; KeyError for one that is not open."""

    cdef H2Session session
    cdef uint64_t worker       # bytes buffered by all sessions of a worker
    cdef bytes input

    def __init__(self, int auth=0, now=0, streams=None):
        self.session = H2Session(auth)
        self.session.worker = &self.worker
        if streams is not None:
            self.session.streams_most = streams
        if not self.session.begin(now):
            raise MemoryError

    cdef H2Stream *stream(self, uint32_t identifier) except NULL:
        cdef H2Stream *stream = streams_find(&self.session.streams, identifier)
        if stream is NULL:
            raise KeyError(identifier)
        return stream

    def receive(self, bytes data not None, now=0):
        """The events of these bytes, as tuples that begin with their kind. Resets and errors drop their stream."""
        self.input = data
        self.session.feed(<const uint8_t *> <const char *> data, len(data), now)
        return self.go_on()

    def allow(self, int frames, int blocks, now=0):
        """The events of what receive() had no share for, with a share of so much; what follows has no other."""
        self.session.allow(frames, blocks, now)
        return self.go_on()

    def go_on(self):
        """The events of input that was fed."""
        cdef H2Event event
        cdef EventKind kind
        found = []
        while True:
            kind = self.session.next(&event)
            if kind == EVENT_NONE:
                return found
            found.append(self.told(kind, &event))
            if kind == EVENT_RESET:
                self.session.drop(event.stream, END_RESET_BY_PEER)
            elif kind == EVENT_ERROR:
                self.session.drop(event.stream, END_RESET_BY_US)

    cdef tuple told(self, EventKind kind, H2Event *event):
        cdef uint32_t number = event.stream.id if event.stream is not NULL else 0
        if kind == EVENT_FAILED:
            return "failed", self.session.code, self.session.abuse, self.session.detail
        if kind == EVENT_REQUEST:
            head = self.session.head
            what = "connect" if self.session.head.method == HEAD_CONNECT else "plain"
            return "request", number, event.status, what, head.host, head.port, head.detail, bool(event.end)
        if kind == EVENT_REFUSED:
            return "refused", event.status, self.session.head.host, self.session.head.port
        if kind == EVENT_DATA:
            return "data", number, (<const char *> event.data)[:event.size], bool(event.end)
        if kind == EVENT_END:
            return "end", number
        if kind == EVENT_RESET:
            return "reset", number, event.code
        if kind == EVENT_ERROR:
            return "error", number, event.code
        if kind == EVENT_WINDOW:
            return "window", number
        assert kind == EVENT_SHUTDOWN
        return ("shutdown",)

    def take_out(self):
        """Bytes to send."""
        out = (<const char *> self.session.out.data)[self.session.out.begin:self.session.out.end] \
            if self.session.out.data is not NULL else b""
        free_bytes(&self.session.out)
        return out

    def respond(self, uint32_t identifier, list fields, bint end=False):
        """A header block of (name, value)."""
        self.session.respond(self.stream(identifier), self.session.deflater.encode(fields), end)

    def send(self, uint32_t identifier, bytes data not None, bint end=False):
        """As much as windows and one frame let pass; the number of bytes."""
        cdef H2Stream *stream = self.stream(identifier)
        cdef uint32_t size = self.session.sendable(stream, min(len(data), self.session.frame_size()))
        end = end and size == <uint32_t> len(data)
        if size or end:
            put_frame(&self.session.out, FRAME_DATA, FLAG_END_STREAM if end else 0, identifier,
                      <const uint8_t *> <const char *> data, size)
            self.session.sent(stream, size, end)
        return size

    def consume(self, uint32_t identifier, uint32_t size):
        """DATA was taken up."""
        self.session.consumed(self.stream(identifier), size)

    def reset(self, uint32_t identifier, uint32_t code):
        """RST_STREAM, and the stream is forgotten."""
        self.session.reset(self.stream(identifier), code)
        self.session.drop(self.stream(identifier), END_RESET_BY_US)

    def finish(self, uint32_t identifier):
        """The stream has ended both ways."""
        self.session.drop(self.stream(identifier), END_BOTH)

    def leave(self):
        """A graceful GOAWAY."""
        self.session.leave(0, b"")

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
