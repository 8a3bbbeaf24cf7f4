"""Connections to origins that are kept for further requests. See origin_pool.pxd.

A pool is known by what a connection is good for: the destination, the TLS towards it, the source address, the parent. A
request gets one of it only where its own address phase, under the generation that judges it, lets the address pass
which that connection leads to (DECISIONS.md section 7): the pool knows addresses and no policy.

An idle connection ends after `pools.idle`, one that is older than `pools.maxAge` takes no further request, and the
oldest idle ones go first where descriptors run out.
"""

cimport cython
from libc.stdint cimport uint32_t
from libc.string cimport memcmp

from gateway.c.addr cimport sl_addr
from gateway.c.segment cimport SL_UPSTREAM_ACTIVE, SL_UPSTREAM_IDLE
from gateway.dial.race cimport Candidate
from gateway.state.request_line cimport move_upstream

cdef enum:
    IDLE_MOST = 1024           # connections of a worker that carry nothing


cdef class OriginConnection(Handler):
    """See origin_pool.pxd."""

    cdef void follow(self, ParentStream stream) noexcept:
        self.parent_stream = stream
        if stream is not None:
            stream.lead(self)

    cdef void enter(self, sl_leg *leg, uint32_t events) noexcept:
        pass

    cdef bint has_room(self) noexcept:
        return False

    cdef bint is_busy(self) noexcept:
        return False

    cdef void request_left(self) noexcept:
        pass

    cdef void room_changed(self) noexcept:
        pass

    cdef OriginRequest request(self, ResponseTaker taker):
        return None


@cython.final
cdef class OriginPool:
    """Made by OriginPools."""

    def __cinit__(self, tuple key):
        self.key = key
        self.connections = []


@cython.final
cdef class OriginPools:
    """All pools of a worker."""

    def __cinit__(self, WorkerParts parts):
        self.parts = parts
        self.known = {}
        self.head = Message.__new__(Message)

    cdef OriginConnection find(self, tuple key, OriginPool guess, Race race, int *candidate):
        cdef OriginPool pool = guess
        cdef OriginConnection connection
        cdef Py_ssize_t i
        cdef int at
        if pool is None or pool.members == 0:
            pool = self.known.get(key)
        if pool is None:
            return None
        for i in range(len(pool.connections) - 1, -1, -1):
            connection = pool.connections[i]
            if not connection.has_room() or self.parts.loop.now - connection.opened > self.parts.settings.pool_age:
                continue
            at = candidate_of(race, connection)
            if at < 0:
                continue
            candidate[0] = at
            self.take(connection, i)
            return connection
        return None

    cdef void offer(self, OriginConnection connection):
        cdef OriginPool pool = connection.pool
        if self.idle >= IDLE_MOST and not self.give_up_one():
            connection.close()
            return
        if pool is None:
            pool = self.known.get(connection.key)
            if pool is None:
                pool = self.known[connection.key] = OriginPool.__new__(OriginPool, connection.key)
            pool.members += 1
            connection.pool = pool
        pool.connections.append(connection)
        connection.waits = True
        connection.idle_since = self.parts.loop.now
        self.idle += 1
        self.parts.files.apart += 1
        move_upstream(self.parts, SL_UPSTREAM_ACTIVE, SL_UPSTREAM_IDLE)
        self.parts.loop.arm(connection, self.parts.settings.pool_idle)

    cdef void withdraw(self, OriginConnection connection) noexcept:
        cdef Py_ssize_t at
        if connection.waits:
            at = len(connection.pool.connections) - 1
            while connection.pool.connections[at] is not connection:
                at -= 1
            self.take(connection, at)

    cdef void forget(self, OriginConnection connection) noexcept:
        cdef OriginPool pool = connection.pool
        self.withdraw(connection)
        if pool is not None:
            connection.pool = None
            pool.members -= 1
            if pool.members == 0:
                self.known.pop(pool.key, None)

    cdef void take(self, OriginConnection connection, Py_ssize_t at) noexcept:
        connection.pool.connections.pop(at)
        connection.waits = False
        self.idle -= 1
        self.parts.files.apart -= 1
        move_upstream(self.parts, SL_UPSTREAM_IDLE, SL_UPSTREAM_ACTIVE)

    cdef bint give_up_one(self) noexcept:
        cdef OriginConnection oldest = None, connection
        cdef OriginPool pool
        for pool in self.known.values():
            for connection in pool.connections:
                if not connection.is_busy():
                    if oldest is None or connection.idle_since < oldest.idle_since:
                        oldest = connection
                    break
        if oldest is None:
            return False
        oldest.close()
        return True

    def close(self):
        """The end of the worker: every idle connection is closed."""
        while self.known and self.give_up_one():
            pass


cdef int candidate_of(Race race, OriginConnection connection) noexcept:
    """The candidate that may be dialed and is this connection's peer; -1: none."""
    cdef Candidate *candidate
    cdef int i
    for i in range(race.candidate_count):
        candidate = &race.candidates[i]
        if (candidate.address.family and candidate.port == connection.port
                and memcmp(&candidate.address, &connection.address, sizeof(sl_addr)) == 0):
            return i
    return -1
