"""Live tunnels are judged again: what each becomes under another policy (DECISIONS.md section 5)."""

import mmap
import os
import socket
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest

import tests.support.rejudge_probe as rejudge_probe
from gateway.io.loop import Loop
from gateway.io.watch import Clock
from gateway.policy.image import PolicyImage
from gateway.state.limits import Limits
from gateway.state.log import AccessLog
from gateway.state.parts import WorkerParts
from gateway.upstream.origin_pool import OriginPools
from gateway.upstream.pool import ParentPools
from supervisor.config.config import Config
from supervisor.config.config import Listener as ListenerConfig
from supervisor.config.upstreams import Upstream
from supervisor.policy import builder
from supervisor.segment.labels import FAMILY, read_key
from supervisor.segment.segment import Segment
from tests.support.limiting import table

TIERS: Final = {
    "allow": builder.TIER_ALLOW,
    "audit": builder.TIER_AUDIT,
    "deny": builder.TIER_DENY,
    "hard": builder.TIER_HARD_DENY,
}


class Rule(NamedTuple):
    """A rule for every source."""

    tier: str
    to: str
    on_revoke: str | None = None
    upstream: str | None = None
    source: str | None = None


class World:
    """The parts of a worker, and policies that are loaded into them."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.segment = Segment(0, 16)
        view = memoryview(mmap.mmap(self.segment.fd, 0))
        self.parts = WorkerParts(self.loop, 0, view, Limits(table(1), 0))
        log = AccessLog(view, lambda callback: Clock(self.loop, callback), lambda: None)
        self.parts.attach(
            None,
            log,
            ParentPools(self.parts, lambda *_: None),
            OriginPools(self.parts, 1),
            None,
            lambda: None,
            lambda _full: None,
        )
        self.generation = 0
        self.far: list[socket.socket] = []

    def load(self, *rules: Rule, audit: bool = False, users: dict[str, int] | None = None) -> None:
        image = builder.ImageBuilder()
        mesh = image.selector(builder.PRINCIPAL_MESH, "", "", None, False)
        for index, rule in enumerate(rules):
            sources = f'{{"sourceAddress": ["{rule.source}"]}}' if rule.source else None
            number = image.rule(
                "P", "", f"p{index}", 0, "p.yaml", 1, TIERS[rule.tier],
                on_revoke=rule.on_revoke, upstream=rule.upstream, settings=image.settings(sources),
            )  # fmt: skip
            item = image.attach(number, TIERS[rule.tier], image.portset([]), index, image.who([mesh]))
            if "/" in rule.to:
                image.cidr(item, rule.to)
            else:
                image.host(item, rule.to.encode())
        for name, credential in (users or {}).items():
            image.user(name, "", "", credential)
        image.flags(builder.IMAGE_HAS_POLICY)
        descriptor = image.finish_memfd()
        parents = tuple(Upstream(name, "http", (("192.0.2.1", 1080),)) for name in ("one", "two"))
        listeners = (ListenerConfig(auth="optional", audit=audit),)
        settings: Any = Config(path="/s", control="ipc:///c", listeners=listeners, upstreams=parents).settings()
        self.generation += 1
        self.parts.activate(self.parts.load(self.generation, PolicyImage.from_fd(descriptor), settings))
        os.close(descriptor)

    def tunnel(self, **asked: str) -> Any:
        ends = []
        for _ in range(2):
            near, far = socket.socketpair()
            self.far.append(far)
            ends.append(near.detach())
        return rejudge_probe.Standing(self.parts, *ends, **asked)

    def counted(self) -> dict[str, int]:
        found = {}
        for key, value in self.segment.labelled().items():
            family, labels = read_key(key, str)
            if FAMILY[family].name == "rejudged_total" and value:
                found[labels[0]] = value
        return found


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.parts.roster.close_all()
    for far in made.far:
        far.close()
    made.segment.close()


ALLOW: Final = Rule("allow", "a.test")
NET: Final = Rule("allow", "8.0.0.0/8")
NAMED: Final = {"name": "a.test", "address": "8.8.8.8"}
BY_ADDRESS: Final = {"address": "8.8.8.8"}
PARENT: Final = Rule("allow", "a.test", upstream="one")


@pytest.mark.parametrize(
    ("before", "asked", "after", "said", "state"),
    [
        pytest.param([ALLOW], NAMED, [ALLOW], "allow rule_allow P/p0", "open", id="the same policy keeps it"),
        pytest.param([ALLOW], NAMED, [], "deny no_rule", "ended", id="what nothing allows any more ends"),
        pytest.param([ALLOW], NAMED, [NET], "allow rule_allow P/p0", "open", id="another rule may allow it"),
        pytest.param(
            [ALLOW], NAMED, [ALLOW, Rule("deny", "8.8.8.8/32")], "deny rule_deny P/p1", "ended",
            id="a denied address ends a name that is allowed",
        ),
        pytest.param(
            [Rule("allow", "a.test", "keep")], NAMED, [], "deny no_rule", "open", id="onRevoke keep lets it be"
        ),
        pytest.param(
            [Rule("allow", "a.test", "drain")], NAMED, [], "deny no_rule", "draining", id="onRevoke drain gives time"
        ),
        pytest.param(
            [Rule("allow", "a.test", "keep")], NAMED, [Rule("deny", "a.test")], "deny rule_deny P/p0", "open",
            id="a denial without onRevoke takes that of the admission",
        ),
        pytest.param(
            [Rule("allow", "a.test", "keep")], NAMED, [Rule("deny", "a.test", "kill")], "deny rule_deny P/p0", "ended",
            id="a denial's own onRevoke wins",
        ),
        pytest.param(
            [Rule("allow", "a.test", "keep")], NAMED, [Rule("hard", "a.test")], "deny rule_hard_deny P/p0", "ended",
            id="a hard deny always kills",
        ),
        pytest.param(
            [NET], BY_ADDRESS, [Rule("deny", "8.0.0.0/8")], "deny rule_deny P/p0", "ended", id="by address alone"
        ),
        pytest.param(
            [ALLOW], BY_ADDRESS | {"inner": "a.test"}, [Rule("deny", "a.test")], "deny no_rule", "ended",
            id="a tunnel held for its name is judged by the name it showed",
        ),
        pytest.param(
            [NET, Rule("deny", "z.test")], BY_ADDRESS | {"inner": "a.test"}, [NET, Rule("deny", "a.test")],
            "deny rule_deny P/p1", "ended", id="a name behind an address that is denied now",
        ),
        pytest.param(
            [NET], BY_ADDRESS, [NET, Rule("deny", "a.test")], "allow rule_allow P/p0", "open",
            id="a tunnel that showed no name has none that is denied",
        ),
        pytest.param([PARENT], NAMED, [ALLOW], "deny other_way P/p0", "ended", id="through a parent, now without"),
        pytest.param(
            [PARENT], NAMED, [Rule("allow", "a.test", upstream="two")], "deny other_way P/p0", "ended",
            id="through another parent",
        ),
        pytest.param([ALLOW], NAMED, [PARENT], "deny other_way P/p0", "ended", id="without a parent, now through one"),
        pytest.param(
            [PARENT], {"name": "a.test"}, [PARENT], "allow rule_allow P/p0", "open", id="a name that a parent resolved"
        ),
        pytest.param(
            [PARENT], {"name": "a.test"}, [NET], "deny other_way", "ended",
            id="a name that a parent resolved has no address to be judged by",
        ),
    ],
)  # fmt: skip
def test_what_a_tunnel_becomes(
    world: World, before: list[Rule], asked: dict[str, str], after: list[Rule], said: str, state: str
) -> None:
    world.load(*before)
    tunnel = world.tunnel(**asked)
    assert tunnel.said.startswith("allow")
    world.load(*after)
    tunnel.judge_again()
    assert (tunnel.said, tunnel.state) == (said, state)


def test_each_way_is_counted_once_a_generation(world: World) -> None:
    world.load(Rule("allow", "a.test"), Rule("allow", "b.test", "drain"), Rule("allow", "c.test", "keep"), NET)
    tunnels = [world.tunnel(name=f"{letter}.test", address="9.9.9.9") for letter in "abc"]
    tunnels.append(world.tunnel(**BY_ADDRESS))
    world.load(NET)
    for tunnel in tunnels:
        tunnel.judge_again()
        if tunnel.state != "ended":
            tunnel.judge_again()  # this generation has judged it
    assert world.counted() == {"killed": 1, "draining": 1, "kept": 1, "allowed": 1}


def test_allowed_again_before_its_drain_ends(world: World) -> None:
    world.load(Rule("allow", "a.test", "drain"))
    tunnel = world.tunnel(**NAMED)
    world.load()
    tunnel.judge_again()
    assert tunnel.state == "draining"
    world.load(ALLOW)
    tunnel.judge_again()
    assert (tunnel.state, tunnel.said) == ("open", "allow rule_allow P/p0")


def test_audit_mode_softens_what_is_denied_now(world: World) -> None:
    world.load(ALLOW)
    tunnel = world.tunnel(**NAMED)
    world.load(Rule("deny", "a.test"), audit=True)
    tunnel.judge_again()
    assert (tunnel.state, tunnel.said) == ("open", "audit rule_deny P/p0")
    world.load(Rule("hard", "a.test"), audit=True)
    tunnel.judge_again()
    assert tunnel.state == "ended"


@pytest.mark.parametrize("users", [{}, {"bot": 2}], ids=["removed", "with another password"])
def test_a_login_that_stands_no_more_ends_its_tunnels(world: World, users: dict[str, int]) -> None:
    world.load(ALLOW, users={"bot": 1})
    tunnel, other = world.tunnel(**NAMED, user="bot"), world.tunnel(**NAMED)
    world.load(ALLOW, users=users)
    for each in (tunnel, other):
        each.judge_again()
    assert (tunnel.state, tunnel.said) == ("ended", "deny unauthorized")
    assert other.state == "open"


def test_a_tunnel_that_waits_for_its_name_waits_on(world: World) -> None:
    """Until a rule decides by the address."""
    world.load(ALLOW)
    tunnel = world.tunnel(**BY_ADDRESS)
    assert tunnel.said == "deny inner_name_missing"
    world.load(Rule("allow", "b.test"))
    tunnel.judge_again()
    assert (tunnel.state, tunnel.said) == ("open", "deny inner_name_missing")
    world.load(Rule("deny", "8.0.0.0/8"), Rule("allow", "b.test"))
    tunnel.judge_again()
    assert (tunnel.state, tunnel.said) == ("ended", "deny rule_deny P/p0")
