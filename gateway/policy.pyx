"""One policy image, mapped read-only, and the answers it gives: DECISIONS.md sections 2 to 4 through csrc/decide.h.

Workers use the C functions on `PolicyImage.image`; explain() asks the same functions and tells how they came to
their answer.
"""

import json
from time import perf_counter

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t, uint32_t
from libc.string cimport memcmp, memset

from gateway.csrc cimport (
    SL_ADDR_TEXT, SL_ALLOW, SL_AUDIT, SL_DECISION_PENDING, SL_DECISION_PROVISIONAL, SL_DENY, SL_NAME_ADDRESS,
    SL_NAME_BUFFER, SL_NAME_OK, SL_NO_RULE, SL_OUTCOME_COUNT, SL_PHASE_COUNT, SL_PHASE_INNER, SL_PHASE_NAME,
    SL_PRINCIPAL_IDENTITY, SL_PRINCIPAL_MESH, SL_PRINCIPAL_NAMESPACE, SL_PRINCIPAL_NAMESPACE_IDENTITY,
    SL_PRINCIPAL_NAMESPACE_USER, SL_PRINCIPAL_SERVICE_ACCOUNT, SL_PRINCIPAL_USER, SL_REASON_COUNT,
    SL_REASON_ANSWER, SL_REASON_INNER_NAME_MISMATCH, SL_REASON_MEANING, SL_REASON_PHASES,
    SL_REASON_TIER, SL_REVOKE_DRAIN, SL_REVOKE_KEEP, SL_REVOKE_KILL, SL_SEC_ATTACHMENTS, SL_SEC_ENTRIES, SL_SEC_LISTS,
    SL_SEC_NETWORKS, SL_SEC_NODES, SL_SEC_PREFIXES, SL_SEC_PRINCIPALS, SL_SEC_RULES, SL_SEC_SELECTORS, SL_SEC_USERS,
    SL_TIER_NONE, sl_addr, sl_addr_embedded, sl_addr_format, sl_addr_parse, sl_decide_address, sl_decide_inner,
    sl_decide_name, sl_decision, sl_image_record, sl_image_string, sl_list_line, sl_local, sl_local_close,
    sl_local_is, sl_local_open, sl_name_canonical, sl_name_status, sl_name_status_text, sl_outcome_text, sl_own_asked,
    sl_phase_text, sl_principal, sl_reason_column, sl_reason_text, sl_rule, sl_selector, sl_source, sl_source_key,
    sl_source_network, sl_source_resolve, sl_source_user, sl_tier_text, sl_trail, sl_trail_step, sl_verdict_text,
)
from gateway.mapped_image cimport MappedImage

from gateway.mapped_image import PolicyImageError

__all__ = ["PolicyImage", "PolicyImageError", "canonical_name", "outcome_names", "phase_names", "reason_names",
           "reason_rows"]

cdef enum:
    EXACT = 255          # sl_trail_step.depth of a name itself

cdef dict ON_REVOKE = {SL_REVOKE_KILL: "kill", SL_REVOKE_DRAIN: "drain", SL_REVOKE_KEEP: "keep"}
cdef tuple INNER = (None, "enforce", "audit", "off")
cdef tuple PORTS = ("any", "range", "single")


def phase_names():
    """Texts of sl_phase, by number."""
    return [sl_phase_text(number).decode("ascii") for number in range(SL_PHASE_COUNT)]


def reason_names():
    """Texts of sl_reason, by number."""
    return [sl_reason_text(number).decode("ascii") for number in range(SL_REASON_COUNT)]


def reason_rows():
    """(text, phases, tier, answer, meaning) of each sl_reason, by number: the closed table of docs/reference.md."""
    return [tuple([sl_reason_text(number).decode("ascii")] +
                  [sl_reason_column(number, part).decode("ascii")
                   for part in (SL_REASON_PHASES, SL_REASON_TIER, SL_REASON_ANSWER, SL_REASON_MEANING)])
            for number in range(SL_REASON_COUNT)]


def outcome_names():
    """Texts of sl_outcome, by number."""
    return [sl_outcome_text(number).decode("ascii") for number in range(SL_OUTCOME_COUNT)]


cdef bytes as_bytes(text):
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)


cdef bytes optional_text(text):
    # A NUL would end it early for C, and make one identity look like another.
    cdef bytes raw = as_bytes(text or b"")
    if b"\0" in raw:
        raise ValueError("a NUL cannot stand in an identity")
    return raw


cdef str decoded(const char *text):
    return text.decode("utf-8", "backslashreplace")


cdef str or_none(const char *text):
    return decoded(text) if text[0] else None


cdef str address_text(const sl_addr *addr):
    cdef char text[SL_ADDR_TEXT]
    return text[:sl_addr_format(addr, text)].decode("ascii") if addr.family else None


cdef int parse_address(text, sl_addr *out) except -1:
    cdef bytes raw = as_bytes(text)
    if not sl_addr_parse(raw, len(raw), out):
        raise ValueError("not an IP address")
    return 0


def canonical_name(name):
    """The canonical form of a host name (DECISIONS.md section 2).

    Raises ValueError with the rule that was broken; an address literal is not a name.
    """
    cdef bytes raw = as_bytes(name)
    cdef char out[SL_NAME_BUFFER]
    cdef size_t length = 0
    cdef sl_addr address
    cdef sl_name_status status = sl_name_canonical(raw, len(raw), out, &length, &address)
    if status != SL_NAME_OK:
        raise ValueError(sl_name_status_text(status).decode("ascii"))
    return out[:length].decode("ascii")


cdef class PolicyImage(MappedImage):
    """A mapped image that can be asked. Make one with from_fd()."""

    @staticmethod
    def canonical_name(name):
        """See canonical_name() of the module."""
        return canonical_name(name)

    def counts(self):
        """How many records of each kind it holds; `size` in bytes."""
        self.need_open()
        sections = (
            ("rules", SL_SEC_RULES, 1), ("attachments", SL_SEC_ATTACHMENTS, 0), ("lists", SL_SEC_LISTS, 1),
            ("entries", SL_SEC_ENTRIES, 0), ("nodes", SL_SEC_NODES, 1), ("prefixes", SL_SEC_PREFIXES, 1),
            ("principals", SL_SEC_PRINCIPALS, 1), ("selectors", SL_SEC_SELECTORS, 1), ("users", SL_SEC_USERS, 1),
            ("networks", SL_SEC_NETWORKS, 1),
        )
        found = {name: max(0, <object> self.image.header.sections[<int> section].count - reserved)
                 for name, section, reserved in sections}
        found["size"] = self.image.size
        return found

    def rule(self, uint32_t index):
        """What the image holds of rule `index`, 1-based. Raises IndexError."""
        cdef const sl_rule *rule
        self.need_open()
        rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, index)
        if index == 0 or rule is NULL:
            raise IndexError("no such rule")
        return self.rule_brief(index) | {
            "tier": sl_tier_text(rule.tier).decode("ascii"),
            "on_revoke": ON_REVOKE.get(rule.on_revoke, "kill"),
            "on_revoke_set": bool(rule.on_revoke_set),
            "inner": INNER[rule.inner] if rule.inner < len(INNER) else None,
            "upstream": or_none(sl_image_string(&self.image, rule.upstream)),
            "attributes": or_none(sl_image_string(&self.image, rule.attributes)),
            "slot": rule.slot,
        }

    def rule_label(self, uint32_t index):
        """`Kind/namespace/name` of rule `index`, `Kind/name` where it has no namespace; None when there is no such
        rule."""
        brief = self.rule_brief(index) if self.image.base is not NULL else None
        if brief is None:
            return None
        return "/".join(part for part in (brief["kind"], brief["namespace"], brief["name"]) if part)

    def rule_place(self, uint32_t index, name):
        """(item of rule `index`, line of its host list by which it matches `name`), each None when there is none. Of
        `name`, bytes or None, nothing but a canonical host name is in a list."""
        cdef const sl_rule *rule = NULL
        cdef bytes text = as_bytes(name or b"")
        if self.image.base is not NULL and index != 0:
            rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, index)
        if rule is NULL:
            return None, None
        return rule.index, sl_list_line(&self.image, index, 0, text, len(text)) or None

    def identity_of(self, source_ip, user):
        """(`namespace/serviceAccount` or None, `password`, `network` or `none`): what a peer's address and a verified
        user stand for, as access log lines say it. Either may be None. Raises ValueError for what is no address."""
        cdef sl_addr peer
        cdef const char *space = NULL
        cdef const char *account = NULL
        cdef bytes name = optional_text(user)
        self.need_open()
        if name:
            sl_source_user(&self.image, name, &space, &account)
            origin = "password"
        elif source_ip is None:
            return None, "none"
        else:
            parse_address(source_ip, &peer)
            if not sl_source_network(&self.image, &peer, &space, &account):
                return None, "none"
            origin = "network"
        if space is NULL or not space[0]:
            return None, origin
        return f"{decoded(space)}/{decoded(account)}", origin

    cdef object rule_brief(self, uint32_t index):
        cdef const sl_rule *rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, index)
        if index == 0 or rule is NULL:
            return None
        return {
            "kind": decoded(sl_image_string(&self.image, rule.kind)),
            "namespace": or_none(sl_image_string(&self.image, rule.namespace_)),
            "name": decoded(sl_image_string(&self.image, rule.name)),
            "index": rule.index,
            "file": decoded(sl_image_string(&self.image, rule.file)),
            "line": rule.line,
        }

    def explain(self, *, host, uint16_t port, namespace=None, service_account=None, identity=None, user=None,
                workload=None, source_ip=None, address=None, bint audit=False, sni=None, str inner="enforce"):
        """The decision for one question, as CONTRACT.md section 2 writes it, and every rule that had a say.

        `namespace` and `service_account` are those of `identity`, or of `user` instead of its own; `workload` is
        (namespace, service account) of the address, which ranks below both.
        `host` is a name or an address literal. Without `address` the addresses of a name count as public, and where
        only the address can decide the answer is deny, `needs_address`. `sni` is the name shown inside the tunnel,
        judged by the rule's innerName, else by `inner`. Raises ValueError for what is no name or address.
        """
        cdef sl_source source
        cdef sl_addr literal
        cdef sl_addr peer
        cdef sl_addr given
        cdef sl_decision by_name
        cdef sl_decision decision
        cdef sl_trail trail
        cdef char name[SL_NAME_BUFFER]
        cdef size_t length = 0
        cdef sl_name_status status
        cdef bytes raw = as_bytes(host)
        cdef str inside = None
        self.need_open()
        memset(&peer, 0, sizeof(peer))
        memset(&trail, 0, sizeof(trail))
        if source_ip is not None:
            parse_address(source_ip, &peer)
        who, origin = self.resolve(&source, &peer, namespace, service_account, identity, user, workload)
        status = sl_name_canonical(raw, len(raw), name, &length, &literal)
        if status == SL_NAME_ADDRESS:
            shown = address_text(&literal)
            if address is not None:
                parse_address(address, &given)
                if given.family != literal.family or memcmp(given.bytes, literal.bytes, sizeof(given.bytes)) != 0:
                    raise ValueError("the destination is an address already")
            self.decide_address(&source, NULL, &literal, port, audit, &decision, &trail)
        elif status == SL_NAME_OK:
            shown = name[:length].decode("ascii")
            memset(&literal, 0, sizeof(literal))
            if address is not None:
                parse_address(address, &literal)
            sl_decide_name(&self.image, &source, name, length, port, audit, &by_name, &trail)
            decision = by_name
            if literal.family and (by_name.verdict != SL_DENY or by_name.flags & SL_DECISION_PENDING):
                self.decide_address(&source, &by_name, &literal, port, audit, &decision, &trail)
        else:
            raise ValueError(sl_name_status_text(status).decode("ascii"))
        dialed_by = decision.rule  # of what is asked for by address; a provisional tunnel's rule comes from the name
        if sni is not None:
            inside = canonical_name(sni)
            asked = shown if status == SL_NAME_OK else None
            provisional = decision.flags & SL_DECISION_PROVISIONAL
            self.decide_inner(&source, asked, port, audit, inside, inner, &decision, &trail)
            if provisional:
                dialed_by = decision.rule
        return {
            "verdict": sl_verdict_text(decision.verdict).decode("ascii"),
            "rule": self.rule_brief(decision.rule),
            "list_line": self.rule_place(decision.rule, shown if sni is None else canonical_name(sni))[1],
            "phase": sl_phase_text(decision.phase).decode("ascii"),
            "reason": sl_reason_text(decision.reason).decode("ascii"),
            "would_deny": bool(decision.would_deny),
            "source": who,
            "identity_source": origin,
            "destination": {"host": shown, "port": port, "address": address_text(&literal)},
            "source_address": self.source_addresses(dialed_by) if decision.verdict != SL_DENY else None,
            "attributes": self.attributes(&decision, dialed_by, inner if status == SL_NAME_OK else None),
            "trail": self.trail(&trail, shown, inside, &literal),
        }

    cdef int decide_address(
        self, const sl_source *source, const sl_decision *by_name, const sl_addr *addr, uint16_t port, bint audit,
        sl_decision *out, sl_trail *trail,
    ) except -1:
        """The address phase, as a worker takes it (opening.pyx): own addresses are those the kernel has now."""
        cdef sl_trail before = trail[0]
        sl_decide_address(&self.image, source, by_name, addr, port, self.is_local(addr, port, None), audit, out, trail)
        if out.verdict != SL_DENY and self.is_local(addr, port, self.source_addresses(out.rule)):
            trail[0] = before
            sl_decide_address(&self.image, source, by_name, addr, port, True, audit, out, trail)
        return 0

    cdef int is_local(self, const sl_addr *addr, uint16_t port, sources) except -1:
        """Whether the gateway listens on `port` and the kernel routes `addr` to this machine, whatever the source, or
        from one of `sources`, texts of addresses."""
        cdef sl_local local
        cdef sl_addr asked[2]
        cdef sl_addr bound
        cdef unsigned i, count = sl_own_asked(&self.image, addr, port, asked)
        cdef bint found = False
        if count == 0:
            return False
        sl_local_open(&local)
        for i in range(count):
            found = found or sl_local_is(&local, &asked[i], port, NULL)
            for text in sources or ():
                parse_address(text, &bound)
                if bound.family == asked[i].family:
                    found = found or sl_local_is(&local, &asked[i], port, &bound)
        sl_local_close(&local)
        return found

    cdef int decide_inner(
        self, const sl_source *source, str asked, uint16_t port, bint audit, str name, str mode,
        sl_decision *decision, sl_trail *trail,
    ) except -1:
        """The inner phase after `decision`, as a worker takes it (inner.pyx); `asked`: the name asked for, or None."""
        cdef bytes raw = name.encode("ascii")
        cdef sl_decision by_address = decision[0]
        cdef const sl_rule *rule = NULL
        if asked is None:
            sl_decide_inner(&self.image, source, &by_address, raw, len(raw), port, audit, decision, trail)
            return 0
        if decision.verdict == SL_DENY:
            return 0
        if decision.rule != SL_NO_RULE:
            rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, decision.rule)
        if rule is not NULL and 0 < rule.inner < len(INNER):
            mode = INNER[rule.inner]
        if mode == "off" or name == asked:
            return 0
        audit = audit or source.audit or mode == "audit"
        decision.phase, decision.reason = SL_PHASE_INNER, SL_REASON_INNER_NAME_MISMATCH
        decision.verdict, decision.would_deny = (SL_AUDIT, 1) if audit else (SL_DENY, 0)
        return 0

    cdef object attributes(self, const sl_decision *decision, uint32_t dialed_by, str inner):
        """{name: {value, rule}} of what a decision brings along, as tunnels are opened by it; the rule is None for a
        default. A denial has nothing but what its rule does to tunnels that are open. `inner` is the listener's
        innerName where a name was asked for."""
        cdef const sl_rule *rule = NULL
        cdef const sl_rule *way = NULL
        found = {}
        if decision.rule != SL_NO_RULE:
            rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, decision.rule)
        brief = self.rule_brief(decision.rule)
        if rule is not NULL and rule.on_revoke_set:
            found["onRevoke"] = {"value": ON_REVOKE.get(rule.on_revoke, "kill"), "rule": brief}
        if decision.verdict == SL_DENY:
            return found
        found.setdefault("onRevoke", {"value": "kill", "rule": None})
        if inner is not None:
            own = INNER[rule.inner] if rule is not NULL and rule.inner < len(INNER) else None
            found["innerName"] = {"value": own or inner, "rule": brief if own else None}
        if dialed_by != SL_NO_RULE:
            way = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, dialed_by)
        if way is not NULL and way.upstream:
            found["upstream"] = {"value": decoded(sl_image_string(&self.image, way.upstream)),
                                 "rule": self.rule_brief(dialed_by)}
        if (listed := self.source_addresses(dialed_by)) is not None:
            found["sourceAddress"] = {"value": listed, "rule": self.rule_brief(dialed_by)}
        return found

    cdef object source_addresses(self, uint32_t index):
        """What connections of a rule come from; None where the system chooses."""
        cdef const sl_rule *rule = <const sl_rule *> sl_image_record(&self.image, SL_SEC_RULES, index)
        if index == 0 or rule is NULL or rule.attributes == 0:
            return None
        return json.loads(sl_image_string(&self.image, rule.attributes)).get("sourceAddress")

    cdef object resolve(
        self, sl_source *out, const sl_addr *peer, namespace, service_account, identity, user, workload
    ):
        """Resolves the source into *out; answers it as it is known then, and where its identity comes from."""
        cdef sl_source_key key
        cdef const char *space
        cdef const char *account
        first, second, third, fourth, fifth, sixth = (
            optional_text(text) for text in (namespace, service_account, identity, user, *(workload or (None, None))))
        if second and not first:
            raise ValueError("a service account needs a namespace")
        memset(&key, 0, sizeof(key))
        key.addr = peer[0]
        key.namespace_, key.service_account, key.identity, key.user = first, second, third, fourth
        key.workload_namespace, key.workload_account = fifth, sixth
        space, account = key.namespace_, key.service_account
        origin = "certificate" if third else "password" if fourth else "workload" if first or fifth else "none"
        if not first and not third:
            if fourth:
                sl_source_user(&self.image, key.user, &space, &account)
            elif fifth:
                space, account = key.workload_namespace, key.workload_account
            elif sl_source_network(&self.image, peer, &space, &account):
                origin = "network"
        sl_source_resolve(&self.image, &key, out)
        return {"ip": address_text(peer), "namespace": or_none(space), "service_account": or_none(account),
                "identity": or_none(key.identity), "user": or_none(key.user)}, origin

    cdef object trail(self, const sl_trail *trail, str host, str inside, const sl_addr *addr):
        """The steps as they were taken. Rules that match through several selectors appear once, as they won. `inside`
        is the name shown in the tunnel, or None."""
        cdef const sl_trail_step *step
        steps, seen = [], {}
        for number in range(trail.count):
            step = &trail.steps[number]
            entry = {
                "phase": sl_phase_text(step.phase).decode("ascii"),
                "tier": sl_tier_text(step.tier).decode("ascii"),
                "rule": self.rule_brief(step.rule),
                "reason": sl_reason_text(step.reason).decode("ascii"),
                "won": bool(step.won),
            }
            if step.tier != SL_TIER_NONE:
                entry["match"] = self.match_text(step, host, inside, addr)
                entry["ports"] = PORTS[step.port_class]
                entry["selector"] = self.selector_text(step.selector)
                entry["excepted"] = bool(step.excepted)
            key = (step.phase, step.tier, step.rule, step.depth, step.port_class, step.excepted)
            if step.rule and key in seen:
                if step.won:
                    steps[seen[key]] = entry
                continue
            seen[key] = len(steps)
            steps.append(entry)
        return steps

    cdef str match_text(self, const sl_trail_step *step, str host, str inside, const sl_addr *addr):
        """The pattern through which a step matched: its depth says how much of the destination it was."""
        cdef sl_addr block
        cdef int bit
        if step.phase == SL_PHASE_INNER:
            host = inside
        if step.phase == SL_PHASE_NAME or step.phase == SL_PHASE_INNER:
            if step.depth == EXACT:
                return host
            return ".".join(["*", *host.split(".")[len(host.split(".")) - step.depth:]])
        block = addr[0]
        if step.family != block.family and not sl_addr_embedded(addr, &block):
            return f"the embedded IPv4 address, /{step.depth}"
        for bit in range(step.depth, 32 if block.family == 4 else 128):
            block.bytes[bit // 8] &= ~(0x80 >> bit % 8)
        return f"{address_text(&block)}/{step.depth}"

    cdef str selector_text(self, uint32_t index):
        """Whom a selector means: "mesh", "namespace shop", "service account shop/cart", "identity ...", "user ..."."""
        cdef const sl_selector *selector = <const sl_selector *> sl_image_record(&self.image, SL_SEC_SELECTORS, index)
        cdef const sl_principal *principal
        if index == 0 or selector is NULL:
            return None
        principal = <const sl_principal *> sl_image_record(&self.image, SL_SEC_PRINCIPALS, selector.principal)
        if principal is NULL:
            return None
        a, b = decoded(sl_image_string(&self.image, principal.a)), decoded(sl_image_string(&self.image, principal.b))
        text = {
            SL_PRINCIPAL_MESH: "mesh", SL_PRINCIPAL_NAMESPACE: f"namespace {a}",
            SL_PRINCIPAL_SERVICE_ACCOUNT: f"service account {a}/{b}", SL_PRINCIPAL_IDENTITY: f"identity {b}",
            SL_PRINCIPAL_USER: f"user {b}", SL_PRINCIPAL_NAMESPACE_IDENTITY: f"identity {b} in namespace {a}",
            SL_PRINCIPAL_NAMESPACE_USER: f"user {b} in namespace {a}",
        }.get(principal.kind, "unknown")
        return f"{text} from an address block" if selector.cidr else text

    def time_lookups(self, names, uint16_t port):
        """Seconds that the name phase takes for canonical `names` (bytes), and how many are allowed; for benchmarks.

        Each is a request of its own: its source is resolved first, by its address.
        """
        cdef sl_source source
        cdef sl_source_key key
        cdef sl_decision decision
        cdef list texts = list(names)
        cdef bytes text
        cdef Py_ssize_t allowed = 0
        self.need_open()
        memset(&key, 0, sizeof(key))
        sl_addr_parse(b"10.1.2.3", 8, &key.addr)
        began = perf_counter()
        for text in texts:
            sl_source_resolve(&self.image, &key, &source)
            sl_decide_name(&self.image, &source, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), port, 0,
                           &decision, NULL)
            allowed += decision.verdict == SL_ALLOW
        return perf_counter() - began, allowed
