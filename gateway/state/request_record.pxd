# The facts of one HTTP request: those of every record, and what is judged of the request itself.
from libc.stdint cimport uint8_t, uint16_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision
from gateway.proto.message cimport Message
from gateway.state.generation cimport Generation
from gateway.state.record cimport Record

cdef class RequestRecord(Record):
    cdef Message message       # the head as it came, its path in normal form
    cdef uint8_t quiet         # bool: a mirror's, which is no decision of its own
    cdef uint8_t secure        # bool: the target is https
    # TLS towards a Service in place of the destination asked for, as the image names it; b"": cleartext, None: as the
    # target and the rules of that destination say.
    cdef bytes backend_tls
    cdef Record inside         # the tunnel that it came in, which has to stand as well; None: none

    cdef uint8_t lifted        # bool: it goes to an endpoint, to which the guard's private ranges are open
    cdef uint8_t weighed       # bool: what its rule says of revocation is kept
    cdef bytes asked_name      # what was asked for, where it goes to a backend that is a destination of its own
    cdef sl_addr asked_address
    cdef uint16_t asked_port   # 0: it goes to what was asked for

    # It goes to a destination of its own from now on.
    cdef void aim(self, bytes name, const sl_addr *address, uint16_t port) noexcept
    # A digest of the TLS that it leaves by under a decision; empty: cleartext.
    cdef bytes tls_mark(self, const sl_decision *decision)
    # Whether that TLS may choose HTTP/2.
    cdef bint offers_http2(self, const sl_decision *decision) noexcept
    cdef bint may_still_ask(self, sl_decision *out) noexcept
    cdef bint keeps_way(self, Generation before, const sl_decision *now) noexcept
    # Whether rules of its destination ask for more of a request than its name and address.
    cdef bint asks_for_more(self) noexcept
    # It goes its way once more: what was found on the way is forgotten.
    cdef void begin_again(self) noexcept
