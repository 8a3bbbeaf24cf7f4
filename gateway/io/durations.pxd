# Durations of settings as the loop counts them.
from libc.stdint cimport uint64_t

# Seconds in milliseconds, rounded.
cdef inline uint64_t milliseconds(double seconds) noexcept nogil:
    return <uint64_t> (seconds * 1000 + 0.5)

# The same of a timeout: never 0, which would mean "at once".
cdef inline uint64_t patience(double seconds) noexcept nogil:
    return max(milliseconds(seconds), <uint64_t> 1)
