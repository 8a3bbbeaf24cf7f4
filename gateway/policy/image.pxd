# The answers that one policy image gives.
from libc.stdint cimport uint16_t, uint32_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision, sl_question, sl_request, sl_source_key, sl_trail, sl_trail_step
from gateway.policy.mapped_image cimport MappedImage
from gateway.policy.workloads cimport Workloads

cdef class PolicyImage(MappedImage):
    cdef sl_decision explained       # of the explain() before
    cdef readonly Workloads workloads  # of its generation; None: no pod is known

    cdef str destination(self, sl_question *question, host, address, char *name, sl_addr *asked)
    cdef object rule_brief(self, uint32_t index)
    cdef object attributes(self, const sl_decision *decision, str inner, uint16_t port)
    cdef object origination(self, const sl_decision *decision, uint16_t port)
    cdef object source_addresses(self, const sl_decision *decision)
    cdef object asker(self, sl_source_key *key, tuple texts, bint by_token, bint placed)
    cdef object trail(self, const sl_trail *trail, str host, str inside, const sl_addr *addr,
                      const sl_request *request)
    cdef list wants(self, uint32_t condition, const sl_request *request)
    cdef str match_text(self, const sl_trail_step *step, str host, str inside, const sl_addr *addr)
    cdef str selector_text(self, uint32_t index)
