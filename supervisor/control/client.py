"""The other end of the control endpoint: one question, one answer, synchronous. What the command line uses."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, cast

import msgspec
import zmq

from supervisor.control.curve import load_client
from supervisor.host.endpoint import endpoint_path, tcp_endpoint
from supervisor.host.errors import StartError
from supervisor.host.zmq_port import MAX_MESSAGE

__all__ = ["ControlClient", "ControlError"]


ELSEWHERE: Final = (
    "is `sluice run` up? One that was started before control.endpoint was changed still answers at the old endpoint:\n"
    "name that with --endpoint, or send it SIGHUP"
)
REFUSED_KEY: Final = "it may be down, or not know this key: its control-keys/clients must hold client.key"


class ControlError(Exception):
    """The gateway did not answer, or answered {ok: false}; the text is for people."""


class ControlClient:
    """`endpoint` is control.endpoint; `timeout` in seconds, for each call; `keys` is the folder of curve.py, for an
    endpoint over tcp://."""

    def __init__(self, endpoint: str, timeout: float = 10.0, keys: Path | None = None) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._context.destroy(linger=0)

    def call(self, request: Mapping[str, object]) -> dict[str, object]:
        """Sends {op: ..., ...} and returns the answer when its `ok` is true. Raises ControlError otherwise."""
        answer = self.ask(request)
        if answer.get("ok") is not True:
            raise ControlError(str(answer.get("error") or "the gateway refused and gave no reason"))
        return answer

    def _prepare(self, socket: "zmq.Socket[bytes]") -> None:
        """Checks of the endpoint before it is connected to. Raises ControlError when no gateway can be there."""
        try:
            if tcp_endpoint(self.endpoint):
                if self._keys is None:
                    raise ControlError(f"{self.endpoint} needs CURVE keys, and no folder of keys is known")
                load_client(self._keys).apply(socket)
                socket.setsockopt(zmq.IPV6, "[" in self.endpoint)
                return
            path = endpoint_path(self.endpoint)
        except StartError as error:
            raise ControlError(str(error)) from None
        try:
            path.lstat()
        except PermissionError:
            raise ControlError(
                f"no access to {self.endpoint}: the gateway runs as another user; ask as that user"
            ) from None
        except OSError:
            raise ControlError(f"no gateway answers at {self.endpoint}: there is no socket\n{ELSEWHERE}") from None

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """The answer, whatever its `ok` says. Raises ControlError when none comes."""
        with self._context.socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, 64 * MAX_MESSAGE)  # answers are ours, and may be long
            self._prepare(socket)
            socket.connect(self.endpoint)
            socket.send(msgspec.msgpack.encode(request))
            if not socket.poll(int(self.timeout * 1000), zmq.POLLIN):
                why = REFUSED_KEY if self.endpoint.startswith("tcp://") else ELSEWHERE
                raise ControlError(f"no gateway answers at {self.endpoint} within {self.timeout:g} s\n{why}")
            body = socket.recv()
        try:
            answer = msgspec.msgpack.decode(body)
        except msgspec.MsgspecError:
            answer = None
        if not isinstance(answer, dict):
            raise ControlError(f"what answers at {self.endpoint} is not a sluice")
        return cast(dict[str, object], answer)
