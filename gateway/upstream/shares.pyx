"""How many requests of each source are under way. See shares.pxd.

A source is a hash already (gateway/state/limits.pxd), so its low bits are its place. An entry whose count is 0 keeps
its place until the table is made anew, with room for twice the sources that it has.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free

cdef enum:
    SIZE_FIRST = 8             # entries


cdef Share *place_of(const Shares *shares, uint64_t source) noexcept:
    """The entry of a source, or the free one that it would get. The table is never full."""
    cdef uint32_t at = <uint32_t> source & (shares.size - 1)
    while shares.entries[at].source != 0 and shares.entries[at].source != source:
        at = (at + 1) & (shares.size - 1)
    return &shares.entries[at]


cdef uint32_t shares_of(const Shares *shares, uint64_t source) noexcept:
    return place_of(shares, source).count if shares.size else 0


cdef void shares_enter(Shares *shares, uint64_t source) noexcept:
    cdef Share *place
    if source == 0 or (shares.used * 2 >= shares.size and not renew(shares) and shares.used + 1 >= shares.size):
        return
    place = place_of(shares, source)
    if place.source == 0:
        place.source = source
        shares.used += 1
    place.count += 1


cdef void shares_leave(Shares *shares, uint64_t source) noexcept:
    cdef Share *place
    if shares.size and source:
        place = place_of(shares, source)
        if place.count:
            place.count -= 1


cdef bint renew(Shares *shares) noexcept:
    """A table of those alone that have something under way; False without memory."""
    cdef Shares made
    cdef uint32_t i
    made.size = SIZE_FIRST
    made.used = 0
    for i in range(shares.size):
        made.used += shares.entries[i].count != 0
    while made.size < 4 * made.used:
        made.size *= 2
    made.entries = <Share *> calloc(made.size, sizeof(Share))
    if made.entries is NULL:
        return False
    for i in range(shares.size):
        if shares.entries[i].count:
            place_of(&made, shares.entries[i].source)[0] = shares.entries[i]
    free(shares.entries)
    shares[0] = made
    return True


cdef void shares_free(Shares *shares) noexcept:
    free(shares.entries)
    shares.entries = NULL
    shares.size = shares.used = 0
