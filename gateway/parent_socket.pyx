"""The socket of a connection to a parent gateway, and what leaves by it. See parent_socket.pxd.

At the end of a turn one buffer is filled, frames of the session first, then a share of every stream that has something,
and leaves by one send(). What the socket does not take is kept, and no stream is read before it is out.
"""

from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from gateway.h2_client cimport H2Client
from gateway.h2_frames cimport free_bytes, put_bytes, sent_bytes
from gateway.h2_streams cimport H2Stream, ring_out
from gateway.parent_stream cimport ParentStream
from gateway.sockets cimport MSG_DONTWAIT, MSG_NOSIGNAL, recv, send

cdef enum:
    OUTPUT_SIZE = 327680       # frames of one send()
    BUDGET = 1048576           # bytes of one turn
    SHARE = 65536              # payload of one stream before the next one has its turn


cdef class ParentBuffers:
    """Made with the first connection to a parent."""

    def __cinit__(self):
        self.input = <uint8_t *> malloc(INPUT_SIZE)
        self.output = <uint8_t *> malloc(OUTPUT_SIZE)
        if self.input is NULL or self.output is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.input)
        free(self.output)


cdef class ParentSocket(ParentCarrier):
    """The base of connections to parents; see parent_socket.pxd."""

    def __dealloc__(self):
        free_bytes(&self.partial)

    cdef void write_later(self) noexcept:
        """At the end of this turn: whatever else becomes outgoing in it leaves with the same send()."""
        if not self.closed:
            self.context.loop.later(self)

    cdef ssize_t receive(self, uint8_t *buffer, size_t room) noexcept:
        cdef ssize_t got
        while True:
            got = recv(self.fd, buffer, room, MSG_DONTWAIT)
            if got >= 0 or errno != EINTR:
                return got

    cdef ssize_t transmit(self, const uint8_t *data, size_t length) noexcept:
        cdef ssize_t sent
        while True:
            sent = send(self.fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT)
            if sent >= 0 or errno != EINTR:
                return sent

    # ---- out ---------------------------------------------------------------------------------------------------------

    cdef void serve(self) noexcept:
        """Sends until there is nothing to send, the socket is full, or the turn's budget is used up."""
        cdef uint8_t *output = self.buffers.output
        cdef size_t used, size, total = 0
        while not self.closed and not self.blocked:
            if not self.flush_partial():
                return
            used = min(self.session.out.end - self.session.out.begin, <size_t> OUTPUT_SIZE // 2)
            if used:
                memcpy(output, self.session.out.data + self.session.out.begin, used)
                sent_bytes(&self.session.out, used)
            size = self.gather(used)
            if size == 0:
                if self.leaving and self.session.out.data is NULL:
                    self.finish()
                return
            if not self.put(output, size):
                return
            total += size
            if total >= BUDGET:
                self.context.loop.share(self)
                return

    cdef size_t gather(self, size_t used) noexcept:
        """A share of every stream whose turn it is, behind the `used` bytes of the output; the bytes then."""
        cdef H2Client session = self.session
        cdef ParentStream owner
        cdef H2Stream *stream
        while session.streams.ring is not NULL and OUTPUT_SIZE - used > SHARE and not session.ended:
            stream = session.streams.ring
            session.streams.ring = stream.next
            if stream.owner is NULL:
                ring_out(&session.streams, stream)
                continue
            owner = <ParentStream> stream.owner
            used += owner.fill(self.buffers.output + used, OUTPUT_SIZE - used, SHARE)
        return used

    cdef bint put(self, const uint8_t *data, size_t length) noexcept:
        """Sends, and keeps what the socket does not take; False when it is full, or gone."""
        cdef ssize_t sent
        cdef size_t done = 0
        while done < length:
            sent = self.transmit(data + done, length - done)
            if sent < 0 and errno == EAGAIN:
                if not put_bytes(&self.partial, data + done, length - done):
                    self.drop()
                self.blocked = True
                return False
            if sent < 0:
                self.drop()
                return False
            done += sent
        return True

    cdef bint flush_partial(self) noexcept:
        cdef ssize_t sent
        while self.partial.data is not NULL:
            sent = self.transmit(self.partial.data + self.partial.begin, self.partial.end - self.partial.begin)
            if sent < 0 and errno == EAGAIN:
                self.blocked = True
                return False
            if sent < 0:
                self.drop()
                return False
            sent_bytes(&self.partial, sent)
        return True

    cdef void finish(self) noexcept:
        pass

    cdef void drop(self) noexcept:
        pass
