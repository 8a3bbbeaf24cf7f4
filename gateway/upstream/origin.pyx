"""One request on its way at an origin, and who takes its response. See origin.pxd: two interfaces."""


cdef class ResponseTaker(Handler):
    """Implemented by an exchange and by a mirror."""

    cdef void on_route(self) noexcept:
        pass

    cdef void on_way(self, object connection) noexcept:
        pass

    cdef void on_no_way(self, int outcome) noexcept:
        pass

    cdef void on_answer(self, Message head) noexcept:
        pass

    cdef void on_turned_away(self, int outcome, str detail, uint64_t sequence) noexcept:
        pass

    cdef void on_interim(self, Message head) noexcept:
        pass

    cdef void on_response(self, Message head, bint ends) noexcept:
        pass

    cdef bint on_body(self, const uint8_t *data, size_t length) noexcept:
        return True

    cdef bint takes_pipes(self) noexcept:
        return False

    cdef void on_pipe(self, sl_pipe *pipe) noexcept:
        pass

    cdef void on_end(self, Message trailers) noexcept:
        pass

    cdef void on_ready(self) noexcept:
        pass

    cdef void on_lost(self, int outcome, bint untouched) noexcept:
        pass

    cdef void on_upgraded(self, Message head, sl_leg *leg, bytes early, bint hangup) noexcept:
        pass


cdef class OriginRequest(Handler):
    """Implemented by connections of HTTP/1 and by streams of HTTP/2."""

    cdef void send_head(self, Message head, bint ends) noexcept:
        pass

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        return True

    cdef bint takes_pipes(self) noexcept:
        return False

    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept:
        return -1

    cdef void send_end(self, Message trailers) noexcept:
        pass

    cdef void resume(self) noexcept:
        pass

    cdef void cancel(self) noexcept:
        pass

    cdef bint is_reused(self) noexcept:
        return False
