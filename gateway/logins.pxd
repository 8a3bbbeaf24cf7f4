# Logins of one worker: which passwords were right, which are being verified, and for whom. It verifies none.
from libc.stdint cimport uint64_t

from gateway.loop cimport Handler, Loop

cdef enum Login:
    # How a login went; gateway/contract.py has the first four.
    LOGIN_WRONG = 0
    LOGIN_RIGHT = 1
    LOGIN_BUSY = 2             # nothing was verified: the gateway has no room
    LOGIN_LIMITED = 3          # nothing was verified: the source has too many logins waiting, or too many that failed
    LOGIN_WAITS = 4            # on_verified will be called

cdef class Credentials(Handler):
    # A request whose password is verified. `result` is a Login; `credential` tells which hash the password fits.
    # May be called in every state: the request may have been refused before, by requestTimeout for example, and live on
    # until its client has read the refusal.
    cdef void on_verified(self, int result, uint64_t credential) noexcept

cdef class Check:
    # One password that the supervisor verifies, and the requests that wait for it.
    cdef bytes digest
    cdef uint64_t source       # of the request that asked first
    cdef list waiters          # Credentials

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
    cdef int ask(self, uint64_t source, bytes user, bytes password, uint64_t credential, Credentials waiter)
    cdef bint is_barred(self, uint64_t source)
