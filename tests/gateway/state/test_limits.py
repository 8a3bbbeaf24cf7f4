"""One worker's view of the table of limits: who counts as one source, and how much each kind allows."""

import pytest

from tests.support.limiting import settings, table
from tests.support.proto_probe import Limits

PER_SOURCE = {"requests": 20, "lookups": 10, "dials": 15, "provisional": 5, "connections": 20, "waiting": 20}


def views(workers: int = 2, tunnels: int = 100, per_source: int = 10) -> list[Limits]:
    shared = table(workers)
    found = [Limits(shared, worker) for worker in range(workers)]
    for limits in found:
        limits.load(settings(tunnels, per_source), [])
    return found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("2001:db8::1", "2001:db8:0:0:8000::", True),
        ("10.0.0.1", "::10.0.0.1", False),
        ("10.0.0.1", "a00:1::", False),
        (b"ann", b"ann", True),
        (b"ann", b"anna", False),
        (b"", b"ann", False),
        (b"10.0.0.1", "10.0.0.1", False),
        (b"\x0a\x00\x00\x01", "10.0.0.1", False),
        (b"u" * 255, b"u" * 254, False),
    ],
)
def test_who_is_one_source(one: str | bytes, other: str | bytes, same: bool) -> None:
    (limits,) = views(1)
    assert limits.take(one, "lookups")
    assert limits.held(other, "lookups") == (1 if same else 0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1::2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:0:0:0:1", True),
        ("2001:db8:0:2::1", "2001:db8:0:2::2", True),
        ("2001:db8:a:1::1", "2001:db8:a:2::1", False),
        ("10.1.0.1", "10.1.0.2", False),
    ],
)
def test_in_networks_of_pods_each_address_is_a_source(one: str, other: str, same: bool) -> None:
    limits = Limits(table(1), 0)
    limits.load(settings(), ["10.1.0.0/16", "2001:db8:0:1::/64", "2001:db8:a::/48"])
    assert limits.take(one, "lookups")
    assert limits.held(other, "lookups") == (1 if same else 0)


def test_a_network_of_pods_that_is_none_changes_nothing() -> None:
    (limits,) = views(1)
    with pytest.raises(ValueError, match="not a network: pods"):
        limits.load(settings(requests=1), ["10.0.0.0/8", "pods"])
    assert limits.take("10.0.0.1", "requests") and limits.take("10.0.0.1", "requests")


def test_a_peer_is_an_address() -> None:
    with pytest.raises(ValueError, match="not an address"):
        views(1)[0].take("example.com", "lookups")


@pytest.mark.parametrize("kind", PER_SOURCE)
def test_each_kind_has_its_limit_over_both_workers(kind: str) -> None:
    first, second = views()
    places = [(first, second)[number % 2].take("10.0.0.1", kind) for number in range(PER_SOURCE[kind])]
    assert all(places)
    assert first.take("10.0.0.1", kind) == second.take("10.0.0.1", kind) == 0
    assert second.take("10.0.0.2", kind) and second.take(b"10.0.0.1", kind), "others are not concerned"
    first.give_back(places[0], kind)
    assert second.take("10.0.0.1", kind)
    assert first.take("10.0.0.1", kind) == 0
    assert first.strays == second.strays == 0


def test_new_limits_are_in_force_at_once_and_let_go_of_nothing() -> None:
    first, second = views(tunnels=4, per_source=2)
    held = [first.take("10.0.0.1", "tunnels") for _ in range(2)]
    assert all(held) and first.take("10.0.0.1", "tunnels") == 0
    first.load(settings(4, 3), [])
    assert first.take("10.0.0.1", "tunnels"), "a worker that has the new ones"
    assert second.take("10.0.0.1", "tunnels") == 0, "one that has the old ones still"
    first.load(settings(4, 1), [])
    assert first.held("10.0.0.1", "tunnels") == 3
    for place in held:
        first.give_back(place, "tunnels")
    assert first.take("10.0.0.1", "tunnels") == 0
    assert second.take("10.0.0.1", "tunnels")


def test_the_gateway_counts_all_sources_together() -> None:
    first, second = views(tunnels=3)
    places = [first.take(None, "tunnels"), second.take(None, "tunnels"), second.take(None, "tunnels")]
    assert all(places) and first.held(None, "tunnels") == 3
    assert first.take(None, "tunnels") == 0
    second.give_back(places[1], "tunnels")
    assert first.take(None, "tunnels")


def test_what_was_not_held_is_not_given_back() -> None:
    first, second = views()
    place = first.take("10.0.0.1", "dials")
    second.give_back(place, "dials")
    assert (first.strays, second.strays, first.held("10.0.0.1", "dials")) == (0, 1, 1)


@pytest.mark.parametrize("damage", [(0, 1), (8, 1), (12, 3)], ids=["magic", "version", "workers"])
def test_a_table_of_another_kind_is_refused(damage: tuple[int, int]) -> None:
    memory = table()
    memory[damage[0]] ^= damage[1]
    with pytest.raises(ValueError, match="another version"):
        Limits(memory, 0)
    with pytest.raises(ValueError, match="another version"):
        Limits(table()[:-1], 0)
    with pytest.raises(ValueError, match="another version"):
        Limits(table(), 2)
