# Answers that a route gives by itself: redirections, and preflights of cross-origin requests.
from gateway.c.message cimport sl_message
from gateway.proto.message cimport Message
from gateway.routing.route cimport Route
from gateway.state.request_record cimport RequestRecord

# None: the request goes on.
cdef Message answer_of(Route route, RequestRecord record, const sl_message *head)
# The fields of a cross-origin response, where its request is one that the route lets in. False without memory.
cdef bint let_in(Route route, const sl_message *request, sl_message *response) noexcept
