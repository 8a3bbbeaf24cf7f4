# Steps that the requests of all protocols share: noted, opened, refused for a limit, and named in an answer.
from libc.stdint cimport uint64_t

from gateway.dial.opening cimport Opening
from gateway.proto.codec cimport Codec
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request

# The request is complete: its record, which knows its target. `kind` is an sl_protocol.
cdef Record note(WorkerParts parts, Request request, Codec codec, int kind)
# The same for a record that was made for it.
cdef void fill(Record record, Request request, Codec codec, int kind) noexcept
# Verifies credentials; on_verified follows, at once where the outcome is known.
cdef void verify(WorkerParts parts, Request request, bytes user, bytes password) noexcept
# The same for a bearer token, and on_token.
cdef void verify_token(WorkerParts parts, Request request, bytes token) noexcept
# From here on it is decided, resolved and dialed: the opening, to be started; None while the gateway drains, unless it
# `opens_late`, with the line of a refusal.
cdef Opening may_open(WorkerParts parts, Request request, Record record, bint opens_late)
# Refused before it was decided, for a limit: with its line, its counter, the limit's scope and an sl_reason.
cdef void over_limit(Record record, uint64_t source, int outcome, int scope, int reason) noexcept
# The drain's time is up, and it was not opened: with its line, its counter and its scope.
cdef void drained_away(Record record, uint64_t source) noexcept
# Ends an opening that is not needed any more; with a line in the log.
cdef void give_up(Opening opening) noexcept
# Rule and reason that an answer names for a refusal by `outcome`; None: none. The record may be None.
cdef str told_rule(Record record, int outcome)
cdef str told_reason(Record record, int outcome)
