"""An HTTP/2 CONNECT proxy on the h2 library that lies when told to: what the load generator has to see through."""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

# Given the bytes and how many went before: what to hand on; nothing ends the direction, None resets the stream.
Spoil = Callable[[bytes, int], bytes | None]
CHUNK: Final = 65536


def honest(data: bytes, seen: int) -> bytes | None:
    return data


class Stream:
    """One tunnel: its origin, and what could not be written yet."""

    def __init__(self, origin: socket.socket) -> None:
        self.origin = origin
        self.down = b""
        self.seen_up = self.seen_down = 0
        self.origin_ended = self.told = False


class Carrier:
    """One client's connection, in one thread."""

    def __init__(self, client: socket.socket, status: str, up: Spoil, down: Spoil) -> None:
        self.client, self.status, self.up, self.down = client, status, up, down
        self.streams: dict[int, Stream] = {}
        config = h2.config.H2Configuration(client_side=False)
        self.h2 = h2.connection.H2Connection(config)

    def run(self) -> None:
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), self.client:
            self.h2.initiate_connection()
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
            self.h2.increment_flow_control_window(1 << 24)
            while True:
                self.flush()
                readers = [self.client, *(s.origin for s in self.streams.values() if not s.origin_ended and not s.down)]
                for ready in select.select(readers, [], [])[0]:
                    if ready is self.client and not self.from_client():
                        return
                    for number, stream in list(self.streams.items()):
                        if stream.origin is ready:
                            self.from_origin(number, stream)
        for stream in self.streams.values():
            stream.origin.close()

    def flush(self) -> None:
        for number, stream in list(self.streams.items()):
            self.write_down(number, stream)
        if data := self.h2.data_to_send():
            self.client.sendall(data)

    def from_client(self) -> bool:
        data = self.client.recv(CHUNK)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                if self.status == "close":
                    self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                self.asked(event)
            elif isinstance(event, h2.events.DataReceived):
                self.data_up(event)
            elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.streams:
                self.streams[event.stream_id].origin.shutdown(socket.SHUT_WR)
                self.forget_ended(event.stream_id)
            elif isinstance(event, h2.events.StreamReset) and event.stream_id in self.streams:
                self.streams.pop(event.stream_id).origin.close()
        return True

    def asked(self, event: h2.events.RequestReceived) -> None:
        number = event.stream_id
        fields = dict(event.headers or [])
        assert fields[b":method"] == b"CONNECT"
        if self.status == "reset":
            self.h2.reset_stream(number)
        elif self.status != "silent":
            self.h2.send_headers(number, [(":status", self.status)], end_stream=self.status[0] != "2")
        if self.status == "200":
            host, _, port = fields[b":authority"].decode().partition(":")
            self.streams[number] = Stream(socket.create_connection((host, int(port))))

    def data_up(self, event: h2.events.DataReceived) -> None:
        if event.flow_controlled_length:
            self.h2.increment_flow_control_window(event.flow_controlled_length)
        stream = self.streams.get(event.stream_id)
        if stream is None or not event.data:
            return
        self.h2.increment_flow_control_window(event.flow_controlled_length, event.stream_id)
        stream.origin.sendall(self.up(event.data, stream.seen_up) or b"")
        stream.seen_up += len(event.data)

    def from_origin(self, number: int, stream: Stream) -> None:
        data = stream.origin.recv(CHUNK)
        spoiled = self.down(data, stream.seen_down) if data else b""
        if spoiled is None:
            self.h2.reset_stream(number)
            self.streams.pop(number).origin.close()
            return
        stream.seen_down += len(data)
        stream.down += spoiled
        stream.origin_ended = not spoiled

    def write_down(self, number: int, stream: Stream) -> None:
        while stream.down:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size, len(stream.down))
            if not room:
                return
            self.h2.send_data(number, stream.down[:room])
            stream.down = stream.down[room:]
        if stream.origin_ended and not stream.told:
            stream.told = True
            self.h2.end_stream(number)
            self.forget_ended(number)

    def forget_ended(self, number: int) -> None:
        if self.h2.streams[number].closed:
            self.streams.pop(number).origin.close()


@contextlib.contextmanager
def proxy(status: str = "200", up: Spoil = honest, down: Spoil = honest) -> Iterator[str]:
    """The address of one. `status`: what it answers, or `reset` (the stream), `close` (the connection), `silent`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=Carrier(client, status, up, down).run, daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
