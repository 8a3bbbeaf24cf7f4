"""Bytes that leave by one leg, in order. See outgoing.pxd.

It holds what a leg does not take, without a bound of its own: its owner adds nothing while it holds more than it sent
in one call.
"""

cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from gateway.c.leg cimport sl_leg_send, sl_leg_send_parts
from gateway.c.message cimport (
    SL_CHUNK_LINE_MOST, sl_chunk_line, sl_message_write_trailers, sl_out_clear, sl_out_room,
)


@cython.final
cdef class Outgoing:
    """Empty at first, and without memory while it is empty."""

    def __dealloc__(self):
        sl_out_clear(&self.kept, 0)

    cdef bint add(self, const uint8_t *data, size_t length) noexcept:
        if not sl_out_room(&self.kept, length):
            return False
        memcpy(self.kept.bytes + self.kept.length, data, length)
        self.kept.length += length
        return True

    cdef OutgoingStep put(self, sl_leg *leg, iovec *pieces, int count) noexcept:
        cdef iovec parts[PIECES_MOST + 1]
        cdef size_t total = 0, left
        cdef ssize_t sent
        cdef int i, used = 0
        if self.kept.length > self.taken:
            parts[0].iov_base, parts[0].iov_len = self.kept.bytes + self.taken, self.kept.length - self.taken
            total = parts[0].iov_len
            used = 1
        for i in range(count):
            if pieces[i].iov_len:
                parts[used] = pieces[i]
                total += pieces[i].iov_len
                used += 1
        if total == 0:
            return OUTGOING_EMPTY
        if used == 1:
            sent = sl_leg_send(leg, parts[0].iov_base, parts[0].iov_len, False)
        else:
            sent = sl_leg_send_parts(leg, parts, used)
        if sent < 0 and errno != EAGAIN:
            return OUTGOING_FAILED
        if sent == <ssize_t> total:
            self.clear()
            return OUTGOING_EMPTY
        left = <size_t> max(sent, <ssize_t> 0)
        for i in range(used):
            if left >= parts[i].iov_len:
                left -= parts[i].iov_len
                if i == 0 and parts[0].iov_base == self.kept.bytes + self.taken:
                    self.clear()
                continue
            if self.kept.length > self.taken and parts[i].iov_base == self.kept.bytes + self.taken:
                self.taken += left
            elif not self.add(<const uint8_t *> parts[i].iov_base + left, parts[i].iov_len - left):
                return OUTGOING_FAILED
            left = 0
        # The leg was not asked behind a short send: its EAGAIN makes sure of an edge.
        return OUTGOING_HOLDS if sent < 0 else self.flush(leg)

    cdef OutgoingStep put_content(self, sl_leg *leg, const uint8_t *data, size_t length, bint chunked) noexcept:
        cdef uint8_t line[SL_CHUNK_LINE_MOST]
        cdef iovec pieces[3]
        if chunked and length == 0:  # a chunk without bytes is the last one
            return OUTGOING_EMPTY if self.is_empty() else OUTGOING_HOLDS
        pieces[0].iov_base, pieces[0].iov_len = line, sl_chunk_line(line, length) if chunked else 0
        pieces[1].iov_base, pieces[1].iov_len = <void *> data, length
        pieces[2].iov_base, pieces[2].iov_len = <void *> <const char *> b"\r\n", 2 if chunked else 0
        return self.put(leg, pieces, 3)

    cdef bint add_last_chunk(self, const sl_message *trailers) noexcept:
        if not self.add(b"0\r\n", 3):
            return False
        return self.add(b"\r\n", 2) if trailers is NULL else sl_message_write_trailers(trailers, &self.kept)

    cdef OutgoingStep flush(self, sl_leg *leg) noexcept:
        cdef ssize_t sent
        while self.kept.length > self.taken:
            sent = sl_leg_send(leg, self.kept.bytes + self.taken, self.kept.length - self.taken, False)
            if sent < 0:
                return OUTGOING_HOLDS if errno == EAGAIN else OUTGOING_FAILED
            self.taken += <size_t> sent
        self.clear()
        return OUTGOING_EMPTY

    cdef void clear(self) noexcept:
        """No memory is kept: most of a connection's life it has nothing to send."""
        sl_out_clear(&self.kept, 0)
        self.taken = 0
