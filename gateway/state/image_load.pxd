# A policy image opened and given back in slices, so that a large one delays no request.
from gateway.io.loop cimport Handler, Loop
from gateway.policy.image cimport PolicyImage

cdef class ImageLoad(Handler):
    cdef Loop loop
    cdef PolicyImage image
    cdef object on_finished    # called with the image and an error or None
    cdef bint opened

cdef class ImageRelease(Handler):
    cdef Loop loop
    cdef PolicyImage image
