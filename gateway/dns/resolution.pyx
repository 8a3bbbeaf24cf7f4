"""A request that waits for a name, and how it is notified. It knows neither their origin nor how long they hold."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.c.addr cimport SL_ADDR_TEXT, sl_addr_format


cdef class Resolution(Handler):
    """Waits for an answer; see resolution.pxd."""

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        pass

    cdef void on_slow(self) noexcept:
        pass

    cdef void on_left(self) noexcept:
        pass


cdef class CallbackResolution(Resolution):
    """For what is rare: calls `callback(status, addresses)` with a ResolveStatus and texts (RFC 5952)."""

    def leave(self):
        """No call any more."""
        self.closed = True
        self.callback = None

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        cdef char text[SL_ADDR_TEXT]
        cdef int i
        found = []
        for i in range(count):
            found.append(text[:sl_addr_format(&addresses[i], text)].decode("ascii"))
        callback = self.callback
        self.leave()
        callback(status, found)


cdef int turned(Answer answer, sl_addr *addresses) noexcept:
    cdef const sl_addr *records = <const sl_addr *> PyBytes_AS_STRING(answer.addresses)
    cdef int count = <int> (<size_t> PyBytes_GET_SIZE(answer.addresses) // sizeof(sl_addr)), six = 0, four, i
    while six < count and records[six].family == 6:
        six += 1
    four = count - six
    for i in range(six):
        addresses[i] = records[(i + answer.turn) % <unsigned> six]
    for i in range(four):
        addresses[six + i] = records[six + (i + answer.turn) % <unsigned> four]
    answer.turn += 1
    return count


cdef void give(Answer answer, Resolution resolution) noexcept:
    cdef sl_addr addresses[MAX_ADDRESSES]
    cdef int count
    if not resolution.closed:
        count = turned(answer, addresses)
        resolution.on_resolved(answer.status, addresses, count)
