"""The client's side of an HTTP/2 connection for tests in Python: bytes in, events and bytes out."""

from libc.stdint cimport uint8_t, uint32_t

from gateway.h2_client cimport (
    CLIENT_ANSWER, CLIENT_DATA, CLIENT_ERROR, CLIENT_FAILED, CLIENT_GOAWAY, CLIENT_NONE, CLIENT_RESET, CLIENT_SETTINGS,
    CLIENT_WINDOW, ClientEvent, ClientNews, H2Client,
)
from gateway.h2_frames cimport FLAG_END_STREAM, FRAME_DATA, free_bytes, put_frame
from gateway.h2_streams cimport END_RESET_BY_PEER, END_RESET_BY_US, H2Stream, streams_find


cdef class ClientProbe:
    """One connection. Streams go by their numbers; KeyError for one that is not open."""

    cdef H2Client session

    def __init__(self, now=0):
        self.session = H2Client()
        if not self.session.begin(now):
            raise MemoryError

    cdef H2Stream *stream(self, uint32_t identifier) except NULL:
        cdef H2Stream *stream = streams_find(&self.session.streams, identifier)
        if stream is NULL:
            raise KeyError(identifier)
        return stream

    def ask(self, list fields):
        """A request of (name, value); the stream's number, or None where none may be opened."""
        cdef H2Stream *stream
        if self.session.free_streams() == 0:
            return None
        stream = self.session.ask(self.session.deflater.encode(fields))
        return stream.id if stream is not NULL else None

    def receive(self, bytes data not None, now=0):
        """The events of these bytes, as tuples that begin with their kind. Resets and errors drop their stream."""
        cdef ClientNews news
        cdef ClientEvent kind
        found = []
        self.session.feed(<const uint8_t *> <const char *> data, len(data), now)
        while True:
            kind = self.session.next(&news)
            if kind == CLIENT_NONE:
                return found
            found.append(self.told(kind, &news))
            if kind == CLIENT_RESET:
                self.session.drop(news.stream, END_RESET_BY_PEER)
            elif kind == CLIENT_ERROR:
                self.session.drop(news.stream, END_RESET_BY_US)

    cdef tuple told(self, ClientEvent kind, ClientNews *news):
        cdef uint32_t number = news.stream.id if news.stream is not NULL else 0
        if kind == CLIENT_FAILED:
            return "failed", self.session.code, self.session.abuse, self.session.detail
        if kind == CLIENT_SETTINGS:
            return ("settings",)
        if kind == CLIENT_ANSWER:
            return "answer", number, news.code, bool(news.end)
        if kind == CLIENT_DATA:
            data = (<const char *> news.data)[:news.size] if news.data is not NULL else b""
            return "data", number, data, bool(news.end)
        if kind == CLIENT_RESET:
            return "reset", number, news.code
        if kind == CLIENT_ERROR:
            return "error", number, news.code
        if kind == CLIENT_WINDOW:
            return "window", number
        assert kind == CLIENT_GOAWAY
        return "goaway", news.code

    def take_out(self):
        """Bytes to send."""
        out = (<const char *> self.session.out.data)[self.session.out.begin:self.session.out.end] \
            if self.session.out.data is not NULL else b""
        free_bytes(&self.session.out)
        return out

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

    def leave(self):
        """A graceful GOAWAY."""
        self.session.leave(0)

    @property
    def free_streams(self):
        """How many streams may be opened now."""
        return self.session.free_streams()

    @property
    def rooms(self):
        """Receive windows of all streams together, bytes."""
        return self.session.rooms
