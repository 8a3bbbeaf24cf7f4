"""Warnings of `check` for sources that nothing stands for, and for a passthrough that reaches no source.

None of it is an error: policies for workloads that come later are normal. Each is a fact about this configuration.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from supervisor.config.config import Config
from supervisor.identity.users import User
from supervisor.policy.cluster.objects import ServiceAccount
from supervisor.policy.loader import Policy
from supervisor.policy.resources.labels import Workloads
from supervisor.policy.resources.model import Rules, Selector
from supervisor.policy.workload_records import selects
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import trust_domain_of, workload_of

MOST: Final = 20  # warnings; the rest is counted
MOST_LOOKS: Final = 1_000_000  # of selections at workloads: a second
WAYS: Final = "map it in identity.networks, or give it to a user, once it is there"


class _Known:
    """The sources that the configuration knows: `spaces` and `accounts` are those of networks and users."""

    def __init__(self, config: Config, users: Sequence[User], policy: Policy) -> None:
        self.users = {user.name: user.namespace for user in users}
        pairs = [(network.namespace, network.service_account) for network in config.identity.networks]
        pairs += [(user.namespace, user.service_account) for user in users if user.namespace]
        self.workloads = policy.workloads
        pairs += [(each.pod.namespace, each.pod.service_account) for each in self.workloads]
        pairs += [(fact.namespace, fact.name) for fact in policy.facts if isinstance(fact, ServiceAccount)]
        self.spaces = {namespace for namespace, _ in pairs}
        self.accounts = set(pairs)
        self.domains = {domain.name for domain in config.identity.trust.domains}
        self.tokens = any(source.kubernetes or source.namespace for source in config.identity.tokens)
        # Certificates have any role where they have one, and tokens any user.
        self.every_role = bool(config.identity.trust.role) or any(source.user for source in config.identity.tokens)
        self._looks = MOST_LOOKS

    def has(self, wanted: Workloads) -> bool:
        """Whether one of them is known; also where it would take too long to tell."""
        self._looks -= len(self.workloads)
        return self._looks < 0 or any(selects(wanted, workload) for workload in self.workloads)


def warn_of_strangers(config: Config, users: Sequence[User], policy: Policy, problems: Problems) -> None:
    """One warning for each resource and source, at the resource's first item; at most MOST."""
    known = _Known(config, users, policy)
    seen: set[tuple[str, str, str, Selector]] = set()
    told = left_out = 0
    for rule in policy.rules:
        for selector in rule.selectors:
            key = (rule.kind, rule.namespace, rule.name, selector)
            if key in seen:
                continue
            seen.add(key)
            for text, hint in _facts(known, rule, selector):
                if told < MOST:
                    told += 1
                    problems.warning(rule.place(rule.items[0]), text, hint)
                else:
                    left_out += 1
    if left_out:
        words = f"{left_out} more sources of policies that nothing stands for are not listed"
        problems.warning(Place(config.path), words, WAYS)


def warn_of_void_passthrough(config: Config, rules: Iterable[Rules], problems: Problems) -> None:
    """Passthrough is for sources that no allow selects (DECISIONS.md section 4): a mesh-wide allow selects them all."""
    if not config.policy.passthrough:
        return
    for rule in rules:
        if rule.tier == "allow" and not rule.group and Selector() in rule.selectors:
            words = "this allow selects every source: policy.passthrough: true has no effect beside it"
            problems.warning(rule.place(rule.items[0]), words, "give it a `from`, or set policy.passthrough: false")
            return


def _facts(known: _Known, rule: Rules, selector: Selector) -> Iterator[tuple[str, str]]:
    """The warning about one source: (text, hint)."""
    space = selector.namespace
    if selector.workloads is not None:
        if not selector.workloads.name and not known.has(selector.workloads):
            words = f"no known pod is one of {quote(selector.workloads.text)}: this item matches no source"
            yield words, "Pod manifests in policy.paths make pods known"
    elif selector.role or selector.other_roles:
        if not known.every_role and (selector.role not in known.users if selector.role else not known.users):
            what = f"the role {quote(selector.role)}" if selector.role else "a role"
            hint = "identity.subject.role gives certificates one; else a user's name is its role"
            yield f"no certificate and no user has {what}: this matches no source", hint
    elif selector.user:
        # A user that does not exist is the compiler's to tell.
        if space and known.users.get(selector.user, space) != space:
            words = f"the user {quote(selector.user)} is not of the namespace {quote(space)}: this item never matches"
            yield words, f"give the user that namespace, or write kind: Cluster{rule.kind}"
    elif selector.identity:
        if space and workload_of(selector.identity)[0] != space:
            words = f"{quote(selector.identity)} is not of the namespace {quote(space)}: this item never matches"
            yield words, f"write kind: Cluster{rule.kind}, or an identity of that namespace"
        elif trust_domain_of(selector.identity) not in known.domains:
            words = f"no trust domain has the identity {quote(selector.identity)}: this item matches no source"
            yield words, "identity.trustDomains in sluice.yaml names them"
    elif known.domains or known.tokens:
        return  # certificates and tokens may name every namespace and service account
    elif selector.service_account:
        named = (one.workloads for one in rule.selectors if one.workloads and one.workloads.name)
        if (space, selector.service_account) not in known.accounts and not any(map(known.has, named)):
            workload = quote(f"{space}/{selector.service_account}")
            yield f"no item of identity.networks and no user stands for {workload}", WAYS
    elif space and space not in known.spaces:
        yield f"no item of identity.networks and no user stands for the namespace {quote(space)}", WAYS
