# csrc/net/local.h, as Cython sees it.
from libc.stdint cimport uint16_t
from gateway.c.addr cimport sl_addr

cdef extern from "net/local.h" nogil:
    struct sl_local:
        int asks
        int events
    int sl_local_open(sl_local *local)
    void sl_local_close(sl_local *local)
    void sl_local_forget(sl_local *local)
    void sl_local_drain(sl_local *local)
    int sl_local_is(sl_local *local, const sl_addr *addr, uint16_t port, const sl_addr *source)
