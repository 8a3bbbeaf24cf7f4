"""A worker that wakes has a few microseconds of work: it goes before what has run for a while already.

Linux 6.12 and later let a task ask for short slices (sched_setattr(2), sched_runtime of SCHED_OTHER): when it wakes, a
task with longer ones gives way at once, whatever is left of its own. Earlier kernels take the wish and do nothing.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.string cimport memset

cdef extern from "sys/syscall.h" nogil:
    enum:
        SYS_sched_getattr
        SYS_sched_setattr

cdef extern from "unistd.h" nogil:
    long syscall(long number, ...)

# The first version of the kernel's struct sched_attr; libc has none.
cdef struct Attributes:
    uint32_t size
    uint32_t policy
    uint64_t flags
    int32_t nice
    uint32_t priority
    uint64_t runtime           # nanoseconds
    uint64_t deadline
    uint64_t period

cdef enum:
    SHORTEST = 100000          # nanoseconds; the kernel takes nothing below


def wake_first(pid=0):
    """Asks for the shortest slices for a process, this one unless named; priority and policy stay as they are.

    False where the kernel refuses, as a service manager's filter may make it."""
    cdef Attributes wished
    memset(&wished, 0, sizeof(wished))
    if syscall(SYS_sched_getattr, <int> pid, &wished, sizeof(wished), 0) != 0:
        return False
    wished.size = sizeof(wished)
    wished.runtime = SHORTEST
    return syscall(SYS_sched_setattr, <int> pid, &wished, 0) == 0
