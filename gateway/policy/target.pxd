from gateway.c.judge cimport sl_field, sl_request


cdef class HttpRequest:
    cdef sl_request request
    cdef sl_field *fields
    cdef list kept  # the bytes that `request` refers to
    cdef readonly str path
    cdef readonly bint doubtful
