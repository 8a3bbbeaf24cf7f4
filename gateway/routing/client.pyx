"""The client's side of an exchange. See client.pxd: an interface."""


cdef class ClientSide(Handler):
    """Implemented by a connection of HTTP/1, and by a stream of HTTP/2."""

    cdef void send_interim(self, Message head) noexcept:
        pass

    cdef void respond(self, Message head, bint ends) noexcept:
        pass

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        return True

    cdef bint takes_pipes(self) noexcept:
        return False

    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept:
        return -1

    cdef void send_end(self, Message trailers) noexcept:
        pass

    cdef void refuse(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept:
        pass

    cdef void cut(self) noexcept:
        pass

    cdef void revoke(self) noexcept:
        self.cut()

    cdef void resume(self) noexcept:
        pass

    cdef void done(self) noexcept:
        pass

    cdef void tunnel(self, Message head, sl_leg *upstream, bytes early, bint hangup) noexcept:
        pass
