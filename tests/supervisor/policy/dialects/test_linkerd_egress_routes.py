"""The article's routes: its manifest as it is, every field, and what decides here."""

from pathlib import Path
from typing import Final

import pytest

from supervisor.policy.loader import Policy, Surroundings, load_policy
from supervisor.policy.resources.labels import Workloads
from supervisor.policy.resources.model import Selector
from supervisor.policy.resources.routing import Invalid, MirrorTo, Route, Service
from supervisor.source.problems import Place, Problems, render
from tests.support.front import without

SERVICES = ("egress/sluice", "linkerd-egress/linkerd-egress")
ARTICLE = """apiVersion: gateway.linkerd.io/v1alpha1
kind: HTTPRoute
metadata: {name: allow-api-example-com, namespace: frontend-namespace}
spec:
  parent: {namespace: linkerd, name: frontend}
  host: {name: api.example.com}
  filters:
    - type: RequestMirror
      backend: {service: {name: api-example-com-mirror, port: {number: 8080}}}
  forwardTo:
    - service: {name: linkerd-egress, port: {number: 80}}
"""
TCP = """apiVersion: gateway.linkerd.io/v1alpha1
kind: TCPRoute
metadata: {name: allow-db, namespace: shop}
spec:
  parent: {name: cart}
  host: {name: db.example.com}
  forwardTo: [{service: {namespace: linkerd-egress, name: linkerd-egress, port: {number: 1080}}}]
"""


def load(folder: Path, *documents: str, services: tuple[str, ...] = SERVICES) -> tuple[Policy, list[str], list[str]]:
    """The policy, errors and warnings."""
    (folder / "a.yaml").write_text("---\n".join(documents))
    problems = Problems()
    found = load_policy((str(folder),), (Place("sluice.yaml"),), problems, surroundings=Surroundings(services))
    return found, without(folder, render(problems.errors)), without(folder, render(problems.warnings))


def test_the_articles_manifest_loads_as_it_is(tmp_path: Path) -> None:
    found, errors, warnings = load(tmp_path, ARTICLE)
    assert (errors, warnings) == ([], [])
    (rules,) = found.rules
    copy = Service(
        *("frontend-namespace", "api-example-com-mirror", 8080, "http", ()),
        dns="api-example-com-mirror.frontend-namespace.svc.cluster.local",
    )
    assert rules.route == Route("HTTPRoute/frontend-namespace/allow-api-example-com", 0, "article", (MirrorTo(copy),))
    assert (rules.kind, rules.namespace, rules.name, rules.tier) == (
        *("HTTPRoute", "frontend-namespace", "allow-api-example-com", "allow"),
    )
    assert rules.selectors == (
        Selector(namespace="frontend-namespace", service_account="frontend"),
        Selector(workloads=Workloads(namespace="frontend-namespace", name="frontend")),
    )
    (item,) = rules.items
    assert item.destination.host is not None and item.destination.host.value == "api.example.com"
    assert item.destination.ports == ((80, 80), (443, 443))


SERVICE: Final = """apiVersion: v1
kind: Service
metadata: {name: api-example-com-mirror, namespace: frontend-namespace}
spec: {ports: [{port: 8080, appProtocol: kubernetes.io/h2c}]}
"""


def test_a_mirror_that_does_not_exist(tmp_path: Path) -> None:
    for service in (SERVICE.replace("8080", "80"), SERVICE.replace("frontend-namespace", "other")):
        found, errors, (warning,) = load(tmp_path, ARTICLE, service)
        assert errors == [] and "allow-api-example-com cannot be used: BackendNotFound" in warning
        assert found.rules[0].route is not None
        assert found.rules[0].route.filters == (MirrorTo(Invalid("BackendNotFound")),)
    elsewhere = ARTICLE.replace("{name: api-example-com-mirror,", "{name: api-example-com-mirror, namespace: other,")
    assert "RefNotPermitted" in load(tmp_path, elsewhere, SERVICE)[2][0]


def test_a_tcp_route_is_for_any_port(tmp_path: Path) -> None:
    found, errors, warnings = load(tmp_path, TCP)
    assert (errors, warnings) == ([], [])
    assert found.rules[0].items[0].destination.ports == ()


def test_a_route_to_another_gateway_decides_nothing(tmp_path: Path) -> None:
    other = ARTICLE.replace("linkerd-egress", "other")
    found, errors, warnings = load(tmp_path, other, TCP, services=("egress/linkerd-egress",))
    assert errors == [] and found.rules == () and found.resources == 2
    assert [line.partition(" (gateway.services")[0] for line in warnings] == [
        "a.yaml:1:1: HTTPRoute frontend-namespace/allow-api-example-com leads to another gateway than this one (other):"
        " it decides nothing here",
        "a.yaml:13:1: TCPRoute shop/allow-db leads to another gateway than this one (linkerd-egress/linkerd-egress): it"
        " decides nothing here",
    ]
    assert load(tmp_path, ARTICLE, services=("any/linkerd-egress",))[0].rules, "without a namespace by its name"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("v1alpha1", "v1"), "a.yaml:1:13: expected apiVersion gateway.linkerd.io/v1alpha1, found"),
        (("kind: HTTPRoute", "kind: HttpRoute"), "a.yaml:2:7: expected one of HTTPRoute, TCPRoute, found the text"),
        ((", namespace: frontend-namespace", ""), "a.yaml:3:11: metadata.namespace is missing"),
        (("parent: {namespace: linkerd, name: frontend}", "#"), "a.yaml:6:3: `parent` is missing"),
        (("parent: {", "parents: {"), "a.yaml:5:3: unknown key `parents` (did you mean `parent`?)"),
        ((", name: frontend}", "}"), "a.yaml:5:11: `parent.name` is missing"),
        (("namespace: linkerd,", "namespace: Linkerd,"), "a.yaml:5:23: parent.namespace: expected a namespace"),
        (("host: {name: api.example.com}", "host: api.example.com"), "a.yaml:6:9: host: expected a mapping"),
        (("name: api.example.com", "names: [a]"), "a.yaml:6:10: unknown key `names`"),
        (("name: api.example.com", "name: [a]"), "a.yaml:6:16: host.name: expected"),
        (
            ("type: RequestMirror", "type: RequestMiror"),
            "a.yaml:8:13: type: expected one of RequestMirror, found the text",
        ),
        (("backend: {service", "backend: {servis"), "a.yaml:9:17: unknown key `servis`"),
        (("number: 8080", "number: 0"), "a.yaml:9:72: port.number: 0 is out of range: 1 to 65535"),
        (("name: linkerd-egress, ", ""), "a.yaml:11:16: `service.name` is missing"),
        (("number: 80}}\n", "number: '80'}}\n"), "a.yaml:11:54: port.number: expected a decimal number"),
        (
            ("    - service: {name: linkerd-egress, port: {number: 80}}\n", "    []\n"),
            "a.yaml:11:5: forwardTo: the list is empty",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in ARTICLE
    _, errors, _ = load(tmp_path, ARTICLE.replace(*change))
    assert any(error.startswith(said) for error in errors), errors


def test_filters_are_of_http(tmp_path: Path) -> None:
    _, errors, _ = load(tmp_path, TCP.replace("forwardTo", "filters: []\n  forwardTo"))
    assert errors and errors[0].startswith("a.yaml:7:3: unknown key `filters`")
