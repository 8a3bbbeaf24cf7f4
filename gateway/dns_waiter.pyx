"""Who waits for a name, and how they are told. It knows neither where answers come from nor how long they hold."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.csrc cimport SL_ADDR_TEXT, sl_addr_format


cdef class Waiter(Handler):
    """Who waits for an answer; see dns_waiter.pxd."""

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        pass

    cdef void on_slow(self) noexcept:
        pass

    cdef void on_left(self) noexcept:
        pass


cdef class Caller(Waiter):
    """A waiter for what is rare: calls `callback(status, addresses)` with a ResolveStatus and texts (RFC 5952)."""

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


cdef void give(Answer answer, Waiter waiter) noexcept:
    """Tells a waiter, if it is still there. The addresses of each family take turns in being the first."""
    cdef const sl_addr *records = <const sl_addr *> PyBytes_AS_STRING(answer.addresses)
    cdef int count = <int> (<size_t> PyBytes_GET_SIZE(answer.addresses) // sizeof(sl_addr)), six = 0, four, i
    cdef sl_addr turned[MAX_ADDRESSES]
    if waiter.closed:
        return
    while six < count and records[six].family == 6:
        six += 1
    four = count - six
    for i in range(six):
        turned[i] = records[(i + answer.turn) % <unsigned> six]
    for i in range(four):
        turned[six + i] = records[six + (i + answer.turn) % <unsigned> four]
    answer.turn += 1
    waiter.on_resolved(answer.status, turned, count)
