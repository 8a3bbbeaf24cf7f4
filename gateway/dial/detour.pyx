"""A backend's addresses in place of those asked for. See detour.pxd: facts alone."""

cimport cython


@cython.final
cdef class Detour:
    """Its maker sets what it has."""
