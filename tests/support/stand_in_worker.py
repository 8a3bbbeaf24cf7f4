"""A real worker process without policy, for the supervisor's tests. It obeys channel and bus as gateway.worker does:
tests/gateway/worker/test_bus_protocol.py plays the same steps on both.

It greets each connection with `<slot> <pid> <generation>` and echoes what comes. `verify USER PASSWORD` asks the bus,
`log TEXT` logs, `loaded` tells the generation that may become active, `raw HEX` sends any bytes on the bus, `orphan`
leaves one behind, `hang` ends all turns, `unreachable` closes its channel.

--fault makes it a bad one: `exit` (ends at once), `mute` (never says HELLO), `no-load` (cannot load anything),
`no-reload` (cannot load a second generation), `deaf` (answers no second LOAD), `lagging` (makes no second one active),
`stubborn` (ignores STOP and DRAIN).
"""

import argparse
import array
import mmap
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import zmq

from gateway import contract, tables
from gateway.contract import LOG_LEVELS
from supervisor.segment.segment import COUNTERS

IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
PLACES = {name: at for name, at, _ in tables.SEGMENT_FIELDS}
TURNS_AT, ACCEPTED_AT, OPEN_AT = (
    tables.COUNTERS_AT + 8 * COUNTERS.index(name) for name in ("turns", "connections_accepted", "connections_open")
)


class StandIn:
    """One thread, one selector."""

    def __init__(self, slot: int, slots: int, numbers: list[int], bus: str, fault: str) -> None:
        self.slot, self.fault = slot, fault
        self.selector = selectors.DefaultSelector()
        self.segment = mmap.mmap(contract.FD_SEGMENT, 0)
        self.channel = socket.socket(fileno=contract.FD_CHANNEL)
        self.channel.setblocking(False)
        self.sockets = {
            (number, owner): socket.socket(fileno=contract.listener_fd(owner, index, len(numbers)))
            for index, number in enumerate(numbers)
            for owner in range(slots)
        }
        self.loaded_numbers: set[int] = set()
        self.numbers: set[int] = set()  # of the active generation
        self.watched: set[socket.socket] = set()
        self.context = zmq.Context()
        self.bus = self.context.socket(zmq.DEALER)
        self.bus.setsockopt(zmq.ROUTING_ID, f"worker-{slot}-{os.getpid()}".encode())
        self.bus.setsockopt(zmq.LINGER, 500)
        self.bus.connect(bus)
        self.images: dict[int, int] = {}
        self.active = mmap.mmap(contract.FD_ACTIVE, 8, prot=mmap.PROT_READ)
        self.generation = self.loaded = 0
        self.drain_seconds = 0.0
        self.loads = 0
        self.open: set[int] = set()
        self.clients: dict[socket.socket, bytes] = {}
        self.asking: dict[int, socket.socket] = {}
        self.deadline: float | None = None
        self.done = False

    def run(self) -> None:
        struct.pack_into("<I", self.segment, PLACES["pid"], os.getpid())
        self.selector.register(self.channel, selectors.EVENT_READ, self.on_channel)
        self.selector.register(int(self.bus.getsockopt(zmq.FD)), selectors.EVENT_READ, self.on_bus)
        if self.fault != "mute":
            self.send(contract.HELLO, pid=os.getpid())
        while not self.done:
            (turns,) = struct.unpack_from("<Q", self.segment, TURNS_AT)
            struct.pack_into("<Q", self.segment, TURNS_AT, turns + 1)
            self.on_bus()
            ready = self.selector.select(0.05)
            self.follow()
            for key, _ in ready:
                handler: Callable[[], None] = key.data
                handler()
            if self.deadline is not None and (not self.clients or time.monotonic() > self.deadline):
                self.send(contract.DRAINED)
                self.done = True
        self.bus.close()
        self.context.term()

    def send(self, op: str, **fields: Any) -> None:
        self.bus.send(msgspec.msgpack.encode({"op": op, "slot": self.slot, **fields}))

    def log(self, text: bytes) -> None:
        """Lines about tunnels, in the ring of csrc/shared/pending_log.h."""
        at = tables.LOGS_AT + LOG_LEVELS.index("tunnel") * tables.LOG_SIZE
        written, taken, origin = struct.unpack_from("<QQQ", self.segment, at)
        if written == taken:
            origin = written
            struct.pack_into("<Q", self.segment, at + 16, origin)
        begin = at + 256 + written - origin
        self.segment[begin : begin + len(text)] = text
        struct.pack_into("<Q", self.segment, at, written + len(text))
        os.eventfd_write(contract.FD_LOG, 1)

    def on_channel(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self.channel.recvmsg(65536, socket.CMSG_SPACE(4 * contract.CHANNEL_FILES))
            except BlockingIOError:
                return
            if not packet:  # the supervisor is gone
                self.selector.unregister(self.channel)
                self.on_drain({"seconds": self.drain_seconds})
                return
            content = msgspec.msgpack.decode(packet)
            descriptors = [descriptor for _, _, data in ancillary for descriptor in array.array("i", data)]
            if "generation" in content:
                self.images[content["generation"]] = descriptors[0]
            for (number, owner), descriptor in zip(content.get("sockets", ()), descriptors, strict=False):
                self.sockets[number, owner] = socket.socket(fileno=descriptor)

    def on_bus(self) -> None:
        while int(self.bus.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message = msgspec.msgpack.decode(self.bus.recv())
            getattr(self, "on_" + message["op"], lambda _: None)(message)

    def on_load(self, message: dict[str, Any]) -> None:
        self.loads += 1
        if self.fault == "deaf" and self.loads > 1:
            return
        self.on_channel()
        number = message["generation"]
        if self.fault == "no-load" or (self.fault == "no-reload" and self.loads > 1):
            self.send(contract.LOADED, generation=number, ok=False, error="this worker loads nothing")
            return
        if number not in self.images:
            self.send(contract.LOADED, generation=number, ok=False, error="no image came")
            return
        os.close(self.images.pop(number))
        self.loaded, self.drain_seconds = number, message["settings"]["drain"]
        listeners = message["settings"]["listeners"]
        self.loaded_numbers = {number for one in listeners for number in (one["sockets"], *one["leaving"])}
        self.send(contract.LOADED, generation=number, ok=True, error=None)
        self.follow()

    def follow(self) -> None:
        if self.fault == "lagging" and self.generation:
            return
        if self.loaded and self.loaded == struct.unpack_from("<Q", self.active)[0]:
            self.generation, self.loaded = self.loaded, 0
            struct.pack_into("<Q", self.segment, PLACES["generation"], self.generation)
            self.on_channel()
            self.numbers = self.loaded_numbers
            self.open.add(self.slot)
            self.watch()
            self.send(contract.ACTIVE, generation=self.generation)

    def on_activate(self, _message: dict[str, Any]) -> None:
        self.follow()

    def on_unload(self, message: dict[str, Any]) -> None:
        if self.loaded == message["generation"]:
            self.loaded = 0

    def on_adopt(self, message: dict[str, Any]) -> None:
        if self.generation and self.deadline is None:
            self.open.add(message["slot"])
            self.watch()

    def on_release(self, message: dict[str, Any]) -> None:
        if message["slot"] != self.slot:
            self.open.discard(message["slot"])
            self.watch()

    def on_close(self, message: dict[str, Any]) -> None:
        for key in [key for key in self.sockets if key[0] in message["sockets"]]:
            while self.generation and self.on_accept(self.sockets[key]):
                pass
            self.close(key)
        self.send(contract.CLOSED, sockets=message["sockets"])

    def on_leave(self, _message: dict[str, Any]) -> None:
        for key in list(self.sockets):
            self.close(key)

    def on_drain(self, message: dict[str, Any]) -> None:
        if self.fault != "stubborn" and self.deadline is None:
            self.on_leave({})
            self.deadline = time.monotonic() + message["seconds"]

    def on_stop(self, _message: dict[str, Any]) -> None:
        self.done = self.fault != "stubborn"

    def on_verified(self, message: dict[str, Any]) -> None:
        client = self.asking.pop(message["id"])
        words = {contract.RIGHT: "yes", contract.WRONG: "no", contract.BUSY: "busy", contract.LIMITED: "limited"}
        client.sendall(f"{words[message['result']]}\n".encode())

    def watch(self) -> None:
        """Accepts from the slots in `open`, as far as their numbers are active."""
        wanted = {one for (number, owner), one in self.sockets.items() if owner in self.open and number in self.numbers}
        for listener in self.watched - wanted:
            self.selector.unregister(listener)
        for listener in wanted - self.watched:
            self.selector.register(listener, selectors.EVENT_READ, lambda one=listener: self.on_accept(one))
        self.watched = wanted

    def close(self, key: tuple[int, int]) -> None:
        listener = self.sockets.pop(key)
        self.watch()
        listener.close()

    def on_accept(self, listener: socket.socket) -> bool:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return False  # a sibling was faster
        accepted = struct.unpack_from("<Q", self.segment, ACCEPTED_AT)[0] + 1
        client.setblocking(True)
        self.clients[client] = b""
        struct.pack_into("<Q", self.segment, ACCEPTED_AT, accepted)
        struct.pack_into("<Q", self.segment, OPEN_AT, len(self.clients))
        self.selector.register(client, selectors.EVENT_READ, lambda: self.on_client(client))
        client.sendall(f"{self.slot} {os.getpid()} {self.generation}\n".encode())
        return True

    def on_client(self, client: socket.socket) -> None:
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(client)
            del self.clients[client]
            client.close()
            return
        self.clients[client] += data
        while b"\n" in self.clients[client]:
            line, _, self.clients[client] = self.clients[client].partition(b"\n")
            self.on_line(client, line)

    def on_line(self, client: socket.socket, line: bytes) -> None:
        word, *rest = line.split(b" ")
        if word == b"verify":
            number = len(self.asking) + 1
            self.asking[number] = client
            self.send(contract.VERIFY, id=number, source=1, user=rest[0], password=rest[1])
        elif word == b"log":
            self.log(b"".join(text + b"\n" for text in rest))
            client.sendall(b"logged\n")
        elif word == b"loaded":
            client.sendall(b"%d\n" % self.loaded)
        elif word == b"raw":
            self.bus.send(bytes.fromhex(rest[0].decode()))
            client.sendall(b"sent\n")
        elif word == b"hang":
            client.sendall(b"hanging\n")
            time.sleep(3600)
        elif word == b"unreachable":
            self.selector.unregister(self.channel)
            self.channel.close()
            client.sendall(b"gone\n")
        elif word == b"orphan":
            client.sendall(b"%d\n" % orphan())
        else:
            client.sendall(line + b"\n")


def orphan() -> int:
    """Starts a process whose parent ends at once; its pid."""
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.write(writer, b"%d" % child)
        os._exit(0)
    os.waitpid(parent, 0)
    os.close(writer)
    with open(reader, "rb") as answer:
        return int(answer.read())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fault", default="")
    for name in ("slot", "slots"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("listeners", "bus"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    # A test may change its mind: a file `fault` beside the control folder counts for workers that start later.
    switch = Path(arguments.bus.removeprefix("ipc://")).parents[1] / "fault"
    if switch.exists():
        arguments.fault = switch.read_text()
    if arguments.fault == "exit":
        sys.exit(3)
    numbers = [int(number) for number in arguments.listeners.split(",") if number]
    StandIn(arguments.slot, arguments.slots, numbers, arguments.bus, arguments.fault).run()


if __name__ == "__main__":
    main()
