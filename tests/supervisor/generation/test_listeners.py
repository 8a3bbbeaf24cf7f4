"""Listeners from one generation to the next: their places, and the words for what has changed."""

from typing import Any

import pytest

from gateway.contract import ListenerSettings
from supervisor.config.config import Config, Listener
from supervisor.config.tls import ListenerTls
from supervisor.generation.listeners import MOST_PLACES, listener_changes, placed
from supervisor.host.errors import StartError


def config(*listeners: Listener) -> Config:
    return Config(path="/s", control="ipc:///c", listeners=listeners)


def settings(*names: str) -> list[ListenerSettings]:
    return config(*(Listener(name=name) for name in names)).settings()["listeners"]


def shown(entries: list[ListenerSettings]) -> list[tuple[Any, ...]]:
    return [(entry["name"], entry["sockets"], entry["leaving"]) for entry in entries]


def test_a_name_keeps_its_place() -> None:
    first = settings("a", "b", "c")
    second = placed(first, settings("c", "d"), [2, 3])
    assert shown(second) == [("a", None, [0]), ("b", None, [1]), ("c", 2, []), ("d", 3, [])]
    third = placed(second, settings("b", "c", "d"), [4, 5, 3])
    assert shown(third) == [("a", None, []), ("b", 4, []), ("c", 5, [2]), ("d", 3, [])]


def test_two_names_change_their_sockets_for_those_of_the_other() -> None:
    assert shown(placed(settings("a", "b"), settings("a", "b"), [1, 0])) == [("a", 1, []), ("b", 0, [])]


def test_a_new_name_of_an_address_leaves_the_old_one_to_its_tunnels() -> None:
    assert shown(placed(settings("a"), settings("b"), [0])) == [("a", None, []), ("b", 0, [])]


def test_keys_of_a_removed_listener_stay_until_its_last_clients_have_come() -> None:
    """Its queue is emptied under the generation that removes it: cleartext never stands in for TLS."""
    tls = ListenerTls(certificates=())
    first = config(Listener(name="a", tls=tls), Listener(name="b")).settings()["listeners"]
    second = placed(first, settings("b"), [1])
    assert second[0]["tls"] is not None and second[0]["leaving"] == [0]
    third = placed(second, settings("b"), [1])
    assert third[0]["tls"] is None


def test_places_run_out() -> None:
    entries = settings("first")
    for turn in range(1, MOST_PLACES):
        entries = placed(entries, settings(f"name-{turn}"), [turn])
    with pytest.raises(StartError, match=r"257 names.*256 is the most"):
        placed(entries, settings("one-more"), [999])
    assert len(placed(entries, settings("first"), [1000])) == MOST_PLACES, "an old name has its place"


def test_words_for_changes() -> None:
    a, b, c = (Listener(name=name, port=port) for name, port in (("a", 1), ("b", 2), ("c", 3)))
    assert listener_changes(config(a, b), config(a, b)) == []
    assert listener_changes(config(a), config(a, b)) == ["b: added, auto on 127.0.0.1:2"]
    assert listener_changes(config(a, b), config(b)) == ["a: removed from 127.0.0.1:1"]
    moved = Listener(name="a", port=9, protocol="http", inner_name="off")
    assert listener_changes(config(a, c), config(c, moved)) == [
        "a: moved from 127.0.0.1:1 to 127.0.0.1:9",
        "a: changed protocol, innerName",
    ]
    renamed = Listener(name="new", port=1, auth="required")
    assert listener_changes(config(a), config(renamed)) == ["new: was a, on 127.0.0.1:1", "new: changed auth"]
