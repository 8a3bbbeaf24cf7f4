# Credentials in the fields of a request, set at the last moment before it leaves.
from gateway.c.message cimport sl_message
from gateway.proto.message cimport Message
from gateway.state.credentials cimport Credentials
from gateway.state.request_record cimport RequestRecord

# The first credential that the fields (SecretField) cannot have now, with its sl_reason; None: they can have all of
# them. `sent`: the head as it leaves, over a connection that is there; NULL: neither is known yet, nor asked.
cdef str lacking(list secrets, Credentials known, RequestRecord record, const sl_message *sent, int *reason)
# Sets the fields, of which none is lacking. False without memory, or with too many fields.
cdef bint set_secrets(sl_message *head, list secrets, Credentials known) noexcept
# Takes the fields out of trailers, where a client may have them as well; None: there are none.
cdef void clear_trailers(Message trailers, list secrets) noexcept
