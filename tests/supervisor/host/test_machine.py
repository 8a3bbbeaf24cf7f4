"""The machine's resources, read from folders that look like /proc and /sys/fs/cgroup."""

import os
import socket
from pathlib import Path

import pytest

from supervisor.host import machine

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.0
           /8 host LOCAL
        |-- 127.255.255.255
           /32 link BROADCAST
     |-- 192.0.2.7
        /32 host LOCAL
     |-- 192.0.2.8
        /24 link UNICAST
"""


def cgroup(folder: Path, name: str, quota: str) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "cpu.max").write_text(quota + "\n")


def proc_in(folder: Path, group: str) -> str:
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(f"3:cpu:/other\n0::{group}\n")
    return str(folder / "proc")


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("max 100000", "max 100000", 64),
        ("150000 100000", "max 100000", 2),
        ("max 100000", "300000 100000", 3),
        ("400000 100000", "50000 100000", 1),
        ("10000 100000", "max 100000", 1),
        ("nonsense", "200000 100000", 2),
    ],
)
def test_cpus_are_the_least_of_affinity_and_quotas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inner: str, outer: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    proc = proc_in(tmp_path, "/pod/box")
    cgroup(tmp_path / "cgroup", "pod/box", inner)
    cgroup(tmp_path / "cgroup", "pod", outer)
    assert machine.cpus(str(tmp_path / "cgroup"), proc) == expected


def test_cpus_without_any_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5})
    assert machine.cpus(str(tmp_path), str(tmp_path)) == 2


def test_free_memory_is_the_least_of_the_machine_and_all_cgroups(tmp_path: Path) -> None:
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (root / "pod/box").mkdir(parents=True)
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text("0::/pod/box\n")
    asked = str(root), str(proc)
    assert machine.free_memory(*asked) is None, "nothing says"
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 4000 kB\n")
    assert machine.free_memory(*asked) == 4000 << 10
    for folder, most, used in (("pod/box", "max", "1000"), ("pod", "3000000", "1000000")):
        (root / folder / "memory.max").write_text(most + "\n")
        (root / folder / "memory.current").write_text(used + "\n")
    assert machine.free_memory(*asked) == 2_000_000
    (root / "pod/memory.stat").write_text("anon 5\ninactive_file 300000\nactive_file 7\n")
    assert machine.free_memory(*asked) == 2_300_000
    (root / "pod/box/memory.max").write_text("500\n")
    assert machine.free_memory(*asked) == 0
    (proc / "meminfo").write_text("rubbish\n")
    assert machine.free_memory(*asked) == 0


def test_local_networks_are_read_from_the_kernels_tables(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net/fib_trie").write_text(FIB_TRIE)
    (tmp_path / "net/if_inet6").write_text("20010db8000000000000000000000001 02 40 00 80 eth0\n")
    expected = {"127.0.0.0/8", "::1/128", "192.0.2.7/32", "2001:db8::1/128"}
    assert machine.local_networks(str(tmp_path)) == expected


def test_local_networks_without_proc(tmp_path: Path) -> None:
    found = machine.local_networks(str(tmp_path))
    assert {"127.0.0.0/8", "::1/128", "127.0.0.1/32"} <= found


def test_local_networks_of_this_machine_hold_what_can_be_bound() -> None:
    for network in machine.local_networks():
        address = network.partition("/")[0]
        if network.endswith(("/32", "/128")) and not address.startswith("fe80"):
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
                probe.bind((address, 0))


def test_the_control_endpoint_by_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.control_endpoint() == "ipc:///run/sluice/control"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    assert machine.control_endpoint() == "ipc:///run/user/1000/sluice/control"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/egress:/run/other")
    assert machine.control_endpoint() == "ipc:///run/egress/control"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "relative")
    assert machine.control_endpoint() == "ipc:///run/user/1000/sluice/control"
    monkeypatch.delenv("RUNTIME_DIRECTORY")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert machine.control_endpoint() == ""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "relative")
    assert machine.control_endpoint() == ""
