"""A real worker process without policy, for the supervisor's tests: it obeys channel and bus as gateway.worker does,
greets each connection with `<slot> <pid> <generation>` and echoes what comes. `verify USER PASSWORD` asks the bus, `log
TEXT` logs, `raw HEX` sends any bytes on the bus, `orphan` leaves one behind, `hang` ends all turns, `unreachable`
closes its channel.

--fault makes it a bad one: `exit` (ends at once), `mute` (never says HELLO), `no-load` (cannot load anything),
`no-reload` (cannot load a second generation), `deaf` (answers no second LOAD), `stubborn` (ignores STOP and DRAIN).
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

from gateway import contract
from supervisor.segment import COUNTERS

IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
TURNS_AT = 64 + 8 * COUNTERS.index("turns")


class StandIn:
    """One thread, one selector."""

    def __init__(self, slot: int, slots: int, listeners: int, bus: str, fault: str) -> None:
        self.slot, self.fault = slot, fault
        self.selector = selectors.DefaultSelector()
        self.segment = mmap.mmap(contract.FD_SEGMENT, 4096)
        self.channel = socket.socket(fileno=contract.FD_CHANNEL)
        self.channel.setblocking(False)
        self.sockets = {
            owner: [socket.socket(fileno=contract.listener_fd(owner, index, listeners)) for index in range(listeners)]
            for owner in range(slots)
        }
        self.context = zmq.Context()
        self.bus = self.context.socket(zmq.DEALER)
        self.bus.setsockopt(zmq.ROUTING_ID, f"worker-{slot}-{os.getpid()}".encode())
        self.bus.setsockopt(zmq.LINGER, 500)
        self.bus.connect(bus)
        self.images: dict[int, int] = {}
        self.generation = 0
        self.loads = 0
        self.open: set[int] = set()
        self.clients: dict[socket.socket, bytes] = {}
        self.asking: dict[int, socket.socket] = {}
        self.deadline: float | None = None
        self.done = False

    def run(self) -> None:
        struct.pack_into("<I", self.segment, 12, os.getpid())
        self.selector.register(self.channel, selectors.EVENT_READ, self.on_channel)
        self.selector.register(int(self.bus.getsockopt(zmq.FD)), selectors.EVENT_READ, self.on_bus)
        if self.fault != "mute":
            self.send(contract.HELLO, pid=os.getpid())
        while not self.done:
            (turns,) = struct.unpack_from("<Q", self.segment, TURNS_AT)
            struct.pack_into("<Q", self.segment, TURNS_AT, turns + 1)
            self.on_bus()
            for key, _ in self.selector.select(0.05):
                handler: Callable[[], None] = key.data
                handler()
            if self.deadline is not None and (not self.clients or time.monotonic() > self.deadline):
                self.send(contract.DRAINED)
                self.done = True
        self.bus.close()
        self.context.term()

    def send(self, op: str, **fields: Any) -> None:
        self.bus.send(msgspec.msgpack.encode({"op": op, "slot": self.slot, **fields}))

    def on_channel(self) -> None:
        while True:
            try:
                packet, ancillary, _, _ = self.channel.recvmsg(4096, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            if not packet:
                sys.exit(0)  # the supervisor is gone
            number = msgspec.msgpack.decode(packet)["generation"]
            for _, _, data in ancillary:
                self.images[number] = array.array("i", data)[0]

    def on_bus(self) -> None:
        while int(self.bus.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            message = msgspec.msgpack.decode(self.bus.recv())
            getattr(self, "on_" + message["op"])(message)

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
        self.generation = number
        assert len(message["settings"]["listeners"]) == len(self.sockets[self.slot])
        self.accept_from(self.slot)
        self.send(contract.LOADED, generation=number, ok=True, error=None)

    def on_adopt(self, message: dict[str, Any]) -> None:
        self.accept_from(message["slot"])

    def on_release(self, message: dict[str, Any]) -> None:
        self.stop_accepting(message["slot"])

    def on_drain(self, message: dict[str, Any]) -> None:
        if self.fault != "stubborn":
            for owner in list(self.sockets):
                self.stop_accepting(owner)
                for listener in self.sockets.pop(owner):
                    listener.close()
            self.deadline = time.monotonic() + message["seconds"]

    def on_stop(self, _message: dict[str, Any]) -> None:
        self.done = self.fault != "stubborn"

    def on_verified(self, message: dict[str, Any]) -> None:
        client = self.asking.pop(message["id"])
        words = {contract.RIGHT: "yes", contract.WRONG: "no", contract.BUSY: "busy", contract.LIMITED: "limited"}
        client.sendall(f"{words[message['result']]}\n".encode())

    def accept_from(self, owner: int) -> None:
        if owner not in self.open:
            self.open.add(owner)
            for listener in self.sockets[owner]:
                self.selector.register(
                    listener, selectors.EVENT_READ, lambda listener=listener: self.on_accept(listener)
                )

    def stop_accepting(self, owner: int) -> None:
        if owner in self.open:
            self.open.discard(owner)
            for listener in self.sockets[owner]:
                self.selector.unregister(listener)

    def on_accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            return  # a sibling was faster
        accepted = struct.unpack_from("<Q", self.segment, 64)[0] + 1
        client.setblocking(True)
        self.clients[client] = b""
        struct.pack_into("<QQ", self.segment, 64, accepted, len(self.clients))
        self.selector.register(client, selectors.EVENT_READ, lambda: self.on_client(client))
        client.sendall(f"{self.slot} {os.getpid()} {self.generation}\n".encode())

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
            self.send(contract.LOG, level="tunnel", count=len(rest), text=b"".join(text + b"\n" for text in rest))
            client.sendall(b"logged\n")
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
    for name in ("slot", "slots", "listeners"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--bus", required=True)
    arguments = parser.parse_args()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
    # A test may change its mind: a file `fault` beside the control folder counts for whoever starts then.
    switch = Path(arguments.bus.removeprefix("ipc://")).parents[1] / "fault"
    if switch.exists():
        arguments.fault = switch.read_text()
    if arguments.fault == "exit":
        sys.exit(3)
    StandIn(arguments.slot, arguments.slots, arguments.listeners, arguments.bus, arguments.fault).run()


if __name__ == "__main__":
    main()
