"""What is known of one request and of the tunnel it may become, and its access log lines (CONTRACT.md section 6).

A record holds the inputs of the decision (peer, verified user, target) and not their resolution against a policy, so
that a later generation can judge the same tunnel afresh.
"""

import time

import orjson

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from gateway.csrc cimport (
    SL_ADDR_TEXT, SL_ALLOW, SL_AUDIT, SL_COUNTER_BYTES_DOWN, SL_COUNTER_BYTES_UP, SL_COUNTER_DECISIONS_ALLOW,
    SL_COUNTER_DECISIONS_AUDIT, SL_COUNTER_DECISIONS_DENY, SL_DIRECTION_DOWN, SL_DIRECTION_UP, SL_FAMILY_BYTES,
    SL_FAMILY_DECISIONS, SL_FAMILY_TUNNELS, SL_FAMILY_TUNNELS_OPEN, SL_LIMIT_PROVISIONAL, SL_LIMIT_TUNNELS,
    SL_NO_RULE, SL_REVOKE_KILL, SL_RULE_SLOT_NONE, SL_RULE_SLOT_OTHER, SL_SEC_RULES, SL_TUNNEL_OPEN,
    SL_TUNNEL_WOULD_DENY, sl_addr_format, sl_image_record, sl_outcome_text, sl_phase_text, sl_reason_text, sl_rule,
    sl_source_key, sl_source_network, sl_source_resolve, sl_source_user, sl_tunnel_bytes, sl_tunnel_done,
    sl_tunnel_edit, sl_tunnel_release, sl_tunnel_set_name, sl_tunnel_set_user, sl_tunnel_take, sl_verdict_text,
)


def escape(bytes text):
    """Untrusted bytes as text: everything but printable ASCII, and the backslash, becomes \\xNN."""
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\x{byte:02x}" for byte in text)


cdef str address_text(const sl_addr *addr):
    """RFC 5952 text, None for "no address"."""
    cdef char text[SL_ADDR_TEXT]
    cdef size_t length
    if addr.family == 0:
        return None
    length = sl_addr_format(addr, text)
    return text[:length].decode("ascii")


def timestamp(double seconds):
    """RFC 3339 in UTC with milliseconds."""
    cdef long whole = <long> seconds
    stamp = time.gmtime(whole)
    return (f"{stamp.tm_year:04d}-{stamp.tm_mon:02d}-{stamp.tm_mday:02d}T{stamp.tm_hour:02d}:{stamp.tm_min:02d}:"
            f"{stamp.tm_sec:02d}.{<int> ((seconds - whole) * 1000):03d}Z")


cdef class Record:
    """See record.pxd. Made when a request is complete, kept as long as its tunnel."""

    def __cinit__(self, Context context):
        self.context = context
        self.generation = context.generation
        context.sequence += 1
        self.sequence = context.sequence
        self.asked = context.loop.now
        self.dns_ms = self.dial_ms = -1

    cdef void resolve_source(self) noexcept:
        """Fills context.source for this record's peer and user under its generation."""
        cdef sl_source_key key
        memset(&key, 0, sizeof(key))
        key.addr = self.peer
        if self.user is not None:
            key.user = PyBytes_AS_STRING(self.user)
        sl_source_resolve(&self.generation.image.image, &key, &self.context.source)

    cdef void leave_provisional(self) noexcept:
        """The inner name is judged, or the tunnel has ended before."""
        self.context.limits.leave(SL_LIMIT_PROVISIONAL, &self.provisional_place)

    cdef void leave_limits(self) noexcept:
        """Refused, or the tunnel has ended: every place is free again. Safe to call twice."""
        self.leave_provisional()
        self.context.limits.leave(SL_LIMIT_TUNNELS, &self.source_place)
        self.context.limits.leave(SL_LIMIT_TUNNELS, &self.gateway_place)

    cdef void decided(self, const sl_decision *decision) noexcept:
        """Takes over a decision of this record's generation; its rule is kept by name: indexes end with an image."""
        self.decision = decision[0]
        self.rule = self.generation.rule_text(decision.rule)

    cdef void admitted(self) noexcept:
        """The tunnel is open: what its rule says of revocation counts as it stands now (DECISIONS.md section 5)."""
        cdef const sl_rule *rule = NULL
        if self.decision.rule != SL_NO_RULE:
            rule = <const sl_rule *> sl_image_record(&self.generation.image.image, SL_SEC_RULES, self.decision.rule)
        self.on_revoke = rule.on_revoke if rule is not NULL else <uint8_t> SL_REVOKE_KILL

    cdef unsigned rule_slot(self) noexcept:
        """The metrics slot of the decision's rule (csrc/segment.h)."""
        cdef const sl_rule *rule = NULL
        if self.decision.rule == SL_NO_RULE:
            return SL_RULE_SLOT_NONE
        rule = <const sl_rule *> sl_image_record(&self.generation.image.image, SL_SEC_RULES, self.decision.rule)
        return rule.slot if rule is not NULL else <unsigned> SL_RULE_SLOT_OTHER

    cdef void count_decision(self) noexcept:
        """The decision is final: count it, by its labels and in the scalars."""
        cdef Context context = self.context
        cdef int verdict = self.decision.verdict
        context.labelled(SL_FAMILY_DECISIONS, verdict, self.decision.phase, self.decision.reason,
                         self.rule_slot())[0] += 1
        context.count(SL_COUNTER_DECISIONS_ALLOW if verdict == SL_ALLOW else SL_COUNTER_DECISIONS_AUDIT
                      if verdict == SL_AUDIT else SL_COUNTER_DECISIONS_DENY)

    cdef void enlist(self) noexcept:
        """The tunnel is open: it appears in the live-tunnel table, and its bytes count for its rule."""
        cdef Context context = self.context
        cdef sl_tunnel *listing = sl_tunnel_take(context.segment, self.sequence)
        context.labelled(SL_FAMILY_TUNNELS_OPEN, self.kind, 0, 0, 0)[0] += 1
        self.listing = listing
        if listing is not NULL:
            listing.opened_ms = context.unix_ms()
            listing.listener = self.listener
            listing.peer = self.peer
            listing.peer_port = self.peer_port
            listing.port = self.port
            listing.dialed = self.address
            listing.dialed_port = self.port
            listing.protocol = self.kind
            if self.user is not None:
                sl_tunnel_set_user(listing, PyBytes_AS_STRING(self.user), PyBytes_GET_SIZE(self.user))
            if self.name is not None:
                sl_tunnel_set_name(listing, PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name))
            sl_tunnel_done(listing)
        self.relist(SL_TUNNEL_OPEN)

    cdef void relist(self, int state) noexcept:
        """The decision or the state has changed."""
        cdef unsigned slot = self.rule_slot()
        cdef sl_tunnel *listing = self.listing
        self.rule_up = self.context.labelled(SL_FAMILY_BYTES, SL_DIRECTION_UP, 0, 0, slot)
        self.rule_down = self.context.labelled(SL_FAMILY_BYTES, SL_DIRECTION_DOWN, 0, 0, slot)
        if listing is NULL:
            return
        sl_tunnel_edit(listing)
        listing.state = state
        listing.generation = self.generation.number
        listing.rule = self.decision.rule
        listing.rule_slot = slot
        listing.verdict = self.decision.verdict
        listing.phase = self.decision.phase
        listing.reason = self.decision.reason
        listing.flags &= ~SL_TUNNEL_WOULD_DENY
        if self.decision.would_deny:
            listing.flags |= SL_TUNNEL_WOULD_DENY
        sl_tunnel_done(listing)

    cdef void carried(self, bint upward, uint64_t amount, uint64_t up, uint64_t down) noexcept:
        """`amount` more bytes went one way; `up` and `down` are the sums so far."""
        if upward:
            self.rule_up[0] += amount
            self.context.add(SL_COUNTER_BYTES_UP, amount)
        else:
            self.rule_down[0] += amount
            self.context.add(SL_COUNTER_BYTES_DOWN, amount)
        sl_tunnel_bytes(self.listing, up, down)

    cdef void delist(self, int outcome) noexcept:
        """The tunnel has ended, and its close line is written."""
        self.context.labelled(SL_FAMILY_TUNNELS_OPEN, self.kind, 0, 0, 0)[0] -= 1
        self.context.labelled(SL_FAMILY_TUNNELS, self.kind, outcome, 0, 0)[0] += 1
        if self.listing is not NULL:
            sl_tunnel_release(self.context.segment, self.listing)
            self.listing = NULL

    cdef str reason(self):
        return sl_reason_text(self.decision.reason).decode("ascii")

    cdef tuple identity(self):
        """("namespace/serviceAccount" or None, where it came from or None)."""
        cdef const char *namespace = NULL
        cdef const char *account = NULL
        cdef str origin
        if self.user is not None:
            sl_source_user(&self.generation.image.image, PyBytes_AS_STRING(self.user), &namespace, &account)
            origin = "credentials"
        elif sl_source_network(&self.generation.image.image, &self.peer, &namespace, &account):
            origin = "network"
        else:
            return None, None
        if namespace is NULL or namespace[0] == 0:
            return None, origin
        return f"{namespace.decode('utf-8', 'replace')}/{account.decode('utf-8', 'replace')}", origin

    cdef void write(self, str event, int outcome, uint64_t up, uint64_t down):
        """One line; close lines carry bytes and duration."""
        cdef Context context = self.context
        if not context.access_log or context.bus is None:
            return
        identity, origin = self.identity()
        line = {
            "ts": timestamp(time.time()),
            "event": event,
            "id": f"{context.prefix}{self.sequence}",
            "generation": self.generation.number,
            "worker": context.slot,
            "listener": context.listeners[self.listener].name,
            "protocol": self.protocol,
            "source": {
                "ip": address_text(&self.peer),
                "port": self.peer_port,
                "identity": identity,
                "identity_source": origin,
                "user": None if self.user is None else escape(self.user),
            },
            "destination": {
                "host": address_text(&self.address) if self.name is None else self.name.decode("ascii"),
                "port": self.port,
                "address": address_text(&self.address),
            },
            "verdict": sl_verdict_text(self.decision.verdict).decode("ascii"),
            "rule": self.rule,
            "phase": sl_phase_text(self.decision.phase).decode("ascii"),
            "reason": self.reason(),
            "would_deny": bool(self.decision.would_deny),
            "inner": None if self.inner is None else self.inner.decode("ascii"),
            "dns_ms": None if self.dns_ms < 0 else self.dns_ms,
            "dial_ms": None if self.dial_ms < 0 else self.dial_ms,
        }
        if event not in ("open", "interval"):
            line["outcome"] = sl_outcome_text(outcome).decode("ascii")
        if event in ("close", "interval"):
            line["bytes_up"] = up
            line["bytes_down"] = down
            line["duration_ms"] = context.loop.now - self.opened
        context.bus.log(event if event in ("interval", "decision") else "tunnel", orjson.dumps(line))
