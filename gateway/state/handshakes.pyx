"""TLS handshakes of one worker that are under way: one step of one of them in a turn of the loop.

A step may sign or verify, which takes as long as a hundred messages of open tunnels. So a turn has room for one, and
tunnels have their events between any two; who comes first is served first.
"""

from collections import deque


cdef class Handshakes(Handler):
    """See handshakes.pxd."""

    def __cinit__(self, Loop loop):
        self.loop = loop
        self.waiting = deque()
        self.turn = <uint64_t> -1

    cdef bint may_step(self, Handler connection) noexcept:
        if not self.waiting and self.turn != self.loop.turns:
            self.turn = self.loop.turns
            return True
        self.waiting.append(connection)
        self.loop.later(self)
        return False

    cdef void on_turn(self) noexcept:
        cdef Handler connection
        while self.waiting and self.turn != self.loop.turns:
            connection = self.waiting.popleft()
            if not connection.closed:
                self.turn = self.loop.turns
                connection.on_turn()
                self.loop.settle(connection)  # an internal error is its end alone
        if self.waiting:
            self.loop.later(self)
