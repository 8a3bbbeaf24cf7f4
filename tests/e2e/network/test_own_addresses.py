"""The gateway never leads to itself, whatever address or route the machine gets while it runs (DECISIONS.md section 3).

Each test has a network of its own, where addresses come and go.
"""

import json
from typing import Final

import pytest

from tests.support import wire
from tests.support.network import ip, own_network
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, Mapping, policy

EVERYWHERE: Final = [policy("everywhere", [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}])]
OPEN: Final[Mapping] = {
    "addresses": {
        "allow": ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "198.51.100.0/24", "2001:db8::/32", "::ffff:0:0/96"]
    }
}


def everywhere(**config: object) -> Gateway:
    gateway = Gateway(EVERYWHERE, {**OPEN, **config})
    gateway.config["listeners"][0]["address"] = f"[::]:{gateway.port}"
    return gateway


def verdict(gateway: Gateway, host: str, port: int) -> str:
    """`open`, or the reason of the refusal."""
    skip = len(gateway.events())
    with wire.connect(gateway.port) as client:
        answer = wire.http(client, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        line = gateway.logged(skip, client.getsockname()[1]) if answer.status != 200 else {}
    return "open" if answer.status == 200 else f"{answer.status} {line['reason']}"


def explained(gateway: Gateway, host: str, port: int, *options: str) -> str:
    to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    done = gateway.sluice("explain", "--json", "--source", "127.0.0.1", "--to", to, *options)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["reason"])


OWN: Final = "403 own_address"


@own_network
def test_an_address_that_comes_and_goes() -> None:
    ip("route add unreachable default", "addr add 10.9.9.1/32 dev lo")
    with everywhere() as gateway:
        assert verdict(gateway, "10.9.9.1", gateway.port) == OWN
        assert verdict(gateway, "10.9.9.1", gateway.admin) == OWN
        assert verdict(gateway, "10.9.9.2", gateway.port).startswith("502 "), "no such address yet"
        ip("addr add 10.9.9.2/32 dev lo")
        assert verdict(gateway, "10.9.9.2", gateway.port) == OWN
        assert verdict(gateway, "10.9.9.2", gateway.admin) == OWN
        assert explained(gateway, "10.9.9.2", gateway.port) == "own_address"
        assert explained(gateway, "10.9.9.2", gateway.port, "--live") == "own_address"
        assert explained(gateway, "10.9.9.2", 443) == "rule_allow"
        with Origin(echo, "10.9.9.2") as origin:
            assert verdict(gateway, "10.9.9.2", origin.port) == "open", "another's port on the same address"
        ip("addr del 10.9.9.2/32 dev lo")
        assert verdict(gateway, "10.9.9.2", gateway.port).startswith("502 ")
        assert explained(gateway, "10.9.9.2", gateway.port, "--live") == "rule_allow"


@own_network
@pytest.mark.parametrize(
    ("change", "undo", "host"),
    [
        ("route add local 198.51.100.0/24 dev lo", "route del local 198.51.100.0/24 dev lo", "198.51.100.77"),
        ("-6 addr add 2001:db8::5/128 dev lo nodad", "-6 addr del 2001:db8::5/128 dev lo", "2001:db8::5"),
        ("-6 route add local 2001:db8:1::/64 dev lo", "-6 route del local 2001:db8:1::/64 dev lo", "2001:db8:1::9"),
        ("addr add 10.9.9.3/32 dev lo", "addr del 10.9.9.3/32 dev lo", "::ffff:10.9.9.3"),
        ("rule add to 10.9.0.0/16 lookup 77", "rule del to 10.9.0.0/16 lookup 77", "10.9.9.4"),
        ("rule add ipproto tcp dport {port} lookup 77", "rule del ipproto tcp dport {port} lookup 77", "10.9.9.5"),
    ],
    ids=["AnyIP", "IPv6", "AnyIP over IPv6", "IPv4-mapped", "a rule", "a rule for the port"],
)
def test_every_way_by_which_an_address_becomes_local(change: str, undo: str, host: str) -> None:
    ip("route add local default dev lo table 77")
    with everywhere() as gateway:
        before = verdict(gateway, host, gateway.port)
        assert before.startswith("502 "), before
        ip(change.format(port=gateway.port))
        assert verdict(gateway, host, gateway.port) == OWN
        assert explained(gateway, host, gateway.port, "--live") == "own_address"
        ip(undo.format(port=gateway.port))
        assert verdict(gateway, host, gateway.port) == before


@own_network
def test_a_source_address_that_leads_home() -> None:
    """A rule that routes by source: only what comes from the rule's sourceAddress stays on this machine."""
    ip("addr add 10.9.9.7/32 dev lo", "route add local default dev lo table 77")
    bound = policy("bound", [{"cidr": "10.8.0.0/16"}], sourceAddress=["10.9.9.7"])
    rules = [bound, policy("rest", [{"cidr": "10.7.0.0/16"}])]
    gateway = Gateway(rules, OPEN)
    gateway.config["listeners"][0]["address"] = f"0.0.0.0:{gateway.port}"
    with gateway:
        ip("rule add from 10.9.9.7 lookup 77")
        assert verdict(gateway, "10.8.0.1", gateway.port) == OWN
        assert explained(gateway, "10.8.0.1", gateway.port) == "own_address"
        assert verdict(gateway, "10.7.0.1", gateway.port).startswith("502 ")


@own_network
def test_service_addresses_are_own_at_every_port_and_unspecified_ones_at_the_gateways() -> None:
    with Origin(echo) as origin, everywhere(gateway={"serviceAddresses": ["127.0.0.9"]}) as gateway:
        assert verdict(gateway, "127.0.0.9", origin.port) == OWN
        assert verdict(gateway, "::ffff:127.0.0.9", origin.port) == OWN
        assert verdict(gateway, "127.0.0.1", origin.port) == "open"
        for host in ("0.0.0.0", "::", "127.77.0.1", "::1"):
            assert verdict(gateway, host, gateway.port) == OWN


@own_network
def test_live_tunnels_are_judged_again_at_a_reload() -> None:
    """The other end of a tunnel may become this machine: the next generation ends it."""
    ip("addr add 10.9.9.8/32 dev lo")
    with (
        Origin(echo, "10.9.9.8") as origin,
        Gateway(EVERYWHERE, OPEN) as gateway,
        wire.connect(gateway.port) as client,
    ):
        wire.open_socks5(client, "10.9.9.8", origin.port)
        assert wire.echoes(client)
        gateway.config["gateway"] = {"serviceAddresses": ["10.9.9.8"]}
        gateway.write_config()
        gateway.reload()
        line = gateway.event(event="close", outcome="revoked")
        assert (line["verdict"], line["reason"]) == ("deny", "own_address")


@own_network
@pytest.mark.parametrize("kind", ["http", "http2tunnel"])
def test_a_parent_whose_address_has_moved_here(kind: str) -> None:
    """Through itself as a parent a source would become the gateway's own network."""
    ip("route add unreachable default")
    gateway = Gateway([policy("through", [{"host": "*.test"}], upstream="corp")], OPEN)
    gateway.config["upstreams"] = [{"name": "corp", "type": kind, "addresses": [f"10.9.9.9:{gateway.port}"]}]
    with gateway:
        ip("addr add 10.9.9.9/32 dev lo")
        with wire.connect(gateway.port) as client:
            answer = wire.http(client, "name.test:443")
        assert answer.status == 502
        line = gateway.event(event="decision")
        assert line["outcome"] == "upstream_failed"
        assert all(line["source"]["ip"] == "127.0.0.1" for line in gateway.events()), "nothing came from the gateway"
