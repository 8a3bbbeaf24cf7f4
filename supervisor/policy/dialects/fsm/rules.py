"""The rules that the resources come to together."""

from collections.abc import Iterable, Sequence

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.dialects.fsm.resources import EgressGateway
from supervisor.policy.resources.model import Rules
from supervisor.source.problems import Problems


def rules(parts: Sequence[EgressGateway], surroundings: Surroundings, problems: Problems) -> list[Rules]:
    """EgressGateways decide nothing: which gateway a connection takes is the sidecar's choice."""
    check_gateways([part for part in parts if isinstance(part, EgressGateway)], surroundings, problems)
    return []


def check_gateways(gateways: Iterable[EgressGateway], surroundings: Surroundings, problems: Problems) -> None:
    """One resource of a mesh may name gateways for everything (FSM's admission rule); those that name other gateways
    than this one are reported."""
    first: EgressGateway | None = None
    for gateway in sorted(gateways, key=lambda part: (part.created is None, part.created, part.namespace, part.name)):
        if gateway.everything:
            if first is not None:
                words = f"{gateway.title} names gateways for everything, as {first.title} does"
                problems.error(gateway.place, words, f"one of a mesh may: {first.title} is at {first.place}")
            first = first or gateway
        targets = [*gateway.everything, *(target for rule in gateway.rules for target in rule.gateways)]
        names = {f"{target.namespace}/{target.service}" for target in targets}
        if names and not names & set(surroundings.services):
            others = ", ".join(sorted(names))
            words = f"{gateway.title} leads to other gateways than this one ({others}): it changes nothing here"
            problems.warning(gateway.place, words, "gateway.services in sluice.yaml names the Services of this gateway")
