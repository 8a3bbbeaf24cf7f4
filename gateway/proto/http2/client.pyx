"""The client's side of one HTTP/2 connection as bytes (RFC 9113). See client.pxd.

Its laws are those of core.pyx, and two more:

* No stream is opened before a parent's SETTINGS came, above its MAX_CONCURRENT_STREAMS, or behind its GOAWAY. An origin
  is asked for one thing before (section 3.4): the request that the connection was dialed for.
* Of a parent's answer only `:status` matters: what its other fields say does not concern a tunnel. An origin's is a
  message, held to section 8 as a client's is.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.c.message cimport (
    SL_FRAMING_CHUNKED, SL_FRAMING_LENGTH, SL_MESSAGE_DONE, sl_message, sl_message_settle_response,
    sl_message_trailer_fault,
)
from gateway.c.segment cimport SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_WINDOW
from gateway.proto.http2.blocks cimport MESSAGE_LIST_MAX, PART_REQUEST, collect_field, put_message
from gateway.proto.message cimport is_method
from gateway.proto.http2.budget cimport budgets_begin, budgets_earn, budgets_spend
from gateway.proto.http2.core cimport (
    EVENT_ANSWER, EVENT_END, EVENT_INTERIM, EVENT_NONE, EVENT_SETTINGS, PREFACE, PREFACE_BYTES,
)
from gateway.proto.http2.frames cimport (
    FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_HEADERS, FRAME_PING, FRAME_SETTINGS, FRAME_WINDOW_UPDATE,
    H2_INTERNAL_ERROR, H2_PROTOCOL_ERROR, H2_STREAM_CLOSED, put_bytes, put_frame, put_number,
)
from gateway.proto.http2.head cimport HEAD_LIST_MAX
from gateway.proto.http2.outbound cimport CONNECTION_ROOM, FRAME_LARGE, ROOM_FIRST
from gateway.proto.http2.settings cimport (
    SETTING_ENABLE_PUSH, SETTING_INITIAL_WINDOW_SIZE, SETTING_MAX_FRAME_SIZE, SETTING_MAX_HEADER_LIST_SIZE,
    WINDOW_FIRST, settings_write,
)
from gateway.proto.http2.streams cimport (
    END_RESET_BY_US, STREAM_ANSWERED, STREAM_CONNECT, STREAM_HEAD, STREAM_REMOTE_ENDED, streams_add, streams_end,
    streams_find,
)

cdef enum:
    ROOMS_MOST = 16777216      # of all streams' receive windows on a connection together
    LAST_NUMBER = 0x7FFFFFFF   # of a stream


cdef class H2Client(H2Core):
    """One connection to a parent."""

    def __cinit__(self):
        self.growth = ROOMS_MOST - CLIENT_STREAMS * ROOM_FIRST

    cdef bint begin(self, uint64_t now) noexcept:
        cdef uint8_t payload[24]
        budgets_begin(&self.budgets, now)
        settings_write(payload, SETTING_ENABLE_PUSH, 0)
        settings_write(payload + 6, SETTING_INITIAL_WINDOW_SIZE, ROOM_FIRST)
        settings_write(payload + 12, SETTING_MAX_FRAME_SIZE, FRAME_LARGE)
        settings_write(payload + 18, SETTING_MAX_HEADER_LIST_SIZE, self.list_most())
        self.reader.most = FRAME_LARGE
        self.unacknowledged = 1
        self.deflater.indexes = self.collects
        return (put_bytes(&self.out, <const uint8_t *> PREFACE, PREFACE_BYTES)
                and put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 24)
                and put_number(&self.out, FRAME_WINDOW_UPDATE, 0, CONNECTION_ROOM - WINDOW_FIRST))

    cdef size_t list_most(self) noexcept:
        return MESSAGE_LIST_MAX if self.collects else HEAD_LIST_MAX

    cdef uint32_t most_streams(self) noexcept:
        return min(self.peer.streams, <uint32_t> CLIENT_STREAMS)

    cdef uint32_t free_streams(self) noexcept:
        cdef uint32_t most = self.most_streams()
        if self.going or self.leaving or self.ended or self.last_stream >= LAST_NUMBER - 1:
            return 0
        if not self.greeted:
            return self.collects and self.streams.count == 0
        return most - self.streams.count if self.streams.count < most else 0

    cdef H2Stream *open_stream(self) noexcept:
        cdef H2Stream *stream
        cdef uint32_t number = self.last_stream + 2 if self.last_stream else 1
        if self.free_streams() == 0:
            return NULL
        stream = streams_add(&self.streams, number, self.peer.window, ROOM_FIRST)
        if stream is not NULL:
            self.last_stream = number
            budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4)  # some open their window for each new stream
        return stream

    cdef H2Stream *ask(self, bytes block) noexcept:
        cdef H2Stream *stream = self.open_stream()
        if stream is NULL:
            return NULL
        stream.flags |= STREAM_CONNECT
        put_frame(&self.out, FRAME_HEADERS, FLAG_END_HEADERS, stream.id, <const uint8_t *> PyBytes_AS_STRING(block),
                  PyBytes_GET_SIZE(block))
        return stream

    cdef H2Stream *ask_message(self, const sl_message *head, bint secure, bint end) noexcept:
        cdef H2Stream *stream = self.open_stream()
        if stream is NULL:
            return NULL
        if is_method(head, b"HEAD", 4):
            stream.flags |= STREAM_HEAD
        if not put_message(&self.out, self.deflater, stream.id, head, PART_REQUEST, secure, end, self.peer.frame):
            self.fail(H2_INTERNAL_ERROR, "no memory")
            return NULL
        if end:
            self.end_local(stream)
        return stream

    cdef void ping(self) noexcept:
        if not self.ended:
            put_frame(&self.out, FRAME_PING, 0, 0, <const uint8_t *> b"sluice-?", 8)

    cdef EventKind settled(self, bint wider) noexcept:
        return EVENT_SETTINGS

    # ---- answers -----------------------------------------------------------------------------------------------------

    cdef EventKind open_block(self, const Frame *frame) noexcept:
        """Of an answer, of trailers, or one that is only decoded."""
        if not self.was_opened(frame.stream):
            return self.fail(H2_PROTOCOL_ERROR, "HEADERS on a stream that was never opened")
        self.status = 0
        self.regular = self.malformed = False
        self.message = None
        return EVENT_NONE

    cdef void take_field(self, const Field *field) noexcept:
        """Section 8.3.2: `:status`, once, before all others."""
        cdef size_t i
        if field.name_length == 0 or field.name[0] != c":":
            self.regular = True
            if self.collects:
                self.collect(field)
            return
        if (self.regular or self.status or field.value_length != 3 or field.name_length != 7
                or memcmp(field.name, b":status", 7) != 0):
            self.malformed = True
            return
        for i in range(3):
            if not c"0" <= field.value[i] <= c"9":
                self.malformed = True
                return
            self.status = self.status * 10 + field.value[i] - c"0"
        if self.status < 100:
            self.malformed = True

    cdef void collect(self, const Field *field) noexcept:
        if self.malformed or self.list_size > MESSAGE_LIST_MAX:
            return
        if self.message is None:
            self.message = Message.__new__(Message)
        self.malformed = collect_field(&self.message.head, field) is not NULL

    cdef EventKind end_block(self, H2Event *event) noexcept:
        cdef H2Stream *stream = streams_find(&self.streams, self.block_stream)
        cdef bint end = self.block_flags & FLAG_END_STREAM
        self.block_stream = 0
        if stream is NULL:
            return EVENT_NONE  # the reset had not reached it yet
        if stream.flags & STREAM_REMOTE_ENDED:
            return self.stream_error(stream.id, H2_STREAM_CLOSED, event)
        if self.malformed or self.list_size > self.list_most():
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        event.stream = stream
        return self.end_trailers(stream, event, end) if stream.flags & STREAM_ANSWERED \
            else self.end_answer(stream, event, end)

    cdef EventKind end_trailers(self, H2Stream *stream, H2Event *event, bint end) noexcept:
        """Behind the answer to CONNECT section 8.5 allows nothing but DATA. Some end a stream by trailers all the
        same."""
        if self.status or not end or not self.length_holds(stream, 0, True) or (
                self.message is not None and sl_message_trailer_fault(&self.message.head) is not NULL):
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        self.end_remote(stream)
        event.end = True
        return EVENT_END

    cdef EventKind end_answer(self, H2Stream *stream, H2Event *event, bint end) noexcept:
        cdef bint interim = self.status < 200
        event.code, event.end = self.status, end
        # Section 8.1: interim answers. There is none in HTTP/2 that switches protocols.
        if self.status < 100 or self.status == 101 or (interim and end):
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        if interim and not budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY):
            return self.calm(SL_H2_ABUSE_EMPTY)
        if self.collects and not self.settle(stream, end):
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        if interim:
            return EVENT_INTERIM if self.collects else EVENT_NONE
        stream.flags |= STREAM_ANSWERED
        if end:
            self.end_remote(stream)
        return EVENT_ANSWER

    cdef bint settle(self, H2Stream *stream, bint end) noexcept:
        """The answer is a message that keeps the rules, and the stream knows how much content there will be."""
        cdef sl_message *head
        if self.message is None:
            self.message = Message.__new__(Message)
        head = &self.message.head
        head.status = <uint16_t> self.status
        if sl_message_settle_response(head, stream.flags & STREAM_HEAD, end) != SL_MESSAGE_DONE:
            return False
        if head.status < 200 or head.framing == SL_FRAMING_CHUNKED:
            return True
        stream.expected = <int64_t> head.content_length if head.framing == SL_FRAMING_LENGTH else 0
        return True

    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept:
        if not self.collects or streams_end(&self.streams, frame.stream) == END_RESET_BY_US:
            return EVENT_NONE  # the reset had not reached it yet
        return self.stream_error(frame.stream, H2_STREAM_CLOSED, event)
