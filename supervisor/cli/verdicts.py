"""A decision in words: what it is, what decided, what else matched, what would turn it. For people at a terminal."""

from collections.abc import Iterator
from typing import Any, Final

from supervisor.cli.allowing import allowing_policy
from supervisor.segment.rule_slots import label_of

# Advice that would turn a decision, by its reason. {rule} is filled in; where an allow turns it, a policy follows.
_GUARD: Final = "only addresses.allow in sluice.yaml lifts this; no rule does"
TURNS: Final[dict[str, str]] = {
    "internal": "this is a failure of Sluice itself: please report it",
    "no_policy": "name manifests in policy.paths of sluice.yaml (without any everything is denied), such as this one",
    "no_rule": "allow it, for example by this policy",
    "rule_allow": "deny it: a policy for this source with action: Deny; or take it out of {rule}",
    "policy_invalid": "mend or delete {rule}: `sluice check` says what is wrong with it",
    "rule_deny": "take it out of {rule}: no allow outranks a deny",
    "needs_http": "ask with a request (--method, --path, --header), as inside it, or take the conditions out of {rule}",
    "rule_hard_deny": "take it out of {rule}: nothing outranks a hard deny, not even audit mode",
    "rule_audit": "it passes and is counted; an Allow or a Deny for it would settle it",
    "default_allow": "deny it by a rule; {rule} is what holds where no rule of its dialect matches",
    "default_audit": "it passes and is counted; a rule that allows or denies it would settle it",
    "default_deny": "allow it by a rule beside {rule}; an allow of any other dialect outranks that as well",
    "passthrough": "deny it by a rule, or set policy.passthrough: false in sluice.yaml",
    "needs_address": "only an address can tell: ask again with --address; or allow the name, as by this policy",
    "no_cidr_rule": "allow the name by a host rule, or this address by a cidr rule, for example by this policy",
    "address_denied": "take the address out of addresses.deny in sluice.yaml",
    "own_address": "nothing: a tunnel from the gateway to itself is always refused",
    "address_unspecified": _GUARD,
    "address_loopback": _GUARD,
    "address_link_local": _GUARD,
    "address_multicast": _GUARD,
    "address_metadata": _GUARD,
    "address_special_purpose": "allow its network by addresses.allow, or by a cidr rule inside such a block, as here",
    "address_embedded_ipv4": "addresses.allow in sluice.yaml, or a cidr rule inside that block, lifts this",
    "inner_name_missing": "ask by name, or allow the address (else the name inside decides), as by this policy",
    "inner_name_mismatch": "ask for the name that is shown inside, or set innerName for its rule or listener",
    "inner_protocol_mismatch": "the rule's `inner` demands another protocol than the one inside",
    "inner_protocol_missing": "the rule's `inner` demands a protocol that the client speaks first",
    "inner_ech": "switch Encrypted ClientHello off in the client, or set `ech: allow` for the rule",
    "other_way": "ask by name: what allows it leads through a parent, an address is dialed from here",
}

# Why DNS gave no address, by what came instead.
NO_ADDRESS: Final[dict[str, str]] = {
    "name_not_found": "DNS knows no address of this name (or a single label is not in /etc/hosts)",
    "dns_timeout": "no DNS server answered within dns.timeout",
    "dns_failed": "the DNS servers failed (SERVFAIL, REFUSED or a malformed answer)",
}


def describe(answer: dict[str, Any]) -> list[str]:
    """The lines to print for an answer of `explain`; not escaped yet."""
    to = answer["destination"]
    where = f"[{to['host']}]" if ":" in to["host"] else to["host"]
    by = f" at {to['address']}" if to["address"] and to["address"] != to["host"] else ""
    lines = [f"{answer['verdict'].upper()}  {where}:{to['port']}{by}"]
    if "address" in answer.get("unknown", ()):
        why = NO_ADDRESS.get(answer.get("dns") or "", "give --address or --resolve")
        lines[0] = f"{answer['verdict'].upper()} by name only  {where}:{to['port']}; addresses not judged: {why}"
    if listener := answer.get("credentials"):
        lines.append(f"  needs    credentials: listener {listener} has auth: required; give --user")
    if trace := answer.get("trace_id"):
        lines.append(f"  trace    {trace}")
    lines.append(f"  source   {source_text(answer['source'])}")
    lines.append(f"  rule     {rule_text(answer['rule'], answer['list_line'])}")
    would = ", would be denied" if answer["would_deny"] else ""
    lines.append(f"  reason   {answer['reason']} ({answer['phase']} phase{would})")
    lines.extend(attribute_lines(answer.get("attributes", {})))
    if len(judged := answer.get("addresses", ())) > 1 or answer.get("dns"):
        lines.extend(f"  address  {each['address']}: {each['verdict']}, {each['reason']}" for each in judged)
    if answer["trail"]:
        lines.append("  trail")
        lines.extend(f"    {line}" for line in trail_lines(answer["trail"]))
    if turn := TURNS.get(answer["reason"]):
        rule = answer["rule"]
        name = _name(rule) if rule else "the rule"
        lines.append(f"  to turn  {turn.format(rule=name)}")
        lines.extend(f"    {line}" for line in _allowing(answer))
    return [*lines, *_further(answer.get("to_turn") or {"changes": (), "remains": None})]


def _allowing(answer: dict[str, Any]) -> list[str]:
    """The policy to add: that which was tried, where it comes first."""
    changes = (answer.get("to_turn") or {"changes": ()})["changes"]
    if changes and changes[0]["policy"]:
        lines: list[str] = changes[0]["policy"].splitlines()
        return lines
    return allowing_policy(answer)


def _further(turning: dict[str, Any]) -> Iterator[str]:
    """The changes after the first one, where it takes several."""
    changes = turning["changes"]
    for number, change in enumerate(changes if len(changes) > 1 else (), 1):
        yield f"  change {number} {change['change']}"
        yield from (f"    {line}" for line in (change["policy"] or "").splitlines())
    if changes and (remains := turning["remains"]):
        yield f"  then     it is still denied, {remains}: {TURNS.get(remains, 'no rule turns it')}"


def in_a_line(answer: dict[str, Any]) -> str:
    """The answer to one of many questions; not escaped yet."""
    to = answer["destination"]
    host = f"[{to['host']}]" if ":" in to["host"] else to["host"]
    rule = _name(answer["rule"]) if answer["rule"] else "no rule"
    by_name = " by name only" if "address" in answer.get("unknown", ()) else ""
    verdict = answer["verdict"].upper() + by_name
    return f"{verdict}  {source_text(answer['source'])} -> {host}:{to['port']}  {rule}  {answer['reason']}"


def attribute_lines(attributes: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The attributes, each with its rule; defaults are left out."""
    for name, found in attributes.items():
        if (rule := found["rule"]) is not None:
            value = found["value"]
            if isinstance(value, dict):
                value = ", ".join(f"{key} {_value(each)}" for key, each in value.items() if each not in (None, []))
            elif isinstance(value, list):
                value = ", ".join(value)
            yield f"  sets     {name}: {value}  by {_name(rule)}, item {rule['index']}"


def _value(found: object) -> str:
    if isinstance(found, list):
        return " ".join(map(str, found))
    return str(found).lower() if isinstance(found, bool) else str(found)


def _unmet(step: dict[str, Any]) -> str:
    """The conditions of a rule that do not hold, or the one thing that all of them wait for."""
    if not step.get("unmet"):
        return ""
    wants = [want["of"] for want in step.get("wants", ()) if want["met"] is False]
    if wants:
        return f", not met: {', '.join(wants)}"
    asked = [want["of"] for want in step.get("wants", ())]
    return f", without a request not met: {', '.join(asked)}" if asked else ", its conditions are not met"


def source_text(source: dict[str, Any]) -> str:
    """The source, in the order of precedence."""
    parts = []
    if source["identity"]:
        parts.append(source["identity"])
    if source["namespace"]:
        parts.append("/".join(filter(None, (source["namespace"], source["service_account"]))))
    if source["user"]:
        parts.append(f"user {source['user']}")
    if source["ip"]:
        parts.append(source["ip"])
    return ", ".join(parts) or "any source"


def rule_text(rule: dict[str, Any] | None, list_line: int | None = None) -> str:
    """Name, item, line of the host list and place of a rule."""
    if rule is None:
        return "none: a default, or the address guard"
    listed = f", line {list_line} of its list" if list_line else ""
    of = " of `to`" if rule["kind"].endswith("EgressPolicy") else ""
    return f"{_name(rule)}, item {rule['index']}{of}{listed}  {rule['file']}:{rule['line']}"


def trail_lines(trail: list[dict[str, Any]]) -> Iterator[str]:
    """Each step in the order it was taken; `*` marks what decided its phase."""
    for step in trail:
        mark = "*" if step["won"] else " "
        if step["rule"] is None:
            yield f"{mark} {step['phase']:8} {step['reason']}"
            continue
        rule = step["rule"]
        ports = "" if step.get("ports") in (None, "any") else f", port by {step['ports']}"
        out = ", taken out by its except" if step.get("excepted") else ""
        out += _unmet(step)
        match = f"{step.get('match', '')} for {step.get('selector', '')}{ports}{out}"
        item = f"{_name(rule)}[{rule['index']}]"
        yield f"{mark} {step['phase']:8} {step['tier']:10} {item}  {match}  {rule['file']}:{rule['line']}"


def _name(rule: dict[str, Any]) -> str:
    return label_of(rule["kind"], rule["namespace"], rule["name"])
