"""One list of steps for channel and bus, played on the real worker and on the stand-in of the supervisor's tests: what
these tests learn of the one holds for the other.

Each step is a sentence of gateway/contract.py; the stage (tests/support/bus_stage.py) is the supervisor.
"""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.support.bus_stage import COMMANDS, BusStage
from tests.support.eventually import eventually


@pytest.fixture(params=COMMANDS)
def stage(request: pytest.FixtureRequest) -> Iterator[BusStage]:
    with BusStage(COMMANDS[request.param]) as made:
        yield made


def greet(stage: BusStage) -> None:
    """A worker says which process it is; its segment does as well."""
    assert stage.next() == {"op": "hello", "pid": stage.pid}
    assert stage.segment.header().pid == stage.pid


def load(stage: BusStage, generation: int) -> None:
    """The image goes ahead on the channel; the announcement is answered once everything that can fail has been done.
    The generation before stays active."""
    before = stage.segment.header().generation
    stage.give_image(generation)
    stage.send("load", generation=generation, settings=stage.settings())
    assert stage.next() == {"op": "loaded", "generation": generation, "ok": True, "error": None}
    assert stage.segment.header().generation == before


def activate(stage: BusStage, generation: int) -> None:
    """One store makes the loaded generation active; the message only wakes an idle loop."""
    stage.active.store(generation)
    stage.send("activate", generation=generation)
    assert stage.next() == {"op": "active", "generation": generation}
    assert stage.segment.header().generation == generation


def serve(stage: BusStage, generation: int) -> None:
    load(stage, generation)
    activate(stage, generation)


def unload(stage: BusStage, generation: int, active: int) -> None:
    """A generation that another worker cannot load does not become active, whatever the shared word says later."""
    load(stage, generation)
    stage.send("unload", generation=generation)
    fail_to_load(stage, generation + 1, active)  # its answer comes behind that
    stage.active.store(generation)
    stage.send("activate", generation=generation)
    beat(stage)
    assert stage.segment.header().generation == active
    stage.active.store(active)


def fail_to_load(stage: BusStage, generation: int, active: int) -> None:
    """Without its image a generation cannot be loaded: the reason is told, and the active one stays."""
    stage.send("load", generation=generation, settings=stage.settings())
    answer = stage.next()
    assert (answer["op"], answer["generation"], answer["ok"]) == ("loaded", generation, False) and answer["error"]
    assert stage.segment.header().generation == active


def beat(stage: BusStage) -> None:
    """An idle worker turns all the same, and shows it."""
    before = stage.segment.counters()["turns"]
    eventually(lambda: stage.segment.counters()["turns"] > before, "the worker's loop turns")


def adopt(stage: BusStage) -> None:
    """It accepts for a sibling from one message to the other; its own socket it keeps."""
    stage.send("adopt", slot=1)
    stage.accepts(1)
    stage.send("release", slot=1)
    stage.send("release", slot=0)
    serve(stage, 9)  # behind the two
    before = stage.segment.counters()["connections_accepted"]
    stage.connect(1)
    stage.accepts(0)
    assert stage.segment.counters()["connections_accepted"] == before + 1


def test_the_life_of_a_worker(stage: BusStage) -> None:
    greet(stage)
    stage.connect()  # nothing is accepted before the first generation
    fail_to_load(stage, 1, active=0)
    assert stage.segment.counters()["connections_accepted"] == 0
    load(stage, 2)
    beat(stage)
    assert stage.segment.counters()["connections_accepted"] == 0, "nothing is served before it is active"
    activate(stage, 2)
    eventually(lambda: stage.segment.counters()["connections_accepted"] == 1, "the client that waited is accepted")
    stage.accepts()
    beat(stage)
    fail_to_load(stage, 3, active=2)
    stage.accepts()
    serve(stage, 4)
    unload(stage, 5, active=4)
    stage.accepts()
    stage.send("no such message")
    adopt(stage)
    stage.send("stop")
    assert stage.ended() == 0


def test_a_drain_ends_with_the_last_connection(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    client = stage.accepts()
    stage.send("drain", seconds=60.0)
    stage.send("drain", seconds=0.001)  # the first one counts
    stage.send("adopt", slot=1)
    beat(stage)
    client.close()
    assert stage.next() == {"op": "drained"}
    assert stage.ended() == 0


def test_a_drain_of_an_idle_worker_is_over_at_once(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    stage.send("drain", seconds=60.0)
    assert stage.next() == {"op": "drained"}
    assert stage.ended() == 0


def test_a_drain_without_time_cuts_what_is_left(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    stage.accepts()
    stage.send("drain", seconds=0.05)
    assert stage.next() == {"op": "drained"}
    assert stage.ended() == 0


def kept(client: socket.socket) -> bool:
    """Whether a connection is still open."""
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        return client.recv(100) != b""
    return True


def test_listeners_come_and_go_with_generations(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    old, new = stage.listeners, stage.open_more(5)
    stage.numbers = [5]
    stage.leaving = [0]
    serve(stage, 2)
    stage.listeners = new
    stage.accepts()
    stage.listeners = old
    stage.accepts()  # until it is told to close them
    waiting = stage.connect(1)  # in the queue of a sibling that does not empty it
    before = stage.segment.counters()["connections_accepted"]
    stage.send("close", sockets=[0])
    assert stage.next() == {"op": "closed", "sockets": [0]}
    assert stage.segment.counters()["connections_accepted"] == before + 1
    stage.leaving = []
    address = old[0].getsockname()
    stage.close(old)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert kept(waiting)
    stage.listeners = new
    serve(stage, 3)
    stage.send("adopt", slot=1)
    stage.accepts(1)
    stage.send("close", sockets=[0, 77])  # long gone, and never there
    assert stage.next() == {"op": "closed", "sockets": [0, 77]}


def test_a_worker_between_two_sets_of_listeners_serves_both(stage: BusStage) -> None:
    """One that starts while a listener leaves inherits its sockets."""
    greet(stage)
    stage.listeners, old = stage.open_more(5), stage.listeners
    stage.numbers, stage.leaving = [5], [0]
    serve(stage, 1)
    stage.accepts()
    stage.listeners = old
    stage.accepts()


def test_sockets_are_left_to_another_gateway_and_accepted_clients_kept(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    client = stage.accepts()
    stage.send("leave")
    beat(stage)
    stage.connect()
    serve(stage, 2)
    assert stage.segment.counters()["connections_accepted"] == 1, "the queue is another's"
    stage.send("drain", seconds=60.0)
    beat(stage)
    client.close()
    assert stage.next() == {"op": "drained"}
    assert stage.ended() == 0


def test_sockets_left_before_the_first_generation_are_not_accepted_from(stage: BusStage) -> None:
    """Nothing says when a worker becomes active but the shared word: it may be between LOAD and ACTIVE."""
    greet(stage)
    stage.connect()
    stage.send("leave")
    serve(stage, 1)
    beat(stage)
    assert stage.segment.counters()["connections_accepted"] == 0
    stage.send("drain", seconds=60.0)
    assert stage.next() == {"op": "drained"}
    assert stage.ended() == 0


def test_a_drain_before_the_first_generation_is_over_at_once(stage: BusStage) -> None:
    greet(stage)
    stage.connect()
    stage.send("leave")
    stage.send("drain", seconds=60.0)
    assert stage.next() == {"op": "drained"}
    assert stage.segment.counters()["connections_accepted"] == 0
    assert stage.ended() == 0


def test_the_end_of_the_supervisor_is_a_drain(stage: BusStage) -> None:
    greet(stage)
    serve(stage, 1)
    stage.channel.close()
    assert stage.ended() == 0
