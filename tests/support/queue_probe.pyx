"""Places and queues for Python: what tests ask of queues.pyx without a gateway around it."""

from libc.stdint cimport uint32_t, uint64_t

from gateway.state.limits cimport Limits
from tests.support.proto_probe import KINDS
from gateway.io.loop cimport Loop
from gateway.state.queues cimport EnterResult, PlaceQueues, QueueEntry


cdef class Applicant(QueueEntry):
    """One that wants a place of `kind` for `wanted`. `result` is "refused", "done" or "queued", later "granted"."""

    cdef PlaceQueues queues
    cdef int kind
    cdef uint32_t held
    cdef bytes wanted
    cdef object heard
    cdef readonly str result

    def __init__(self, Probe probe, uint64_t source, kind, bytes wanted, heard):
        self.queues, self.source, self.wanted, self.heard = probe.queues, source, wanted, heard
        self.kind = KINDS.index(kind)
        cdef EnterResult result = self.queues.enter(self, self.kind)
        self.result = ("refused", "done", "queued")[<int> result]

    cdef uint32_t *place(self, int kind) noexcept:
        return &self.held

    cdef bytes destination(self, int kind):
        return self.wanted

    cdef void on_place(self, int kind) noexcept:
        self.result = "granted"
        if self.heard is not None:
            self.heard(self)

    @property
    def holds(self):
        return self.held != 0

    def leave(self):
        """Gives the place back."""
        self.queues.leave(self, self.kind)

    def quit(self):
        """Waits no longer."""
        self.queues.quit(self)


cdef class Probe:
    """The queues of one worker, on a loop that the test runs."""

    cdef PlaceQueues queues

    def __init__(self, Loop loop, Limits limits):
        self.queues = PlaceQueues(loop, limits)

    def ask(self, uint64_t source, kind, bytes wanted, heard=None):
        """A new Applicant."""
        return Applicant(self, source, kind, wanted, heard)

    @property
    def waiting(self):
        return self.queues.waiting

    @property
    def remembered(self):
        """Queues that exist: none when nothing waits and no place is counted for a destination."""
        return self.queues.count
