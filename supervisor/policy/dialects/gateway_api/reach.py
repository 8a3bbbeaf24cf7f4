"""Where a route reaches: its hostnames in the words of rules, with the listeners that they hold under.

A route's own hostname is hung into the policy, as precedence goes by it. Where a listener's hostname is narrower, that
one is hung instead, and all hosts of a policy have classes by the length of the own ones: an older `*.example.com`
would beat `a.example.com` else, on a listener for a.example.com. Hosts that a more specific listener of the same port
takes are left out.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from supervisor.policy.dialects.gateway_api.hostnames import covers, labels_of, meet
from supervisor.policy.dialects.gateway_api.listeners import Isolation, Own
from supervisor.policy.dialects.routes import AnyRoute
from supervisor.policy.resources.model import Destination, Text

ROUTED: Final = 1  # the class of routes where hostnames make none; what is said of requests without a route is below
MOST_CLASS: Final = 31  # csrc/policy/image.h, SL_CLASSES; longer hostnames are compared by their depth alone


class Reach(NamedTuple):
    """Hosts of a route. `host` "" = every name and address; `text` is the hostname as the route has it."""

    host: str
    excepts: tuple[str, ...]
    text: Text

    @property
    def destination(self) -> Destination:
        """In the words of rules."""
        place = (self.text.line, self.text.column)
        if not self.host and not self.excepts:
            return Destination(anything=True)
        excepts = tuple(Text(one, *place) for one in self.excepts)
        return Destination(host=Text(self.host or "*", *place), excepts=excepts)

    @property
    def precedence(self) -> int:
        """The class: the longer the own hostname, the better. Of two for one host the longer has more labels."""
        return min(ROUTED + labels_of(self.text.value), MOST_CLASS)

    def holds(self, host: str) -> bool:
        """Whether a hostname is one of its own."""
        return covers(self.host, host) and not any(covers(one, host) for one in self.excepts)


def reaches(
    route: AnyRoute, listeners: Iterable[Own], isolation: Isolation, hosts: frozenset[str]
) -> dict[Reach, set[str]]:
    """Where a route reaches, and the names of the listeners that each holds under. `hosts` are hung apart, so that
    depth says nothing among routes of one class there."""
    found: dict[Reach, set[str]] = {}
    for own in listeners:
        for reach in _under(route, own, isolation):
            for one in (reach, *_apart(reach, hosts)):
                found.setdefault(one, set()).add(own.name)
    return found


def _apart(reach: Reach, hosts: frozenset[str]) -> Iterable[Reach]:
    for host in sorted(hosts):
        if host != reach.host and reach.holds(host):
            yield reach._replace(host=host, excepts=tuple(one for one in reach.excepts if covers(host, one)))


def _under(route: AnyRoute, own: Own, isolation: Isolation) -> Iterable[Reach]:
    nowhere = Text("", route.line, route.column)
    narrower = isolation.narrower(own)
    for text in route.hostnames or (nowhere,):
        host = meet(text.value, own.listener.hostname)
        if host is None or any(covers(one, host) for one in narrower):
            continue
        excepts = tuple(one for one in narrower if covers(host, one))
        yield Reach(host, excepts, text)
