# csrc/policy/describe.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint32_t, uint8_t

from gateway.c.image cimport sl_image
from gateway.c.judge cimport sl_request

cdef extern from "policy/describe.h" nogil:
    struct sl_rule_description:
        const char *kind
        const char *namespace_
        const char *name
        const char *file
        const char *upstream
        const char *sources
        const char *route
        const char *headers
        const char *tls
        uint32_t index
        uint32_t line
        uint16_t slot
        uint8_t tier
        uint8_t on_revoke
        uint8_t on_revoke_set
        uint8_t inner
        uint8_t protocol
        uint8_t ech
    struct sl_selector_description:
        const char *form
        const char *a
        const char *b
        uint8_t from_block

    struct sl_want:
        const char *form
        const char *a
        const char *b
        uint8_t met

    unsigned sl_condition_describe(const sl_image *policy, uint32_t condition, const sl_request *request, sl_want *out,
                                   unsigned most)
    bint sl_rule_describe(const sl_image *policy, uint32_t rule, sl_rule_description *out)
    bint sl_selector_describe(const sl_image *policy, uint32_t selector, sl_selector_description *out)
