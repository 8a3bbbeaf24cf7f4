"""One policy with its number, and one that can become active. See generation.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.judge cimport (
    SL_NO_RULE, sl_judged_sources, sl_judged_tls, sl_rule_name, sl_rule_named, sl_source_credential,
)
from gateway.parent.parent cimport Parent
from gateway.state.image_load cimport ImageRelease
from gateway.state.settings cimport ListenerSpec


# Offered to origins, best first, where no rule says otherwise.
cdef list REQUEST_PROTOCOLS = ["h2", "http/1.1"]
cdef list UPGRADE_PROTOCOLS = ["http/1.1"]  # to those that are to upgrade


@cython.final
cdef class Generation:
    """A number and an image."""

    def __init__(self, Loop loop, uint64_t number, PolicyImage image, dict originations, dict request_originations,
                 dict upgrade_originations):
        self.loop = loop
        self.number = number
        self.image = image
        self.rule_texts = {}
        self.originations, self.request_originations = originations, request_originations
        self.pools = {}
        self.upgrade_originations = upgrade_originations
        self.clients, self.request_clients, self.upgrade_clients, self.parsed = {}, {}, {}, {}

    def __del__(self):
        ImageRelease(self.loop, self.image).begin()

    cdef str rule_text(self, uint32_t rule):
        """The name a rule is known by in logs and answers, None for a default. Shared by every tunnel it admitted."""
        cdef sl_rule_name found
        text = self.rule_texts.get(rule) if rule != SL_NO_RULE else None
        if text is None and sl_rule_named(&self.image.image, rule, &found):
            parts = [part.decode("utf-8", "replace") for part in (found.kind, found.namespace_, found.name)]
            text = self.rule_texts[rule] = "/".join([part for part in parts if part])
        return text

    cdef uint64_t credential(self, bytes user) noexcept:
        """The mark of a user's password (builder.h); 0 for a user that is not known."""
        return sl_source_credential(&self.image.image, PyBytes_AS_STRING(user))

    cdef SourcePool pool(self, const sl_decision *decision):
        """Where connections that a decision lets pass come from; None where the system chooses."""
        cdef const char *text = sl_judged_sources(&self.image.image, decision)
        if text is NULL:
            return None
        pool = self.pools.get(<size_t> text)
        if pool is None:
            pool = self.pools[<size_t> text] = SourcePool(text.decode("utf-8", "replace"))
        return pool

    cdef TlsClient origination(self, const sl_decision *decision):
        cdef const char *text = sl_judged_tls(&self.image.image, decision)
        if text is NULL:
            return None
        client = self.clients.get(<size_t> text)
        if client is None:
            client = self.clients[<size_t> text] = self.originations.get(<bytes> text)
        return client

    cdef TlsClient request_origination(self, const sl_decision *decision, bint secure, bint upgrades):
        cdef const char *text = sl_judged_tls(&self.image.image, decision)
        cdef dict clients = self.upgrade_clients if upgrades else self.request_clients
        cdef dict originations = self.upgrade_originations if upgrades else self.request_originations
        if text is NULL and not secure:
            return None
        client = clients.get(<size_t> text)
        if client is None:
            client = clients[<size_t> text] = originations.get(b"" if text is NULL else <bytes> text)
        return client

    cdef TlsClient backend_origination(self, bytes text, bint upgrades):
        if not text:
            return None
        return (self.upgrade_originations if upgrades else self.request_originations).get(text)


@cython.final
cdef class Loaded:
    """An image and its settings, as WorkerParts.load makes them ready."""

    def __init__(self, uint64_t number, PolicyImage image, dict settings, TlsClients before):
        self.number = number
        self.image = image
        self.settings = settings
        self.listeners = [ListenerSpec(entry, settings["tickets"]) for entry in settings["listeners"]]
        self.clients = TlsClients(before, settings["system_ca"])
        self.parents = {entry["name"].encode("ascii"): Parent(entry, self.clients) for entry in settings["upstreams"]}
        self.originations = {text.encode(): self.clients.client(entry)
                             for text, entry in settings["originations"].items()}
        self.request_originations = {
            text.encode(): self.clients.client({**entry, "alpn": entry["alpn"] or REQUEST_PROTOCOLS})
            for text, entry in settings["request_originations"].items()}
        self.upgrade_originations = {
            text.encode(): self.clients.client({**entry, "alpn": UPGRADE_PROTOCOLS})
            for text, entry in settings["request_originations"].items()}
        self.clients.settle()
        self.proxies = Prefixes(settings["proxy_protocol_from"])
        self.speakers = Prefixes(settings["proxy_identity_from"])

    def discard(self):
        """It does not become active after all."""
        if self.resolver is not None:
            self.resolver.retire()
