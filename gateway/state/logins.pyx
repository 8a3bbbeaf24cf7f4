"""Logins of one worker: which passwords and tokens were right, which are being verified, and for whom.

Both are verified by the supervisor, never here: a scrypt check costs tens of milliseconds. What came of one is
remembered under an HMAC whose key lives as long as the worker, so no password and no token stays in memory.

* A right password is remembered together with the credential of the hash that it fits (builder.h). It is right as long
  as the active generation has that credential for its user: a reload that leaves the hash alone forgets nothing, and
  one that changes it needs no message.
* A right token is remembered until its time is over, or the next reload.
* Wrong ones are remembered apart, so that guesses never push a right one out, and until the next reload.
* Requests with the same credentials share one check.
* Of one source a few checks are under way at a time, so that it does not take up what all sources share; the supervisor
  takes the sources in turns (supervisor/verifier.py) and says which of them fail too often.
"""

import hashlib
import hmac
import os

from gateway.c.contract cimport SL_REASON_LOGIN_FAILED, SL_REASON_TOKEN_NOT_YET_VALID

cdef enum:
    RIGHT_ENTRIES = 10000
    WRONG_ENTRIES = 10000
    CHECKS_MOST = 1000         # under way from one worker
    CHECKS_OF_SOURCE = 16      # of them, of one source
    REQUESTS_MOST = 1000        # requests that wait for one check
    BARRED_MOST = 4096         # sources
    MAX_PASSWORD = 1024


cdef class Check:
    """See logins.pxd."""

    def __cinit__(self, bytes digest, uint64_t source, bint of_token):
        self.digest = digest
        self.source, self.of_token = source, of_token
        self.requests = []


cdef class Logins:
    """See logins.pxd."""

    def __cinit__(self, Loop loop):
        self.loop = loop
        self.key = os.urandom(32)
        self.right, self.tokens, self.wrong = {}, {}, {}
        self.checks, self.asked, self.sources, self.barred = {}, {}, {}, {}

    def attach(self, bus):
        """`bus` sends what the supervisor has to verify."""
        self.bus = bus

    def renew(self):
        """A generation takes effect: what was wrong may be right now."""
        self.tokens, self.wrong = {}, {}

    @property
    def waiting(self):
        """Checks under way."""
        return len(self.checks)

    cdef int ask(self, uint64_t source, bytes user, bytes password, uint64_t credential, Request request):
        if len(password) > MAX_PASSWORD:
            return LOGIN_WRONG
        digest = hmac.digest(self.key, b"%d:%b%b" % (len(user), user, password), hashlib.sha256)
        if credential and self.right.get(digest) == credential:
            return LOGIN_RIGHT
        if self.is_barred(source):
            return LOGIN_LIMITED
        if digest in self.wrong:
            self.bus.rejected(source)
            return LOGIN_WRONG
        return self.begin(digest, source, user, password, False, request)

    cdef int ask_token(self, uint64_t source, bytes token, Request request):
        cdef Token known
        digest = hmac.digest(self.key, b"token:" + token, hashlib.sha256)
        known = self.tokens.get(digest)
        if known is not None and not known.is_over():
            self.found = known
            return LOGIN_RIGHT
        if self.is_barred(source):
            return LOGIN_LIMITED
        reason = self.wrong.get(digest)
        if reason is not None:
            self.bus.rejected(source)
            self.reason = reason
            return LOGIN_WRONG
        return self.begin(digest, source, None, token, True, request)

    cdef int begin(self, bytes digest, uint64_t source, bytes user, bytes secret, bint of_token, Request request):
        """Has the supervisor verify what is not known, where there is room for it."""
        cdef Check check = self.asked.get(digest)
        if check is not None:
            if len(check.requests) >= REQUESTS_MOST:
                return LOGIN_BUSY
            check.requests.append(request)
            return LOGIN_WAITS
        under_way = self.sources.get(source, 0)
        if under_way >= CHECKS_OF_SOURCE:
            return LOGIN_LIMITED
        if len(self.checks) >= CHECKS_MOST:
            return LOGIN_BUSY
        self.number += 1
        if not (self.bus.verify_token(self.number, source, secret) if of_token else
                self.bus.verify(self.number, source, user, secret)):
            return LOGIN_BUSY
        check = Check(digest, source, of_token)
        check.requests.append(request)
        self.sources[source] = under_way + 1
        self.checks[self.number] = self.asked[digest] = check
        return LOGIN_WAITS

    def answered(self, uint64_t number, int result, uint64_t credential, facts=None, int reason=0):
        """The supervisor's answer: remembered, whatever became of the requests that wait for it."""
        cdef Check check = self.checks.pop(number, None)
        cdef Request request
        cdef Token token = None
        if check is None:
            return
        if check.of_token and result == LOGIN_RIGHT:
            token = Token(facts)
        del self.asked[check.digest]
        under_way = self.sources[check.source] - 1
        if under_way:
            self.sources[check.source] = under_way
        else:
            del self.sources[check.source]
        if token is not None:
            remember(self.tokens, check.digest, token, RIGHT_ENTRIES)
        elif result == LOGIN_RIGHT and credential:
            remember(self.right, check.digest, credential, RIGHT_ENTRIES)
        elif result == LOGIN_WRONG and reason != SL_REASON_TOKEN_NOT_YET_VALID:
            remember(self.wrong, check.digest, reason if check.of_token else SL_REASON_LOGIN_FAILED, WRONG_ENTRIES)
        for request in check.requests:
            if not request.closed:
                if check.of_token:
                    request.on_token(result, token, reason)
                else:
                    request.on_verified(result, credential)
                self.loop.settle(request)  # an internal error is its end, and not that of the bus

    def bar(self, uint64_t source, double seconds):
        """No password of a source is verified for so long. Right ones that are remembered still pass."""
        self.barred.pop(source, None)
        remember(self.barred, source, self.loop.now + <uint64_t> (seconds * 1000), BARRED_MOST)

    cdef bint is_barred(self, uint64_t source):
        until = self.barred.get(source)
        if until is None:
            return False
        if <uint64_t> until > self.loop.now:
            return True
        del self.barred[source]
        return False


cdef int remember(dict entries, object key, object value, Py_ssize_t most) except -1:
    """Adds an entry; the oldest one makes room."""
    if len(entries) >= most and key not in entries:
        del entries[next(iter(entries))]
    entries[key] = value
    return 0
