"""Names to addresses for one worker: /etc/hosts, then the cache, then one DNS query for all who wait for the same name.

Single labels come from /etc/hosts alone; `localhost` and .onion never go to DNS (RFC 6761 section 6.3, RFC 7686 section
2). It decides nothing: which of the addresses may be dialed is the caller's.

Laws kept here:

* A waiter waits at most `timeout`, whatever the query does. It may close at any time and hears nothing then.
* IPv4 and IPv6 are asked at once. When one has given addresses, the other gets RESOLUTION_DELAY more (RFC 8305 section
  3): a server that drops one kind of question delays nobody. What comes later is added to the cache.
* Names that DNS leaves unanswered hold up no others: they are not counted among those in flight after a moment, and the
  sources whose names wait to be asked take turns.
* Everything is bounded: names in flight, names and waiters that wait, addresses of an answer, answers remembered, and
  how many waiters hear an answer in one turn.
* c-ares is never called from inside its own callbacks: they take notes, and a turn later is acted on them.
"""

from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.csrc cimport sl_addr_parse
from gateway.dns_channel cimport LEG_IPV4, LEG_IPV6, REPLY_FAILED, REPLY_FOUND, REPLY_NONE, REPLY_TIMEOUT
from gateway.dns_waiter cimport RESOLVE_BROKEN, RESOLVE_FAILED, RESOLVE_FULL, RESOLVE_OK, RESOLVE_TIMEOUT, Caller, give

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
    MAX_WAITING = 20000        # waiters
    DELIVERIES = 64            # waiters told in one turn
    RESOLUTION_DELAY = 50      # milliseconds, RFC 8305 section 3
    FAILURE_TTL = 1000         # milliseconds that a failure of servers is remembered, or negativeTTL if that is less
    AWAITED = 255              # in Query.replies: no reply yet
    MAX_ROUNDS = 8
    ROUND_MIN = 100            # milliseconds left that are worth another round
    # An off-path forger has to guess the source port: it changes with the channel. The system's servers are read anew
    # then, too.
    CHANNEL_QUESTIONS = 512
    CHANNEL_AGE = 30000        # milliseconds

cdef sl_addr LOCALHOST[2]
sl_addr_parse(b"::1", 3, &LOCALHOST[0])
sl_addr_parse(b"127.0.0.1", 9, &LOCALHOST[1])


cdef uint64_t milliseconds(double seconds) except? 0:
    return <uint64_t> (seconds * 1000 + 0.5)


cdef class Lookup(Handler):
    """One waiter of a query, until its own time is over."""

    cdef void finish(self, Answer answer, int without) noexcept:
        """Tells the waiter, unless it left; None is no answer, for which `without` is the status."""
        cdef Waiter waiter = self.waiter
        cdef Resolver resolver
        if self.closed:
            return
        resolver = self.query.resolver
        self.closed = True
        self.waiter = None
        self.query = None
        resolver.waiting -= 1
        resolver.loop.park(self)
        if waiter.closed:
            waiter.on_left()
        elif answer is not None:
            give(answer, waiter)
        else:
            waiter.on_resolved(without, NULL, 0)
        # An error in there is the waiter's: those behind it are served all the same.
        resolver.loop.settle(waiter)

    cdef void on_timer(self) noexcept:
        cdef Query query = self.query
        if not self.slow and query.resolver.loop.now < self.until:
            self.slow = True
            query.resolver.loop.arm(self, self.until - query.resolver.loop.now)
            self.waiter.on_slow()
            query.resolver.loop.settle(self.waiter)
            return
        if query.lookups is not None:
            del query.lookups[self]
        # What was never asked has met our limit, not a server's silence.
        if not query.sent:
            query.resolver.overflows += 1
        self.finish(None, RESOLVE_TIMEOUT if query.sent else RESOLVE_FULL)

    cdef void close(self) noexcept:
        self.finish(None, RESOLVE_FAILED)


cdef class Query(Asker):
    """One name on its way, and who waits for it.

    It is queued, then sent, then has an answer, which `due` hear in slices. What c-ares still brings after that goes to
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

    cdef void join(self, Waiter waiter) noexcept:
        cdef Lookup lookup = Lookup.__new__(Lookup)
        cdef Loop loop = self.resolver.loop
        lookup.query = self
        lookup.waiter = waiter
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
        resolver.cache.put(answer, now)
        if answer.status != RESOLVE_OK:
            resolver.failures += 1
        self.settle(answer)
        self.deliver(DELIVERIES)

    def _addresses(self):
        """What was found, IPv6 first; of more than MAX_ADDRESSES either family may fill half."""
        cdef size_t room = MAX_ADDRESSES
        four, six = self.found[LEG_IPV4], self.found[LEG_IPV6]
        kept = max(room // 2, room - min(room, len(four) // sizeof(sl_addr)))
        six = six[:kept * sizeof(sl_addr)]
        return six + four[:(room * sizeof(sl_addr) - len(six))]

    cdef void settle(self, Answer answer) noexcept:
        """From now on there is an answer: nobody joins any more."""
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
        cdef Answer known = resolver.cache.find(self.name, now)
        if known is None or known is self.answer:
            self.answer = Answer(self.name, RESOLVE_OK, self._addresses(), self.expires)
            resolver.cache.put(self.answer, now)

    cdef void deliver(self, int budget) noexcept:
        """Tells some of those who wait; the rest in a turn each."""
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
        """An error of ours on the way: nobody is left waiting."""
        if self.closed:
            return
        if self.answer is None:
            self.settle(Answer(self.name, RESOLVE_FAILED, b"", 0))
        self.deliver(MAX_WAITING)


cdef class Resolver(Handler):
    """Answers names for one worker.

    `settings` is gateway.contract.DnsSettings. Raises ValueError for servers that are none.
    """

    def __cinit__(self, Loop loop, settings, hosts_path="/etc/hosts"):
        self.loop = loop
        self.servers = list(settings["servers"])
        self.timeout = max(milliseconds(settings["timeout"]), <uint64_t> 1)
        self.min_ttl = milliseconds(settings["min_ttl"])
        self.max_ttl = milliseconds(settings["max_ttl"])
        self.negative_ttl = milliseconds(settings["negative_ttl"])
        self.hosts = HostsFile(loop, hosts_path)
        self.cache = DnsCache(settings["cache_entries"])
        self.open = {}
        self.queue = {}
        self.channel = Channel(loop, self.servers, self.timeout)
        loop.keep(self)

    cdef bint known(self, bytes text, Waiter waiter) noexcept:
        cdef bytes fixed = self.hosts.find(text)
        cdef Answer answer
        if fixed is not None:
            waiter.on_resolved(RESOLVE_OK, <const sl_addr *> PyBytes_AS_STRING(fixed),
                               <int> (<size_t> PyBytes_GET_SIZE(fixed) // sizeof(sl_addr)))
        elif text == b"localhost" or text.endswith(b".localhost"):
            waiter.on_resolved(RESOLVE_OK, LOCALHOST, 2)
        elif b"." not in text or text.endswith(b".onion"):
            waiter.on_resolved(RESOLVE_FAILED, NULL, 0)
        else:
            answer = self.cache.find(text, self.loop.now)
            if answer is None:
                return False
            self.hits += 1
            if self.hit_tally is not NULL:
                self.hit_tally[0] += 1
            give(answer, waiter)
        return True

    def ask(self, bytes name, callback, uint64_t source=0):
        """The same for Python: `callback(status, addresses)`, a ResolveStatus and texts; returns what can `leave()`."""
        cdef Caller caller = Caller()
        caller.callback = callback
        if not self.known(name, caller):
            self.wait(name, caller, source)
        return caller

    cdef void wait(self, bytes name, Waiter waiter, uint64_t source) noexcept:
        cdef Query query = self.open.get(name)
        # Of the names that wait, a source may have as many as there is room for others: none fills the queue of all.
        if self.waiting >= MAX_WAITING or (
                query is None and self.queued + len(self.queue.get(source, ())) >= MAX_QUEUED):
            self.overflows += 1
            waiter.on_resolved(RESOLVE_FULL, NULL, 0)
            return
        if query is not None:
            self.joined += 1
            query.join(waiter)
            return
        query = Query(self, name)
        query.join(waiter)
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
                query.close()  # everybody left meanwhile
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
