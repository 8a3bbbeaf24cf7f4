"""Imports run one way: csrc <- gateway codecs <- gateway connections <- gateway worker; the supervisor stands apart.

The graph is drawn from the sources: Python's imports by ast, Cython's imports and cimports by text, C's by #include.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]

# The gateway's modules from the bottom up: each imports from its own layer and those before it, never from a later one.
# A new module belongs here before it belongs anywhere.
LAYERS: Final = {
    "shared": ["__init__", "csrc", "contract"],
    "codecs": [
        *("codec", "socks", "http1", "sniff", "answers", "handshake"),
        *("h2_frames", "h2_hpack", "h2_settings", "h2_budget", "h2_streams", "h2_head", "h2_outbound", "h2_session"),
        "h2_probe", "h2_client", "h2_client_probe",
    ],
    "machinery": [
        *("privileges", "loop", "sockets", "watch", "source_pool", "local_routes", "limits", "log", "logins"),
        *("mapped_image", "policy"),
        "h2_work",
        *("hosts", "dns_cache", "dns_channel", "dns_waiter", "resolver", "parent", "queues", "queue_probe"),
    ],
    "connections": [
        *("context", "record", "race", "opening", "tunnel", "inner", "request", "connection", "listener"),
        *("h2_flow", "h2_tunnel", "h2_writer", "h2_requests", "h2_connection"),
        *("parent_stream", "parent_socket", "parent_connection", "parent_pool"),
        *("sweep", "load", "rejudge"),
    ],
    "worker": ["bus", "worker", "lookup"],
}
# What codecs may not know of: descriptors, the clock, the system.
FORBIDDEN_TO_CODECS: Final = {"socket", "os", "time", "select", "selectors", "asyncio", "posix", "libc"}
# Types and functions over memory are bytes, too.
LIBC_OF_CODECS: Final = {"libc.stdint", "libc.string", "libc.stdlib"}
# All that the supervisor may see of the gateway: what both share, `explain`'s look-up, and declarations of C.
SEEN_BY_SUPERVISOR: Final = {"gateway.contract", "gateway.policy", "gateway.csrc"}

CYTHON_IMPORT: Final = re.compile(
    r"^\s*(?:from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|[^\n#]*)|c?import\s+([\w., ]+))", re.MULTILINE
)


def python_imports(path: Path) -> Iterator[str]:
    """Modules a Python file imports, `from a import b` as both `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)


def cython_imports(path: Path) -> Iterator[str]:
    """The same for Cython, from its text: `import`, `from import`, `cimport` and `from cimport`."""
    text = re.sub(r'"""(?s:.*?)"""', "", path.read_text())
    for module, names, plain in CYTHON_IMPORT.findall(text):
        if plain:
            yield from (name.split(" as ")[0].strip() for name in plain.split(","))
        else:
            yield module
            listed = (name.split(" as ")[0].strip() for name in names.strip("()").split(","))
            yield from (f"{module}.{name}" for name in listed if name)


def imports(path: Path) -> set[str]:
    return set(python_imports(path) if path.suffix == ".py" else cython_imports(path))


def sources(folder: str) -> list[Path]:
    found = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".pyx", ".pxd"}]
    return sorted(found)


GATEWAY: Final = sources("gateway")
SUPERVISOR: Final = sources("supervisor")


def layer(module: str) -> int:
    """The layer of a gateway module, named without `gateway.`."""
    for number, modules in enumerate(LAYERS.values()):
        if module in modules:
            return number
    raise AssertionError(f"gateway/{module} has no layer yet: give it one in {Path(__file__).name}")


def gateway_modules(found: set[str]) -> set[str]:
    return {name.split(".")[1] for name in found if name.startswith("gateway.")}


def test_the_graph_is_not_empty() -> None:
    assert len(GATEWAY) > 10 and len(SUPERVISOR) > 10
    assert "gateway.loop" in imports(ROOT / "gateway/tunnel.pxd") | imports(ROOT / "gateway/tunnel.pyx")


@pytest.mark.parametrize("path", GATEWAY, ids=lambda path: path.name)
def test_gateway_imports_run_upwards(path: Path) -> None:
    own = layer(path.stem)
    upwards = {name for name in gateway_modules(imports(path)) if layer(name) > own}
    assert not upwards, f"{path.name} imports from a layer above its own"


@pytest.mark.parametrize("path", GATEWAY, ids=lambda path: path.name)
def test_the_gateway_never_imports_the_supervisor(path: Path) -> None:
    assert not {name for name in imports(path) if name.split(".")[0] in {"supervisor", "tests"}}


@pytest.mark.parametrize("path", SUPERVISOR, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_supervisor_sees_only_what_is_shared(path: Path) -> None:
    modules = {f"gateway.{name}" for name in gateway_modules(imports(path))}
    assert modules <= SEEN_BY_SUPERVISOR
    assert not {name for name in imports(path) if name.split(".")[0] == "tests"}


@pytest.mark.parametrize("module", LAYERS["codecs"])
def test_codecs_know_bytes_only(module: str) -> None:
    paths = [path for path in GATEWAY if path.stem == module]
    assert paths
    for path in paths:
        outside = {name for name in imports(path) if name.split(".")[0] in FORBIDDEN_TO_CODECS}
        allowed = {name for name in outside if name.startswith(tuple(LIBC_OF_CODECS))}
        assert not outside - allowed, path.name


@pytest.mark.parametrize("path", sorted((ROOT / "csrc").glob("*.[ch]")), ids=lambda path: path.name)
def test_c_units_include_no_python_and_nothing_from_outside(path: Path) -> None:
    included = re.findall(r'^\s*#\s*include\s+([<"][^>"]+[>"])', path.read_text(), re.MULTILINE)
    assert not {name for name in included if "Python.h" in name or ".." in name}
    own = {name.strip('"') for name in included if name.startswith('"')}
    assert own <= {header.name for header in (ROOT / "csrc").glob("*.h")}


def test_text_scanning_sees_every_form(tmp_path: Path) -> None:
    file = tmp_path / "sample.pyx"
    file.write_text(
        '"""from gateway.liar import nothing"""\nimport os, time\nfrom posix.unistd cimport close\n'
        "cimport gateway.loop\nfrom gateway.csrc cimport (\n    a, b,\n    c,\n)\nfrom gateway import contract\n"
    )
    found = imports(file)
    assert {"os", "time", "posix.unistd", "gateway.loop", "gateway.csrc.c", "gateway.contract"} <= found
    assert "gateway.liar" not in found
