"""Reloads: all or nothing, acknowledged by every worker, one at a time, and what a broken compile process comes to."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from supervisor.log import Log
from supervisor.process import Reaper
from supervisor.reload import CompileFailed, Compiler, Outcome, Reloader
from supervisor.users import hash_password
from tests.ports import free_port
from tests.supervisor.harness import Greeted, Running, eventually


def generations(gateway: Running) -> set[int]:
    return {worker["generation"] for worker in gateway.workers()}


def test_a_reload_returns_when_every_worker_follows() -> None:
    with Running(config={"workers": 3}) as gateway:
        for number in range(2, 6):
            answer = gateway.ask("reload")
            assert (answer["ok"], answer["generation"], answer["restart_needed"]) == (True, number, [])
            assert generations(gateway) == {number}
            with Greeted(gateway.port) as client:
                assert client.generation == number
        assert gateway.ask("stats")["reloads"]["ok"] == 4


def test_sighup_reloads() -> None:
    with Running() as gateway:
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.events("reloaded", generation=2), "the reload is logged")
        assert generations(gateway) == {2}


BROKEN = {
    "an unknown key": ("workers: 2\nlimits: {tunnel: 5}\n", "sluice.yaml:2:10"),
    "no yaml": ("listeners: [\n", "sluice.yaml:2:1"),
    "a wrong type": ("workers: many\n", "sluice.yaml:1:10"),
    "no file any more": (None, "sluice.yaml"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_bad_file_changes_nothing_and_is_reported_with_its_place(what: str) -> None:
    text, place = BROKEN[what]
    with Running() as gateway:
        if text is None:
            gateway.path.unlink()
        else:
            gateway.path.write_text(text)
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        assert place in answer["error"]
        assert gateway.events("reload_failed")[0]["message"] in answer["error"].splitlines()
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.ask("stats")["reloads"]["failed"] == 2, "SIGHUP does the same")
        stats = gateway.ask("stats")
        assert len(gateway.events("reload_failed")) == 2
        assert stats["generation"] == 1
        assert place in stats["problems"][0]
        assert generations(gateway) == {1}
        gateway.write()
        assert gateway.ask("reload")["generation"] == 2
        assert gateway.ask("stats")["problems"] == []


def test_a_bad_policy_file_keeps_the_old_one() -> None:
    with Running() as gateway:
        manifest = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "ClusterEgressPolicy",
            "metadata": {"name": "x"},
            "spec": {"to": [{"host": "example.com"}], "action": "Allow"},
        }
        policy = gateway.folder / "policy.yaml"
        policy.write_text(yaml.safe_dump(manifest))
        gateway.write(policy={"paths": ["policy.yaml"]})
        assert gateway.ask("reload")["ok"] is True
        asked = {"to": "example.com:443", "source": "10.0.0.1"}
        assert gateway.ask("explain", **asked)["verdict"] == "allow"
        policy.write_text(
            "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: x}\nspec: {too: []}\n"
        )
        answer = gateway.ask("reload")
        assert answer["ok"] is False and "policy.yaml:4:8" in answer["error"]
        assert gateway.ask("explain", **asked)["verdict"] == "allow"
        assert gateway.ask("policy")["generation"] == 2
        manifest["spec"] = {"to": [{"host": "example.com"}], "action": "Deny"}
        policy.write_text(yaml.safe_dump(manifest))
        assert gateway.ask("reload")["ok"] is True
        assert gateway.ask("explain", **asked)["verdict"] == "deny"


def test_what_needs_a_restart_is_said_and_kept() -> None:
    with Running() as gateway:
        old = dict(gateway.config)
        gateway.write(
            listeners=[{"name": "mesh", "address": f"127.0.0.1:{free_port()}"}], workers=5, admin={"token": "x" * 32}
        )
        answer = gateway.ask("reload")
        assert answer["ok"] is True
        assert answer["restart_needed"] == ["listeners", "workers", "admin"]
        assert gateway.ask("stats")["restart_needed"] == ["listeners", "workers", "admin"]
        assert len(gateway.workers()) == 2
        with Greeted(gateway.port) as client:
            assert client.generation == 2, "the old address, the new generation"
        gateway.write(**old)
        assert gateway.ask("reload")["restart_needed"] == []


def test_addresses_that_wait_for_a_restart_are_guarded_as_those_in_force() -> None:
    with Running(config={"addresses": {"allow": ["127.0.0.0/8"]}}) as gateway:
        old, new, other = gateway.port, free_port(), free_port()

        def reasons() -> list[str]:
            asked = [{"to": f"127.0.0.1:{port}", "source": "10.0.0.1"} for port in (old, new, other)]
            return [gateway.ask("explain", **question)["reason"] for question in asked]

        assert reasons() == ["own_address", "passthrough", "passthrough"]
        gateway.write(listeners=[{"name": "mesh", "address": f"127.0.0.1:{new}"}])
        assert gateway.ask("reload")["restart_needed"] == ["listeners"]
        assert reasons() == ["own_address", "own_address", "passthrough"]
        gateway.ask("reload")
        assert reasons() == ["own_address", "own_address", "passthrough"], "as long as it is needed"
        gateway.write(listeners=[{"name": "mesh", "address": f"127.0.0.1:{old}"}])
        assert gateway.ask("reload")["restart_needed"] == []
        assert reasons() == ["own_address", "passthrough", "passthrough"]


def test_users_that_appear_need_no_restart() -> None:
    """auth's default follows the users: that is not a change of the listener."""
    with Running() as gateway:
        write_users(gateway, "secret")
        gateway.write(identity={"users": "users.yaml"})
        answer = gateway.ask("reload")
        assert (answer["ok"], answer["restart_needed"]) == (True, [])
        listener = {**gateway.config["listeners"][0], "auth": "required"}
        gateway.write(listeners=[listener])
        assert gateway.ask("reload")["restart_needed"] == ["listeners"]


def write_users(gateway: Running, password: str) -> None:
    users = [{"name": "bot", "hash": hash_password(password.encode(), (16384, 8, 1))}]
    (gateway.folder / "users.yaml").write_text(yaml.safe_dump({"users": users}))


def test_passwords_are_verified_for_workers_by_the_users_in_force() -> None:
    with Running() as gateway:
        write_users(gateway, "first")
        gateway.write(identity={"users": "users.yaml"})
        with Greeted(gateway.port) as client:
            assert client.ask("verify bot first") == "no", "not loaded yet"
            gateway.ask("reload")
            assert client.ask("verify bot first") == "yes"
            assert client.ask("verify bot second") == "no"
            assert client.ask("verify nobody first") == "no"
            write_users(gateway, "second")
            gateway.ask("reload")
            assert client.ask("verify bot first") == "no"
            assert client.ask("verify bot second") == "yes"
        assert "first" not in gateway.errors() and "second" not in gateway.errors()


def test_the_access_log_moves_with_a_reload_or_stays_where_it_is() -> None:
    with Running() as gateway:
        with Greeted(gateway.port) as client:
            assert client.ask("log one") == "logged"
            eventually(lambda: log_of(gateway, "access.log") == ["one"], "the line is written")
            gateway.write(logs={"access": "other.log"})
            assert gateway.ask("reload")["ok"] is True
            client.ask("log two")
            eventually(lambda: log_of(gateway, "other.log") == ["two"], "the new file has it")
            gateway.write(logs={"access": "no/such/folder/log"})
            answer = gateway.ask("reload")
            assert answer["ok"] is False and "no/such/folder/log" in answer["error"]
            client.ask("log three")
            eventually(lambda: log_of(gateway, "other.log") == ["two", "three"], "the old one goes on")
            gateway.write(logs={"access": "off"})
            assert gateway.ask("reload")["ok"] is True
            client.ask("log four")
            gateway.write(logs={"access": "access.log"})
            assert gateway.ask("reload")["ok"] is True
            client.ask("log five")
            eventually(lambda: log_of(gateway, "access.log") == ["one", "five"], "back again")
        assert log_of(gateway, "other.log") == ["two", "three"]


def log_of(gateway: Running, name: str) -> list[str]:
    path = gateway.folder / name
    return path.read_text().splitlines() if path.exists() else []


def test_a_limit_that_cannot_be_met_refuses_the_reload() -> None:
    with Running() as gateway:
        gateway.write(limits={"tunnels": 9_000_000})
        answer = gateway.ask("reload")
        assert answer["ok"] is False and "limits.tunnels" in answer["error"]
        assert generations(gateway) == {1}


def test_a_worker_that_cannot_follow_is_named_and_keeps_the_old_generation() -> None:
    with Running("--quick", "--fault", "no-reload") as gateway:
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        for slot in (0, 1):
            assert f"worker {slot} keeps generation 1: this worker loads nothing" in answer["error"]
        assert generations(gateway) == {1}
        assert [worker["last_error"] for worker in gateway.workers()] == ["this worker loads nothing"] * 2
        assert {worker["state"] for worker in gateway.workers()} == {"ready"}


def test_a_worker_that_does_not_answer_is_named_and_the_reload_returns() -> None:
    with Running("--quick", "--fault", "deaf") as gateway:
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        assert "worker 0 keeps generation 1: no answer within 1 s" in answer["error"]


def test_a_worker_that_dies_during_a_reload_does_not_refuse_it() -> None:
    """Its end of the channel goes before it can be reaped. Whoever comes after it has the new generation."""
    with Running() as gateway, gateway.greeted_by(1) as client:
        assert client.ask("unreachable") == "gone"
        answers: list[dict[str, Any]] = []
        reload = threading.Thread(target=lambda: answers.append(gateway.ask("reload")))
        reload.start()
        eventually(lambda: gateway.workers()[0]["generation"] == 2, "the other one follows")
        os.kill(client.pid, signal.SIGKILL)
        reload.join()
        assert answers[0]["ok"] is True, answers[0]
        eventually(lambda: generations(gateway) == {2}, "its successor follows, too")


def test_a_living_worker_that_cannot_be_reached_is_named() -> None:
    with Running() as gateway, gateway.greeted_by(1) as client:
        assert client.ask("unreachable") == "gone"
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        assert "worker 1 keeps generation 1: its channel is broken" in answer["error"]


def test_a_worker_that_starts_later_gets_the_generation_in_force() -> None:
    with Running(config={"workers": 1}) as gateway:
        gateway.ask("reload")
        gateway.ask("reload")
        os.kill(gateway.workers()[0]["pid"], signal.SIGKILL)
        with Greeted(gateway.port) as client:
            assert client.generation == 3


def test_a_worker_killed_during_a_reload_does_not_hold_it_up() -> None:
    with Running("--fault", "deaf", config={"workers": 1}) as gateway:
        answers: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(gateway.ask("reload")))
        asking.start()
        eventually(lambda: gateway.ask("stats")["generation"] == 2, "it is handed out")
        os.kill(gateway.workers()[0]["pid"], signal.SIGKILL)
        asking.join()
        assert answers[0]["ok"] is True
        gateway.all_ready()
        assert generations(gateway) == {2}


def test_reloads_asked_for_together_share_runs_and_see_the_latest_file() -> None:
    with Running() as gateway:
        answers: list[dict[str, Any]] = []
        threads = [threading.Thread(target=lambda: answers.append(gateway.ask("reload"))) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = gateway.ask("stats")
        assert len(answers) == 24 and all(answer["ok"] for answer in answers)
        assert stats["reloads"]["ok"] == stats["generation"] - 1 == 24 - stats["reloads"]["joined"]
        assert generations(gateway) == {stats["generation"]}


def test_a_storm_of_sighup_is_joined() -> None:
    with Running() as gateway:
        for _ in range(1000):
            gateway.signal(signal.SIGHUP)
        answer = gateway.ask("reload")  # behind all of them
        assert answer["ok"] is True
        stats = gateway.ask("stats")
        assert stats["reloads"]["ok"] == stats["generation"] - 1 < 100
        assert stats["reloads"]["failed"] == 0
        assert generations(gateway) == {stats["generation"]} == {answer["generation"]}


def test_a_policy_file_that_is_removed_keeps_the_policy_in_force() -> None:
    with Running() as gateway:
        manifest = {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "ClusterEgressPolicy",
            "metadata": {"name": "x"},
            "spec": {"to": [{"host": "example.com"}], "action": "Deny"},
        }
        (gateway.folder / "policies").mkdir()
        policy = gateway.folder / "policies" / "policy.yaml"
        policy.write_text(yaml.safe_dump(manifest))
        gateway.write(policy={"paths": [str(policy)], "passthrough": True})
        assert gateway.ask("reload")["ok"] is True
        asked = {"to": "example.com:443", "source": "10.0.0.1"}
        policy.unlink()
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        assert "sluice.yaml:" in answer["error"] and "policy.yaml" in answer["error"]
        assert gateway.ask("explain", **asked)["verdict"] == "deny"
        assert gateway.ask("stats")["problems"] == answer["error"].splitlines()
        (gateway.folder / "policies").rmdir()
        assert gateway.ask("reload")["ok"] is False
        os.kill(gateway.workers()[0]["pid"], signal.SIGKILL)
        eventually(lambda: gateway.workers()[0]["restarts"] == 1, "it is replaced")
        gateway.all_ready()
        assert generations(gateway) == {2}, "a new worker has the policy in force too"


def test_reloads_leave_no_descriptor_and_no_old_image_behind() -> None:
    with Running() as gateway:
        for _ in range(3):
            gateway.ask("reload")
        before = len(os.listdir(f"/proc/{gateway.pid}/fd"))
        for number in range(30):
            assert gateway.ask("reload")["ok"] is True
            assert gateway.ask("explain", to="example.com:443", source="10.0.0.1")["verdict"] == "allow"
            if number % 3 == 0:
                gateway.path.write_text("workers: [\n")
                assert gateway.ask("reload")["ok"] is False
                gateway.write()
        eventually(lambda: len(os.listdir(f"/proc/{gateway.pid}/fd")) <= before, "no descriptor more than before")
        maps = Path(f"/proc/{gateway.pid}/maps").read_text()
        assert maps.count("sluice-policy") == 1, "of the generation in force, for explain"


def test_reload_while_draining_is_refused() -> None:
    with Running() as gateway, Greeted(gateway.port):
        assert gateway.ask("drain")["ok"] is True
        answer = gateway.ask("reload")
        assert answer["ok"] is False and "draining" in answer["error"]


# The compile process, by itself.


def compiling(
    tmp_path: Path, script: str, timeout: float = 20.0, meanwhile: Callable[[int], None] | None = None
) -> str:
    """What Compiler says of a compile process that is this script."""
    path = tmp_path / "compile.py"
    path.write_text(script)

    async def run() -> str:
        loop = asyncio.get_running_loop()
        reaper = Reaper(loop)
        reaper.start()
        compiler = Compiler(loop, reaper, [sys.executable, str(path)], timeout)
        try:
            task = asyncio.ensure_future(compiler.compile("unused"))
            while meanwhile is not None and compiler.pid is None:
                await asyncio.sleep(0.01)
            if meanwhile is not None and compiler.pid is not None:
                meanwhile(compiler.pid)
            with pytest.raises(CompileFailed) as caught:
                await task
            while compiler.pid is not None:  # it is gone, and no zombie
                await asyncio.sleep(0.01)
            return str(caught.value)
        finally:
            reaper.stop()

    before = len(os.listdir("/proc/self/fd"))
    text = asyncio.run(run())
    assert len(os.listdir("/proc/self/fd")) == before
    return text


def test_a_crashed_compile_is_a_failed_reload(tmp_path: Path) -> None:
    assert "exit code 7" in compiling(tmp_path, "import sys; sys.exit(7)")


def test_a_compile_killed_for_memory_is_a_failed_reload(tmp_path: Path) -> None:
    text = compiling(tmp_path, "import time; time.sleep(60)", meanwhile=lambda pid: os.kill(pid, signal.SIGKILL))
    assert "SIGKILL" in text and "out of memory" in text


def test_a_hung_compile_is_ended(tmp_path: Path) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(60)\ntime.sleep(60)"  # its children go with it
    assert "more than 0.5 s" in compiling(tmp_path, script, timeout=0.5)


def test_a_compile_that_talks_nonsense_is_a_failed_reload(tmp_path: Path) -> None:
    text = compiling(tmp_path, "import os; os.write(3, b'\\0' * 100000)")
    assert "malformed" in text


def test_a_compile_that_cannot_be_started_is_a_failed_reload() -> None:
    async def run() -> str:
        loop = asyncio.get_running_loop()
        reaper = Reaper(loop)
        with pytest.raises(CompileFailed) as caught:
            await Compiler(loop, reaper, ["/no/such/program"]).compile("unused")
        return str(caught.value)

    assert "ENOENT" in asyncio.run(run())


def test_requests_during_a_run_are_joined_into_one_that_begins_after_them() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        begun: list[str] = []
        release = asyncio.Event()

        async def one(origin: str) -> Outcome:
            begun.append(origin)
            await release.wait()
            return Outcome(True, len(begun))

        reloader = Reloader(loop, one, Log(lambda line: None, plain=True))
        first = reloader.request("first")
        while not begun:
            await asyncio.sleep(0)
        late = [reloader.request(f"late {number}") for number in range(5)]
        assert len(begun) == 1
        release.set()
        assert (await first).generation == 1
        assert {(await outcome).generation for outcome in late} == {2}
        assert len(begun) == 2
        assert reloader.joined == 4
        assert (await reloader.request("again")).generation == 3

    asyncio.run(run())


def test_closing_answers_whoever_waits() -> None:
    async def run() -> None:
        async def never(origin: str) -> Outcome:
            await asyncio.Event().wait()
            raise AssertionError(origin)

        reloader = Reloader(asyncio.get_running_loop(), never, Log(lambda line: None, plain=True))
        running = reloader.request("one")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        queued = reloader.request("two")
        await reloader.close()
        assert (await running).ok is False
        assert (await queued).ok is False

    asyncio.run(run())
