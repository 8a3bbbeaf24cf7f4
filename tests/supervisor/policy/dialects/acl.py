"""Smokescreen ACLs, drawn at random, and their slow evaluator: the order of its documentation, domain by domain. It
shares nothing with the compiler, and knows no other dialect.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

Acl = dict[str, Any]

NAMES: Final = ("a.test", "x.a.test", "y.x.a.test", "b.test", "evil.test", "x.evil.test", "test")
GLOBS: Final = (*NAMES[:6], "*.test", "*.a.test", "*.x.a.test", "*.evil.test")
ROLES: Final = ("web", "api", "build-bot", "batch")
STRANGERS: Final = ("stranger", "other")
ACTIONS: Final = ("open", "report", "enforce")


@dataclass(frozen=True)
class Verdict:
    """The verdict of an ACL about one role and host: `result` is allow, report, deny, or none where it has no rule for
    the role. `explicit`: by a list. `place` is the rule as logs name it, and the item's place in its list."""

    result: str
    explicit: bool = False
    place: tuple[str, str, int] | None = None


def decide(acl: Acl, role: str, host: str) -> Verdict:
    """Role domains, global deny, global allow, action (in this order). An address matches no glob."""
    service = next((each for each in acl["services"] if each["name"] == role), acl.get("default"))
    if not role or service is None:
        return Verdict("none")
    mine = service is not acl.get("default")
    allowed = ("SmokescreenRole", role) if mine else ("SmokescreenDefault", "allowed_domains")
    action = ("SmokescreenAction", role) if mine else ("SmokescreenDefault", "action")
    if (index := best(service.get("allowed_domains", ()), host)) is not None:
        return Verdict("allow", True, (*allowed, index))
    if (index := best(acl.get("global_deny_list", ()), host)) is not None:
        return Verdict("deny", True, ("SmokescreenGlobal", "global_deny_list", index))
    if (index := best(acl.get("global_allow_list", ()), host)) is not None:
        return Verdict("allow", True, ("SmokescreenGlobal", "global_allow_list", index))
    result = {"open": "allow", "report": "report", "enforce": "deny"}[service["action"]]
    return Verdict(result, False, (*action, 0))


def best(globs: Sequence[str], host: str) -> int | None:
    """The glob to be named of those that match: the longest."""
    found = [
        (len(glob) if glob.startswith("*") else 1000, -index) for index, glob in enumerate(globs) if hits(glob, host)
    ]
    return -max(found)[1] if found else None


def hits(glob: str, host: str) -> bool:
    return host.endswith(glob[1:]) if glob.startswith("*.") else host == glob


def allows_any_name(acl: Acl, role: str) -> bool:
    """Whether some name could be allowed to the role, so that an address it asks for is held until a name shows."""
    service = next((each for each in acl["services"] if each["name"] == role), acl.get("default"))
    return bool(role and service and (service.get("allowed_domains") or acl.get("global_allow_list")))


def draw_acl(random: Random) -> Acl:
    """One to four services, a default or none."""

    def globs(most: int) -> list[str]:
        return random.sample(GLOBS, random.randint(0, most))

    def service(**more: str) -> dict[str, Any]:
        found: dict[str, Any] = {**more, "project": "team", "action": random.choice(ACTIONS)}
        return found | ({"allowed_domains": domains} if (domains := globs(3)) else {})

    names = random.sample(ROLES, random.randint(1, 4))
    acl: Acl = {"version": "v1", "services": [service(name=name) for name in names]}
    if random.random() < 0.5:
        acl["default"] = service()
    for name in ("global_deny_list", "global_allow_list"):
        if random.random() < 0.6:
            acl[name] = globs(3)
    return acl
