"""Listening sockets, the control lock, the limit of open files: what works, and what people read when it does not."""

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.host.endpoint import ControlLock, endpoint_path
from supervisor.host.errors import StartError
from supervisor.host.limits import tunnel_cap
from supervisor.host.listening import ListenerSockets, open_listeners
from supervisor.host.sockets import PortInUse, parse_address


@contextlib.contextmanager
def opened(*listeners: tuple[str, str], slots: int = 2) -> Iterator[ListenerSockets]:
    sockets = open_listeners(listeners, slots)
    try:
        yield sockets
    finally:
        sockets.close()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_one_socket_for_each_slot_and_listener_on_one_port() -> None:
    with opened(("a", "127.0.0.1:0"), ("b", "127.0.0.1:0"), slots=3) as sockets:
        assert sockets.numbers() == [0, 1]
        first, second = sockets.listeners
        for each in (first, second):
            assert {f"127.0.0.1:{one.getsockname()[1]}" for one in each.sockets} == {each.address}
        pairs = zip(first.sockets, second.sockets, strict=True)
        assert sockets.descriptors() == [one.fileno() for pair in pairs for one in pair]
        for each in (first, second):
            for listener in each.sockets:
                assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
                assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 1
                assert not listener.getblocking()
                assert not listener.get_inheritable()


def test_the_wildcard_serves_both_families_and_an_address_its_own() -> None:
    with opened(("both", "[::]:0"), ("six", "[::1]:0"), slots=1) as sockets:
        both, six = (each.sockets[0].getsockname()[1] for each in sockets.listeners)
        for host, port in (("127.0.0.1", both), ("::1", both), ("::1", six)):
            socket.create_connection((host, port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", six), timeout=5)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_port_held_by_a_stranger(host: str) -> None:
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    before = open_files()
    with socket.create_server((host.strip("[]"), 0), family=family) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            open_listeners([("free", f"{host}:0"), ("mesh", f"{host}:{port}")], 2)
    text = str(caught.value)
    assert "'mesh'" in text and f"{host}:{port}" in text and "Address already in use (EADDRINUSE)" in text
    assert f"(pid {os.getpid()})" in text
    assert open_files() == before


def test_so_reuseport_does_not_let_two_gateways_share_a_port() -> None:
    with opened(("mesh", "127.0.0.1:0")) as first, pytest.raises(PortInUse):
        open_listeners([("mesh", first.listeners[0].address)], 2)


def test_the_kernel_spreads_connections_over_all_slots() -> None:
    """Also over the first one's socket, which joins the others' group late."""
    with opened(("mesh", "127.0.0.1:0"), slots=3) as sockets, contextlib.ExitStack() as stack:
        for _ in range(200):
            address = sockets.listeners[0].sockets[0].getsockname()
            stack.enter_context(socket.create_connection(address, timeout=5))
        assert all(accepted(one, stack) for one in sockets.listeners[0].sockets)


def accepted(listener: socket.socket, stack: contextlib.ExitStack) -> int:
    """How many connections wait in a queue."""
    for count in range(1000):
        try:
            stack.enter_context(listener.accept()[0])
        except BlockingIOError:
            return count
    raise AssertionError("more than were opened")


def test_of_gateways_that_start_at_once_never_two_get_the_port() -> None:
    """Over and over: threads that bind the same free port at the same moment never share it."""
    for _ in range(30):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        won, refused = race(f"127.0.0.1:{port}", 4)
        assert won <= 1 and won + refused == 4


def race(address: str, runners: int) -> tuple[int, int]:
    """How many of those that open `address` at once got it, and how many were refused."""
    barrier = threading.Barrier(runners)
    winners: list[ListenerSockets] = []
    losers: list[PortInUse] = []

    def start() -> None:
        barrier.wait()
        try:
            winners.append(open_listeners([("mesh", address)], 2))
        except PortInUse as error:
            losers.append(error)

    threads = [threading.Thread(target=start) for _ in range(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for winner in winners:
        winner.close()
    return len(winners), len(losers)


def test_a_dual_stack_listener_sees_an_ipv4_stranger() -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(PortInUse):
        open_listeners([("mesh", f"[::]:{stranger.getsockname()[1]}")], 1)


def test_connections_in_time_wait_do_not_hold_a_port() -> None:
    with opened(("mesh", "127.0.0.1:0"), slots=1) as sockets:
        address = sockets.listeners[0].address
        listener = sockets.listeners[0].sockets[0]
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname(), timeout=5) as client:
            server, _ = listener.accept()
            server.close()  # closed first: TIME_WAIT is on the port of the listener
            assert client.recv(1) == b""
    with opened(("mesh", address), slots=1):
        pass


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(StartError, match="EADDRNOTAVAIL"):
        open_listeners([("mesh", "192.0.2.1:0")], 1)


@pytest.mark.parametrize(
    "text", ["", "1080", "127.0.0.1", "localhost:1080", "::1:1080", "127.0.0.1:65536", "127.0.0.1:-1", "[::1:80"]
)
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(StartError, match="is not IP:PORT"):
        parse_address(text)


# In a process of its own, as another user: permissions mean nothing to root. The library is imported before, as it may
# be out of that user's reach; where every port is free to all, the text alone is looked at.
PRIVILEGED = """
import encodings.idna, errno, os
from supervisor.host import listening, sockets
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
if int(open("/proc/sys/net/ipv4/ip_unprivileged_port_start").read()) == 0:
    print(sockets._bind_error("mesh", "127.0.0.1:80", ("127.0.0.1", 80), PermissionError(errno.EACCES, "x")))
else:
    try:
        listening.open_listeners([("mesh", "127.0.0.1:80")], 1)
    except Exception as error:
        print(error)
"""


def test_a_privileged_port_without_privilege() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", PRIVILEGED], cwd=root, capture_output=True, text=True, timeout=30, check=True
    )
    assert "Permission denied (EACCES)" in done.stdout
    assert "CAP_NET_BIND_SERVICE" in done.stdout


def test_the_lock_keeps_a_second_gateway_out_and_names_the_first(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/run/control"
    before = open_files()
    first = ControlLock(endpoint)
    with pytest.raises(
        StartError, match=rf"another sluice \(pid {os.getpid()}\) is running with this control endpoint"
    ):
        ControlLock(endpoint)
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    first.release()
    assert not (tmp_path / "run").exists()
    assert open_files() == before
    ControlLock(endpoint).release()


def test_the_lock_belongs_to_the_endpoint_and_not_to_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first, second = ControlLock(f"ipc://{folder}/a"), ControlLock(f"ipc://{folder}/b")
    assert len({first.control, first.stats, first.bus, second.control, second.stats, second.bus}) == 6
    (tmp_path / "same").symlink_to(tmp_path)
    for spelling in (f"ipc://{folder}/b", f"ipc://{folder}/./b", f"ipc:///{folder}/b", f"ipc://{tmp_path}/same/run/b"):
        with pytest.raises(StartError) as refused:
            ControlLock(spelling)
        assert f"(pid {os.getpid()}) is running with this control endpoint: ipc://{folder}/b" in str(refused.value)
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(folder / "a"))
        second.release()
        ControlLock(f"ipc://{folder}/b").release()
        assert (folder / "a").is_socket() and (folder / "a.lock").is_file(), "the other's files are left alone"
    first.release()
    assert not folder.exists()


def test_an_endpoint_that_is_not_set_is_said() -> None:
    with pytest.raises(StartError, match=r"control.endpoint must be set: .*XDG_RUNTIME_DIR"):
        ControlLock("")


def test_stale_sockets_are_removed_under_the_lock_only(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    endpoint = f"ipc://{folder}/control"
    first = ControlLock(endpoint)
    assert not first.found_stale
    with socket.socket(socket.AF_UNIX) as served:
        served.bind(str(folder / "control"))
        with pytest.raises(StartError):
            ControlLock(endpoint)
        assert (folder / "control").exists()
        os.close(first._fd)  # as kill -9 would: nothing is cleaned up
        second = ControlLock(endpoint)
        assert second.found_stale
        assert not (folder / "control").exists()
        second.release()


def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    (folder / "control").write_text("precious")
    with pytest.raises(StartError, match="is in the way"):
        ControlLock(f"ipc://{folder}/control")
    assert (folder / "control").read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir()) == ["control"]


def test_folders_that_others_can_enter_or_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    with pytest.raises(StartError, match="open to other users"):
        ControlLock(f"ipc://{shared}/control")
    link = tmp_path / "link"
    link.symlink_to(shared)
    with pytest.raises(StartError, match="is not a folder"):
        ControlLock(f"ipc://{link}/control")
    with pytest.raises(StartError, match="does not exist"):
        ControlLock(f"ipc://{tmp_path}/no/such/control")
    if os.geteuid() == 0:
        foreign = tmp_path / "foreign"
        foreign.mkdir(0o700)
        os.chown(foreign, 65534, 65534)
        with pytest.raises(StartError, match="belongs to another user"):
            ControlLock(f"ipc://{foreign}/control")


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("tcp://127.0.0.1", "neither"),
        ("ipc://@abstract", "absolute"),
        ("ipc://relative/path", "absolute"),
        ("inproc://x", "absolute"),
        ("ipc:///run/sluice/", "file name"),
        ("ipc:///run/sluice/..", "file name"),
        ("ipc:///run/sluice/control.bus", "file name"),
        ("ipc:///run/sluice/control.pub", "file name"),
        ("ipc:///run/sluice/control.lock", "file name"),
        ("ipc:///run/" + "x" * 100, "longer than 100"),
    ],
)
def test_endpoints_that_cannot_serve(endpoint: str, why: str) -> None:
    with pytest.raises(StartError, match=why):
        endpoint_path(endpoint)


def test_the_tunnel_cap_follows_the_open_files() -> None:
    assert tunnel_cap(1000, explicit=True, workers=1, nofile=2256) == (1000, "")
    cap, warning = tunnel_cap(100_000, explicit=False, workers=2, nofile=1024)
    assert cap == 768
    assert "at most 768 tunnels" in warning and "100256" in warning
    with pytest.raises(StartError, match=r"limits\.tunnels: 1001 cannot be met"):
        tunnel_cap(1001, explicit=True, workers=1, nofile=2256)
    with pytest.raises(StartError, match="no tunnel fits"):
        tunnel_cap(100_000, explicit=False, workers=4, nofile=256)
