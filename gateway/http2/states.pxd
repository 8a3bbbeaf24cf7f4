# States of an HTTP/2 connection on a socket, and which may follow which.
cdef enum CarrierState:
    CARRIER_OPEN = 0           # its streams come and go
    CARRIER_LEAVING = 1        # GOAWAY is outgoing and no stream is left: the last frames leave
    CARRIER_FINISHED = 2       # this side of the socket is shut: the peer is to close
    CARRIER_GONE = 3           # the socket is closed

cdef bint may_follow(CarrierState state, CarrierState next) noexcept nogil
