"""Reloads: all or nothing, acknowledged by every worker, one at a time, and what a broken compile process comes to."""

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from supervisor.generation.reload import Outcome, Reloader
from supervisor.identity.passwords import hash_password
from supervisor.logs.log import Log
from tests.support.eventually import eventually
from tests.support.harness import Greeted, Running
from tests.support.ports import free_port


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
            gateway.config_file.unlink()
        else:
            gateway.config_file.write_text(text)
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        assert place in answer["error"]
        line = eventually(lambda: gateway.events("reload_failed"), "the failure is logged")[0]
        assert line["message"] in answer["error"].splitlines()
        gateway.signal(signal.SIGHUP)
        eventually(lambda: gateway.ask("stats")["reloads"]["failed"] == 2, "SIGHUP does the same")
        stats = gateway.ask("stats")
        eventually(lambda: len(gateway.events("reload_failed")) == 2, "it is logged again")
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
        gateway.write(workers=5, admin={"token": "x" * 32})
        answer = gateway.ask("reload")
        assert answer["ok"] is True
        assert answer["restart_needed"] == ["workers", "admin"]
        assert gateway.ask("stats")["restart_needed"] == ["workers", "admin"]
        assert len(gateway.workers()) == 2
        with Greeted(gateway.port) as client:
            assert client.generation == 2
        gateway.write(**old)
        assert gateway.ask("reload")["restart_needed"] == []


def reasons(gateway: Running, *ports: int) -> list[str]:
    """Why tunnels to these ports of this machine are let pass, or not."""
    asked = [{"to": f"127.0.0.1:{port}", "source": "10.0.0.1"} for port in ports]
    return [gateway.ask("explain", **question)["reason"] for question in asked]


def test_addresses_that_wait_for_a_restart_are_guarded_as_those_in_force() -> None:
    with Running(config={"addresses": {"allow": ["127.0.0.0/8"]}}) as gateway:
        old, new, other = gateway.admin, free_port(), free_port()
        assert reasons(gateway, old, new, other) == ["own_address", "passthrough", "passthrough"]
        gateway.write(admin={"address": f"127.0.0.1:{new}"})
        assert gateway.ask("reload")["restart_needed"] == ["admin"]
        assert reasons(gateway, old, new, other) == ["own_address", "own_address", "passthrough"]
        gateway.ask("reload")
        assert reasons(gateway, old, new, other) == ["own_address", "own_address", "passthrough"], "as long as needed"
        gateway.write(admin={"address": f"127.0.0.1:{old}"})
        assert gateway.ask("reload")["restart_needed"] == []
        assert reasons(gateway, old, new, other) == ["own_address", "passthrough", "passthrough"]


def test_the_address_of_a_listener_is_guarded_as_long_as_it_is_there() -> None:
    with Running(config={"addresses": {"allow": ["127.0.0.0/8"]}}) as gateway:
        old, new = gateway.port, free_port()
        gateway.write(listeners=[{"name": "mesh", "address": f"127.0.0.1:{new}"}])
        answer = gateway.ask("reload")
        assert answer["restart_needed"] == []
        assert answer["listeners"] == [f"mesh: moved from 127.0.0.1:{old} to 127.0.0.1:{new}"]
        assert reasons(gateway, old, new) == ["passthrough", "own_address"]


def test_what_listeners_speak_needs_no_restart() -> None:
    """Their sockets are those of the start, and only their addresses stay with these."""
    with Running() as gateway:
        write_users(gateway, "secret")
        gateway.write(identity={"users": "users.yaml"})
        answer = gateway.ask("reload")
        assert (answer["ok"], answer["restart_needed"]) == (True, [])
        listener = {**gateway.config["listeners"][0], "name": "other", "auth": "required", "protocol": "http"}
        gateway.write(listeners=[listener])
        assert gateway.ask("reload")["restart_needed"] == []


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
            assert client.ask("verify stranger first") == "no"
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


def test_a_worker_that_cannot_load_it_is_named_and_the_old_generation_stays_everywhere() -> None:
    with Running("--quick", "--fault", "no-reload") as gateway:
        answer = gateway.ask("reload")
        assert answer["ok"] is False
        for slot in (0, 1):
            assert f"worker {slot} cannot load the new generation: this worker loads nothing" in answer["error"]
        assert generations(gateway) == {1}
        assert gateway.ask("stats")["generation"] == gateway.ask("policy")["generation"] == 1
        assert [worker["last_error"] for worker in gateway.workers()] == ["this worker loads nothing"] * 2
        assert {worker["state"] for worker in gateway.workers()} == {"ready"}


def test_one_worker_that_cannot_load_it_keeps_all_others_at_the_old_generation() -> None:
    with Running("--quick") as gateway:
        faulty(gateway, "no-reload", 1)
        with gateway.greeted_by(0) as other:
            answer = gateway.ask("reload")
            assert answer["ok"] is False
            assert answer["error"] == "worker 1 cannot load the new generation: this worker loads nothing"
            eventually(lambda: other.ask("loaded") == "0", "what the other one had loaded is gone")
        assert generations(gateway) == {1}
        with Greeted(gateway.port) as client:
            assert client.generation == 1
        (gateway.folder / "fault").unlink()
        replaced(gateway, 1)
        number = gateway.ask("reload")["generation"]
        assert number == 3, "a number that was not taken is not given again"
        assert generations(gateway) == {3}


def faulty(gateway: Running, fault: str, slot: int) -> None:
    """Replaces the worker of a slot by one with a fault."""
    (gateway.folder / "fault").write_text(fault)
    replaced(gateway, slot)


def replaced(gateway: Running, slot: int) -> None:
    before = gateway.workers()[slot]["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: gateway.workers()[slot]["pid"] not in (None, before), "it is replaced")
    gateway.all_ready()


def test_nothing_is_active_before_every_worker_has_loaded_it() -> None:
    with Running("--quick") as gateway, gateway.greeted_by(0) as other:
        faulty(gateway, "deaf", 1)
        answers: list[dict[str, Any]] = []
        reload = threading.Thread(target=lambda: answers.append(gateway.ask("reload")))
        reload.start()
        eventually(lambda: other.ask("loaded") == "2", "the other one has loaded it")
        seen = []
        while not gateway.events("worker_killed"):
            seen.append((gateway.ask("stats")["generation"], generations(gateway)))
        # It was killed between the last answer and the look at the log, or still lived.
        assert seen and all(found == (1, {1}) for found in seen[:-1]), seen
        reload.join()
        assert answers[0]["ok"] is True
        gateway.all_ready()
        assert generations(gateway) == {2}


def test_a_worker_that_loads_a_generation_and_does_not_follow_is_killed() -> None:
    with Running("--quick") as gateway:
        faulty(gateway, "lagging", 1)
        before = gateway.workers()[1]["pid"]
        (gateway.folder / "fault").unlink()
        assert gateway.ask("reload")["ok"] is True
        assert "it did not follow a generation within 1 s" in gateway.errors()
        assert gateway.workers()[1]["pid"] != before
        gateway.all_ready()
        assert generations(gateway) == {2}


def test_a_worker_that_greets_during_a_reload_gets_what_is_active_after_it() -> None:
    with Running("--quick", config={"workers": 3}) as gateway:
        faulty(gateway, "deaf", 2)
        (gateway.folder / "fault").unlink()
        answers: list[dict[str, Any]] = []
        reload = threading.Thread(target=lambda: answers.append(gateway.ask("reload")))
        with gateway.greeted_by(0) as other:
            reload.start()
            eventually(lambda: other.ask("loaded") == "2", "the reload waits for the one that is deaf")
        os.kill(gateway.workers()[1]["pid"], signal.SIGKILL)
        reload.join()
        assert answers[0]["ok"] is True
        gateway.all_ready()
        assert generations(gateway) == {2}


def test_a_worker_that_does_not_answer_is_killed_and_its_slot_starts_with_the_new_generation() -> None:
    with Running("--quick", "--fault", "deaf") as gateway:
        before = {worker["pid"] for worker in gateway.workers()}
        assert gateway.ask("reload")["ok"] is True
        assert not before & {worker["pid"] for worker in gateway.workers()}
        assert "it did not answer to a generation within 1 s" in gateway.errors()
        gateway.all_ready()
        assert generations(gateway) == {2}


def test_a_worker_that_dies_during_a_reload_does_not_refuse_it() -> None:
    """Its end of the channel goes before it can be reaped. Its successor has the new generation."""
    with Running() as gateway, gateway.greeted_by(1) as client, gateway.greeted_by(0) as other:
        assert client.ask("unreachable") == "gone"
        answers: list[dict[str, Any]] = []
        reload = threading.Thread(target=lambda: answers.append(gateway.ask("reload")))
        reload.start()
        eventually(lambda: other.ask("loaded") == "2", "the other one has loaded it")
        os.kill(client.pid, signal.SIGKILL)
        reload.join()
        assert answers[0]["ok"] is True, answers[0]
        eventually(lambda: generations(gateway) == {2}, "its successor follows as well")


def test_a_living_worker_that_cannot_be_reached_is_killed_and_its_slot_starts_with_the_new_generation() -> None:
    with Running() as gateway, gateway.greeted_by(1) as client:
        assert client.ask("unreachable") == "gone"
        assert gateway.ask("reload")["ok"] is True
        assert "its channel is broken" in gateway.errors()
        gateway.all_ready()
        assert generations(gateway) == {2}


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
        eventually(lambda: gateway.events("reload"), "it has begun")
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
        assert generations(gateway) == {2}, "a new worker has the active policy as well"


def test_reloads_leave_no_descriptor_and_no_old_image_behind() -> None:
    with Running() as gateway:
        for _ in range(3):
            gateway.ask("reload")
        before = len(os.listdir(f"/proc/{gateway.pid}/fd"))
        for number in range(30):
            assert gateway.ask("reload")["ok"] is True
            assert gateway.ask("explain", to="example.com:443", source="10.0.0.1")["verdict"] == "allow"
            if number % 3 == 0:
                gateway.config_file.write_text("workers: [\n")
                assert gateway.ask("reload")["ok"] is False
                gateway.write()
        eventually(lambda: len(os.listdir(f"/proc/{gateway.pid}/fd")) <= before, "no descriptor more than before")
        maps = Path(f"/proc/{gateway.pid}/maps").read_text()
        assert maps.count("sluice-policy") == 1, "of the active generation, for explain"


def test_reload_while_draining_is_refused() -> None:
    with Running() as gateway, Greeted(gateway.port):
        assert gateway.ask("drain")["ok"] is True
        answer = gateway.ask("reload")
        assert answer["ok"] is False and "draining" in answer["error"]


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
