"""Objects judged as a cluster's: grants, budgets, one by one (DECISIONS.md sections 5 and 9)."""

import os
import time
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from gateway.policy.image import PolicyImage
from supervisor.cli.turning import turning
from supervisor.cli.verdicts import describe
from supervisor.generation.compilation import Report
from supervisor.generation.compile import compile_all
from supervisor.policy import budgets
from supervisor.policy.explanation import explain, read_question
from supervisor.policy.regex.expression import states_of

Answer = dict[str, Any]
CONFIG: Final[dict[str, Any]] = {
    "policy": {"paths": ["policy"]},
    "upstreams": [{"name": "corp", "type": "http", "addresses": ["192.0.2.9:1080"]}],
    "credentials": [{"name": "stripe", "file": "stripe.token", "hosts": ["a.test"]}],
    "grants": [
        {"namespaces": ["pay"], "cidrs": ["10.9.0.0/16"], "upstreams": ["corp"], "credentials": ["stripe"]},
        {"namespaces": ["pay", "ops"], "sourceAddresses": ["192.0.2.8/30", "2001:db8::1"]},
    ],
}


def own(name: str, namespace: str | None, created: Any = None, **spec: Any) -> dict[str, Any]:
    """An EgressPolicy, or a ClusterEgressPolicy."""
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": created}
    return {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "EgressPolicy" if namespace else "ClusterEgressPolicy",
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": {"action": "Allow", **spec},
    }


class Compiled:
    """A set of objects, compiled."""

    def __init__(self, folder: Path, objects: list[Any], as_cluster: bool = True, **policy: Any) -> None:
        (folder / "policy").mkdir(exist_ok=True)
        (folder / "stripe.token").write_text("a value")
        (folder / "policy/objects.yaml").write_text(yaml.dump_all(objects, Dumper=yaml.CSafeDumper))
        config = {**CONFIG, "policy": {**CONFIG["policy"], **policy}}
        (folder / "sluice.yaml").write_text(yaml.safe_dump(config))
        self.report: Report
        self.report, image, workloads = compile_all(str(folder / "sluice.yaml"), statuses=True, as_cluster=as_cluster)
        self.image = PolicyImage.from_fd(image, validate=True) if image is not None else None
        for descriptor in (image, workloads):
            if descriptor is not None:
                os.close(descriptor)

    def says(self, host: str, **asked: Any) -> str:
        """`verdict reason rule`."""
        assert self.image is not None, self.report.problems
        answer = self.image.explain(host=host, port=443, **asked)
        return " ".join([answer["verdict"], answer["reason"], *([answer["rule"]["name"]] if answer["rule"] else [])])

    @property
    def refused(self) -> dict[str, str]:
        """The reason of each object that is not accepted."""
        return {each.name: each.reason for each in self.report.statuses if not each.status}

    @property
    def words(self) -> str:
        return "\n".join(map(str, self.report.refused))


USES: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "the guard": ({"to": [{"cidr": "10.9.0.0/24"}]}, "which lifts the address guard, is not granted"),
    "a parent": ({"to": [{"host": "a.test"}], "upstream": "corp"}, "upstream `corp` is not granted"),
    "an address": (
        {"to": [{"host": "a.test"}], "sourceAddress": ["192.0.2.9"]},
        "sourceAddress 192.0.2.9 is not granted",
    ),
    "a credential": (
        {"to": [{"host": "a.test"}], "headers": {"set": {"authorization": "${credential:stripe}"}}},
        "credential `stripe` is not granted",
    ),
}


@pytest.mark.parametrize("what", USES)
def test_what_needs_a_grant(tmp_path: Path, what: str) -> None:
    spec, words = USES[what]
    objects = [own("mine", "shop", **spec), own("granted", "pay", **spec), own("mesh", None, **spec)]
    found = Compiled(tmp_path, [*objects, own("other", "shop", to=[{"host": "b.test"}])])
    assert found.refused == {"mine": "NotGranted"} and words in found.words
    assert found.report.refused[0].line and "objects.yaml" in found.report.refused[0].file
    assert found.says("b.test", namespace="shop") == "deny policy_invalid mine"
    passes = found.says("10.9.0.1" if "cidr" in spec["to"][0] else "a.test", namespace="pay")
    assert passes.startswith("allow") or (passes == "deny needs_http" and "headers" in spec), passes
    assert Compiled(tmp_path, objects, as_cluster=False).report.refused == (), "files are the operator's"


def test_a_grant_is_for_its_namespaces_and_values(tmp_path: Path) -> None:
    def uses(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
        return own(name, namespace, **{"to": [{"host": "a.test"}], **spec})

    found = Compiled(
        tmp_path,
        [
            uses("wider", "pay", to=[{"cidr": "10.8.0.0/15"}]),
            uses("public", "shop", to=[{"cidr": "8.8.8.0/24"}, {"cidr": "0.0.0.0/0"}]),
            uses("denies", "shop", action="Deny", to=[{"cidr": "10.0.0.0/8"}]),
            uses("upstream", "ops", upstream="corp"),
            uses("source", "ops", sourceAddress=["192.0.2.9", "2001:db8::1"]),
            uses("more", "ops", sourceAddress=["192.0.2.9", "192.0.2.12"]),
        ],
    )
    assert found.refused == {"wider": "NotGranted", "upstream": "NotGranted", "more": "NotGranted"}


def test_what_the_operator_opens_needs_no_grant(tmp_path: Path) -> None:
    spec = {"to": [{"cidr": "10.9.0.0/24"}]}
    (tmp_path / "policy").mkdir()
    assert Compiled(tmp_path, [own("mine", "shop", **spec)]).refused
    CONFIG["addresses"] = {"allow": ["10.0.0.0/8"]}
    try:
        assert not Compiled(tmp_path, [own("mine", "shop", **spec)]).refused
    finally:
        del CONFIG["addresses"]


@pytest.mark.parametrize("spec", [
    {"to": [{"hostsFrom": "list.txt"}]},
    {"to": [{"host": "a.test"}], "tls": {"originate": True, "ca": "ca.crt"}},
    {"to": [{"host": "a.test"}], "tls": {"originate": True, "certificate": "/etc/passwd", "key": "/etc/shadow"}},
])  # fmt: skip
def test_a_namespaced_object_names_no_file(tmp_path: Path, spec: dict[str, Any]) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/list.txt").write_text("secret.test\n")
    found = Compiled(tmp_path, [own("mine", "pay", **spec)])
    assert found.refused == {"mine": "NotGranted"} and "names no file" in found.words
    assert "secret" not in found.words
    assert found.says("a.test", namespace="pay") == "deny policy_invalid mine"


def test_cluster_kinds_may_name_files(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy/list.txt").write_text("x.test\n")
    found = Compiled(tmp_path, [own("mesh", None, to=[{"hostsFrom": "list.txt"}])])
    assert not found.refused and found.says("x.test", namespace="pay") == "allow rule_allow mesh"


def test_an_object_that_cannot_be_used_closes_what_it_selects(tmp_path: Path) -> None:
    wrong = own("wrong", "shop", **{"from": [{"serviceAccount": "cart"}], "acton": "x", "to": [{"host": "a.test"}]})
    unread = own("unread", "pay", **{"from": "everywhere", "to": [{"host": "a.test"}]})
    good = [own("good", space, to=[{"host": "a.test"}]) for space in ("shop", "pay", "ops")]
    found = Compiled(tmp_path, [wrong, unread, *good])
    assert found.refused == {"wrong": "Invalid", "unread": "Invalid"}
    for host in ("a.test", "z.test", "8.8.8.8", "2600::1"):
        assert found.says(host, namespace="shop", service_account="cart") == "deny policy_invalid wrong"
        assert found.says(host, namespace="pay") == "deny policy_invalid unread", "what it selects is not known"
    assert found.says("a.test", namespace="shop", service_account="till") == "allow rule_allow good"
    assert found.says("a.test", namespace="ops") == "allow rule_allow good"
    assert found.says("z.test", namespace="ops") == "deny no_rule"


def test_a_mesh_wide_one_closes_everything(tmp_path: Path) -> None:
    wrong = own("mesh", None, to=[{"host": "a.test", "prots": [443]}])
    found = Compiled(tmp_path, [wrong, own("good", "shop", to=[{"host": "a.test"}])])
    for asked in ({"namespace": "shop"}, {}, {"source_ip": "10.0.0.1"}):
        assert found.says("a.test", **asked) == "deny policy_invalid mesh"


@pytest.mark.parametrize(
    ("kind", "space", "parents", "all_of_them"),
    [
        ("HTTPRoute", "egress", [{"name": "own"}], True),
        ("GRPCRoute", "egress", [{"kind": "EgressNetwork", "name": "n"}, {"kind": "Gateway", "name": "own"}], True),
        ("TCPRoute", "egress", "own", True),
        ("HTTPRoute", "egress", [{"kind": "EgressNetwork", "name": "n"}], False),
        ("HTTPRoute", "shop", [{"name": "own", "namespace": "egress"}], False),
    ],
)
def test_a_refused_route_under_a_gateway_closes_what_it_may_decide(
    tmp_path: Path, kind: str, space: str, parents: object, all_of_them: bool
) -> None:
    """It decides for every source in its Gateway's own namespace alone."""
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "wrong", "namespace": space},
        "spec": {"parentRefs": parents, "rules": "none"},
    }
    found = Compiled(tmp_path, [route, *(own("good", name, to=[{"host": "a.test"}]) for name in ("egress", "pay"))])
    assert found.refused == {"wrong": "Invalid"}
    assert found.says("a.test", namespace=space) == "deny policy_invalid wrong"
    wanted = "deny policy_invalid wrong" if all_of_them else "allow rule_allow good"
    assert found.says("a.test", namespace="pay") == wanted


def test_what_only_the_compiler_sees_is_the_object_s_too(tmp_path: Path) -> None:
    found = Compiled(
        tmp_path,
        [
            own("upstream", None, upstream="crop", to=[{"host": "a.test"}], **{"from": [{"namespace": "x"}]}),
            own("name", "pay", to=[{"host": "a..test"}]),
            own("good", "shop", to=[{"host": "a.test"}]),
        ],
    )
    assert found.refused == {"upstream": "Invalid", "name": "Invalid"}
    assert found.says("a.test", namespace="shop") == "allow rule_allow good"
    assert found.says("a.test", namespace="x") == "deny policy_invalid upstream"


def egress(name: str, matches: str = "", **spec: Any) -> dict[str, Any]:
    sources = [{"kind": "ServiceAccount", "name": "cart", "namespace": "shop"}]
    given = {"sources": sources, "hosts": ["a.test"], "ports": [{"number": 443, "protocol": "https"}], **spec}
    if matches:
        group = "policy.flomesh.io/v1alpha1"
        given["matches"] = [{"apiGroup": group, "kind": "UpstreamTrafficSetting", "name": matches}]
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "policy.flomesh.io/v1alpha1", "kind": "Egress", "metadata": metadata, "spec": given}


def test_what_refers_to_nothing_is_refused_and_what_refers_to_that(tmp_path: Path) -> None:
    """A refused object is as one that is not there, in every dialect."""
    setting = {
        "apiVersion": "policy.flomesh.io/v1alpha1",
        "kind": "UpstreamTrafficSetting",
        "metadata": {"name": "broken", "namespace": "shop"},
        "spec": {"hots": "a.test"},
    }
    found = Compiled(tmp_path, [egress("by", "broken"), setting, egress("good")])
    assert found.refused == {"by": "Invalid", "broken": "Invalid"}
    assert found.says("a.test", namespace="shop", service_account="cart") == "deny policy_invalid by"
    assert found.says("a.test", namespace="shop", service_account="till") == "deny no_rule", "settings select no source"


def test_a_broken_document_stays_an_error_of_its_file(tmp_path: Path) -> None:
    found = Compiled(tmp_path, [own("good", "shop", to=[{"host": "a.test"}]), {"kind": "EgressPolicy"}])
    assert found.image is None and "not a Kubernetes manifest" in str(found.report.problems[0])
    nameless = own("good", "shop", to=[{"host": "a.test"}])
    del nameless["metadata"]["namespace"]
    found = Compiled(tmp_path, [nameless])
    assert found.image is None and "metadata.namespace is missing" in str(found.report.problems[0])


def test_explain_says_what_to_mend(tmp_path: Path) -> None:
    objects = [own("wrong", "shop", to=[{"hots": "a.test"}]), own("good", "shop", to=[{"host": "a.test"}])]
    found = Compiled(tmp_path, objects)
    assert found.image is not None and found.report.config is not None
    question = read_question({"from": "shop", "to": "a.test:443"})
    answer = explain(found.image, found.report.config, question)
    turned = turning(found.image, found.report.config, (), found.report.rules, question, answer)
    (change,) = turned["changes"]
    assert turned["flips"] and change["change"].startswith("mend or delete EgressPolicy/shop/wrong (")
    lines = "\n".join(describe(answer | {"to_turn": turned}))
    assert "policy_invalid" in lines and "mend or delete" in lines


# Budgets.


def hosts(number: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"host": f"h{index}.test"} for index in range(start, start + number)]


def test_the_oldest_count_first(tmp_path: Path) -> None:
    objects = [
        own("undated", "shop", to=hosts(1, 400), **{"from": [{"serviceAccount": "a"}]}),
        own("young", "shop", "2026-03-01T00:00:00Z", to=hosts(1, 300), **{"from": [{"serviceAccount": "b"}]}),
        own("passes", "shop", "2026-02-01T00:00:00Z", to=hosts(60, 100), **{"from": [{"serviceAccount": "c"}]}),
        own("old", "shop", "2026-01-01T00:00:00Z", to=hosts(60)),
        own("other", "pay", to=hosts(60)),
        own("mesh", None, to=hosts(200)),
    ]
    found = Compiled(tmp_path, objects, perNamespace={"entries": 100})
    assert found.refused == dict.fromkeys(("passes", "young", "undated"), "OverBudget")
    assert "with EgressPolicy shop/passes the namespace shop has 122 entries" in found.words
    assert found.says("h1.test", namespace="shop") == "allow rule_allow old"
    assert found.says("h1.test", namespace="shop", service_account="c") == "deny policy_invalid passes"
    assert found.says("h1.test", namespace="pay") == "allow rule_allow other"
    same = Compiled(tmp_path, objects[::-1], perNamespace={"entries": 100})
    assert same.refused == found.refused, "whatever the order of the file"


def test_bytes_count(tmp_path: Path) -> None:
    found = Compiled(tmp_path, [own("long", "shop", to=hosts(1000))], perNamespace={"bytes": "16KiB"})
    assert found.refused == {"long": "OverBudget"}
    assert not Compiled(tmp_path, [own("long", "shop", to=hosts(1000))], perNamespace={"bytes": "1MiB"}).refused


def group(name: str, *expressions: str, created: str | None = None) -> dict[str, Any]:
    """An HTTPRouteGroup."""
    metadata = {"name": name, "namespace": "shop", **({"creationTimestamp": created} if created else {})}
    matches = [{"name": f"m{index}", "pathRegex": text} for index, text in enumerate(expressions)]
    return {
        "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "metadata": metadata,
        "spec": {"matches": matches},
    }  # fmt: skip


def test_states_of_regular_expressions_count(tmp_path: Path) -> None:
    objects = [
        group("young", "/short", created="2026-03-01T00:00:00Z"),
        group("passes", "/c{60}", "/d{60}", created="2026-02-01T00:00:00Z"),
        group("old", "/a{60}", "/a{60}", created="2026-01-01T00:00:00Z"),
    ]
    found = Compiled(tmp_path, objects, perNamespace={"states": 150})
    assert found.refused == {"passes": "OverBudget", "young": "OverBudget"}
    assert "bytes and 189 states of regular expressions: policy.perNamespace is" in found.words
    assert not Compiled(tmp_path, objects, perNamespace={"states": 200}).refused
    files = Compiled(tmp_path, objects, as_cluster=False, perNamespace={"states": 150})
    assert files.image is None and {problem.line for problem in files.report.problems} == {1, 12}


def test_tables_are_made_as_far_as_the_budget_reaches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(text: str, *, search: bool) -> int:
        made.append(text)
        return states_of(text, search=search)

    monkeypatch.setattr(budgets, "states_of", counted)
    objects = [group(f"g{index:02}", f"/{chr(97 + index)}{{60}}") for index in range(20)]
    Compiled(tmp_path, objects, perNamespace={"states": 150})
    assert len(made) == 3, "the third passes it"
    made.clear()
    Compiled(tmp_path, objects)
    assert len(made) == 20, "more than ten could be over 100,000"
    made.clear()
    assert not Compiled(tmp_path, objects[:10]).refused and not made, "ten cannot"


@pytest.mark.parametrize("objects", [
    [own("one", "shop", to=hosts(101))],
    [own("ports", "shop", to=[{"host": "a.test", "ports": list(range(1, 202, 2))}])],
    [own("excepts", "shop", to=[{"host": "*", "except": [f"h{index}.test" for index in range(101)]}])],
    [own("sources", "shop", to=hosts(1), **{"from": [{"serviceAccount": f"a{index}"} for index in range(101)]})],
    [egress("product", hosts=[f"h{index}.test" for index in range(11)],
            ports=[{"number": 443 + index, "protocol": "https"} for index in range(10)])],
], ids=lambda objects: objects[0]["metadata"]["name"])  # fmt: skip
def test_whatever_multiplies_counts(tmp_path: Path, objects: list[dict[str, Any]]) -> None:
    found = Compiled(tmp_path, objects, perNamespace={"entries": 100})
    assert list(found.refused.values()) == ["OverBudget"]


def test_from_files_an_excess_is_that_file_s_error(tmp_path: Path) -> None:
    objects = [own("old", "shop", "2026-01-01T00:00:00Z", to=hosts(60)), own("passes", "shop", to=hosts(60, 100))]
    found = Compiled(tmp_path, objects, as_cluster=False, perNamespace={"entries": 100})
    (problem,) = found.report.problems
    assert found.image is None and "objects.yaml" in problem.file and problem.line > 60
    assert "with EgressPolicy shop/passes the namespace shop has 122 entries" in problem.message


def test_from_files_what_multiplies_is_not_made_either(tmp_path: Path) -> None:
    ports = [{"number": number, "protocol": "https"} for number in range(1, 5001)]
    product = egress("product", hosts=[f"h{index}.test" for index in range(5000)], ports=ports)
    found = Compiled(tmp_path, [product], as_cluster=False)
    (problem,) = found.report.problems
    assert found.image is None and "the namespace shop has 25000001 entries" in problem.message


def test_one_namespace_cannot_hurt_the_rest(tmp_path: Path) -> None:
    """A tenant with 10,000 rules, lists that multiply, nested data, private networks, files, and broken objects: the
    others decide as without it, and it takes no time to speak of."""
    good = [own(f"good-{space}", space, to=[{"host": "a.test"}, {"host": "*.b.test"}]) for space in ("pay", "ops")]
    ports = [{"number": number, "protocol": "https"} for number in range(1, 5001)]
    names = [f"h{index}.test" for index in range(5000)]
    evil = [
        *(own(f"rule-{index}", "shop", to=[{"host": f"h{index}.test"}]) for index in range(10_000)),
        own("many", "shop", to=hosts(50_000)),
        egress("product", hosts=names, ports=ports),
        own("wide", "shop", to=[{"cidr": "10.0.0.0/8"}]),
        own("files", "shop", to=[{"hostsFrom": "../../../etc/passwd"}]),
        own("parent", "shop", to=[{"host": "*"}], upstream="corp"),
        own("broken", "shop", to="everything"),
        own("other", "shop", to=[{"host": "a.test"}], **{"from": [{"namespace": "pay"}]}),
        own("hard", "shop", action="Deny", hard=True, to=[{"host": "*"}]),
    ]
    started = time.process_time()
    found = Compiled(tmp_path, [*evil, *good], perNamespace={"entries": 15_000})
    assert time.process_time() - started < 60
    assert {"many", "product", "wide", "files", "parent", "broken", "other", "hard"} <= set(found.refused)
    alone = Compiled(tmp_path, good)
    for space in ("pay", "ops"):
        for host in ("a.test", "x.b.test", "c.test", "h1.test", "10.0.0.1"):
            assert found.says(host, namespace=space) == alone.says(host, namespace=space), (space, host)
    assert found.says("h1.test", namespace="shop").startswith("deny policy_invalid")
