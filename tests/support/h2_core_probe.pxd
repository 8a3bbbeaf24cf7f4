# What the probes of both sides of an HTTP/2 connection share.
from libc.stdint cimport uint32_t

from gateway.proto.http2.core cimport EventKind, H2Core, H2Event
from gateway.proto.http2.streams cimport H2Stream
from gateway.proto.message cimport Message

# The stream's number; 0 for an event without one.
cdef inline uint32_t number_of(const H2Event *event) noexcept:
    return event.stream.id if event.stream is not NULL else 0

# A message as {part: value}: `fields` are [(name, value)] of those that are there. None for None.
cdef object shown(Message message)
# A request, or a response, of these fields: pseudo-headers and others.
cdef Message made(list fields)

cdef class CoreProbe:
    cdef H2Core core
    cdef bytes input           # stays valid while a share stops its reading

    cdef H2Stream *stream(self, uint32_t identifier) except NULL
    cdef tuple told(self, EventKind kind, H2Event *event)
