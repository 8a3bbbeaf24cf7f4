# csrc/shared/limit_table.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "shared/limit_table.h" nogil:
    const uint64_t SL_LIMITS_MAGIC
    enum:
        SL_LIMITS_VERSION
        SL_LIMITS_COLUMNS_AT
        SL_LIMITS_COLUMN_SIZE
    enum sl_limit:
        SL_LIMIT_TUNNELS
        SL_LIMIT_REQUESTS
        SL_LIMIT_LOOKUPS
        SL_LIMIT_DIALS
        SL_LIMIT_PROVISIONAL
        SL_LIMIT_CONNECTIONS
        SL_LIMIT_WAITING
        SL_LIMIT_HANDSHAKES
        SL_LIMIT_COUNT
    struct sl_limits:
        pass

    int sl_limits_attach(sl_limits *limits, void *memory, size_t size, uint32_t own)
    uint64_t sl_limits_source(const sl_limits *limits, const void *name, size_t length)
    uint32_t sl_limits_enter(const sl_limits *limits, uint64_t source, unsigned kind, uint32_t most)
    uint32_t sl_limits_enter_gateway(const sl_limits *limits, unsigned kind, uint32_t most)
    int sl_limits_leave(const sl_limits *limits, uint32_t handle, unsigned kind)
    uint64_t sl_limits_held(const sl_limits *limits, uint64_t source, unsigned kind)
    uint64_t sl_limits_held_by_gateway(const sl_limits *limits, unsigned kind)
