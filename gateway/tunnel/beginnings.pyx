"""Connections that begin on a client's leg that another one has read from. See beginnings.pxd: an interface."""


cdef class Beginnings:
    """Implemented where clients' connections are (gateway/downstream)."""

    cdef void carry_requests(self, Request who, sl_leg *leg, LegState state, bytes data, bint http2) noexcept:
        pass

    cdef void connect(self, Request who, sl_leg *leg, LegState state, bytes data) noexcept:
        pass
