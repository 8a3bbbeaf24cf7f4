"""Servers: the one that stands for a listener of this gateway says who may ask there; others decide nothing here."""

from collections.abc import Iterable, Iterator

from supervisor.policy.dialects.dialect import Surroundings
from supervisor.policy.dialects.groups import LINKERD
from supervisor.policy.dialects.linkerd.authorizations import ALL_SOURCES, NO_SOURCE, Authorizations, all_of, any_of
from supervisor.policy.dialects.linkerd.order import SERVER
from supervisor.policy.dialects.linkerd.resources import Server
from supervisor.policy.resources.conditions import AllOf, Asks, Condition, Not, Through
from supervisor.policy.resources.labels import matches
from supervisor.policy.resources.model import Destination, Item, Rules, Selector
from supervisor.source.problems import Problems


class Servers:
    """`of_listener`: the Servers that stand for a listener, by its name."""

    def __init__(self, servers: Iterable[Server], surroundings: Surroundings, problems: Problems) -> None:
        self.surroundings = surroundings
        self.problems = problems
        self.of_listener: dict[str, Server] = {}
        for server in sorted(servers, key=lambda one: (one.created is None, one.created or 0, one.name)):
            names = self.listeners(server)
            if not names:
                self.problems.warning(server.place, f"{server.title} decides nothing here: {self.reason(server)}")
            for name in names:
                self.take(server, name)

    def take(self, server: Server, listener: str) -> None:
        other = self.of_listener.setdefault(listener, server)
        if other is not server:
            words = f"{server.title} and {other.title} both stand for the listener {listener}"
            self.problems.error(server.place, words, f"Servers must not overlap: the other one is at {other.place}")

    def listeners(self, server: Server) -> list[str]:
        """The names of the listeners that it stands for."""
        around = self.surroundings
        if server.namespace != around.namespace or server.pods is None or not matches(server.pods, dict(around.labels)):
            return []
        return [name for name, port in around.listeners if server.port in (name, port)]

    def reason(self, server: Server) -> str:
        """Why it stands for none of them."""
        around = self.surroundings
        if server.namespace != around.namespace:
            return f"it is not of the gateway's namespace, {around.namespace}"
        if server.pods is None:
            return "it selects ExternalWorkloads"
        if not matches(server.pods, dict(around.labels)):
            return "its podSelector does not match gateway.labels"
        return f"no listener has the port {server.port}"

    def rules(self, authorizations: Authorizations) -> Iterator[Rules]:
        """A denial of everything through the listener, for whom it does not admit."""
        for listener, server in self.of_listener.items():
            ways = [*authorizations.of_server(server), self.access(server)]
            if (admitted := any_of(ways)) == ALL_SOURCES:
                continue
            refused: Condition = Through(listener)
            if admitted != NO_SOURCE:
                refused = AllOf((refused, Not(admitted)))
            everything = Item(0, server.line, server.column, Destination(anything=True), when=refused)
            yield Rules(
                kind=server.kind,
                namespace=server.namespace,
                name=server.name,
                file=server.file,
                tier="unauthorized",
                selectors=(Selector(),),
                items=(everything,),
                created=server.created,
                group=LINKERD,
                precedence=SERVER,
            )

    def access(self, server: Server) -> Condition:
        """The sources admitted by its accessPolicy, beside its authorizations."""
        if server.access == "deny":
            return NO_SOURCE
        if server.access == "audit":
            words = f"accessPolicy audit of {server.title}: every source is admitted, and nothing is logged as denied"
            self.problems.warning(server.place, words, "`audit: true` of a listener in sluice.yaml logs would_deny")
            return ALL_SOURCES
        parts: list[Condition] = []
        if server.access.endswith("-authenticated"):
            parts.append(Asks((Selector(identified=True),)))
        if server.access.startswith("cluster-"):
            own = tuple(Selector(cidr=cidr) for cidr in self.surroundings.cluster_networks)
            if not own:
                words = (
                    f"accessPolicy {server.access} of {server.title} admits no source: gateway.clusterNetworks is empty"
                )
                self.problems.warning(server.place, words, "name the mesh's networks in sluice.yaml")
            parts.append(Asks(own) if own else NO_SOURCE)
        return all_of(parts)
