"""Messages of one HTTP/1 connection, one after the other (RFC 9112). See http1_input.pxd.

Sans-IO. The bytes of a message are read where they are, in the buffer of the caller; only a head or trailers that come
in parts are put together, and what a caller could not use yet.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from gateway.proto.message cimport has_no_content
from gateway.c.message cimport (
    SL_CHUNKS_DATA, SL_CHUNKS_MORE, SL_CHUNKS_TRAILERS, SL_FRAMING_CHUNKED, SL_FRAMING_LENGTH,
    SL_MESSAGE_DONE, SL_MESSAGE_MORE, SL_MESSAGE_TOO_LARGE, sl_chunks_read, sl_chunks_status, sl_message_read_request,
    sl_message_read_response, sl_message_read_trailers, sl_message_status,
)


@cython.final
cdef class Http1Input:
    """Reads nothing before begin_request() or begin_response()."""

    def __dealloc__(self):
        free(self.rest)

    cdef void begin_request(self) noexcept:
        self.stage, self.response = STAGE_HEAD, False
        self.message, self.trailers, self.seen = None, None, 0

    cdef void begin_response(self, bint to_head) noexcept:
        self.stage, self.response, self.to_head = STAGE_HEAD, True, to_head
        self.trailers, self.seen = None, 0

    # ---- the input ---------------------------------------------------------------------------------------------------

    cdef bint feed(self, const uint8_t *data, size_t length) noexcept:
        cdef uint8_t *grown
        if self.rest is NULL:
            self.data, self.length, self.held = data, length, False
            return True
        grown = <uint8_t *> realloc(self.rest, self.rest_length + length + 1)
        if grown is NULL:
            return False
        self.rest = grown
        if length:  # else `data` may be NULL, which memcpy has no meaning for
            memcpy(grown + self.rest_length, data, length)
        self.rest_length += length
        self.data, self.length, self.held = grown, self.rest_length, True
        return True

    cdef bint keep(self) noexcept:
        cdef uint8_t *kept
        if self.held:
            if self.length == 0:
                free(self.rest)
                self.rest = NULL
            elif self.data != self.rest:
                memmove(self.rest, self.data, self.length)
            self.rest_length = self.length
        elif self.length:
            kept = <uint8_t *> malloc(self.length)
            if kept is NULL:
                return False
            memcpy(kept, self.data, self.length)
            self.rest, self.rest_length = kept, self.length
        self.data, self.length, self.held = NULL, 0, False
        return True

    cdef bint has_rest(self) noexcept:
        return self.rest is not NULL or self.length > 0

    cdef bytes take_rest(self):
        cdef bytes rest = None
        if self.length:
            rest = self.data[:self.length]
        elif self.rest is not NULL:
            rest = self.rest[:self.rest_length]
        free(self.rest)
        self.rest = NULL
        self.rest_length = self.length = 0
        self.held = False
        return rest

    cdef void use(self, size_t bytes) noexcept:
        self.data += bytes
        self.length -= bytes

    # ---- messages ----------------------------------------------------------------------------------------------------

    cdef Http1Event next(self) noexcept:
        if self.stage == STAGE_HEAD:
            return self.read_head() if self.length else H1_MORE
        if self.stage == STAGE_LENGTH:
            if self.left == 0:  # the last piece was handed over
                self.stage = STAGE_NOTHING
                return H1_END
            self.piece, self.piece_length = self.data, min(self.length, <size_t> min(self.left, <uint64_t> 1 << 40))
            if self.piece_length == 0:
                return H1_MORE
            self.left -= self.piece_length
            self.use(self.piece_length)
            return H1_DATA
        if self.stage == STAGE_CHUNKS:
            return self.read_chunks() if self.length else H1_MORE
        if self.stage == STAGE_TRAILERS:
            return self.read_trailers() if self.length else H1_MORE
        if self.stage == STAGE_CLOSE and self.length:
            self.piece, self.piece_length = self.data, self.length
            self.use(self.length)
            return H1_DATA
        return H1_MORE

    cdef Http1Event read_head(self) noexcept:
        cdef sl_message_status status
        cdef size_t used = 0
        if self.message is None:
            self.message = Message.__new__(Message)
        if self.response:
            status = sl_message_read_response(&self.message.head, self.data, self.length, self.to_head, &self.seen,
                                              &used)
        else:
            status = sl_message_read_request(&self.message.head, self.data, self.length, &self.seen, &used)
        if status == SL_MESSAGE_MORE:
            return H1_MORE
        if status == SL_MESSAGE_TOO_LARGE:
            self.stage = STAGE_NOTHING
            return H1_TOO_LARGE
        if status != SL_MESSAGE_DONE:
            return self.broken(self.message.head.fault)
        self.use(used)
        self.seen = 0
        if self.response and 100 <= self.message.head.status < 200 and self.message.head.status != 101:
            return H1_HEAD
        if has_no_content(&self.message.head):
            self.stage = STAGE_NOTHING
        elif self.message.head.framing == SL_FRAMING_LENGTH:
            self.stage, self.left = STAGE_LENGTH, self.message.head.content_length
        elif self.message.head.framing == SL_FRAMING_CHUNKED:
            self.stage = STAGE_CHUNKS
            memset(&self.chunks, 0, sizeof(self.chunks))
        else:
            self.stage = STAGE_CLOSE
        return H1_HEAD

    cdef Http1Event read_chunks(self) noexcept:
        cdef size_t at = 0, size = 0, used = 0
        cdef sl_chunks_status status = sl_chunks_read(&self.chunks, self.data, self.length, &at, &size, &used)
        self.piece, self.piece_length = self.data + at, size
        self.use(used)
        if status == SL_CHUNKS_DATA:
            return H1_DATA
        if status == SL_CHUNKS_MORE:
            return H1_MORE
        if status != SL_CHUNKS_TRAILERS:
            return self.broken(self.chunks.fault)
        self.stage, self.seen = STAGE_TRAILERS, 0
        return self.read_trailers() if self.length else H1_MORE

    cdef Http1Event read_trailers(self) noexcept:
        cdef sl_message_status status
        cdef size_t used = 0
        if self.trailers is None:
            self.trailers = Message.__new__(Message)
        status = sl_message_read_trailers(&self.trailers.head, self.data, self.length, &self.seen, &used)
        if status == SL_MESSAGE_MORE:
            return H1_MORE
        if status == SL_MESSAGE_TOO_LARGE:
            self.stage = STAGE_NOTHING
            return H1_TOO_LARGE
        if status != SL_MESSAGE_DONE:
            return self.broken(self.trailers.head.fault)
        self.use(used)
        if self.trailers.head.field_count == 0:
            self.trailers = None
        self.stage = STAGE_NOTHING
        return H1_END

    cdef Http1Event broken(self, const char *fault) noexcept:
        self.stage, self.fault = STAGE_NOTHING, fault
        return H1_BROKEN

    cdef bint is_between(self) noexcept:
        return self.stage == STAGE_NOTHING or (self.stage == STAGE_HEAD and self.rest is NULL and self.length == 0)

    cdef bint is_fresh(self) noexcept:
        return self.stage == STAGE_HEAD and self.message is None and self.length > 0

    cdef Http1Event end(self) noexcept:
        if self.is_between():
            return H1_MORE
        if self.stage == STAGE_CLOSE:
            self.stage = STAGE_NOTHING
            return H1_END
        return self.broken(b"the connection ended within a message")
