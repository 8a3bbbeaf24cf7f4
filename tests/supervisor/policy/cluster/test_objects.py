"""Manifests of the cluster's objects: what is read of them, what is passed over, and errors with their places."""

from pathlib import Path

import pytest

from supervisor.policy.cluster.objects import (
    Configuration,
    EndpointSlice,
    Namespace,
    Owner,
    Pod,
    ReplicaSet,
    Service,
)
from supervisor.policy.loader import Policy, load_policy
from supervisor.source.problems import Place, Problems, render
from tests.support.front import without

POD = """apiVersion: v1
kind: Pod
metadata:
  name: cart-7d9f-x2
  namespace: shop
  uid: 6f1a
  labels: {app: cart, pod-template-hash: 7d9f}
  ownerReferences:
    - {apiVersion: v1, kind: Thing, name: other, uid: a}
    - {apiVersion: apps/v1, kind: ReplicaSet, name: cart-7d9f, uid: b, controller: true}
spec:
  serviceAccountName: cart
  containers: [{name: cart, image: example/cart, env: [{name: A, value: "1"}]}]
  tolerations: []
status:
  phase: Running
  podIP: 10.1.0.5
  podIPs: [{ip: 10.1.0.5}, {ip: "2001:DB8::5"}]
  startTime: "2026-01-02T03:04:05Z"
  qosClass: BestEffort
"""


def load(folder: Path, *documents: str) -> tuple[Policy, list[str], list[str]]:
    """The policy, errors and warnings."""
    (folder / "a.yaml").write_text("---\n".join(documents))
    problems = Problems()
    found = load_policy((str(folder),), (Place("sluice.yaml"),), problems)
    return found, without(folder, render(problems.errors)), without(folder, render(problems.warnings))


def test_a_pod_as_the_api_server_writes_it(tmp_path: Path) -> None:
    found, errors, warnings = load(tmp_path, POD)
    assert (errors, warnings) == ([], [])
    (pod,) = found.facts
    assert isinstance(pod, Pod)
    assert (pod.namespace, pod.name, pod.uid, pod.service_account) == ("shop", "cart-7d9f-x2", "6f1a", "cart")
    assert pod.labels == (("app", "cart"), ("pod-template-hash", "7d9f"))
    assert pod.owner == Owner("ReplicaSet", "cart-7d9f"), "the controller, not the first of them"
    assert (pod.phase, pod.host_network) == ("Running", False)
    assert pod.addresses == ("10.1.0.5", "2001:db8::5")
    assert pod.started == 1767323045000000


def test_a_pod_that_says_little(tmp_path: Path) -> None:
    found, errors, _ = load(tmp_path, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\n")
    (pod,) = found.facts
    assert isinstance(pod, Pod) and errors == []
    assert (pod.service_account, pod.phase, pod.addresses, pod.owner) == ("default", "Unknown", (), Owner())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("namespace: shop", "#"), "a.yaml:4:3: metadata.namespace is missing: a Pod lies in one"),
        (("name: cart-7d9f-x2", "name: Cart"), "a.yaml:4:9: metadata.name: expected a name"),
        (("serviceAccountName: cart", "serviceAccountName: [cart]"), "a.yaml:12:23: spec.serviceAccountName: expected"),
        (("phase: Running", "phase: Runing"), "a.yaml:16:10: status.phase: expected one of Pending, Running"),
        (("podIP: 10.1.0.5", "podIP: 10.1.0"), "a.yaml:17:10: status.podIP: expected an IP address"),
        (("{ip: 10.1.0.5}", "{ip: nowhere}"), "a.yaml:18:17: ip: expected an IP address, found the text `nowhere`"),
        (('"2026-01-02T03:04:05Z"', "today"), "a.yaml:19:14: status.startTime: expected an RFC 3339 time"),
        (("app: cart,", "app: 'a b',"), "a.yaml:7:17: expected the value of a label"),
        (("app: cart,", "-app: cart,"), "a.yaml:7:12: expected a label such as app"),
        (("controller: true", "controller: 1"), "a.yaml:10:84: controller: expected true or false"),
        (("tolerations: []", "hostNetwork: si"), "a.yaml:14:16: spec.hostNetwork: expected true or false"),
        (("podIPs: [", f"podIPs: [{'{ip: 10.1.0.9}, ' * 16}"), "more than 16 addresses of one pod"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in POD
    _, errors, _ = load(tmp_path, POD.replace(*change))
    assert len(errors) == 1 and said in errors[0], errors


def test_other_objects(tmp_path: Path) -> None:
    documents = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tier: high}}\nspec: {finalizers: []}\n",
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: r, namespace: shop, ownerReferences: [{kind:"
        " Deployment, name: d}]}\nspec: {replicas: 2}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\nspec: {clusterIP: 10.96.0.1, clusterIPs:"
        " [10.96.0.1, 'fd00::1'], selector: {app: s}, ports: [{name: web, port: 80, targetPort: http}]}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {type: ExternalName, externalName:"
        " api.example.com}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: headless, namespace: shop}\nspec: {clusterIP: None}\n",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: shop, labels:"
        " {kubernetes.io/service-name: s}}\naddressType: IPv4\nports: [{name: web, port: 8080}]\nendpoints:\n"
        "  - {addresses: [10.1.0.5], conditions: {ready: false}, targetRef: {kind: Pod, name: cart-1}}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key, namespace: shop}\nstringData: {token: SECRET}\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: list, namespace: shop}\ndata: {hosts.txt: a.test}\n",
        *(
            f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a, namespace: shop}}\nspec: {{}}\n"
            for version, kind in (
                ("v1", "ServiceAccount"),
                ("apps/v1", "Deployment"),
                ("apps/v1", "StatefulSet"),
                ("apps/v1", "DaemonSet"),
                ("batch/v1", "Job"),
                ("batch/v1", "CronJob"),
            )
        ),
    )
    found, errors, warnings = load(tmp_path, *documents)
    assert (errors, warnings) == ([], [])
    assert found.resources == len(found.facts) == len(documents)
    space, replicas, service, external, headless, endpoints, secret, config, *_ = found.facts
    assert isinstance(space, Namespace) and space.labels == (("tier", "high"),)
    assert isinstance(replicas, ReplicaSet) and replicas.owner == Owner("Deployment", "d")
    assert isinstance(service, Service) and service.addresses == ("10.96.0.1", "fd00::1")
    assert isinstance(external, Service) and external.external_name == "api.example.com"
    assert isinstance(headless, Service) and headless.addresses == ()
    assert isinstance(endpoints, EndpointSlice) and endpoints.service == "s"
    assert (endpoints.endpoints[0].ready, endpoints.endpoints[0].pod) == (False, "cart-1")
    assert isinstance(secret, Configuration) and secret.keys == ("token",)
    assert "SECRET" not in str(secret)
    assert isinstance(config, Configuration) and config.keys == ("hosts.txt",)


def test_the_same_object_twice_is_a_slip(tmp_path: Path) -> None:
    _, errors, _ = load(tmp_path, POD, POD)
    assert errors == ["a.yaml:22:1: duplicate Pod shop/cart-7d9f-x2 (it is first defined at a.yaml:1:1)"]


def test_what_has_nothing_to_do_with_egress_is_one_line(tmp_path: Path) -> None:
    documents = [
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"
        for version, kind in (
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("networking.k8s.io/v1", "NetworkPolicy"),
        )
    ]
    _, errors, warnings = load(tmp_path, POD, *documents)
    assert errors == []
    assert warnings == ["a.yaml:23:7: skipped, as they have nothing to do with egress: 1 NetworkPolicy, 2 Role"]


def test_a_version_that_is_not_read(tmp_path: Path) -> None:
    _, errors, _ = load(tmp_path, "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a, namespace: b}\n")
    assert errors == ["a.yaml:1:13: expected apiVersion apps/v1, found the text `apps/v1beta1` (write apps/v1)"]
