"""Names to addresses for one worker: /etc/hosts, then the cache, then one DNS query for all who wait for the same name.

It decides nothing: which of the addresses may be dialed is the caller's.

Laws kept here:

* A resolution waits at most `timeout`, whatever the query does. It may close at any time, and is not notified after
  that.
* IPv4 and IPv6 are asked at once. When one has given addresses, the other gets RESOLUTION_DELAY more (RFC 8305 section
  3): a server that drops one kind of question delays no request. What comes later is added to the cache.
* Names that DNS leaves unanswered hold up no others: they are not counted among those in flight after a moment, and the
  sources whose names wait to be asked take turns.
* Everything is bounded: names in flight, names and resolutions that wait, addresses of an answer, answers remembered,
  and how many resolutions get an answer in one turn.
* c-ares is never called from inside its own callbacks: they take notes, and a turn later is acted on them.
"""

from collections import deque

from gateway.c.addr cimport sl_addr
from gateway.dns.channel cimport LEG_IPV4, LEG_IPV6, REPLY_FAILED, REPLY_FOUND, REPLY_NONE, REPLY_TIMEOUT
from gateway.dns.resolution cimport (
    MAX_ADDRESSES, RESOLVE_BROKEN, RESOLVE_FAILED, RESOLVE_FULL, RESOLVE_OK, RESOLVE_TIMEOUT, RESOLVE_UNKNOWN,
    CallbackResolution, give,
)
from gateway.io.durations cimport milliseconds, patience

cdef enum:
    MAX_FLYING = 1000          # names that c-ares holds and that were asked a moment ago
    MAX_HELD = 4000            # names that c-ares holds at all
    MOMENT = 250               # milliseconds in which DNS answers, as a rule
    # A server's socket buffer takes some 270 small packets by default; what is too much is lost, all at once, and again
    # with each retry. So names, two packets each, leave in bursts, and the server gets time to read between them.
    # Measured with 1,000 names at once: 0.13 s, without it 2 to 10 s.
    BURST = 64
    BURST_EVERY = 8            # milliseconds
    MAX_QUEUED = 10000         # names that wait for that
    MAX_WAITING = 20000        # resolutions
    DELIVERIES = 64            # resolutions notified in one turn
    RESOLUTION_DELAY = 50      # milliseconds, RFC 8305 section 3
    FAILURE_TTL = 1000         # milliseconds that a failure of servers is remembered, or negativeTTL if that is less
    AWAITED = 255              # in Query.replies: no reply yet
    MAX_ROUNDS = 8
    ROUND_MIN = 100            # milliseconds left that are worth another round
    # An off-path forger has to guess the source port: it changes with the channel. So do the system's servers, which
    # are read anew.
    CHANNEL_QUESTIONS = 512
    CHANNEL_AGE = 30000        # milliseconds


cdef class Lookup(Handler):
    """One resolution that waits for a query, until its own time is over."""

    cdef void finish(self, Answer answer, int without) noexcept:
        """Notifies the resolution, unless it has closed; None is not an answer, for which `without` is the status."""
        cdef Resolution resolution = self.resolution
        cdef Resolver resolver
        if self.closed:
            return
        resolver = self.query.resolver
        self.closed = True
        self.resolution = None
        self.query = None
        resolver.waiting -= 1
        resolver.loop.park(self)
        if resolution.closed:
            resolution.on_left()
        elif answer is not None:
            give(answer, resolution)
        else:
            resolution.on_resolved(without, NULL, 0)
        # An error in there is its own: those behind it are served all the same.
        resolver.loop.settle(resolution)

    cdef void on_timer(self) noexcept:
        cdef Query query = self.query
        if not self.slow and query.resolver.loop.now < self.until:
            self.slow = True
            query.resolver.loop.arm(self, self.until - query.resolver.loop.now)
            self.resolution.on_slow()
            query.resolver.loop.settle(self.resolution)
            return
        if query.lookups is not None:
            del query.lookups[self]
        # A name that was never asked for has met the gateway's limit, not a server's silence.
        if not query.sent:
            query.resolver.overflows += 1
        self.finish(None, RESOLVE_TIMEOUT if query.sent else RESOLVE_FULL)

    cdef void close(self) noexcept:
        self.finish(None, RESOLVE_FAILED)


cdef class Query(NameQuery):
    """One name on its way, and who waits for it.

    It is queued, then sent, then has an answer, which `due` get in slices. What c-ares still brings after that goes to
    the cache.
    """

    def __cinit__(self, Resolver resolver, bytes name):
        self.resolver = resolver
        self.name = name
        self.lookups = {}
        self.found = [b"", b""]
        self.expires = ~<uint64_t> 0
        self.replies[LEG_IPV4] = self.replies[LEG_IPV6] = AWAITED
        resolver.open[name] = self
        resolver.loop.keep(self)

    cdef void join(self, Resolution resolution) noexcept:
        cdef Lookup lookup = Lookup.__new__(Lookup)
        cdef Loop loop = self.resolver.loop
        lookup.query = self
        lookup.resolution = resolution
        self.lookups[lookup] = None
        self.resolver.waiting += 1
        loop.keep(lookup)
        lookup.until = loop.now + self.resolver.timeout
        loop.arm(lookup, min(<uint64_t> MOMENT, self.resolver.timeout))

    cdef void send(self) noexcept:
        """Asks for both families."""
        cdef Resolver resolver = self.resolver
        self.sent = True
        self.deadline = resolver.loop.now + resolver.timeout
        resolver.loop.arm(self, min(<uint64_t> MOMENT, resolver.timeout))
        resolver.flying += 1
        resolver.queries += 1
        if resolver.query_tally is not NULL:
            resolver.query_tally[0] += 1
        self.ask(LEG_IPV6)
        self.ask(LEG_IPV4)

    cdef void ask(self, int leg) noexcept:
        cdef Channel channel = self.resolver.current()
        self.legs += 1
        self.replies[leg] = AWAITED
        if channel is None:
            self.on_reply(leg, REPLY_FAILED, NULL)
        else:
            channel.ask(self, leg)

    cdef void on_reply(self, int leg, int reply, const sl_dns_answer *answer) noexcept:
        cdef uint64_t now = self.resolver.loop.now
        self.legs -= 1
        self.replies[leg] = <uint8_t> reply
        if reply == REPLY_FOUND:
            self.found[leg] = (<const char *> &answer.addresses[0])[:answer.count * sizeof(sl_addr)]
            self.expires = min(self.expires, now + self.resolver.lifetime(answer.ttl))
        if self.answer is None:
            self.resolver.loop.later(self)
            return
        if reply == REPLY_FOUND:
            self.merge()
        if self.legs == 0:
            self.landed()

    cdef void landed(self) noexcept:
        """c-ares holds nothing of it any more."""
        if self.slow:
            self.slow = False
            self.resolver.slow -= 1
        self.resolver.landed()

    cdef void on_turn(self) noexcept:
        cdef uint64_t now = self.resolver.loop.now
        if self.answer is not None:
            self.deliver(DELIVERIES)
            return
        self.again()
        if self.replies[LEG_IPV4] != AWAITED and self.replies[LEG_IPV6] != AWAITED:
            self.conclude()
        elif self.replies[LEG_IPV4] == REPLY_FOUND or self.replies[LEG_IPV6] == REPLY_FOUND:
            self.resolver.loop.arm(self, min(<uint64_t> RESOLUTION_DELAY, self.deadline - min(now, self.deadline)))

    cdef void again(self) noexcept:
        """Where c-ares gave up before the time is over, it is asked again: how long its tries take is its affair."""
        cdef int leg
        if self.rounds == MAX_ROUNDS or self.resolver.loop.now + ROUND_MIN > self.deadline:
            return
        for leg in range(LEGS):
            if self.replies[leg] == REPLY_TIMEOUT:
                self.rounds += 1
                self.ask(leg)

    cdef void on_timer(self) noexcept:
        # The end of a moment, the deadline, or the end of the delay after the first addresses.
        cdef uint64_t now = self.resolver.loop.now
        if self.answer is not None:
            return
        if self.slow or now >= self.deadline or self.replies[LEG_IPV4] == REPLY_FOUND \
                or self.replies[LEG_IPV6] == REPLY_FOUND:
            self.conclude()
            return
        self.slow = True
        self.resolver.slow += 1
        self.resolver.loop.later(self.resolver)
        self.resolver.loop.arm(self, self.deadline - now)

    cdef void conclude(self) noexcept:
        """Makes the answer from what is there, and remembers it."""
        cdef Resolver resolver = self.resolver
        cdef uint64_t now = resolver.loop.now, failed = min(<uint64_t> FAILURE_TTL, resolver.negative_ttl)
        cdef int four = self.replies[LEG_IPV4], six = self.replies[LEG_IPV6]
        cdef Answer answer
        if four == REPLY_FOUND or six == REPLY_FOUND:
            answer = Answer(self.name, RESOLVE_OK, self._addresses(), self.expires)
        elif four == REPLY_NONE and six == REPLY_NONE:
            answer = Answer(self.name, RESOLVE_FAILED, b"", now + resolver.negative_ttl)
        elif four == REPLY_FAILED or six == REPLY_FAILED:
            answer = Answer(self.name, RESOLVE_BROKEN, b"", now + failed)
        else:
            answer = Answer(self.name, RESOLVE_TIMEOUT, b"", now + failed)
        resolver.names.cache.put(answer, now)
        if answer.status != RESOLVE_OK:
            resolver.failures += 1
        self.settle(answer)
        self.deliver(DELIVERIES)

    def _addresses(self):
        """The addresses found, IPv6 first; of more than MAX_ADDRESSES either family may fill half."""
        cdef size_t room = MAX_ADDRESSES
        four, six = self.found[LEG_IPV4], self.found[LEG_IPV6]
        kept = max(room // 2, room - min(room, len(four) // sizeof(sl_addr)))
        six = six[:kept * sizeof(sl_addr)]
        return six + four[:(room * sizeof(sl_addr) - len(six))]

    cdef void settle(self, Answer answer) noexcept:
        """From now on there is an answer: no request joins any more."""
        cdef Resolver resolver = self.resolver
        resolver.loop.disarm(self)
        self.due = list(self.lookups)
        self.answer, self.lookups = answer, None
        del resolver.open[self.name]
        if self.sent and self.legs == 0:
            self.landed()

    cdef void merge(self) noexcept:
        """A family that came late: what is remembered grows, unless another query knows better by now."""
        cdef Resolver resolver = self.resolver
        cdef uint64_t now = resolver.loop.now
        cdef Answer known = resolver.names.cache.find(self.name, now)
        if known is None or known is self.answer:
            self.answer = Answer(self.name, RESOLVE_OK, self._addresses(), self.expires)
            resolver.names.cache.put(self.answer, now)

    cdef void deliver(self, int budget) noexcept:
        """Notifies some of those that wait; the rest in a turn each."""
        cdef Lookup lookup
        cdef Loop loop = self.resolver.loop
        while self.told < len(self.due) and budget > 0:
            lookup = self.due[self.told]
            self.told += 1
            budget -= 1
            lookup.finish(self.answer, RESOLVE_FAILED)
        if self.told < len(self.due):
            loop.later(self)
        elif not self.closed:
            self.closed = True
            self.due = []
            loop.park(self)

    cdef void close(self) noexcept:
        """An internal error on the way: no request is left waiting."""
        if self.closed:
            return
        if self.answer is None:
            self.settle(Answer(self.name, RESOLVE_FAILED, b"", 0))
        self.deliver(MAX_WAITING)


cdef class Resolver(Handler):
    """Answers names for one worker.

    `settings` is gateway.contract.DnsSettings. Raises ValueError for invalid servers.
    """

    def __cinit__(self, Loop loop, settings, hosts_path="/etc/hosts"):
        self.loop = loop
        self.servers = list(settings["servers"])
        self.timeout = patience(settings["timeout"])
        self.min_ttl = milliseconds(settings["min_ttl"])
        self.max_ttl = milliseconds(settings["max_ttl"])
        self.negative_ttl = milliseconds(settings["negative_ttl"])
        self.names = KnownNames(loop, hosts_path, settings["cache_entries"])
        self.open = {}
        self.queue = {}
        self.channel = Channel(loop, self.servers, self.timeout)
        loop.keep(self)

    def ask(self, bytes name, callback, uint64_t source=0):
        """The same for Python: `callback(status, addresses)`, a ResolveStatus and texts; returns what can `leave()`."""
        cdef sl_addr addresses[MAX_ADDRESSES]
        cdef CallbackResolution caller = CallbackResolution()
        cdef int count, status = self.names.find(name, addresses, &count)
        caller.callback = callback
        if status == RESOLVE_UNKNOWN:
            self.wait(name, caller, source)
        else:
            caller.on_resolved(status, addresses, count)
        return caller

    cdef void wait(self, bytes name, Resolution resolution, uint64_t source) noexcept:
        cdef Query query = self.open.get(name)
        # Of the names that wait, a source may have as many as there is room for others: none fills the queue of all.
        if self.waiting >= MAX_WAITING or (
                query is None and self.queued + len(self.queue.get(source, ())) >= MAX_QUEUED):
            self.overflows += 1
            resolution.on_resolved(RESOLVE_FULL, NULL, 0)
            return
        if query is not None:
            self.joined += 1
            query.join(resolution)
            return
        query = Query(self, name)
        query.join(resolution)
        self.queue.setdefault(source, deque()).append(query)
        self.queued += 1
        self.pump()

    cdef Query next(self):
        """The first query of the source whose turn it is."""
        source = next(iter(self.queue))
        queries = self.queue.pop(source)
        query = queries.popleft()
        self.queued -= 1
        if queries:
            self.queue[source] = queries
        return query

    cdef Channel current(self):
        """The channel for the next question, a fresh one when it has served its time; None when there cannot be one."""
        cdef Channel channel = self.channel
        if channel is None or channel.used >= CHANNEL_QUESTIONS or self.loop.now - channel.born >= CHANNEL_AGE:
            try:
                self.channel = Channel(self.loop, self.servers, self.timeout)
            except (OSError, ValueError):
                return channel  # better the old one than none
            if channel is not None:
                channel.retire()
        return self.channel

    cdef uint64_t lifetime(self, uint64_t seconds) noexcept:
        """How long a record's answer is remembered, in milliseconds."""
        return min(max(seconds * 1000, self.min_ttl), self.max_ttl)

    cdef void landed(self) noexcept:
        """c-ares holds nothing of a query any more."""
        self.flying -= 1
        self.loop.later(self)

    cdef void pump(self) noexcept:
        """Sends queued queries as far as there is room."""
        cdef Query query
        while self.queue and self.flying - self.slow < MAX_FLYING and self.flying < MAX_HELD and self.burst < BURST:
            query = self.next()
            if not query.lookups:
                query.close()  # no request waits for it any more
                continue
            if self.burst == 0:
                self.loop.arm(self, BURST_EVERY)
            self.burst += 1
            query.send()

    cdef void on_timer(self) noexcept:
        self.burst = 0
        self.pump()

    cdef void on_turn(self) noexcept:
        """Something has ended: the next ones may go. A retired resolver ends with the last."""
        self.pump()
        if self.retired and self.flying == 0 and not self.open and self.channel is not None:
            self.channel.retire()
            self.channel = None
            self.closed = True
            self.loop.park(self)

    cpdef void retire(self) noexcept:
        """Another resolver answers from now on: ends when what is under way has ended. Not from inside on_resolved."""
        self.retired = True
        self.loop.later(self)

    cdef void close(self) noexcept:
        # An error in one turn is counted by the loop and must not end the resolver.
        pass
