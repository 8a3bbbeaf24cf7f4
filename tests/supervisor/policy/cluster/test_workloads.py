"""Which address belongs to which pod, and to which owner (DECISIONS.md section 8)."""

import random
from typing import Any

import pytest

from gateway.policy.workloads import Workloads as Table
from supervisor.policy.cluster.objects import Namespace, Owner, Pod, ReplicaSet
from supervisor.policy.cluster.workloads import workloads_of
from supervisor.policy.resources.labels import Requirement, Workloads
from supervisor.policy.resources.model import Selector
from supervisor.policy.workload_records import LabelIndex, record_workloads, selects
from supervisor.policy.workload_table import TableFull, WorkloadTable
from supervisor.source.problems import Problems


def pod(name: str, *addresses: str, **facts: Any) -> Pod:
    known: dict[str, Any] = {
        "namespace": "shop",
        "uid": "",
        "service_account": "cart",
        "labels": (),
        "owner": Owner(),
        "phase": "Running",
        "host_network": False,
        "started": None,
        "created": None,
        "file": "a.yaml",
        "line": 1,
        "column": 1,
    }
    return Pod(kind="Pod", name=name, addresses=addresses, **(known | facts))


def holders(*facts: Any) -> dict[str, str]:
    return {workload.address: workload.pod.name for workload in workloads_of(facts)}


def test_an_address_belongs_to_the_pod_that_has_it() -> None:
    assert holders(pod("a", "10.0.0.1", "fd00::1"), pod("b", "10.0.0.2")) == {
        "10.0.0.1": "a",
        "fd00::1": "a",
        "10.0.0.2": "b",
    }


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Unknown"])
def test_only_pending_and_running_pods_have_addresses(phase: str) -> None:
    assert holders(pod("a", "10.0.0.1", phase=phase)) == {}
    assert holders(pod("a", "10.0.0.1", phase="Pending")) == {"10.0.0.1": "a"}


def test_a_pod_on_the_hosts_network_has_no_address_of_its_own() -> None:
    assert holders(pod("a", "10.0.0.1", host_network=True)) == {}


def test_the_newest_start_wins() -> None:
    old, new = pod("z", "10.0.0.1", started=1), pod("a", "10.0.0.1", started=2)
    assert holders(old, new) == holders(new, old) == {"10.0.0.1": "a"}
    ended = pod("a", "10.0.0.1", started=2, phase="Succeeded")
    assert holders(old, ended) == {"10.0.0.1": "z"}
    assert holders(pod("b", "10.0.0.1", created=5), old) == {"10.0.0.1": "b"}, "without a start its creation counts"
    assert holders(pod("b", "10.0.0.1"), old) == {"10.0.0.1": "z"}, "unknown is oldest"


def test_owners_are_resolved() -> None:
    owned = pod("a", "10.0.0.1", owner=Owner("ReplicaSet", "cart-7d9f"), labels=(("pod-template-hash", "7d9f"),))
    sets: dict[str, Any] = {
        "kind": "ReplicaSet",
        "namespace": "shop",
        "name": "cart-7d9f",
        "file": "",
        "line": 1,
        "column": 1,
    }

    def owner(*facts: Any) -> Owner:
        return workloads_of(facts)[0].owner

    assert owner(owned) == Owner("Deployment", "cart"), "by the hash in its name"
    assert owner(owned, ReplicaSet(**sets, owner=Owner("Deployment", "basket"))) == Owner("Deployment", "basket")
    assert owner(owned, ReplicaSet(**sets, owner=Owner())) == Owner("ReplicaSet", "cart-7d9f"), "one of its own"
    assert owner(pod("a", "10.0.0.1", owner=Owner("ReplicaSet", "cart"))) == Owner("ReplicaSet", "cart")
    assert owner(pod("a", "10.0.0.1", owner=Owner("Job", "nightly"))) == Owner("Job", "nightly")


def test_a_pod_made_again_under_its_name_is_another_one() -> None:
    def mark(**facts: Any) -> int:
        return workloads_of([pod("a", "10.0.0.1", **facts)])[0].mark

    assert mark(uid="1") == mark(uid="1", started=9, labels=(("a", "b"),))
    assert len({mark(uid="1"), mark(uid="2"), mark(started=1), mark(started=2), mark()}) == 5


def test_selections() -> None:
    space = Namespace(
        kind="Namespace", namespace="", name="shop", labels=(("tier", "high"),), file="", line=1, column=1
    )
    (workload,) = workloads_of(
        [space, pod("cart-1", "10.0.0.1", labels=(("app", "cart"),), owner=Owner("Job", "night"))]
    )
    app, other = Requirement("app", "In", ("cart", "till")), Requirement("app", "NotIn", ("cart",))
    high = Requirement("tier", "In", ("high",))
    for wanted, expected in (
        (Workloads(), True),
        (Workloads(pods=()), True),
        (Workloads("shop", (app,)), True),
        (Workloads("pay", (app,)), False),
        (Workloads(pods=(other,)), False),
        (Workloads(pods=(Requirement("app", "Exists"), Requirement("new", "DoesNotExist"))), True),
        (Workloads(namespaces=(high,)), True),
        (Workloads("shop", (app,), (Requirement("tier", "NotIn", ("high",)),)), False),
        (Workloads("shop", name="cart-1"), True),
        (Workloads("shop", name="night"), True),
        (Workloads("shop", name="cart"), False),
    ):
        assert selects(wanted, workload) is expected, wanted.text
        index = LabelIndex({Selector(workloads=wanted): 7})
        assert index.of(workload) == ([7] if expected else []), wanted.text
    blocks = {
        Selector(cidr=cidr, workloads=Workloads()): number for number, cidr in enumerate(("10.0.0.0/8", "11.0.0.0/8"))
    }
    assert LabelIndex(blocks).of(workload) == [0]


def test_an_index_finds_what_a_scan_finds() -> None:
    rng = random.Random(13)
    words = ("a", "b", "c")

    def requirements() -> tuple[Requirement, ...] | None:
        if rng.random() < 0.3:
            return None
        found = []
        for _ in range(rng.randrange(3)):
            operator = rng.choice(("In", "NotIn", "Exists", "DoesNotExist"))
            values = tuple(sorted(rng.sample(words, rng.randint(1, 2)))) if operator in ("In", "NotIn") else ()
            found.append(Requirement(rng.choice(words), operator, values))  # type: ignore[arg-type]
        return tuple(found)

    def labels() -> tuple[tuple[str, str], ...]:
        return tuple(sorted({key: rng.choice(words) for key in words if rng.random() < 0.6}.items()))

    wanted = [
        Workloads(rng.choice(("", "a", "b")), requirements(), requirements(), rng.choice(("", "", "a", "b")))
        for _ in range(400)
    ]
    spaces = [
        Namespace(kind="Namespace", namespace="", name=name, labels=labels(), file="", line=1, column=1)
        for name in words
    ]
    pods = [
        pod(
            rng.choice(words) + str(number % 7),
            f"10.0.{number // 256}.{number % 256}",
            namespace=rng.choice(words),
            labels=labels(),
            owner=Owner(rng.choice(("Job", "ReplicaSet")), rng.choice(words)),
        )
        for number in range(300)
    ]
    numbered = {Selector(workloads=one): number for number, one in enumerate(wanted)}
    index, hits = LabelIndex(numbered), 0
    for workload in workloads_of([*spaces, *pods]):
        scanned = sorted(
            number for one, number in numbered.items() if one.workloads and selects(one.workloads, workload)
        )
        assert index.of(workload) == scanned
        hits += len(scanned)
    assert hits > 1000


def test_a_table_says_what_a_dict_says() -> None:
    """Puts and frees in random order, read through another mapping after each hundred."""
    rng = random.Random(8)
    known: dict[str, tuple[str, ...]] = {}
    table = WorkloadTable([], ["10.0.0.0/8", "fd00::/8"])
    reader = Table.from_fd(table.fd)
    addresses = [f"10.0.0.{number}" for number in range(8)] + [f"fd00::{number:x}" for number in range(8)]
    for step in range(400):
        address, free = rng.choice(addresses), rng.random() < 0.3
        texts = ("",) * 5 if free else ("shop", f"sa{step % 5}", f"pod-{step}", "Job", rng.choice(("", "nightly")))
        table.put((address, 0 if free else step + 1, texts, [] if free else rng.sample(range(99), step % 4)))
        known.pop(address, None)
        if not free:
            known[address] = texts
        if step % 100 == 99:
            for one in addresses:
                found = reader.find(one)
                assert (tuple(found.values()) if found else None) == known.get(one)
                assert reader.is_unknown(one) == (one not in known)
            assert len(reader) == len(known)


def test_a_full_table_says_so() -> None:
    table = WorkloadTable([], [])
    with pytest.raises(TableFull):
        for number in range(100_000):
            table.put(("10.0.0.1", 1, ("shop", "cart", f"pod-{number}", "", ""), []))


def test_too_many_selections_of_one_pod_are_an_error() -> None:
    workloads = workloads_of([pod("a", "10.0.0.1", labels=(("app", "a"),))])
    many = {
        Selector(workloads=Workloads(pods=(Requirement("x", "NotIn", (str(number),)),))): number
        for number in range(513)
    }
    problems = Problems()
    assert record_workloads(workloads, many, (), problems) is None
    assert str(problems.errors[0]).startswith(
        "a.yaml:1:1: Pod shop/a is selected by its labels in 513 ways: at most 512"
    )
