"""Manifests of Linkerd as images against their slow evaluator, and bugs of the reader that the comparison must find."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from gateway.policy.image import PolicyImage
from supervisor.policy.dialects.linkerd import attachments, authorizations, egress_routes, identities, networks, servers
from supervisor.policy.resources.model import Selector
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects.linkerd.draws import ADDRESSES, CLUSTER, draw, draw_asked
from tests.supervisor.policy.dialects.linkerd.evaluator import Asked, Evaluator
from tests.supervisor.policy.dialects.linkerd.images import ask, expected, explain, image_of
from tests.supervisor.policy.dialects.linkerd.matching import Manifest

QUESTIONS: Final = 50  # a world
COVERED: Final = (
    *("smaller block", "older network", "own network", "global network", "own networks hide the global ones"),
    *("conflicted", "route does not admit", "network does not admit", "gateway's namespace does not admit"),
    *("decides HTTPRoute", "decides GRPCRoute", "decides TLSRoute", "decides TCPRoute", "Server admits"),
    *("tie-break host", "tie-break host length", "tie-break conditional", "tie-break age"),
    *("allow rule_allow", "allow default_allow", "deny default_deny", "deny unauthorized", "deny needs_http"),
    *("deny no_rule", "deny inner_name_missing", "held", "denied inside"),
    "denied before its address",
)
Difference = tuple[list[Manifest], Asked, object, object]


def compare(seed: int, worlds: int, folder: Path) -> tuple[Difference | None, Counter[str]]:
    """The first difference, or None, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for number in range(worlds):
        cluster = CLUSTER if number % 2 else ()
        manifests = draw(random, cluster)
        slow = Evaluator(manifests, cluster)
        image = image_of(manifests, folder, cluster)
        for turn in range(QUESTIONS):
            asked = draw_asked(random)
            wanted, found = expected(slow.decide(asked)), ask(image, asked, every=turn % 3 == 0)
            if wanted != found and not denied_wherever(slow, asked, image):
                return (manifests, asked, wanted, found), hits + slow.hits
        hits += slow.hits
    return None, hits


def denied_wherever(slow: Evaluator, asked: Asked, image: PolicyImage) -> bool:
    """Whether a name was denied before it was known where it lies, and every address is denied indeed."""
    said = explain(image, asked)
    early = asked.host and said["phase"] == "name" and said["verdict"] == "deny"
    if not early or said["reason"] not in ("no_rule", "unauthorized"):
        return False
    slow.hits["denied before its address"] += 1
    quiet = Evaluator(slow.manifests, slow.cluster)
    return all(quiet.decide(replace(asked, address=address)).verdict == "deny" for address in ADDRESSES)


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)


def test_images_answer_as_the_slow_evaluator_does(tmp_path: Path) -> None:
    check(range(1, 2), worlds=400, least=20, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_images_answer_as_the_slow_evaluator_does_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=2000, least=1000, folder=tmp_path)


def _set(owner: Any, name: str, value: Any) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(owner, name, value)


def _without_excepts(blocks: Any) -> Any:
    return authorizations.asks(Selector(cidr=block.cidr) for block in blocks)


def _without_route(right: Any) -> Any:
    return lambda self, namespace, name, route=None: right(self, namespace, name)


def _any_of_sizes(block: Any) -> tuple[int, int]:
    version, _ = networks_measure(block)
    return version, 1 << (32 if version == 4 else 128)


networks_measure: Final = networks.measure
BUGS: Final[dict[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "the size of a block does not count": _set(networks, "measure", _any_of_sizes),
    "global networks are for their own namespace": _set(
        networks.Networks, "selectors", lambda self, namespace: (Selector(namespace),)
    ),
    "all policies of a target must hold": _set(authorizations, "any_of", authorizations.all_of),
    "one authentication of a policy is enough": _set(authorizations, "all_of", authorizations.any_of),
    "exceptions of sources do not count": _set(authorizations, "within", _without_excepts),
    "the network's authorizations go before the route's": _set(
        authorizations.Authorizations, "of_network", _without_route(authorizations.Authorizations.of_network)
    ),
    "a namespace admits every source": _set(
        authorizations.Authorizations, "of_namespace", lambda self, namespace: None
    ),
    "kinds of routes do not conflict": _set(attachments, "STRENGTH", dict.fromkeys(attachments.STRENGTH, 0)),
    "conditional routes close nothing": _set(egress_routes, "refusals", lambda rules, conditional: iter(())),
    "trafficPolicy goes before routes": _set(networks, "TRAFFIC_POLICY", 4),
    "the network's refusal goes before routes": _set(networks, "UNADMITTED", 4),
    "Servers refuse no source": _set(servers.Servers, "rules", lambda self, authorizations: iter(())),
    "every identity is any": _set(identities.Identities, "selector", lambda self, text, place: [Selector()]),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_bug_seeded_in_the_reader_is_found(bug: Callable[[pytest.MonkeyPatch], None], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        bug(patch)
        difference, _ = compare(1, 150, tmp_path)
    assert difference is not None
