"""A request on its way, for those that answer it. See request.pxd: an interface, and the facts of who asks."""


cdef class Request(Handler):
    """Implemented by what a client asks through: a stream connection, or a CONNECT of HTTP/2."""

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        pass

    cdef void on_token(self, int result, Token token, int reason) noexcept:
        pass

    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept:
        pass

    cdef void on_refused(self, int outcome) noexcept:
        pass

    cdef bint may_be_held(self) noexcept:
        return False

    cdef void on_held(self) noexcept:
        pass

    cdef bint diverts(self, const sl_decision *decision) noexcept:
        return False

    cdef KeptStep finds_kept(self, object race, int *candidate) noexcept:
        return KEPT_NONE

    cdef void on_kept(self) noexcept:
        pass

    cdef void on_pool(self) noexcept:
        pass

    cdef void lifted(self) noexcept:
        pass


cdef void copy_who(Request made, Request other) noexcept:
    made.listener, made.tls, made.relayed, made.inside = other.listener, other.tls, other.relayed, other.inside
    made.forwarded, made.peer, made.peer_port, made.source = other.forwarded, other.peer, other.peer_port, other.source


cdef Request who_of(Request other):
    cdef Request made = Request.__new__(Request)
    copy_who(made, other)
    return made
