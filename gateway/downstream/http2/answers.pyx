"""Answers on a client's HTTP/2 connection that are no tunnels. See answers.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from gateway.proto.http2.core cimport H2Core
from gateway.proto.http2.frames cimport FLAG_END_STREAM, FRAME_DATA, FRAME_HEADER, write_header
from gateway.proto.http2.head cimport DIALECT_PIPY
from gateway.proto.http2.streams cimport (
    STREAM_EARLY, STREAM_HEAD, STREAM_LATE, STREAM_LOCAL_ENDED, STREAM_MALFORMED, STREAM_REMOTE_ENDED, ring_add,
    ring_park, streams_next,
)

cdef bytes FOUND = b"sluice: this port carries CONNECT tunnels\n"
cdef bytes NOT_FOUND = b"this port carries CONNECT tunnels, and nothing else is here\n"


@cython.final
cdef class ShortAnswers:
    """A part of a client's connection: it may touch the session's streams and what is outgoing on them."""

    def __cinit__(self, H2Server server):
        self.server = server

    cdef void note(self, uint64_t now) noexcept:
        if self.since == 0:
            self.since = now

    cdef AnswerEnd begin(self, H2Stream *stream, list block, bytes body, uint64_t now) except *:
        """For sidecars of the Pipy family it is a bare status."""
        cdef H2Server server = self.server
        if server.dialect == DIALECT_PIPY:
            server.respond(stream, server.deflater.encode(block[:1]), True)
            return ANSWER_BARE
        if stream.flags & STREAM_HEAD:
            body = None
        server.respond(stream, server.deflater.encode(block), body is None)
        if body is None:
            return self.given(stream)
        Py_INCREF(body)
        stream.body = <PyObject *> body
        self.note(now)
        ring_add(&server.streams, stream)
        return ANSWER_GOES_ON

    cdef AnswerEnd begin_page(self, H2Stream *stream, uint64_t now) except *:
        if stream.flags & STREAM_LOCAL_ENDED or stream.body is not NULL:
            return ANSWER_GOES_ON  # it is answered already
        return self.begin(stream, [(b":status", b"200"), (b"content-type", b"text/plain"),
                                   (b"content-length", b"%d" % len(FOUND))],
                          FOUND, now)

    cdef AnswerEnd begin_none(self, H2Stream *stream, str identifier, str message, uint64_t now) except *:
        cdef bytes text = NOT_FOUND if message is None else NOT_FOUND + message.encode("ascii") + b"\n"
        return self.begin(stream, [(b":status", b"404"), (b"sluice-id", identifier.encode("ascii")),
                                   (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))], text, now)

    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, AnswerEnd *end) noexcept:
        cdef H2Core session = self.server
        cdef bytes body = <bytes> stream.body
        cdef bint ends = not stream.flags & STREAM_EARLY
        cdef uint32_t left = <uint32_t> PyBytes_GET_SIZE(body) - stream.body_from
        cdef uint32_t size = session.sendable(stream, min(min(left, <uint32_t> room - FRAME_HEADER),
                                                          session.frame_size()))
        end[0] = ANSWER_GOES_ON
        if size == 0 and left:
            ring_park(&session.streams, stream)
            return 0
        write_header(at, size, FRAME_DATA, FLAG_END_STREAM if size == left and ends else 0, stream.id)
        memcpy(at + FRAME_HEADER, PyBytes_AS_STRING(body) + stream.body_from, size)
        session.sent(stream, size, size == left and ends)
        stream.body_from += size
        if size == left and ends:
            end[0] = self.given(stream)
        elif size == left:
            Py_DECREF(body)
            stream.body, stream.body_from = NULL, 0
        return size + FRAME_HEADER

    cdef H2Stream *late(self, H2Stream *stream, bint *left) noexcept:
        while stream is not NULL and (stream.owner is not NULL or not stream.flags & STREAM_LATE):
            if stream.owner is NULL:
                stream.flags |= STREAM_LATE
                left[0] = True
            stream = streams_next(&self.server.streams, stream)
        return stream

    cdef AnswerEnd given(self, const H2Stream *stream) noexcept:
        if stream.flags & STREAM_MALFORMED:
            return ANSWER_MALFORMED
        return ANSWER_ENDED if stream.flags & STREAM_REMOTE_ENDED else ANSWER_ENOUGH
