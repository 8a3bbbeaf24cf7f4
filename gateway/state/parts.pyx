"""The parts that the requests of one worker share. See parts.pxd."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from gateway.c.judge cimport sl_text
from gateway.c.message cimport SL_MESSAGE_FIELDS_MOST, sl_message_at, sl_span
from gateway.c.segment cimport SL_COUNTER_DNS_CACHE_HITS, SL_COUNTER_DNS_QUERIES
from gateway.policy.image cimport PolicyImage
from gateway.state.generation cimport Loaded


cdef inline void point(const sl_message *head, sl_span span, sl_text *out) noexcept:
    out.at, out.length = sl_message_at(head, span), span.length


@cython.final
@cython.no_gc_clear  # pipes of tunnels go back to the pool to the end
cdef class WorkerParts:
    """Made once for a worker; `segment` is a writable memoryview of the segment of its slot."""

    def __init__(self, Loop loop, int slot, segment, Limits limits):
        self.loop = loop
        self.meter = Meter(loop, slot, segment)
        self.files = FileBudget(self.meter)
        self.roster = Roster(self.meter, self.files)
        self.settings = Settings()
        self.limits = limits
        self.queues = PlaceQueues(loop, limits)
        self.logins = Logins(loop)
        self.credentials = Credentials()
        self.handshakes = Handshakes(loop)
        self.proxies, self.speakers = Prefixes(()), Prefixes(())
        self.routes = LocalRoutes(loop)

    def __dealloc__(self):
        free(self.fields)

    def attach(self, bus, AccessLog log, ParentStreams streams, origins, beginnings, on_empty, on_full):
        """`bus` sends what the supervisor must know, `log` gathers access log lines, `streams` lead through parents,
        `origins` keeps connections to origins, `beginnings` makes clients' connections of what shows late; `on_empty()`
        is called when a drain has nothing left, `on_full(full)` when descriptors run out and when that is over.
        """
        self.logins.attach(bus)
        self.parent_streams, self.origins, self.beginnings = streams, origins, beginnings
        self.log = log
        self.roster.on_empty = on_empty
        self.files.on_full = on_full

    def load(self, uint64_t number, PolicyImage image, settings):
        """Prepares a generation: everything is made, and nothing changed before activate()."""
        cdef Loaded loaded = Loaded(number, image, settings, self.clients)
        self.limits.check(settings["pod_networks"])
        if self.tls_work is None and (settings["request_originations"] or any(
                entry["tls"] is not None for entry in [*settings["listeners"], *settings["upstreams"]])):
            self.tls_work = TlsWork()
        if self.inner_tls_work is None and settings["request_originations"]:
            self.inner_tls_work = TlsWork()
        if settings["dns"] != self.dns:
            loaded.resolver = Resolver(self.loop, settings["dns"])
            loaded.resolver.query_tally = &self.meter.segment.counters[<unsigned> SL_COUNTER_DNS_QUERIES]
            loaded.resolver.names.hit_tally = &self.meter.segment.counters[<unsigned> SL_COUNTER_DNS_CACHE_HITS]
        return loaded

    def activate(self, Loaded loaded):
        """Makes a loaded generation active, between two turns."""
        cdef dict settings = loaded.settings
        self.settings.take(settings, loaded.listeners, loaded.parents)
        if self.origins is not None:
            self.origins.renew()
        self.parent_streams.keep_only(list(loaded.parents.values()))
        self.limits.load(settings["limits"], settings["pod_networks"])
        self.limits.rates.load(settings["rates"])
        if loaded.resolver is not None:
            if self.resolver is not None:
                self.resolver.retire()
            self.resolver, self.dns = loaded.resolver, settings["dns"]
        self.proxies, self.speakers, self.clients = loaded.proxies, loaded.speakers, loaded.clients
        self.logins.renew()
        self.credentials.settle(settings["credentials"])
        self.trace(settings["tracing"])
        self.generation = Generation(self.loop, loaded.number, loaded.image, loaded.originations,
                                     loaded.request_originations, loaded.upgrade_originations)
        self.meter.segment.generation = loaded.number

    def trace(self, settings):
        """By gateway.contract.TracingSettings; None: not at all."""
        if settings is not None and self.numbers is None:
            self.numbers = Numbers()
        self.tracer = None if settings is None else Tracer(settings, self.numbers)

    cdef const sl_request *show(self, const sl_message *head) noexcept:
        cdef sl_field *field
        cdef uint32_t i, count = 0
        if self.fields is NULL:
            self.fields = <sl_field *> malloc(SL_MESSAGE_FIELDS_MOST * sizeof(sl_field))
            if self.fields is NULL:
                return NULL
        point(head, head.method, &self.request.method)
        point(head, head.path, &self.request.path)
        self.request.query.at = NULL
        self.request.query.length = 0
        if head.has_query:
            point(head, head.query, &self.request.query)
        for i in range(head.field_count):
            if not head.fields[i].removed:
                field = &self.fields[count]
                point(head, head.fields[i].name, &field.name)
                point(head, head.fields[i].value, &field.value)
                count += 1
        self.request.fields, self.request.field_count = self.fields, count
        return &self.request

    cdef H2Work http2_work(self):
        if self.work is None:
            self.work = H2Work()
        return self.work

    def close_parents(self):
        """Ends the connections to parents; what is outgoing has a chance to leave."""
        self.parent_streams.close()
        self.origins.close()
