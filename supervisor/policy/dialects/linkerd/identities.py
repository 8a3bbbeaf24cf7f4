"""Identities as Linkerd writes them, as selectors: `sa.ns.serviceaccount.identity.LINKERD.DOMAIN` and SPIFFE IDs.

Namespaces and service accounts are those of the first trust domain; identities of another are known by their SPIFFE ID
alone (DECISIONS.md section 1). A wildcard stands for whole labels at the beginning, as in Linkerd.
"""

from collections.abc import Iterable
from typing import Final

from supervisor.policy.dialects.linkerd.resources import Target
from supervisor.policy.resources.terms import Selector, Text
from supervisor.source.problems import Place, Problems, quote
from supervisor.source.words import trust_domain_of, workload_of

MIDDLE: Final = "serviceaccount.identity"
# What Linkerd has where it is not told otherwise; so it is here where there are no trust domains.
USUAL: Final = (("cluster.local", "linkerd"),)


class Identities:
    """The meaning of identities under `trust_domains`: their names, and Linkerd's namespace in each."""

    def __init__(self, trust_domains: tuple[tuple[str, str], ...], problems: Problems) -> None:
        self.domains = trust_domains or USUAL
        self.problems = problems

    def selectors(self, texts: Iterable[Text], file: str) -> list[Selector]:
        """Those that a list selects; what selects no source, or cannot be said, is reported."""
        return [selector for text in texts for selector in self.selector(text, Place(file, text.line, text.column))]

    def selector(self, text: Text, place: Place) -> list[Selector]:
        """One, or none."""
        if text.value == "*":
            return [Selector(identified=True)]
        if text.value.startswith("spiffe://"):
            return [self.spiffe(text.value)]
        for number, (domain, linkerd) in enumerate(self.domains):
            end = f".{MIDDLE}.{linkerd}.{domain}"
            if linkerd and text.value.endswith(end):
                return self.of_domain(text.value.removesuffix(end), number, place)
        if text.value.startswith("*."):
            return self.wider(text.value[1:], place)
        return self.unknown(text.value, place)

    def spiffe(self, uri: str) -> Selector:
        namespace, account = workload_of(uri)
        if namespace and trust_domain_of(uri) == self.domains[0][0]:
            return Selector(namespace, account)
        return Selector(identity=uri)

    def of_domain(self, head: str, number: int, place: Place) -> list[Selector]:
        """`head` is what stands before the domain: sa.ns, *.ns or *."""
        account, _, namespace = head.rpartition(".")
        if head == "*":
            return self.wider("." + self.end(number), place)
        if not account:
            return self.unknown(head, place)
        if account == "*" and number == 0:
            return [Selector(namespace)]
        if account.startswith("*") or account == "*":
            words = (
                f"{quote(head)}: a wildcard stands for every service account of a namespace of the first trust domain"
            )
            self.problems.error(place, words, "name the service accounts")
            return []
        if number == 0:
            return [Selector(namespace, account)]
        return [Selector(identity=f"spiffe://{self.domains[number][0]}/ns/{namespace}/sa/{account}")]

    def end(self, number: int) -> str:
        domain, linkerd = self.domains[number]
        return f"{MIDDLE}.{linkerd}.{domain}"

    def wider(self, suffix: str, place: Place) -> list[Selector]:
        """A suffix of whole trust domains: of all of them, or of none."""
        ends = [
            bool(linkerd) and f".{self.end(number)}".endswith(suffix)
            for number, (_, linkerd) in enumerate(self.domains)
        ]
        if all(ends):
            return [Selector(identified=True)]
        if any(ends):
            words = f"{quote('*' + suffix)} is of some of the trust domains: not supported"
            self.problems.error(place, words, 'write "*" for every identity, or *.NAMESPACE and the rest')
            return []
        return self.unknown("*" + suffix, place)

    def unknown(self, text: str, place: Place) -> list[Selector]:
        forms = " or ".join(f"SA.NS.{self.end(number)}" for number, (_, linkerd) in enumerate(self.domains) if linkerd)
        hint = f"identities look like {forms}" if forms else "no trust domain of sluice.yaml has a linkerdNamespace"
        self.problems.warning(place, f"{quote(text)} is an identity that no source can have", hint)
        return []


def of_reference(target: Target, own: str) -> Selector:
    """The ServiceAccount or the Namespace referred to from the namespace `own`."""
    if target.kind == "Namespace":
        return Selector(target.name)
    return Selector(target.namespace or own, target.name)
