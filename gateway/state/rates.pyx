"""Requests a second that listeners take, over all workers. See rates.pxd.

The limits of one policy are looked at in the order of Linkerd's proxy (its local rate limit): all requests, then the
limit that the client's identity shares with others, else its own one. Clients without an identity count as one. What
the first one lets pass is counted there, also where the second one refuses.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.limit_table cimport sl_limits_source
from gateway.c.rate_table cimport sl_rates_attach, sl_rates_take


@cython.final
cdef class Rate:
    """Made from gateway.contract.RateSettings."""

    def __init__(self, settings):
        self.name = settings["name"].encode()
        self.total, self.identity = settings["total"], settings["identity"]
        self.overrides = {}
        for number, (rate, clients) in enumerate(settings["overrides"]):
            shared = b"override %b %d" % (self.name, number)
            for client in clients:
                self.overrides.setdefault(client.encode(), (rate, shared))


@cython.final
cdef class Rates:
    """One worker's view of a table of all workers, a writable memoryview. Raises ValueError for another shape."""

    def __init__(self, unsigned char[::1] table):
        if not sl_rates_attach(&self.table, &table[0], <size_t> table.shape[0]):
            raise ValueError("the table of rates belongs to another version")
        self.by_listener = {}

    def load(self, settings):
        """New limits take effect at once; what sources owe they owe on. `settings`: gateway.contract.RateSettings."""
        self.by_listener = {entry["listener"].encode(): Rate(entry) for entry in settings}

    cdef bint take(self, const sl_limits *keyed, Rate rate, bytes who, uint64_t now) noexcept:
        cdef uint32_t own = rate.identity
        cdef bytes name = b"total %b" % rate.name
        if rate.total and not sl_rates_take(
                &self.table, sl_limits_source(keyed, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)), rate.total, now):
            return False
        found = rate.overrides.get(who)
        if found is not None:
            own, name = found
        elif own:
            name = b"identity %b %b" % (rate.name, who)
        return not own or sl_rates_take(
            &self.table, sl_limits_source(keyed, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)), own, now)
