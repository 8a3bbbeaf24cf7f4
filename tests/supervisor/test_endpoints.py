"""The admin and metrics endpoints before their pages are loaded: what a start loads, and what loads the rest."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from supervisor import endpoints
from supervisor.config.config import Admin, Config
from supervisor.endpoints import Endpoints
from supervisor.logs.log import Log
from tests.support.eventually import PATIENCE
from tests.support.harness import Running
from tests.support.ports import free_port
from tests.support.sluice_process import ROOT

# Packages that take long to load, and that a module must therefore not load with it.
HEAVY: Final = {
    "supervisor.supervisor": {"aiohttp", "prometheus_client", "yaml", "cryptography", "OpenSSL", "joserfc", "rich"},
    "supervisor.generation.warm": {"asyncio", "zmq", "cryptography", "OpenSSL", "joserfc", "logging"},
    "supervisor.cli.check": {"asyncio", "zmq", "cryptography", "OpenSSL", "joserfc", "rich"},
    "supervisor.cli.explain": {"asyncio", "zmq", "cryptography", "OpenSSL", "joserfc", "rich"},
    "supervisor.cli": {"asyncio", "zmq", "yaml", "cryptography", "rich", "supervisor.config"},
    "gateway.worker.worker": {"asyncio", "msgspec", "yaml", "supervisor"},
}  # fmt: skip


@pytest.mark.parametrize("module", HEAVY)
def test_what_a_start_does_not_load(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=PATIENCE)
    assert HEAVY[module] & set(json.loads(done.stdout)) == set()


def loaded(gateway: Running) -> bool:
    return "/aiohttp/" in Path(f"/proc/{gateway.pid}/maps").read_text()


def test_the_first_request_loads_the_pages() -> None:
    with Running() as gateway:
        assert not loaded(gateway)
        assert gateway.ask("stats")["counters"]["policy_rules"] == 0
        assert not loaded(gateway), "the control endpoint tells the same numbers without them"
        answers: list[int] = []

        def ask(path: str) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", gateway.admin, timeout=PATIENCE)
            connection.request("GET", path)
            answers.append(connection.getresponse().status)
            connection.close()

        threads = [threading.Thread(target=ask, args=(path,)) for path in ("/healthz", "/metrics", "/stats", "/readyz")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 4 and loaded(gateway)


class Open:
    """Endpoints that serve, with the lines of their log."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []
        self.port = free_port()
        log = Log(lambda line: self.lines.append(json.loads(line)), plain=False)
        self.endpoints = Endpoints(asyncio.get_running_loop(), log)
        config = Config(path="", control="", admin=Admin(port=self.port), metrics=("127.0.0.1", free_port()))
        self.endpoints.open(config)
        self.endpoints.serve(config, {}, self.metrics, lambda: "")

    async def metrics(self) -> bytes:
        return b"sluice_build_info 1\n"

    async def get(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        try:
            return await asyncio.wait_for(reader.read(), PATIENCE)
        finally:
            writer.close()


@asynccontextmanager
async def opened() -> AsyncIterator[Open]:
    made = Open()
    try:
        yield made
    finally:
        await made.endpoints.close(0.5)


async def until_loading(loads: list[int]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not loads:
            await asyncio.sleep(0.01)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time that the pages are loaded."""
    found: list[int] = []
    load = endpoints._load_pages

    def counted() -> None:
        found.append(1)
        load()

    monkeypatch.setattr(endpoints, "_load_pages", counted)
    return found


def test_they_are_loaded_once(loads: list[int]) -> None:
    async def steps() -> None:
        async with opened() as made:
            answers = await asyncio.gather(*(made.get("/healthz") for _ in range(5)))
            assert all(answer.startswith(b"HTTP/1.0 200") for answer in answers)
            assert await made.get("/metrics") != b""
            assert [line["event"] for line in made.lines] == ["admin", "metrics"]

    asyncio.run(steps())
    assert loads == [1]


def test_without_a_client_they_are_loaded_after_a_while(loads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "LATEST", 0.05)

    async def steps() -> None:
        async with opened() as made:
            await until_loading(loads)
            assert (await made.get("/healthz")).endswith(b"ok\n")

    asyncio.run(steps())
    assert loads == [1]


def test_a_module_that_cannot_be_loaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("no module of this name")

    monkeypatch.setattr(endpoints, "_load_pages", fail)
    monkeypatch.setattr(endpoints, "LATEST", 0.0)

    async def steps() -> None:
        async with opened() as made:
            async with asyncio.timeout(PATIENCE):
                while not (said := [line for line in made.lines if line["event"] == "admin_failed"]):
                    await asyncio.sleep(0.01)
            assert "no module of this name" in said[0]["error"]

    asyncio.run(steps())


def test_an_end_while_they_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, loads = threading.Event(), list[int]()

    def wait() -> None:
        loads.append(1)
        go_on.wait(PATIENCE)

    monkeypatch.setattr(endpoints, "_load_pages", wait)

    async def steps() -> None:
        async with opened() as made:
            with socket.create_connection(("127.0.0.1", made.port)):
                await until_loading(loads)
                await made.endpoints.close(0.5)
            go_on.set()

    asyncio.run(steps())
