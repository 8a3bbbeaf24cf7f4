# Logins of one worker: which passwords and tokens were right, which are being verified, and for whom. It verifies none.
from libc.stdint cimport uint64_t

from gateway.c.contract cimport (
    SL_LOGIN_BUSY, SL_LOGIN_COUNT, SL_LOGIN_LIMITED, SL_LOGIN_RIGHT, SL_LOGIN_WRONG,
)
from gateway.io.loop cimport Loop
from gateway.state.claims cimport Token
from gateway.state.request cimport Request

cdef enum Login:
    # How a login went: sl_login, or still under way.
    LOGIN_WRONG = SL_LOGIN_WRONG
    LOGIN_RIGHT = SL_LOGIN_RIGHT
    LOGIN_BUSY = SL_LOGIN_BUSY
    LOGIN_LIMITED = SL_LOGIN_LIMITED
    LOGIN_WAITS = SL_LOGIN_COUNT   # on_verified or on_token of the request will be called

cdef class Check:
    # One password or token that the supervisor verifies, and the requests that wait for it.
    cdef bytes digest
    cdef uint64_t source       # of the request that asked first
    cdef bint of_token
    cdef list requests         # Request, which wait for it

cdef class Logins:
    cdef Loop loop
    cdef object bus            # .verify(id, source, user, password), .verify_token(id, source, token), .rejected()
    cdef bytes key             # of the digests; new in each worker
    cdef dict right            # digest of (user, password) -> credential of the hash that it fits
    cdef dict tokens           # digest -> Token; of this generation
    cdef dict wrong            # digest -> sl_reason; of this generation
    cdef dict checks           # id -> Check
    cdef dict asked            # digest -> Check
    cdef dict sources          # source -> checks under way
    cdef dict barred           # source -> loop milliseconds until which none of its passwords is verified
    cdef uint64_t number
    cdef Token found           # of the last ask_token() that was RIGHT
    cdef int reason            # sl_reason of the last one that was WRONG

    # A Login for a user whose hash has `credential` in the active generation (0: there is no such user). RIGHT stands
    # for a password that fits that hash.
    cdef int ask(self, uint64_t source, bytes user, bytes password, uint64_t credential, Request request)
    # The same for a token; RIGHT fills in `found`, and WRONG `reason`.
    cdef int ask_token(self, uint64_t source, bytes token, Request request)
    cdef int begin(self, bytes digest, uint64_t source, bytes user, bytes secret, bint of_token, Request request)
    cdef bint is_barred(self, uint64_t source)
