# Sums that an opening keeps: places of limits, its times, its refusal.
from libc.stdint cimport uint64_t

from gateway.c.addr cimport sl_addr
from gateway.parent.parent cimport Parent, ParentStream
from gateway.state.record cimport Record

# The sl_scope that refusals for a source's limit (sl_limit) are counted by.
cdef int scope_of(int kind) noexcept
# The purpose of a place: those of equal ones wait for each other. `parent`: the one that is dialed, or None.
cdef bytes destination_of(Record record, Parent parent, int kind)
# Places for the tunnel that a request is to become, which the record keeps. -1, else the sl_scope of the limit that was
# reached.
cdef int reserve_tunnel(Record record) noexcept
# Whether the rates of its listener let a request pass; one that passes is counted.
cdef bint is_in_turn(Record record) noexcept
# A step of a record that began at `began` (loop milliseconds) is done: the name is resolved, or the upstream connected.
cdef void note_resolved(Record record, uint64_t began) noexcept
cdef void note_connected(Record record, uint64_t began) noexcept
# Where the connection `fd` comes from, or the one behind a stream to a parent: noted where the rule says so.
cdef void note_source(Record record, ParentStream parent_stream, int fd) noexcept
# Refused with an outcome; `scope`: that of the limit, where it is one.
cdef void count_refusal(Record record, int outcome, int scope) noexcept
# An address as text.
cdef bytes address_text(const sl_addr *address)
