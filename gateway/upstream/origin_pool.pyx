"""Connections to origins that are kept for further requests, and requests that wait. See origin_pool.pxd.

A pool is known by what a connection is good for: the destination, the TLS towards it, the source address, the parent. A
request gets one of it only where its own address phase, under the generation that judges it, lets the address pass
which that connection leads to (DECISIONS.md section 7): the pool knows addresses and no policy.

* A request without a connection dials one, while there are fewer than `pools.perDestination`. An idle one that leads to
  another address makes room. Beyond it requests wait in order, at most `pools.pending`.
* Where a connection may turn out to be HTTP/2, one is dialed at a time, and requests wait for what it is.
* One source has at most half of what the pool may carry. What is beyond it waits apart, and holds up no other source.
* Both figures are the gateway's: a worker has its part of them.

An idle connection ends after `pools.idle`, one that is older than `pools.maxAge` takes no further request, and the
oldest idle ones go first where descriptors run out.
"""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.c.addr cimport sl_addr
from gateway.c.segment cimport (
    SL_FAMILY_UPSTREAM_CONNECTIONS, SL_UPSTREAM_ACTIVE, SL_UPSTREAM_IDLE, SL_UPSTREAM_PENDING,
)
from gateway.dial.race cimport Candidate
from gateway.upstream.shares cimport shares_enter, shares_free, shares_leave, shares_of

cdef enum:
    IDLE_MOST = 1024           # connections of a worker that others find
    SERVED = 64                # requests of one pool that go on in one turn


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

    cdef bint is_shared(self) noexcept:
        return False

    cdef bint is_busy(self) noexcept:
        return False

    cdef void request_left(self, uint64_t source) noexcept:
        pass

    cdef void room_changed(self) noexcept:
        pass

    cdef OriginRequest request(self, ResponseTaker taker):
        return None

    cdef void show(self, UpstreamState state) noexcept:
        """Counted in that state, and in no other one."""
        if self.shown != UPSTREAM_NOWHERE:
            self.pools.gauges[self.shown][0] -= 1
        if state != UPSTREAM_NOWHERE:
            self.pools.gauges[<int> state][0] += 1
        self.shown = state


@cython.final
cdef class OriginPool(Handler):
    """Made by OriginPools, which knows it as long as it has a connection, a dial or a request that waits."""

    def __cinit__(self, OriginPools pools, tuple key):
        self.pools, self.key = pools, key
        self.connections, self.waiting = [], {}
        self.streams = 1

    def __dealloc__(self):
        shares_free(&self.shares)

    cdef OriginConnection find(self, uint64_t source, Race race, int *candidate):
        cdef OriginConnection connection
        cdef uint64_t now
        cdef Py_ssize_t i
        cdef int at
        if self.waiting and not self.serving or not self.may_have(source):
            return None
        now = self.pools.parts.loop.now
        for i in range(len(self.connections) - 1, -1, -1):
            connection = <OriginConnection> self.connections[i]
            if not connection.has_room() or now - connection.opened > self.pools.parts.settings.pool_age:
                continue
            at = candidate_of(race, connection)
            if at < 0:
                continue
            candidate[0] = at
            if not connection.is_shared():
                del self.connections[i]
                self.hide(connection)
            return connection
        return None

    cdef bint may_have(self, uint64_t source) noexcept:
        """Whether a source has less than its half."""
        cdef uint64_t half = max(<uint64_t> 1, <uint64_t> self.pools.most * self.streams / 2)
        return self.under_way < half or shares_of(&self.shares, source) < half

    cdef bint is_full(self) noexcept:
        return self.dialing + self.greeting == 0 or self.count >= self.pools.most

    # ---- requests without a connection -------------------------------------------------------------------------------

    cdef PoolStep enter(self, Request request, uint64_t source, bint shares) noexcept:
        if not shares:
            self.speaks = POOL_HTTP1
        if not self.may_have(source):
            return self.wait(request, source, True)
        if self.waiting and not self.serving:
            return self.wait(request, source, False)
        self.count += 1
        if self.count > self.pools.most and not self.evict():
            self.count -= 1
            return self.wait(request, source, False)
        if not self.may_dial(shares) and self.wait(request, source, False) == POOL_WAITS:
            self.count -= 1
            return POOL_WAITS  # where it may not, it dials for itself
        self.dialing += 1
        self.took(source)
        return POOL_DIAL

    cdef bint may_dial(self, bint shares) noexcept:
        """Whether a dial is of use beside those under way, whose connections may take this request as well."""
        return not shares or self.speaks == POOL_HTTP1 or self.dialing + self.greeting == 0

    cdef PoolStep wait(self, Request request, uint64_t source, bint has_half) noexcept:
        if self.pending >= self.pools.pending_most:
            self.settle()
            return POOL_FULL
        if has_half:
            if self.apart is None:
                self.apart = {}
            self.apart.setdefault(source, {})[request] = None
        else:
            self.waiting[request] = None
        self.pending += 1
        self.pools.gauges[<int> UPSTREAM_PENDING][0] += 1
        return POOL_WAITS

    cdef bint evict(self) noexcept:
        """An idle connection, which does not lead where this request may go, makes room."""
        cdef OriginConnection connection
        for connection in self.connections:
            if not connection.is_busy():
                connection.close()
                return True
        return False

    cdef void leave(self, Request request, uint64_t source, bint waits, bint failed) noexcept:
        cdef dict apart
        if waits:
            self.pending -= 1
            self.pools.gauges[<int> UPSTREAM_PENDING][0] -= 1
            if request in self.waiting:
                del self.waiting[request]
            elif self.apart is not None and source in self.apart:
                apart = self.apart[source]
                apart.pop(request, None)
                if not apart:
                    del self.apart[source]
        else:
            self.count -= 1
            self.dialing -= 1
            if failed:
                self.speaks = POOL_HTTP1
            self.gave(source)
            self.look()
        self.settle()

    cdef void dialed(self, uint64_t source, bint http2) noexcept:
        self.dialing -= 1
        if http2:
            self.speaks = POOL_HTTP2
            self.greeting += 1
        else:
            self.speaks = POOL_HTTP1
            self.streams = 1
        self.gave(source)
        self.look()

    cdef void greeted(self, uint32_t most) noexcept:
        self.greeting -= 1
        if most:
            self.streams = most
        self.look()

    # ---- requests that wait ------------------------------------------------------------------------------------------

    cdef void look(self) noexcept:
        """Those that wait get their turn before the loop waits again."""
        if self.pending:
            self.pools.parts.loop.later(self)

    cdef void on_turn(self) noexcept:
        cdef Request request
        cdef Py_ssize_t most = min(len(self.waiting), SERVED)
        cdef uint32_t before = self.pending
        self.serving = True
        while most and self.waiting and (self.connections or self.count < self.pools.most and self.may_dial(True)):
            most -= 1
            request = next(iter(self.waiting))
            del self.waiting[request]
            self.pending -= 1
            self.pools.gauges[<int> UPSTREAM_PENDING][0] -= 1
            request.on_pool()
            self.pools.parts.loop.settle(request)
        self.serving = False
        if most == 0 and self.pending < before:
            self.look()
        self.settle()

    cdef void took(self, uint64_t source) noexcept:
        self.under_way += 1
        shares_enter(&self.shares, source)

    cdef void gave(self, uint64_t source) noexcept:
        cdef dict apart
        self.under_way -= 1
        shares_leave(&self.shares, source)
        if self.apart is not None and source in self.apart:
            # One of its own takes the place, behind others that wait.
            apart = self.apart[source]
            self.waiting[next(iter(apart))] = None
            del apart[next(iter(apart))]
            if not apart:
                del self.apart[source]
            self.look()

    # ---- connections -------------------------------------------------------------------------------------------------

    cdef void offer(self, OriginConnection connection) noexcept:
        cdef OriginPools pools = self.pools
        if pools.idle >= IDLE_MOST and not pools.give_up_one():
            connection.close()
            return
        connection.kept = True
        self.connections.append(connection)
        connection.idle_since = pools.parts.loop.now
        pools.idle += 1
        pools.parts.files.apart += 1
        if not connection.is_busy():
            connection.show(UPSTREAM_IDLE)
        pools.parts.loop.arm(connection, pools.parts.settings.pool_idle)
        self.look()

    cdef void withdraw(self, OriginConnection connection) noexcept:
        cdef Py_ssize_t at
        if connection.kept:
            at = len(self.connections) - 1
            while self.connections[at] is not connection:
                at -= 1
            del self.connections[at]
            self.hide(connection)

    cdef void hide(self, OriginConnection connection) noexcept:
        """No other request finds it."""
        connection.kept = False
        self.pools.idle -= 1
        self.pools.parts.files.apart -= 1
        connection.show(UPSTREAM_ACTIVE)

    cdef void lost(self, OriginConnection connection) noexcept:
        self.withdraw(connection)
        self.count -= 1
        self.look()
        self.settle()

    cdef bint is_empty(self) noexcept:
        return self.count == 0 and self.pending == 0

    cdef void settle(self) noexcept:
        if self.is_empty() and not self.serving:
            self.pools.known.pop(self.key, None)

    cdef void close(self) noexcept:
        """An internal error in a turn: the pool goes on."""
        self.serving = False


@cython.final
cdef class OriginPools:
    """All pools of a worker, one of `workers`."""

    def __cinit__(self, WorkerParts parts, uint32_t workers):
        self.parts, self.workers = parts, workers
        self.known = {}
        self.head = Message.__new__(Message)

    def renew(self):
        """Settings have changed, or are the first ones."""
        self.gauges[<int> UPSTREAM_ACTIVE] = gauge(self.parts, SL_UPSTREAM_ACTIVE)
        self.gauges[<int> UPSTREAM_IDLE] = gauge(self.parts, SL_UPSTREAM_IDLE)
        self.gauges[<int> UPSTREAM_PENDING] = gauge(self.parts, SL_UPSTREAM_PENDING)
        self.most = max(<uint32_t> 1, self.parts.settings.pool_most / self.workers)
        self.pending_most = (self.parts.settings.pool_pending + self.workers - 1) / self.workers

    cdef OriginPool pool(self, tuple key):
        cdef OriginPool pool = self.known.get(key)
        if pool is None:
            pool = self.known[key] = OriginPool(self, key)
        return pool

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


cdef uint64_t *gauge(WorkerParts parts, unsigned state) noexcept:
    return parts.meter.labelled(SL_FAMILY_UPSTREAM_CONNECTIONS, state, 0, 0, 0)


cdef int candidate_of(Race race, OriginConnection connection) noexcept:
    """The candidate that may be dialed and is this connection's peer; -1: none."""
    cdef Candidate *candidate
    cdef int i
    if connection.address.family == 0:
        return 0  # a parent has resolved the name, or none: the key says it all
    for i in range(race.candidate_count):
        candidate = &race.candidates[i]
        if (candidate.address.family and candidate.port == connection.port
                and memcmp(&candidate.address, &connection.address, sizeof(sl_addr)) == 0):
            return i
    return -1
