"""Imports run one way, room by room: the table says which rooms a room may import, and the sources are held to it.

A room is a folder (DESIGN.md section 1). Arrows are read from `import` and `cimport` of Python and Cython, and from
#include of C. A new room gets its row here first. A row names rooms of earlier rows only, so no circle can be written
down; and no circle of modules is left inside a room.
"""

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
TOPS: Final = ("csrc", "gateway", "supervisor")

# A room, and the rooms that it may import. The root of `supervisor` has a row for each module, as they stand apart.
ROOMS: Final[dict[str, str]] = {
    "csrc/base": "",
    "csrc/bytes": "csrc/base",
    "csrc/policy": "csrc/base csrc/bytes",
    "csrc/build": "csrc/base csrc/bytes csrc/policy",
    "csrc/relay": "",
    "csrc/tls": "csrc/base csrc/bytes csrc/relay",
    "csrc/shared": "csrc/base csrc/bytes csrc/relay",
    "csrc/net": "csrc/base csrc/bytes csrc/shared",
    "gateway/c": "csrc/base csrc/bytes csrc/policy csrc/relay csrc/tls csrc/shared csrc/net",
    "gateway": "gateway/c",
    "gateway/io": "gateway/c",
    "gateway/tls": "gateway/c",
    "gateway/proto": "gateway/c",
    "gateway/proto/http2": "gateway/c gateway/proto",
    "gateway/policy": "gateway gateway/c",
    "gateway/dns": "gateway gateway/c gateway/io",
    "gateway/parent": "gateway/c gateway/io gateway/tls gateway/proto",
    "gateway/tracing": "gateway/c",
    "gateway/state": (
        "gateway gateway/c gateway/io gateway/tls gateway/proto gateway/proto/http2 gateway/policy gateway/dns "
        "gateway/parent gateway/tracing"
    ),
    "gateway/http2": "gateway/c gateway/io gateway/proto gateway/proto/http2 gateway/state",
    "gateway/dial": "gateway/c gateway/io gateway/tls gateway/dns gateway/parent gateway/state",
    "gateway/tunnel": "gateway/c gateway/io gateway/proto gateway/parent gateway/state gateway/dial",
    "gateway/upstream": (
        "gateway/c gateway/io gateway/tls gateway/proto gateway/proto/http2 gateway/parent gateway/state gateway/http2 "
        "gateway/dial"
    ),
    "gateway/routing": (
        "gateway/c gateway/io gateway/proto gateway/parent gateway/state gateway/dial gateway/tunnel gateway/upstream"
    ),
    "gateway/downstream/http2": (
        "gateway/c gateway/io gateway/tls gateway/proto gateway/proto/http2 gateway/parent gateway/state gateway/http2 "
        "gateway/dial gateway/tunnel gateway/routing"
    ),
    "gateway/downstream": (
        "gateway/c gateway/io gateway/tls gateway/proto gateway/parent gateway/state gateway/dial gateway/tunnel "
        "gateway/routing gateway/downstream/http2"
    ),
    "gateway/worker": (
        "gateway gateway/io gateway/policy gateway/state gateway/tunnel gateway/upstream gateway/downstream"
    ),
    "supervisor/source": "",
    "supervisor/host": "gateway supervisor/source",
    "supervisor/segment": "gateway",
    "supervisor/identity": "gateway supervisor/source supervisor/host",
    "supervisor/config": "gateway supervisor/source supervisor/host",
    "supervisor/policy/regex": "",
    "supervisor/policy/resources": "supervisor/source supervisor/policy/regex",
    "supervisor/policy/dialects": "supervisor/source supervisor/policy/resources",
    "supervisor/policy/dialects/routes": "supervisor/source supervisor/policy/resources supervisor/policy/dialects",
    "supervisor/policy/dialects/fsm": "supervisor/source supervisor/policy/resources supervisor/policy/dialects",
    "supervisor/policy/dialects/linkerd": (
        "supervisor/source supervisor/policy/resources supervisor/policy/dialects supervisor/policy/dialects/routes"
    ),
    "supervisor/policy/cluster": "supervisor/source supervisor/policy/resources supervisor/policy/dialects",
    "supervisor/policy/dialects/gateway_api": (
        "supervisor/source supervisor/policy/resources supervisor/policy/dialects supervisor/policy/dialects/routes "
        "supervisor/policy/dialects/linkerd supervisor/policy/cluster"
    ),
    "supervisor/policy": (
        "csrc/build gateway gateway/c gateway/policy supervisor/source supervisor/host supervisor/segment "
        "supervisor/identity supervisor/config supervisor/policy/resources supervisor/policy/regex "
        "supervisor/policy/dialects supervisor/policy/dialects/routes supervisor/policy/dialects/fsm "
        "supervisor/policy/dialects/linkerd supervisor/policy/dialects/gateway_api supervisor/policy/cluster"
    ),
    "supervisor/logs": "gateway supervisor/source supervisor/host supervisor/config",
    "supervisor/workers": "gateway supervisor/host supervisor/segment supervisor/logs",
    "supervisor/tracing": "gateway supervisor/host supervisor/segment supervisor/logs",
    "supervisor/tunnels": (
        "gateway gateway/policy supervisor/source supervisor/segment supervisor/logs supervisor/workers"
    ),
    "supervisor/control": "supervisor/source supervisor/host supervisor/logs",
    "supervisor/generation": (
        "gateway gateway/policy supervisor/source supervisor/host supervisor/segment supervisor/identity "
        "supervisor/config supervisor/policy/resources supervisor/policy supervisor/logs supervisor/workers "
        "supervisor/control"
    ),
    "supervisor/admin": (
        "gateway supervisor/source supervisor/segment supervisor/policy supervisor/logs supervisor/control"
    ),
    "supervisor/companion.py": "supervisor/host supervisor/logs",
    "supervisor/running.py": (
        "supervisor/host supervisor/identity supervisor/logs supervisor/tracing supervisor/workers "
        "supervisor/control supervisor/generation"
    ),
    "supervisor/endpoints.py": (
        "supervisor/source supervisor/host supervisor/config supervisor/logs supervisor/control supervisor/admin"
    ),
    "supervisor/observation.py": (
        "supervisor/segment supervisor/config supervisor/logs supervisor/tunnels supervisor/control supervisor/admin "
        "supervisor/running.py supervisor/endpoints.py"
    ),
    "supervisor/operations.py": (
        "supervisor/host supervisor/policy supervisor/tunnels supervisor/control supervisor/admin "
        "supervisor/running.py supervisor/observation.py"
    ),
    "supervisor/succession.py": (
        "supervisor/source supervisor/host supervisor/config supervisor/logs supervisor/workers"
    ),
    "supervisor/service.py": (
        "gateway supervisor/host supervisor/config supervisor/logs supervisor/workers supervisor/companion.py "
        "supervisor/control supervisor/generation supervisor/running.py supervisor/observation.py "
        "supervisor/operations.py supervisor/succession.py"
    ),
    "supervisor/supervisor.py": (
        "supervisor/host supervisor/logs supervisor/workers supervisor/generation supervisor/companion.py "
        "supervisor/service.py"
    ),
    "supervisor/demo.py": "supervisor/host",
    "supervisor/cli": (
        "gateway/policy supervisor/source supervisor/host supervisor/segment supervisor/identity supervisor/config "
        "supervisor/policy supervisor/policy/resources supervisor/tunnels supervisor/control supervisor/generation "
        "supervisor/companion.py supervisor/supervisor.py supervisor/demo.py"
    ),
    "supervisor/entry.py": "supervisor/cli",
    "supervisor": "",
}
# Bytes come in and bytes go out: such a room knows no descriptor, no clock and no system.
ROOMS_OF_BYTES: Final = ("gateway/proto", "gateway/proto/http2")
OUTSIDE: Final = {"socket", "os", "time", "select", "selectors", "asyncio", "posix", "libc"}
# What stands behind csrc/policy/judge.h: how a policy is searched, and how its phases combine.
BEHIND_THE_JUDGE: Final = (
    *("csrc/policy/decide.h", "csrc/policy/lookup.h", "csrc/policy/seed.h", "csrc/policy/subject.h"),
)
MEMORY: Final = ("libc.stdint", "libc.string", "libc.stdlib")  # types, and functions over memory

# Calls that move bytes of a socket, or end it. Those of clients, origins and parents are made by their legs.
SOCKET_CALL: Final = re.compile(
    r"(?<![\w.>\"])(?<!void )(?<!size_t )(?<!int )"
    r"(recv|recvmsg|recvfrom|readv|send|sendmsg|sendto|writev|splice|shutdown)\((?!\))"
)
OWN_SOCKETS: Final = {
    "csrc/relay/leg.c": "the plain table",
    "csrc/relay/leg.h": "its two calls of every message",
    "csrc/relay/pipe_pool.c": "pipes, for the plain table",
    "csrc/net/local.c": "netlink",
}

CYTHON_IMPORT: Final = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|[^\n#]*)|c?import\s+([\w., ]+))", re.MULTILINE
)
EXTERN: Final = re.compile(r'^\s*cdef extern from "(\w+/\w+\.h)"', re.MULTILINE)
INCLUDE: Final = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def python_imports(text: str) -> Iterator[str]:
    """Modules that Python source imports; `from a import b` is `a.b`."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def cython_imports(text: str) -> Iterator[str]:
    """The same for Cython, from its text: `import`, `from import`, `cimport` and `from cimport`."""
    for module, names, plain in CYTHON_IMPORT.findall(re.sub(r'"""(?s:.*?)"""', "", text)):
        listed = re.sub(r"#[^\n]*", "", plain or names.strip().strip("()")).split(",")
        short = (name.split(" as ")[0].strip() for name in listed)
        yield from (name if plain else f"{module}.{name}" for name in short if name)


@functools.cache  # each of the tests asks for most of the sources
def imports(path: Path) -> set[str]:
    """Imports of a source: dotted modules and their names, and headers, those of csrc as `csrc/room/name.h`."""
    text = path.read_text()
    if path.suffix in {".c", ".h"}:
        return {name if kind == "<" else f"csrc/{name}" for kind, name in INCLUDE.findall(text)}
    if path.suffix == ".py":
        return set(python_imports(text))
    headers = {f"csrc/{name}" for name in EXTERN.findall(text)}
    return {*cython_imports(text), *(name for name in headers if (ROOT / name).exists())}


@functools.cache
def socket_calls(path: Path) -> set[str]:
    """The calls of a C or Cython source, by name, comments and docstrings left out."""
    if path.suffix not in {".c", ".h", ".pyx", ".pxd"}:
        return set()
    text = re.sub(r'"""(?s:.*?)"""|/\*(?s:.*?)\*/', "", path.read_text())
    lines = (line.split("#")[0] if path.suffix.startswith(".p") else line for line in text.splitlines())
    return {found for line in lines for found in SOCKET_CALL.findall(line)}


def tracked(suffixes: set[str]) -> list[Path]:
    """Sources of the product. Cython leaves its C beside them, which does not count."""
    found = (path for top in TOPS for path in (ROOT / top).rglob("*") if path.suffix in suffixes)
    return sorted(path for path in found if path.parts[len(ROOT.parts)] == "csrc" or path.suffix not in {".c", ".h"})


SOURCES: Final = tracked({".py", ".pyx", ".pxd", ".c", ".h"})


def name_of(path: Path) -> str:
    """A module's dotted name, or a header's path."""
    below = path.relative_to(ROOT)
    if path.suffix in {".c", ".h"}:
        return str(below)
    parts = below.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(path: Path) -> str:
    below = path.relative_to(ROOT)
    return str(below) if str(below) in ROOMS else str(below.parent)


MODULES: Final[Mapping[str, Path]] = {name_of(path): path for path in SOURCES}


def own_imports(path: Path) -> set[str]:
    """Modules of Sluice among the imports: another name belongs to the module before it."""
    found = set()
    for name in imports(path):
        module = name if name in MODULES else name.rpartition(".")[0]
        if module in MODULES and module != name_of(path):
            found.add(module)
    return found


def wrong_arrows(path: Path) -> list[str]:
    """A sentence for each import that the table does not have."""
    room = room_of(path)
    assert room in ROOMS, f"{room} is not a room yet: it needs a row in {Path(__file__).name}"
    allowed = {room, *ROOMS[room].split()}
    others = {(room_of(MODULES[module]), module) for module in own_imports(path)}
    return [f"{room} may not import {other} ({name_of(path)} imports {module})" for other, module in sorted(others)
            if other not in allowed]  # fmt: skip


def circles(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, by whatever way: what is left when those without further imports are taken away,
    again and again, from both ends."""
    left = {name: set(targets) for name, targets in arrows.items()}
    while True:
        ends = {name for name, targets in left.items() if not targets & left.keys()}
        starts = left.keys() - {target for targets in left.values() for target in targets}
        if not ends | starts:
            return [sorted(left)] if left else []
        left = {name: targets for name, targets in left.items() if name not in ends | starts}


def test_a_room_imports_what_the_table_says() -> None:
    assert [sentence for path in SOURCES for sentence in wrong_arrows(path)] == []


def test_rows_name_earlier_rows_only() -> None:
    seen: set[str] = set()
    for room, allowed in ROOMS.items():
        assert set(allowed.split()) <= seen, f"{room} may import rooms above its own row only"
        seen.add(room)


def test_every_row_is_a_room() -> None:
    assert {room_of(path) for path in SOURCES} == set(ROOMS)


def test_every_arrow_of_the_table_is_in_use() -> None:
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for path in SOURCES:
        used[room_of(path)] |= {room_of(MODULES[module]) for module in own_imports(path)}
    unused = {room: set(allowed.split()) - used[room] for room, allowed in ROOMS.items()}
    assert not {room: left for room, left in unused.items() if left}


def test_no_circle_of_modules() -> None:
    assert not circles({name_of(path): own_imports(path) for path in SOURCES})


@pytest.mark.parametrize("room", [room for room in ROOMS if (ROOT / room).is_dir() and not room.startswith("csrc")])
def test_a_room_says_what_it_is_for(room: str) -> None:
    first = (ROOT / room / "__init__.py").read_text().split("\n", 1)[0]
    assert re.fullmatch(r'""".+[.:](""")?', first), f"{room}/__init__.py says in its first line what the room is for"


@pytest.mark.parametrize("room", ROOMS_OF_BYTES)
def test_protocols_know_bytes_only(room: str) -> None:
    for path in (path for path in SOURCES if room_of(path) == room):
        outside = {name for name in imports(path) if name.split(".")[0] in OUTSIDE}
        assert not {name for name in outside if not name.startswith(MEMORY)}, f"{path.name} knows more than bytes"


def test_bytes_pass_through_legs() -> None:
    calling = {str(path.relative_to(ROOT)): called for path in SOURCES if (called := socket_calls(path))}
    assert {path: called for path, called in calling.items() if path not in OWN_SOCKETS} == {}, "it is to use a leg"


def test_every_file_with_sockets_of_its_own_has_them() -> None:
    assert all(socket_calls(ROOT / path) for path in OWN_SOCKETS)


def test_decisions_are_asked_of_the_judge() -> None:
    outside = [path for path in SOURCES if room_of(path) != "csrc/policy"]
    behind = {name_of(path): found for path in outside if (found := own_imports(path) & set(BEHIND_THE_JUDGE))}
    assert behind == {}, "it may ask csrc/policy/judge.h only"


def test_c_units_include_no_python_and_nothing_from_outside() -> None:
    for path in (path for path in SOURCES if path.parts[len(ROOT.parts)] == "csrc"):
        included = imports(path)
        assert not {name for name in included if "Python.h" in name or ".." in name}, name_of(path)
        assert {name for name in included if name.startswith("csrc/")} <= set(MODULES), name_of(path)


def test_the_product_imports_no_tests() -> None:
    arrows = [(name_of(path), name) for path in SOURCES for name in imports(path)]
    assert [arrow for arrow in arrows if arrow[1].split(".")[0] in {"tests", "bench"}] == []


# The readers themselves: a test that finds nothing wrong must be able to find it.


def test_every_form_of_an_import_is_read() -> None:
    found = set(
        cython_imports(
            '"""from gateway.liar import nothing"""\nimport os, time\nfrom posix.unistd cimport close\n'
            "cimport gateway.io.loop\nfrom gateway.c.addr cimport (\n    a, b,  # two\n    c,\n)\n"
            "from gateway import contract as agreed\n"
        )
    )
    assert found == {
        *("os", "time", "posix.unistd.close", "gateway.io.loop", "gateway.c.addr.a", "gateway.c.addr.b"),
        *("gateway.c.addr.c", "gateway.contract"),
    }
    assert set(python_imports("import a.b\ndef f():\n    from c import d, e as g\n")) == {"a.b", "c.d", "c.e"}


def test_a_wrong_arrow_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "gateway/proto/socks.pyx"
    monkeypatch.setattr(f"{__name__}.imports", lambda _: {"gateway.state.limits.Limits", "gateway.proto.codec.Codec"})
    assert wrong_arrows(path) == [
        "gateway/proto may not import gateway/state (gateway.proto.socks imports gateway.state.limits)"
    ]


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}) == [["a", "b", "c"]]
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})
