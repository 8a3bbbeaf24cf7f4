"""One side of an HTTP/2 connection for tests and tools in Python: bytes in, events and bytes out."""

from libc.stdint cimport uint8_t, uint32_t

from gateway.c.message cimport (
    SL_MESSAGE_DONE, sl_message_add, sl_message_at, sl_message_keep, sl_message_settle_request,
    sl_message_settle_response, sl_span,
)
from gateway.proto.http2.core cimport (
    EVENT_DATA, EVENT_ERROR, EVENT_FAILED, EVENT_NONE, EVENT_RESET, EVENT_WINDOW, EventKind, H2Event,
)
from gateway.proto.http2.frames cimport FLAG_END_STREAM, FRAME_DATA, free_bytes, put_frame
from gateway.proto.http2.streams cimport END_RESET_BY_PEER, END_RESET_BY_US, H2Stream, streams_find


cdef str text(Message message, sl_span span):
    return sl_message_at(&message.head, span)[:span.length].decode("latin-1")


cdef object shown(Message message):
    if message is None:
        return None
    head = &message.head
    names = ("none", "length", "chunked", "close")
    found = {
        "method": text(message, head.method), "scheme": text(message, head.scheme),
        "authority": text(message, head.authority), "path": text(message, head.path),
        "query": text(message, head.query) if head.has_query else None, "protocol": text(message, head.protocol),
        "status": head.status, "framing": names[head.framing],
        "length": head.content_length if head.has_length else None,
        "flags": [name for name, held in (("continues", head.continues), ("trailers", head.takes_trailers),
                                          ("upgrades", head.upgrades), ("expects", head.expects_other)) if held],
        "fields": [(text(message, head.fields[i].name), text(message, head.fields[i].value))
                   for i in range(head.field_count) if not head.fields[i].removed],
    }
    return {name: value for name, value in found.items() if value}


cdef Message made(list fields):
    cdef Message message = Message.__new__(Message)
    cdef bytes name, value
    for name, value in fields:
        if name == b":status":
            message.head.status = int(value)
        elif name == b":method":
            sl_message_keep(&message.head, value, len(value), &message.head.method)
        elif name == b":scheme":
            sl_message_keep(&message.head, value, len(value), &message.head.scheme)
        elif name == b":authority":
            sl_message_keep(&message.head, value, len(value), &message.head.authority)
        elif name == b":path":
            sl_message_keep(&message.head, value, len(value), &message.head.path)
        else:
            sl_message_add(&message.head, name, len(name), value, len(value))
    if message.head.status:
        status = sl_message_settle_response(&message.head, False, False)
    else:
        status = sl_message_settle_request(&message.head, False)
    if status != SL_MESSAGE_DONE:
        raise ValueError(message.head.fault)
    return message


cdef class CoreProbe:
    """The base of both. Streams go by their numbers; KeyError for one that is not open."""

    cdef H2Stream *stream(self, uint32_t identifier) except NULL:
        cdef H2Stream *stream = streams_find(&self.core.streams, identifier)
        if stream is NULL:
            raise KeyError(identifier)
        return stream

    def receive(self, bytes data not None, now=0):
        """The events of these bytes, as tuples that begin with their kind. Resets and errors drop their stream."""
        self.input = data
        self.core.feed(<const uint8_t *> <const char *> data, len(data), now)
        return self.go_on()

    def go_on(self):
        """The events of input that was fed."""
        cdef H2Event event
        cdef EventKind kind
        found = []
        while True:
            kind = self.core.next(&event)
            if kind == EVENT_NONE:
                return found
            found.append(self.told(kind, &event))
            if kind == EVENT_RESET:
                self.core.drop(event.stream, END_RESET_BY_PEER)
            elif kind == EVENT_ERROR:
                self.core.drop(event.stream, END_RESET_BY_US)

    cdef tuple told(self, EventKind kind, H2Event *event):
        """Events of either side; those of one are its own probe's."""
        cdef uint32_t number = number_of(event)
        if kind == EVENT_FAILED:
            return "failed", self.core.code, self.core.abuse, self.core.detail
        if kind == EVENT_DATA:
            return "data", number, (<const char *> event.data)[:event.size], bool(event.end)
        if kind == EVENT_RESET:
            return "reset", number, event.code
        if kind == EVENT_ERROR:
            return "error", number, event.code
        assert kind == EVENT_WINDOW
        return "window", number

    def take_out(self):
        """Bytes to send."""
        out = (<const char *> self.core.out.data)[self.core.out.begin:self.core.out.end] \
            if self.core.out.data is not NULL else b""
        free_bytes(&self.core.out)
        return out

    def send(self, uint32_t identifier, bytes data not None, bint end=False):
        """As much as windows and one frame let pass; the number of bytes."""
        cdef H2Stream *stream = self.stream(identifier)
        cdef uint32_t size = self.core.sendable(stream, min(len(data), self.core.frame_size()))
        end = end and size == <uint32_t> len(data)
        if size or end:
            put_frame(&self.core.out, FRAME_DATA, FLAG_END_STREAM if end else 0, identifier,
                      <const uint8_t *> <const char *> data, size)
            self.core.sent(stream, size, end)
        return size

    def consume(self, uint32_t identifier, uint32_t size):
        """DATA was taken up."""
        self.core.consumed(self.stream(identifier), size)

    def end_by(self, uint32_t identifier, list trailers):
        """Trailers of (name, value)."""
        cdef Message message = Message.__new__(Message)
        for name, value in trailers:
            sl_message_add(&message.head, name, len(name), value, len(value))
        self.core.put_trailers(self.stream(identifier), &message.head, &self.core.out)

    def reset(self, uint32_t identifier, uint32_t code):
        """RST_STREAM, and the stream is forgotten."""
        self.core.reset(self.stream(identifier), code)
        self.core.drop(self.stream(identifier), END_RESET_BY_US)

    def leave(self):
        """A graceful GOAWAY."""
        self.core.leave(0, b"")

    @property
    def missteps(self):
        """Transitions of streams that their table does not have."""
        return self.core.missteps
