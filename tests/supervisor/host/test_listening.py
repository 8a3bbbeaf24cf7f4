"""The set of listening sockets: how a reload changes it, all or nothing."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from supervisor.host.errors import StartError
from supervisor.host.listening import ListenerSockets, open_listeners
from supervisor.host.sockets import PortInUse
from tests.support.ports import free_port


@contextlib.contextmanager
def opened(*hosts: str, slots: int = 2) -> Iterator[ListenerSockets]:
    """One listener for each host."""
    sockets = open_listeners([(f"l{index}", f"{host}:{free_port()}") for index, host in enumerate(hosts)], slots)
    try:
        yield sockets
    finally:
        sockets.close()


def change(sockets: ListenerSockets, *addresses: str) -> list[str]:
    """Reloads with these; the addresses that serve afterwards."""
    plan = sockets.plan([(f"n{index}", address) for index, address in enumerate(addresses)])
    sockets.commit(plan, sockets.open(plan))
    return [each.address for each in sockets.listeners]


def reached(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_what_stays_keeps_its_sockets_and_what_is_new_gets_a_number_of_its_own() -> None:
    with opened("127.0.0.1", "127.0.0.1") as sockets:
        first, second = sockets.listeners
        change(sockets, second.address, f"127.0.0.1:{free_port()}")
        kept, new = sockets.listeners
        assert kept is second and new.number == 2 and sockets.leaving == [first]
        assert sockets.numbers() == [1, 2, 0] and len(sockets.descriptors()) == 6
        assert reached(first.address) and reached(new.address), "the old one listens until it has been emptied"
        sockets.left()
        assert not reached(first.address)
        change(sockets, second.address)
        change(sockets, second.address, new.address)
        assert sockets.listeners[1].number == 3, "a number is never given again"


def test_one_address_that_is_taken_leaves_everything_as_it_was() -> None:
    with opened("127.0.0.1") as sockets, socket.create_server(("127.0.0.1", 0)) as stranger:
        before = open_files()
        taken = f"127.0.0.1:{stranger.getsockname()[1]}"
        with pytest.raises(PortInUse, match=rf"'n1' cannot use {taken}.*\(pid {os.getpid()}\)"):
            change(sockets, f"127.0.0.1:{free_port()}", taken)
        assert open_files() == before
        assert [each.number for each in sockets.listeners] == [0] and sockets.leaving == []


@pytest.mark.parametrize(("old", "new"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "[::]")])
def test_an_address_that_takes_another_in_can_follow_it_on_its_port(old: str, new: str) -> None:
    with opened(old) as sockets:
        port = sockets.listeners[0].address.rpartition(":")[2]
        assert change(sockets, f"{new}:{port}") == [f"{new}:{port}"]
        sockets.left()
        assert reached(f"127.0.0.1:{port}")


def test_own_sockets_on_a_port_are_no_way_in_for_another_gateway() -> None:
    with opened("127.0.0.1") as sockets, opened("127.0.0.2") as other:
        port = other.listeners[0].address.rpartition(":")[2]
        with pytest.raises(PortInUse):
            change(sockets, f"0.0.0.0:{port}")
        change(sockets, f"127.0.0.1:{port}")
        with pytest.raises(PortInUse):
            change(sockets, f"0.0.0.0:{port}")


def test_a_socket_of_a_service_manager_is_not_removed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        address = f"127.0.0.1:{given.getsockname()[1]}"
        sockets = open_listeners([("mesh", address)], 2, [given])
        sockets.listeners[0].managed = True
        with contextlib.closing(sockets):
            with pytest.raises(StartError, match=f"{address} cannot be removed: the service manager has its socket"):
                sockets.plan([("mesh", "127.0.0.1:0")])
            assert len(sockets.plan([("mesh", address), ("more", "127.0.0.1:0")]).added) == 1
