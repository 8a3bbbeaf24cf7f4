# The answers that one policy image gives.
from libc.stdint cimport uint16_t, uint32_t

from gateway.csrc cimport sl_addr, sl_decision, sl_source, sl_trail, sl_trail_step
from gateway.mapped_image cimport MappedImage

cdef class PolicyImage(MappedImage):
    cdef int decide_address(
        self, const sl_source *source, const sl_decision *by_name, const sl_addr *addr, uint16_t port, bint audit,
        sl_decision *out, sl_trail *trail,
    ) except -1
    cdef int is_local(self, const sl_addr *addr, uint16_t port, sources) except -1
    cdef int decide_inner(
        self, const sl_source *source, str asked, uint16_t port, bint audit, str name, str mode,
        sl_decision *decision, sl_trail *trail,
    ) except -1
    cdef object rule_brief(self, uint32_t index)
    cdef object attributes(self, const sl_decision *decision, uint32_t dialed_by, str inner)
    cdef object source_addresses(self, uint32_t index)
    cdef object resolve(self, sl_source *out, const sl_addr *peer, namespace, service_account, identity, user, workload)
    cdef object trail(self, const sl_trail *trail, str host, str inside, const sl_addr *addr)
    cdef str match_text(self, const sl_trail_step *step, str host, str inside, const sl_addr *addr)
    cdef str selector_text(self, uint32_t index)
