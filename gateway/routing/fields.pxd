# Fields of a request or response that a gateway takes out, adds and reads (RFC 9110 section 7.6, DECISIONS.md 7).
from gateway.c.message cimport sl_message

# Of a request on its way out, whose fields of one connection are taken out already. `via`: this gateway's name, or
# None; `kept`: names that leave all the same, or None. False without memory.
cdef bint leave_outside(sl_message *head, bytes via, frozenset kept) noexcept
# Of a response on its way back.
cdef bint come_back(sl_message *head, bytes via) noexcept
# Whether a request has been through the gateway of that name.
cdef bint has_been_here(const sl_message *head, bytes via) noexcept
