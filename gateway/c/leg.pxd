# csrc/relay/leg.h, as Cython sees it.
from libc.stdint cimport uint32_t
from gateway.c.pipe_pool cimport sl_pipe

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "relay/leg.h" nogil:
    enum sl_leg_progress:
        SL_LEG_FAILED
        SL_LEG_WAITS
        SL_LEG_READY
    enum:
        SL_LEG_INSIDE
    struct sl_leg_table:
        ssize_t (*receive)(sl_leg *leg, void *to, size_t most) noexcept
        ssize_t (*receive_parts)(sl_leg *leg, const iovec *parts, int count) noexcept
        ssize_t (*send)(sl_leg *leg, const void *data, size_t length, int more) noexcept
        ssize_t (*send_parts)(sl_leg *leg, const iovec *parts, int count) noexcept
        ssize_t (*peek)(sl_leg *leg, void *to, size_t most) noexcept
        int (*end_writing)(sl_leg *leg) noexcept
        void (*close)(sl_leg *leg) noexcept
        void (*reset)(sl_leg *leg) noexcept
        sl_leg_progress (*advance)(sl_leg *leg) noexcept
        unsigned (*wants)(const sl_leg *leg) noexcept
        int (*pending)(const sl_leg *leg) noexcept
        int (*ended)(const sl_leg *leg) noexcept
        const char *(*reason)(const sl_leg *leg) noexcept
    struct sl_transport:
        const sl_leg_table *table
    struct sl_leg:
        sl_transport *transport
        int fd

    sl_leg sl_plain_leg(int fd)
    ssize_t sl_leg_receive(sl_leg *leg, void *to, size_t most)
    ssize_t sl_leg_receive_parts(sl_leg *leg, const iovec *parts, int count)
    ssize_t sl_leg_send(sl_leg *leg, const void *data, size_t length, int more)
    ssize_t sl_leg_send_parts(sl_leg *leg, const iovec *parts, int count)
    ssize_t sl_leg_peek(sl_leg *leg, void *to, size_t most)
    int sl_leg_end_writing(sl_leg *leg)
    void sl_leg_close(sl_leg *leg)
    void sl_leg_reset(sl_leg *leg)
    ssize_t sl_leg_into_pipe(sl_leg *leg, sl_pipe *pipe, size_t most)
    ssize_t sl_leg_out_of_pipe(sl_leg *leg, sl_pipe *pipe, size_t most, int more)
    bint sl_leg_drains_pipes(const sl_leg *leg)
    sl_leg_progress sl_leg_advance(sl_leg *leg)
    bint sl_leg_pending(const sl_leg *leg)
    bint sl_leg_ended(const sl_leg *leg)
    const char *sl_leg_reason(const sl_leg *leg)
    const char *sl_leg_broken(const sl_leg *leg)
    uint32_t sl_leg_events(const sl_leg *leg, uint32_t events)
