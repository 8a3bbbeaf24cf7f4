"""Worker slots: what a worker inherits, and what happens when it dies, hangs or lies."""

import os
import signal
import socket
import threading
import time

from tests.support.eventually import PATIENCE, eventually
from tests.support.harness import Greeted, Running, alive


def kind(pid: int, fd: int) -> str:
    return os.readlink(f"/proc/{pid}/fd/{fd}")


def test_a_worker_inherits_its_descriptors_and_nothing_else() -> None:
    stray, end = os.pipe()
    with Running(pass_fds=[stray]) as gateway:
        os.close(stray)
        os.close(end)
        first, second = (worker["pid"] for worker in gateway.all_ready())
        for pid in (first, second):
            assert kind(pid, 0) == "/dev/null"
            assert kind(pid, 1) == kind(pid, 2) == kind(gateway.pid, 2), "stdout may carry the access log: not theirs"
            assert kind(pid, 3).startswith("socket:") and kind(pid, 4).startswith("/memfd:sluice-segment")
            assert os.getpgid(pid) == pid
            assert os.getsid(pid) == gateway.pid
        # The table of limits, the active generation and the listening sockets are the supervisor's own, the same in
        # both; segment and channel are not.
        ours = {kind(gateway.pid, int(fd)) for fd in os.listdir(f"/proc/{gateway.pid}/fd")}
        assert kind(first, 5) == kind(second, 5) in ours and kind(first, 5).startswith("/memfd:sluice-limits")
        assert kind(first, 6) == kind(second, 6) in ours and kind(first, 6).startswith("/memfd:sluice-active")
        assert kind(first, 7) == "anon_inode:[eventfd]"
        assert kind(first, 8) == kind(second, 8) in ours
        assert kind(first, 9) == kind(second, 9) in ours
        assert kind(first, 8) != kind(first, 9)
        assert kind(first, 3) != kind(second, 3)
        # No end of a sibling's channel, no lock, no image, no file of the parent process: what is beyond 9 a
        # worker opened itself (its mappings of segment and active generation are two).
        shared = {kind(first, int(fd)) for fd in os.listdir(f"/proc/{first}/fd") if int(fd) > 9}
        assert {name for name in shared & ours if not name.startswith("anon_inode:")} == {
            kind(first, 4),
            kind(first, 6),
        }


def test_a_worker_that_is_still_starting_survives_stray_signals() -> None:
    """HUP, INT, TERM and USR1 are blocked from the first instruction on."""
    with Running(config={"workers": 1}) as gateway:
        (before,) = gateway.all_ready()
        os.kill(before["pid"], signal.SIGKILL)
        starting = eventually(
            lambda: [worker["pid"] for worker in gateway.workers() if worker["pid"] not in (None, before["pid"])],
            "its successor is there",
        )[0]
        for stray in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(starting, stray)
        (after,) = gateway.all_ready()
        assert (after["pid"], after["restarts"]) == (starting, 1)


def test_a_killed_worker_is_replaced_on_the_same_sockets() -> None:
    with Running(config={"workers": 1}) as gateway:
        (before,) = gateway.all_ready()
        for turn in range(3):
            with Greeted(gateway.port) as client:
                os.kill(client.pid, signal.SIGKILL)
                assert client.line() == "", "its own connections end with it"
            # This one waits in the socket's queue: no worker refuses it.
            with Greeted(gateway.port) as client:
                assert client.pid != before["pid"]
                assert client.ask("hello") == "hello"
            (after,) = gateway.all_ready()
            assert after["restarts"] == turn + 1
            assert "SIGKILL" in after["last_exit"]
        assert gateway.ask("stats")["supervisor"]["worker_restarts"] == 3


def test_siblings_accept_for_a_slot_without_worker_and_stop_when_it_is_back() -> None:
    """Slot 0's workers cannot send HELLO any more: all of its queue goes to slot 1, which gives it back later."""
    with Running("--quick") as gateway:
        victim = gateway.all_ready()[0]["pid"]
        os.kill(victim, signal.SIGSTOP)
        try:
            # Connections to slot 0's socket wait: the worker is alive, and does nothing.
            waiting = [socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) for _ in range(16)]
        finally:
            os.kill(victim, signal.SIGKILL)
        pids = set()
        for client in waiting:
            slot, pid, _ = client.makefile("rb").readline().split()
            assert int(slot) in (0, 1) and int(pid) != victim
            pids.add(int(pid))
            client.close()
        assert gateway.all_ready()[1]["pid"] in pids, "the sibling took its own and some of slot 0's"
        # Back: the new worker of slot 0 gets what the kernel gives to its socket.
        gateway.greeted_by(0).close()
        gateway.greeted_by(1).close()


def test_a_worker_that_hangs_while_serving_is_killed_and_replaced() -> None:
    with Running("--quick", config={"workers": 1}) as gateway:
        (before,) = gateway.all_ready()
        with Greeted(gateway.port) as client:
            assert client.ask("hang") == "hanging"
            # This one waits in the queue of a worker that will never look at it.
            with Greeted(gateway.port) as other:
                assert other.pid != before["pid"]
            assert client.line() == ""
        (killed,) = gateway.events("worker_killed")
        assert killed["pid"] == before["pid"] and "has not turned for 1 s" in killed["why"]
        assert gateway.ask("stats")["supervisor"]["workers_hung"] == 1
        (after,) = gateway.all_ready()
        assert "SIGKILL" in after["last_exit"]


def test_siblings_accept_for_a_worker_that_stands_still_until_it_turns_again() -> None:
    """It is never killed here: each client that the kernel gave to its socket is served all the same."""
    with Running("--patient") as gateway:
        for victim in (0, 1, 0):
            pid = gateway.all_ready()[victim]["pid"]
            said = len(gateway.events("adopted")), len(gateway.events("released"))
            os.kill(pid, signal.SIGSTOP)
            try:
                eventually(lambda said=said: len(gateway.events("adopted")) > said[0], "its siblings accept for it")  # type: ignore[misc]
                for _ in range(30):
                    with Greeted(gateway.port) as client:
                        assert client.slot == 1 - victim
            finally:
                os.kill(pid, signal.SIGCONT)
            eventually(lambda said=said: len(gateway.events("released")) > said[1], "it accepts alone again")  # type: ignore[misc]
            gateway.greeted_by(victim).close()
        assert [worker["restarts"] for worker in gateway.all_ready()] == [0, 0]


def test_workers_that_all_stand_still_serve_again_once_they_turn() -> None:
    with Running("--patient") as gateway:
        pids = [worker["pid"] for worker in gateway.all_ready()]
        earlier = {event: len(gateway.events(event)) for event in ("adopted", "released")}

        def slots(event: str) -> set[int]:
            return {line["slot"] for line in gateway.events(event)[earlier[event] :]}

        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: slots("adopted") == {0, 1}, "both stand still")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: slots("released") == {0, 1}, "both turn again")
        for slot in (0, 1):
            gateway.greeted_by(slot).close()
        assert [worker["pid"] for worker in gateway.all_ready()] == pids


def test_a_worker_that_hangs_while_draining_does_not_hold_the_end_up() -> None:
    with Running("--quick", config={"workers": 2, "shutdown": {"drain": "1h"}}) as gateway:
        gateway.all_ready()
        with Greeted(gateway.port) as client:
            assert client.ask("hang") == "hanging"
            gateway.signal(signal.SIGTERM)
            assert gateway.wait() == 0
        assert gateway.nothing_left()


def test_idle_workers_are_left_alone() -> None:
    with Running("--quick") as gateway:
        before = [worker["pid"] for worker in gateway.all_ready()]
        time.sleep(1.5)
        assert [worker["pid"] for worker in gateway.all_ready()] == before
        assert gateway.ask("stats")["supervisor"]["workers_hung"] == 0


def test_a_slot_whose_worker_hangs_at_start_is_served_by_its_sibling() -> None:
    with Running("--quick") as gateway:
        gateway.all_ready()
        switch = gateway.folder / "fault"
        switch.write_text("mute")
        victim = gateway.workers()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: gateway.events("worker_killed", slot=0), "the mute one is killed")
        for _ in range(20):
            with Greeted(gateway.port) as client:
                assert client.slot == 1
        switch.unlink()
        gateway.greeted_by(0).close()
        gateway.all_ready()
        # Given back: were slot 1 still accepting from slot 0's socket, it would win some of these.
        answered = []
        for _ in range(40):
            with Greeted(gateway.port) as client:
                answered.append(client.slot)
        assert set(answered) == {0, 1}


def test_restarts_back_off_and_a_crash_loop_is_reported() -> None:
    with Running("--quick") as gateway:
        gateway.all_ready()
        (gateway.folder / "fault").write_text("exit")
        os.kill(gateway.workers()[1]["pid"], signal.SIGKILL)
        eventually(lambda: gateway.events("crash_loop", slot=1), "the crash loop is reported")
        delays = [event["restart_in"] for event in gateway.events("worker_lost", slot=1)]
        assert delays[:5] == [0.0, 0.02, 0.04, 0.08, 0.16]
        looping = gateway.workers()[1]
        assert looping["crash_loop"] is True
        assert looping["last_exit"] == "exit code 3"
        with Greeted(gateway.port) as client:
            assert client.slot == 0
        eventually(lambda: len(gateway.events("worker_lost", slot=1)) >= 8, "it goes on trying")
        assert max(event["restart_in"] for event in gateway.events("worker_lost", slot=1)) == 0.2
        (gateway.folder / "fault").unlink()
        eventually(lambda: not gateway.workers()[1]["crash_loop"], "health ends the loop")
        assert gateway.all_ready()[1]["state"] == "ready"


def test_a_worker_that_dies_again_and_again_after_some_service_is_restarted_at_once_and_reported() -> None:
    """As by requests that kill it: neither waiting nor silence would help."""
    with Running(config={"workers": 1}) as gateway:
        for number in range(1, 6):
            gateway.all_ready()
            time.sleep(0.6)
            with Greeted(gateway.port) as client:
                os.kill(client.pid, signal.SIGKILL)
            eventually(lambda number=number: gateway.workers()[0]["restarts"] == number, "it is replaced")  # type: ignore[misc]
        eventually(lambda: gateway.events("crash_loop"), "it is reported")
        assert [event["restart_in"] for event in gateway.events("worker_lost")] == [0.0] * 5
        (event,) = gateway.events("crash_loop")
        assert "5 workers of one slot died within 60 s" in event["message"]
        assert gateway.all_ready()[0]["crash_loop"] is True


def test_a_gateway_whose_workers_cannot_start_says_so_and_ends() -> None:
    gateway = Running("--quick", "--fault", "exit").launch()
    try:
        assert gateway.wait() == 1
        assert "no worker starts: exit code 3" in gateway.errors()
        assert "Traceback" not in gateway.errors()
        assert gateway.nothing_left()
    finally:
        gateway.__exit__()


def test_workers_that_cannot_load_are_replaced_not_served_with() -> None:
    gateway = Running("--quick", "--fault", "no-load").launch()
    try:
        assert gateway.wait() == 1
        assert gateway.events("load_failed", error="this worker loads nothing")
        assert gateway.nothing_left()
    finally:
        gateway.__exit__()


def test_counters_outlive_a_worker_and_gauges_do_not() -> None:
    with Running(config={"workers": 1}) as gateway:
        clients = [Greeted(gateway.port) for _ in range(3)]
        counters = gateway.ask("stats")["counters"]
        assert (counters["connections_accepted_total"], counters["connections_open"]) == (3, 3)
        os.kill(clients[0].pid, signal.SIGKILL)
        eventually(lambda: gateway.workers()[0]["restarts"] == 1, "it is replaced")
        gateway.all_ready()
        counters = gateway.ask("stats")["counters"]
        assert (counters["connections_accepted_total"], counters["connections_open"]) == (3, 0)
        with Greeted(gateway.port):
            assert gateway.ask("stats")["counters"]["connections_accepted_total"] == 4
        for client in clients:
            client.close()


def test_workers_end_with_a_supervisor_that_is_killed() -> None:
    """End of file on the channel tells them: no sibling may hold a copy of the other end."""
    with Running(config={"workers": 3}) as gateway:
        pids = [worker["pid"] for worker in gateway.all_ready()]
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        eventually(lambda: not any(alive(pid) for pid in pids), "the workers have ended")


def test_a_gateway_can_start_again_where_one_was_killed() -> None:
    with Running() as gateway:
        gateway.all_ready()
        gateway.signal(signal.SIGKILL)
        gateway.wait()
        assert (gateway.folder / "run/control").exists(), "stale"
        (gateway.folder / "err.log").unlink()
        with gateway:
            assert len(gateway.all_ready()) == 2
            Greeted(gateway.port).close()


def test_many_connections_during_restarts_are_all_answered() -> None:
    """Four workers, one killed again and again: only connections in its hands may be lost."""
    with Running(config={"workers": 4}) as gateway:
        lost = 0
        stop = threading.Event()

        def kill() -> None:
            while not stop.is_set():
                for worker in gateway.workers():
                    if worker["slot"] == 2 and worker["state"] == "ready":
                        os.kill(worker["pid"], signal.SIGKILL)
                time.sleep(0.05)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for _ in range(200):
                try:
                    with Greeted(gateway.port) as client:
                        client.socket.sendall(b"x\n")
                        lost += client.line() != "x"
                except (ConnectionResetError, BrokenPipeError):
                    lost += 1
        finally:
            stop.set()
            killer.join(PATIENCE)
        restarts = gateway.workers()[2]["restarts"]
        assert restarts > 0
        assert lost <= restarts, "at most the one in its hands, each time"
        gateway.all_ready()
