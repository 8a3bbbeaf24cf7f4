"""Real flows under random policies of all dialects at once: the worker decides as `explain` says, from the request to
the name in a ClientHello.

Everything lies in a network namespace, where public addresses lead to an origin of the tests; each flow has a source
address of its own.
"""

from collections import Counter
from contextlib import ExitStack
from random import Random
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, hashed
from tests.e2e.policy.test_inner_names import client_hello
from tests.supervisor.policy import draws
from tests.supervisor.policy.dialects import acl
from tests.supervisor.policy.dialects.fsm import egresses
from tests.supervisor.policy.dialects.gateway_api import drawing
from tests.supervisor.policy.dialects.linkerd import draws as linkerd
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.network import ip, own_network
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, Mapping

WORLDS: Final = 20
FLOWS: Final = 60  # a world
PORTS: Final = (80, 443, 5432, 8080)
ADDRESSES: Final = ("8.8.8.8", "8.8.4.4", "8.9.0.1", "9.9.9.9", "11.1.1.1")
REFUSED: Final = "10.0.0.5"  # by the guard
NAMES: Final = sorted(
    {name for name in (*draws.NAMES, *egresses.NAMES, *acl.NAMES, *linkerd.NAMES, *drawing.ASKED) if "." in name}
)
PLACES: Final = {name: ADDRESSES[number % len(ADDRESSES)] for number, name in enumerate(NAMES)}
USERS: Final = {**draws.USERS, **dict.fromkeys((*acl.ROLES, *acl.STRANGERS), ("", ""))}
NETWORKS: Final = {"10.1": ("shop", "cart"), "10.2": ("pay", ""), "10.3": None}  # by the first half of an address
CLUSTER: Final = ["10.0.0.0/8", "fd00::/8"]
ELSEWHERE: Final = ("upstream", "tls", "sourceAddress")  # ways that lead out of the namespace
KINDS: Final = ("EgressPolicy", "ClusterEgressPolicy", "Egress", "EgressNetwork", "TLSRoute", "TCPRoute")
ROUTE: Final = {
    "apiVersion": "gateway.linkerd.io/v1alpha1",
    "kind": "TCPRoute",
    "metadata": {"name": "route", "namespace": "shop"},
    "spec": {
        "parent": {"namespace": "linkerd", "name": "cart"},
        "host": {"name": "other.test"},
        "forwardTo": [{"service": {"name": "linkerd-egress", "port": {"number": 80}}}],
    },
}


def identity(workload: tuple[str, str]) -> dict[str, str]:
    namespace, account = workload
    return {"namespace": namespace, **({"serviceAccount": account} if account else {})}


def users() -> str:
    password = hashed(PASSWORD)
    every = [
        {"name": name, "hash": password, **({"identity": identity(who)} if who[0] else {})}
        for name, who in USERS.items()
    ]
    return yaml.safe_dump({"users": every})


def write_world(gateway: Gateway, random: Random) -> None:
    """Policies of every dialect, and passthrough or not."""
    lists = {f"list-{number}.txt": draws.draw_list(random) for number in range(2)}
    for name, text in lists.items():
        (gateway.folder / name).write_text(text)
    documents = [draws.draw_manifest(random, number, lists, (3, 4, 1)) for number in range(random.randint(0, 5))]
    for document in documents:
        for name in ELSEWHERE:
            document["spec"].pop(name, None)
    documents += egresses.draw_world(random).egresses
    documents += [
        {
            "apiVersion": "specs.smi-spec.io/v1alpha4",
            "kind": "HTTPRouteGroup",
            "metadata": {"name": "routes", "namespace": namespace},
            "spec": {"matches": [{"name": "get", "pathRegex": "/get"}]},
        }
        for namespace in egresses.NAMESPACES
    ]
    if random.random() < 0.5:
        documents += linkerd.draw(random, tuple(CLUSTER))
    if random.random() < 0.5:
        documents += attached(gateway, drawing.world(random))
    gateway.write_policy([*documents, ROUTE])
    gateway.write_policy([acl.draw_acl(random)], "acl.yaml")
    gateway.config["policy"] = {"paths": ["policy.yaml", "acl.yaml"], "passthrough": random.random() < 0.5}
    gateway.write_config()


def attached(gateway: Gateway, world: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A world of Gateway API for this gateway's one listener."""
    for document in world:
        if document["kind"] == "Gateway":
            document["spec"]["listeners"] = document["spec"]["listeners"][:1]
            document["spec"]["listeners"][0] |= {"name": "mesh", "port": gateway.port}
        for parent in document.get("spec", {}).get("parentRefs", ()):
            parent.pop("sectionName", None)
            parent.pop("port", None)
    return world


def named(rule: Mapping | None) -> str | None:
    """As the log names a rule."""
    return "/".join(filter(None, (rule["kind"], rule["namespace"], rule["name"]))) if rule else None


class Flow:
    """One flow, as the worker and `explain` judge it."""

    def __init__(self, random: Random, number: int) -> None:
        self.source = f"{random.choice(list(NETWORKS))}.{number // 250 + 1}.{number % 250 + 1}"
        self.user = random.choice((None, None, *USERS))
        literal = random.random() < 0.4
        self.host = random.choice((*ADDRESSES, REFUSED) if literal else NAMES)
        self.port = random.choice(PORTS)
        self.sni = random.choice(NAMES) if literal or random.random() < 0.2 else self.host
        self.held = False  # connected: its first bytes were judged

    def run(self, gateway: Gateway) -> Mapping:
        """The last line about it."""
        with wire.connect(gateway.port, source=self.source) as client:
            status = wire.socks5(client, self.host, self.port, self.user, PASSWORD)
            self.held = status == 0
            if self.held:
                client.sendall(client_hello(self.sni))
                try:
                    client.recv(65536)
                except ConnectionResetError:
                    pass

        def told() -> list[Mapping]:
            lines = [line for line in gateway.events() if line["source"]["ip"] == self.source]
            return [line for line in lines if line["event"] in (("close",) if self.held else ("decision", "refused"))]

        return eventually(told, f"a line about {vars(self)}")[-1]

    def explained(self, gateway: Gateway) -> Mapping:
        asked: dict[str, Any] = {"to": f"{self.host}:{self.port}", "source": self.source}
        if self.user:
            asked["user"] = self.user
        if self.host in PLACES:
            asked["address"] = [PLACES[self.host]]
        if self.held:
            asked["sni"] = self.sni
        return gateway.ask({"op": "explain", **asked})


def compare(gateway: Gateway, flow: Flow, hits: Counter[str]) -> None:
    line, answer = flow.run(gateway), flow.explained(gateway)
    keys = ("verdict", "phase", "reason", "would_deny")
    found = {key: line[key] for key in keys} | {"rule": line["rule"]}
    assert found == {key: answer[key] for key in keys} | {"rule": named(answer["rule"])}, f"{vars(flow)}\n{line}"
    hits[answer["verdict"]] += 1
    hits[answer["phase"]] += 1
    hits[(answer["rule"] or {"kind": answer["reason"]})["kind"]] += 1


@pytest.mark.full
@pytest.mark.timeout(900)
@own_network
def test_the_worker_decides_as_explain_says() -> None:
    ip(*(f"route add local {block} dev lo" for block in ("8.0.0.0/8", "9.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8")))
    random, hits = Random(1), Counter[str]()
    networks = [{"cidr": f"{half}.0.0/16", **identity(who)} for half, who in NETWORKS.items() if who]
    with ExitStack() as stack:
        for port in PORTS:
            stack.enter_context(Origin(echo, "0.0.0.0", port))
        names = stack.enter_context(NameServer({name: [address] for name, address in PLACES.items()}))
        config = {
            "identity": {"users": "users.yaml", "networks": networks},
            "dns": {"servers": [names.address]},
            "addresses": {"allow": []},
            "gateway": {"clusterNetworks": CLUSTER, "namespace": "egress", "services": ["egress/sluice"]},
        }
        gateway = Gateway([], config, files={"users.yaml": users()})
        write_world(gateway, random)
        stack.enter_context(gateway)
        for world in range(WORLDS):
            write_world(gateway, random)
            gateway.reload()
            for number in range(FLOWS):
                compare(gateway, Flow(random, world * FLOWS + number), hits)
    for what in ("allow", "deny", "audit", "name", "address", "inner", *KINDS):
        assert hits[what] >= 10, f"{what} is too rare to be trusted: {hits}"
