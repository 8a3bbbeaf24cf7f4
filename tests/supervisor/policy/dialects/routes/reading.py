"""One route of a text, as its reader gives it."""

from supervisor.policy.dialects.routes import AnyRoute, read
from supervisor.policy.resources.manifest import manifests_of
from supervisor.source.problems import Invalid, Problems, render
from supervisor.source.yaml_source import each_document

HTTP = """apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api, namespace: shop}
spec:
  parentRefs: [{name: outside}]
"""


def read_route(text: str) -> tuple[AnyRoute | None, list[str], list[str]]:
    """The route, errors and warnings, each `line:column: words`."""
    problems = Problems()
    found: AnyRoute | None = None
    for document in each_document(text.encode(), "a.yaml", problems):
        for manifest in manifests_of(document, problems):
            try:
                found = read(manifest, (), problems)
            except Invalid as wrong:
                problems.add(wrong.problem)
    errors, warnings = render(problems.errors), render(problems.warnings)
    return found, [line.removeprefix("a.yaml:") for line in errors], [line.removeprefix("a.yaml:") for line in warnings]


def route_of(text: str) -> AnyRoute:
    """A route without a mistake."""
    found, errors, _ = read_route(text)
    assert errors == [] and found is not None
    return found
