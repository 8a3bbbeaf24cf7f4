"""One policy image, mapped read-only, and the answers it gives (DECISIONS.md sections 2 to 4).

Workers hand `PolicyImage.image` to the judge (csrc/policy/judge.h); explain() asks the same judge and tells how it came
to its answer.
"""

import json

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memset

from gateway.c.addr cimport SL_ADDR_TEXT, sl_addr, sl_addr_embedded, sl_addr_format, sl_addr_parse
from gateway.c.contract cimport (
    SL_ATTR_ECH, SL_ATTR_HEADERS, SL_ATTR_INNER, SL_ATTR_PROTOCOL, SL_ATTR_REVOKE, SL_ATTR_ROUTE, SL_ATTR_SOURCE,
    SL_ATTR_TLS, SL_ATTR_UPSTREAM,
    SL_DENY, SL_PHASE_ADDRESS, SL_PHASE_INNER, SL_PHASE_NAME, SL_PHASE_REQUEST, SL_TIER_NONE, sl_phase,
    sl_phase_text, sl_reason_text, sl_tier_text, sl_verdict_text,
)
from gateway.c.describe cimport (
    sl_condition_describe, sl_rule_describe, sl_rule_description, sl_selector_describe, sl_selector_description,
    sl_want,
)
from gateway.c.image cimport (
    SL_SEC_ATTACHMENTS, SL_SEC_ENTRIES, SL_SEC_LISTS, SL_SEC_NETWORKS, SL_SEC_NODES, SL_SEC_PREFIXES,
    SL_SEC_PRINCIPALS, SL_SEC_RULES, SL_SEC_SELECTORS, SL_SEC_USERS,
)
from gateway.c.judge cimport (
    SL_NO_RULE, SL_SHOWS_HTTP, SL_SHOWS_LATE, SL_SHOWS_MALFORMED, SL_SHOWS_OTHER, SL_SHOWS_SSH, SL_SHOWS_TLS,
    SL_SHOWS_TOO_LONG, sl_decision, sl_judge, sl_judged_ech, sl_judged_inner, sl_judged_protocol, sl_judged_revoke,
    sl_judged_headers, sl_judged_port, sl_judged_route, sl_judged_sources, sl_judged_tls, sl_judged_upstream,
    sl_list_line, sl_question, sl_request, sl_rule_name,
    sl_rule_named, sl_source,
    sl_source_key, sl_source_network, sl_source_user, sl_trail, sl_trail_step,
)
from gateway.c.local cimport sl_local, sl_local_close, sl_local_is, sl_local_open
from gateway.c.name cimport (
    SL_NAME_ADDRESS, SL_NAME_BUFFER, SL_NAME_OK, sl_name_canonical, sl_name_status, sl_name_status_text,
)
from gateway.c.refusals cimport sl_refusals, sl_refusals_add
from gateway.policy.mapped_image cimport MappedImage
from gateway.policy.target cimport HttpRequest
from gateway.policy.workloads cimport Workloads

from gateway.policy.mapped_image import PolicyImageError
from gateway.tables import ECHS, INNER_MODES, INNER_PROTOCOLS, REVOKES

__all__ = ["PolicyImage", "PolicyImageError", "canonical_name"]

cdef enum:
    EXACT = 255          # sl_trail_step.depth of a name itself

cdef dict MODES = {mode: number for number, mode in enumerate(INNER_MODES)}
cdef dict SHOWS = {
    "none": SL_SHOWS_OTHER, "malformed": SL_SHOWS_MALFORMED, "too long": SL_SHOWS_TOO_LONG, "late": SL_SHOWS_LATE,
    "tls": SL_SHOWS_TLS, "http": SL_SHOWS_HTTP, "ssh": SL_SHOWS_SSH,
}
cdef tuple PORTS = ("any", "range", "single")


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


cdef object json_or_none(const char *text):
    return None if text is NULL else json.loads(decoded(text))


cdef str address_text(const sl_addr *addr):
    cdef char text[SL_ADDR_TEXT]
    return text[:sl_addr_format(addr, text)].decode("ascii") if addr.family else None


cdef int parse_address(text, sl_addr *out) except -1:
    cdef bytes raw = as_bytes(text)
    if not sl_addr_parse(raw, len(raw), out):
        raise ValueError("not an IP address")
    return 0


cdef tuple identity_texts(texts):
    return tuple([optional_text(text) for text in texts])


cdef int is_local(void *asked, const sl_addr *addr, uint16_t port, const sl_decision *by) noexcept:
    """Whether the kernel routes `addr` to this machine; see judge.h."""
    cdef PolicyImage image = <PolicyImage> asked
    cdef sl_local local
    cdef sl_addr bound
    cdef bint found
    sl_local_open(&local)
    found = sl_local_is(&local, addr, port, NULL)
    for text in (image.source_addresses(by) or ()) if by is not NULL else ():
        if not found and parse_address(text, &bound) == 0 and bound.family == addr.family:
            found = sl_local_is(&local, addr, port, &bound)
    sl_local_close(&local)
    return found


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

    def attach(self, int workloads=-1):
        """The table of workloads of its generation, by a descriptor that may be closed afterwards; -1: there is none.
        Raises ValueError, OSError."""
        self.workloads = Workloads.from_fd(workloads) if workloads >= 0 else None
        return self

    cdef bint unmap_step(self, size_t most) noexcept:
        if self.workloads is not None and not self.workloads.unmap_step(most):
            return False
        self.workloads = None
        return MappedImage.unmap_step(self, most)

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
        """Rule `index` as the image has it, 1-based. Raises IndexError."""
        cdef sl_rule_description rule
        self.need_open()
        if not sl_rule_describe(&self.image, index, &rule):
            raise IndexError("no such rule")
        return self.rule_brief(index) | {
            "tier": sl_tier_text(rule.tier).decode("ascii"),
            "on_revoke": REVOKES[rule.on_revoke if rule.on_revoke < len(REVOKES) else 0],
            "on_revoke_set": bool(rule.on_revoke_set),
            "inner": INNER_MODES[rule.inner] if rule.inner else None,
            "protocol": INNER_PROTOCOLS[rule.protocol] if rule.protocol else None,
            "ech": ECHS[rule.ech] if rule.ech else None,
            "upstream": or_none(rule.upstream),
            "sources": or_none(rule.sources),
            "route": or_none(rule.route),
            "headers": or_none(rule.headers),
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
        cdef sl_rule_name rule
        cdef bytes text = as_bytes(name or b"")
        if self.image.base is NULL or not sl_rule_named(&self.image, index, &rule):
            return None, None
        return rule.item, sl_list_line(&self.image, index, 0, text, len(text)) or None

    def identity_of(self, source_ip, user):
        """(`namespace/serviceAccount` or None, `password`, `workload`, `network` or `none`): the meaning of a peer's
        address and a verified user, as access log lines say it. Either may be None. Raises ValueError for what is not
        an address."""
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
        elif self.workloads is not None and (found := self.workloads.find(source_ip)) is not None:
            return f"{found['namespace']}/{found['service_account']}", "workload"
        else:
            parse_address(source_ip, &peer)
            if self.workloads is not None and self.workloads.is_unknown(source_ip):
                return None, "none"
            if not sl_source_network(&self.image, &peer, &space, &account):
                return None, "none"
            origin = "network"
        if space is NULL or not space[0]:
            return None, origin
        return f"{decoded(space)}/{decoded(account)}", origin

    cdef object rule_brief(self, uint32_t index):
        cdef sl_rule_description rule
        if not sl_rule_describe(&self.image, index, &rule):
            return None
        return {
            "kind": decoded(rule.kind), "namespace": or_none(rule.namespace_), "name": decoded(rule.name),
            "index": rule.index, "file": decoded(rule.file), "line": rule.line,
        }

    def explain(self, *, host, uint16_t port, namespace=None, service_account=None, identity=None, user=None,
                workload=None, bint placed=True, token=None, bint by_token=False, forwarded=None, source_ip=None,
                address=None, str listener=None, HttpRequest request=None,
                bint audit=False, sni=None, str inner="enforce", str shows=None, bint ech=False, bint every=True):
        """The decision for one question, as CONTRACT.md section 2 writes it, and every rule that took part.

        `namespace` and `service_account` are those of `identity`, or of `user` instead of its own; `workload` is
        (namespace, service account) of the address, which ranks below both; without it, and where `placed`, it is that
        of the pod that has `source_ip`. `token` is that of a token. `by_token`: the
        user is one by a token. `forwarded` is (URI, namespace, service account) as a peer forwards it, and ranks above
        all.
        `host` is a name or an address literal. Without `address` the addresses of a name count as public, and where
        only the address can decide the answer is deny, `needs_address`. `sni` is the name shown inside the tunnel,
        judged by the rule's innerName, else by `inner`; `shows` instead of a name: none, malformed, too long, late
        (nothing in time), or the protocol (tls, http, ssh) of what has none. `ech`: an encrypted ClientHello.
        `listener`: the name of the one that is asked through. `request`: an HTTP request, which conditions are about.
        `every`: the trail has all rules that match; without it there is no trail, and rules are looked up as workers
        do, which skip those that an index knows to be outdone.
        Raises ValueError for what is not a name or address.
        """
        cdef sl_source source
        cdef sl_question question
        cdef sl_addr asked
        cdef sl_trail trail
        cdef sl_decision decision
        cdef sl_phase reached = SL_PHASE_ADDRESS
        cdef char name[SL_NAME_BUFFER]
        cdef bytes through, inside = b"" if sni is None else canonical_name(sni).encode("ascii")
        self.need_open()
        memset(&trail, 0, sizeof(trail))
        memset(&question, 0, sizeof(question))
        question.source, question.port, question.audit = &source, port, audit
        question.inner_mode = <uint8_t> (<int> MODES[inner])
        question.is_local, question.asked = is_local, <void *> self
        if listener is not None:
            through = listener.encode()
            question.listener = through
        if source_ip is not None:
            parse_address(source_ip, &question.who.addr)
        texts = identity_texts((namespace, service_account, identity, user, *(workload or (None, None)),
                                *(token or (None, None)), *(forwarded or (None, None, None))))
        placed = placed and workload is None and source_ip is not None and self.workloads is not None
        who, origin = self.asker(&question.who, texts, by_token, placed)
        shown = self.destination(&question, host, address, name, &asked)
        if sni is not None:
            question.shows, question.inner, question.inner_length = SL_SHOWS_TLS, inside, len(inside)
        elif shows is not None:
            question.shows = <uint8_t> (<int> SHOWS[shows])
        question.ech = ech
        if question.shows:
            reached = SL_PHASE_INNER
        if request is not None:
            question.request, reached = &request.request, SL_PHASE_REQUEST
        sl_judge(&self.image, &question, reached, NULL, &decision, &trail if every else NULL)
        self.explained = decision
        passes = decision.verdict != SL_DENY
        return {
            "verdict": sl_verdict_text(decision.verdict).decode("ascii"),
            "rule": self.rule_brief(decision.rule),
            "list_line": self.rule_place(decision.rule, inside or shown)[1],
            "phase": sl_phase_text(decision.phase).decode("ascii"),
            "reason": sl_reason_text(decision.reason).decode("ascii"),
            "would_deny": bool(decision.would_deny),
            "source": who,
            "identity_source": origin,
            "destination": {"host": shown, "port": port, "address": address_text(&asked)},
            "source_address": self.source_addresses(&decision) if passes else None,
            "attributes": self.attributes(&decision, inner if question.host is not NULL else None, port),
            "trail": self.trail(&trail, shown, inside.decode("ascii") or None, &asked, question.request),
        }

    def explain_each(self, addresses, **asked):
        """(the answers of explain() for each of `addresses`, the number of the one that stands for all). As the gateway
        takes them: refused addresses are dropped; where all are, the one that is reported stands for them. An address
        may be None: not known."""
        cdef sl_refusals refusals
        cdef int passed = -1, told = 0
        cdef list answers = []
        memset(&refusals, 0, sizeof(refusals))
        for address in addresses:
            answers.append(self.explain(address=address, **asked))
            if self.explained.verdict == SL_DENY:
                if sl_refusals_add(&refusals, &self.explained):
                    told = <int> len(answers) - 1
            elif passed < 0:
                passed = <int> len(answers) - 1
        return answers, passed if passed >= 0 else told

    cdef str destination(self, sl_question *question, host, address, char *name, sl_addr *asked):
        """Fills in what is asked for; answers the host as it is known. `name` and `asked` outlive the question."""
        cdef bytes raw = as_bytes(host)
        cdef sl_addr literal
        cdef sl_name_status status = sl_name_canonical(raw, len(raw), name, &question.host_length, &literal)
        memset(asked, 0, sizeof(asked[0]))
        if address is not None:
            parse_address(address, asked)
        if status == SL_NAME_ADDRESS:
            if address is not None and (asked.family != literal.family
                                        or memcmp(asked.bytes, literal.bytes, sizeof(literal.bytes)) != 0):
                raise ValueError("the destination is an address already")
            asked[0] = literal
        elif status == SL_NAME_OK:
            question.host = name
        else:
            raise ValueError(sl_name_status_text(status).decode("ascii"))
        if asked.family:
            question.address = asked
        return address_text(asked) if question.host is NULL else name[:question.host_length].decode("ascii")

    cdef object attributes(self, const sl_decision *decision, str inner, uint16_t port):
        """{name: {value, rule}} of what a decision brings along, as tunnels are opened by it: each from the best rule
        that sets it, None for a default. A denial has nothing but what its rules do to tunnels that are open. `inner`
        is the listener's innerName where a name was asked for, `port` the one asked for."""
        cdef const char *upstream = sl_judged_upstream(&self.image, decision)
        found = {}
        if decision.verdict != SL_DENY or decision.sets[<int> SL_ATTR_REVOKE] != SL_NO_RULE:
            found["onRevoke"] = {"value": REVOKES[sl_judged_revoke(&self.image, decision)],
                                 "rule": self.rule_brief(decision.sets[<int> SL_ATTR_REVOKE])}
        if decision.verdict == SL_DENY:
            return found
        if inner is not None:
            found["innerName"] = {"value": INNER_MODES[sl_judged_inner(&self.image, decision, MODES[inner])],
                                  "rule": self.rule_brief(decision.sets[<int> SL_ATTR_INNER])}
        for name, number, value in (
            ("inner", <int> SL_ATTR_PROTOCOL, INNER_PROTOCOLS[sl_judged_protocol(&self.image, decision)]),
            ("ech", <int> SL_ATTR_ECH, ECHS[sl_judged_ech(&self.image, decision)]),
        ):
            if decision.sets[<int> number] != SL_NO_RULE:
                found[name] = {"value": value, "rule": self.rule_brief(decision.sets[<int> number])}
        if upstream is not NULL:
            found["upstream"] = {"value": decoded(upstream),
                                 "rule": self.rule_brief(decision.sets[<int> SL_ATTR_UPSTREAM])}
        if decision.sets[<int> SL_ATTR_TLS] != SL_NO_RULE:
            found["tls"] = {"value": self.origination(decision, port),
                            "rule": self.rule_brief(decision.sets[<int> SL_ATTR_TLS])}
        for name, number, value in (
            ("route", <int> SL_ATTR_ROUTE, json_or_none(sl_judged_route(&self.image, decision))),
            ("headers", <int> SL_ATTR_HEADERS, json_or_none(sl_judged_headers(&self.image, decision))),
        ):
            if value is not None:
                found[name] = {"value": value, "rule": self.rule_brief(decision.sets[<int> number])}
        if (listed := self.source_addresses(decision)) is not None:
            found["sourceAddress"] = {"value": listed, "rule": self.rule_brief(decision.sets[<int> SL_ATTR_SOURCE])}
        return found

    cdef object origination(self, const sl_decision *decision, uint16_t port):
        """TLS that a tunnel leaves by, with the port that is dialed."""
        cdef const char *text = sl_judged_tls(&self.image, decision)
        if text is NULL:
            return {"originate": False}
        return {"originate": True, **json.loads(decoded(text)), "port": sl_judged_port(&self.image, decision, port)}

    cdef object source_addresses(self, const sl_decision *decision):
        """Addresses that connections come from which a decision lets pass; None where the system chooses."""
        cdef const char *text = sl_judged_sources(&self.image, decision)
        return None if text is NULL else json.loads(decoded(text)).get("sourceAddress")

    def knows_user(self, str user not None):
        """Whether users.yaml has the user."""
        cdef const char *space
        cdef const char *account
        cdef bytes name = optional_text(user)
        self.need_open()
        return name is not None and sl_source_user(&self.image, name, &space, &account) != 0

    cdef object asker(self, sl_source_key *key, tuple texts, bint by_token, bint placed):
        """Fills in who asks; answers the source as it is known, and where its identity comes from. The texts live as
        long as the question."""
        cdef const char *space
        cdef const char *account
        first, second, third, fourth, fifth, sixth = texts[:6]
        if second and not first:
            raise ValueError("a service account needs a namespace")
        key.namespace_, key.service_account, key.identity, key.user = first, second, third, fourth
        key.workload_namespace, key.workload_account = fifth, sixth
        if placed:
            self.workloads.place(key)
        seventh, eighth = texts[6:8]
        key.token_namespace, key.token_account = seventh, eighth
        ninth, tenth, eleventh = texts[8:]
        key.forwarded, key.forwarded_namespace, key.forwarded_account = ninth, tenth, eleventh
        space, account = key.namespace_, key.service_account
        origin = "certificate" if third else "workload" if first or key.workload_namespace[0] else "none"
        if fourth and not third:
            origin = "token" if by_token else "password"
        elif seventh and not third:
            origin = "token"
        if ninth:
            origin = "forwarded"
            space, account = key.forwarded_namespace, key.forwarded_account
        elif not first and not third:
            if seventh:
                space, account = key.token_namespace, key.token_account
            elif fourth:
                sl_source_user(&self.image, key.user, &space, &account)
            elif key.workload_namespace[0]:
                space, account = key.workload_namespace, key.workload_account
            elif not key.workload_unknown and sl_source_network(&self.image, &key.addr, &space, &account):
                origin = "network"
        who = {"ip": address_text(&key.addr), "namespace": or_none(space), "service_account": or_none(account),
               "identity": or_none(key.forwarded if ninth else key.identity), "user": or_none(key.user)}
        if placed and (pod := self.workloads.find(who["ip"])) is not None:
            who |= {"pod": pod["pod"], "owner": f"{pod['owner_kind']}/{pod['owner']}" if pod["owner"] else None}
        return who, origin

    cdef object trail(self, const sl_trail *trail, str host, str inside, const sl_addr *addr,
                      const sl_request *request):
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
                if step.unmet:
                    entry["unmet"] = True
                if step.condition and (wants := self.wants(step.condition, request)):
                    entry["wants"] = wants
            key = (step.phase, step.tier, step.rule, step.depth, step.port_class, step.excepted, step.unmet)
            if step.rule and key in seen:
                if step.won:
                    steps[seen[key]] = entry
                continue
            seen[key] = len(steps)
            steps.append(entry)
        return steps

    cdef list wants(self, uint32_t condition, const sl_request *request):
        """The questions that a rule has about a request: words, and whether it is so; None: there is no request."""
        cdef sl_want wants[64]
        cdef unsigned count = sl_condition_describe(&self.image, condition, request, wants, 64)
        return [{"of": decoded(wants[number].form).format(a=decoded(wants[number].a), b=decoded(wants[number].b)),
                 "met": None if request is NULL else bool(wants[number].met)} for number in range(count)]

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
        """A selector in words: "mesh", "namespace shop", "service account shop/cart", "identity ...", "user ..."."""
        cdef sl_selector_description selector
        if not sl_selector_describe(&self.image, index, &selector):
            return None
        text = selector.form.decode("ascii").format(a=decoded(selector.a), b=decoded(selector.b))
        return f"{text} from an address block" if selector.from_block else text
