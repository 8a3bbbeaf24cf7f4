# csrc/shared/workloads.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t
from gateway.c.addr cimport sl_addr, sl_prefix

cdef extern from "shared/workloads.h" nogil:
    enum:
        SL_WORKLOADS_MOST
        SL_WORKLOADS_NETWORKS
        SL_WORKLOAD_SELECTORS
        SL_WORKLOAD_TEXT
    enum sl_workload_text_id "sl_workload_text":
        SL_WORKLOAD_NAMESPACE
        SL_WORKLOAD_ACCOUNT
        SL_WORKLOAD_POD
        SL_WORKLOAD_OWNER_KIND
        SL_WORKLOAD_OWNER
        SL_WORKLOAD_TEXT_COUNT
    enum sl_workload_status:
        SL_WORKLOAD_OUTSIDE
        SL_WORKLOAD_UNKNOWN
        SL_WORKLOAD_KNOWN
    struct sl_workload:
        uint64_t sequence
        uint64_t pod
        uint32_t selector_count
        uint32_t *selectors
    struct sl_workloads_header:
        pass
    struct sl_workloads:
        const sl_workloads_header *header
    struct sl_workload_entry:
        sl_addr addr
        uint64_t pod
        const char *texts[5]
        const uint32_t *selectors
        uint32_t selector_count

    int sl_workloads_open(sl_workloads *table, const void *base, size_t size)
    sl_workload_status sl_workloads_find(const sl_workloads *table, const sl_addr *addr, const sl_workload **out)
    const char *sl_workload_text(const sl_workload *workload, int which)
    uint32_t sl_workloads_known(const sl_workloads *table)
    uint64_t sl_workloads_changes(const sl_workloads *table)
    size_t sl_workload_size(const sl_workload_entry *entry)
    size_t sl_workloads_size(uint32_t addresses, uint32_t networks, size_t records)
    int sl_workloads_prepare(void *base, size_t size, uint32_t addresses, uint32_t networks, size_t records)
    int sl_workloads_network(void *base, const sl_prefix *block)
    int sl_workloads_put(void *base, const sl_workload_entry *entry)
