# Giving back what mmap(2) gave, at once or piece by piece: an image, or a table of workloads.
from posix.mman cimport munmap

cdef inline void give_back(void **mapping, size_t mapped) noexcept:
    if mapping[0] is not NULL:
        munmap(mapping[0], mapped)
        mapping[0] = NULL

# `most` bytes more, a multiple of a page's; true once nothing is left.
cdef inline bint give_back_some(void **mapping, size_t *mapped, size_t most) noexcept:
    if mapped[0] <= most or mapping[0] is NULL:
        give_back(mapping, mapped[0])
        return True
    munmap(mapping[0], most)
    mapping[0] = <char *> mapping[0] + most
    mapped[0] -= most
    return False
