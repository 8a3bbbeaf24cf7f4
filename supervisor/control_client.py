"""The other end of the control endpoint: one question, one answer, synchronous. What the command line uses."""

from collections.abc import Mapping
from typing import Self, cast

import msgspec
import zmq

from supervisor.endpoint import endpoint_path
from supervisor.errors import StartError
from supervisor.zmq_port import MAX_MESSAGE

__all__ = ["ControlClient", "ControlError"]


class ControlError(Exception):
    """The gateway did not answer, or answered {ok: false}; the text is for people."""


class ControlClient:
    """`endpoint` is control.endpoint; `timeout` in seconds, for each call."""

    def __init__(self, endpoint: str, timeout: float = 10.0) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
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

    def ask(self, request: Mapping[str, object]) -> dict[str, object]:
        """The answer, whatever its `ok` says. Raises ControlError when none comes."""
        try:
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
            raise ControlError(
                f"no gateway answers at {self.endpoint}: there is no socket; is `sluice run` up?"
            ) from None
        with self._context.socket(zmq.REQ) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, 64 * MAX_MESSAGE)  # answers are ours, and may be long
            socket.connect(self.endpoint)
            socket.send(msgspec.msgpack.encode(request))
            if not socket.poll(int(self.timeout * 1000), zmq.POLLIN):
                raise ControlError(f"no gateway answers at {self.endpoint} within {self.timeout:g} s")
            body = socket.recv()
        try:
            answer = msgspec.msgpack.decode(body)
        except msgspec.MsgspecError:
            answer = None
        if not isinstance(answer, dict):
            raise ControlError(f"what answers at {self.endpoint} is not a sluice")
        return cast(dict[str, object], answer)
