# Logins of one worker: which passwords were right, which are being verified, and for whom. It verifies none.
from libc.stdint cimport uint64_t

from gateway.c.contract cimport (
    SL_LOGIN_BUSY, SL_LOGIN_COUNT, SL_LOGIN_LIMITED, SL_LOGIN_RIGHT, SL_LOGIN_WRONG,
)
from gateway.io.loop cimport Loop
from gateway.state.request cimport Request

cdef enum Login:
    # How a login went: sl_login, or still under way.
    LOGIN_WRONG = SL_LOGIN_WRONG
    LOGIN_RIGHT = SL_LOGIN_RIGHT
    LOGIN_BUSY = SL_LOGIN_BUSY
    LOGIN_LIMITED = SL_LOGIN_LIMITED
    LOGIN_WAITS = SL_LOGIN_COUNT   # on_verified of the request will be called

cdef class Check:
    # One password that the supervisor verifies, and the requests that wait for it.
    cdef bytes digest
    cdef uint64_t source       # of the request that asked first
    cdef list requests         # Request, which wait for it

cdef class Logins:
    cdef Loop loop
    cdef object bus            # .verify(id, source, user, password), .rejected(source)
    cdef bytes key             # of the digests; new in each worker
    cdef dict right            # digest of (user, password) -> credential of the hash that it fits
    cdef dict wrong            # digest -> True; of this generation
    cdef dict checks           # id -> Check
    cdef dict asked            # digest -> Check
    cdef dict sources          # source -> checks under way
    cdef dict barred           # source -> loop milliseconds until which none of its passwords is verified
    cdef uint64_t number

    # A Login for a user whose hash has `credential` in the active generation (0: there is no such user). RIGHT stands
    # for a password that fits that hash.
    cdef int ask(self, uint64_t source, bytes user, bytes password, uint64_t credential, Request request)
    cdef bint is_barred(self, uint64_t source)
