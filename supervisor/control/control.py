"""The control endpoint: one answer for each question of an operator, and the `stats` topic (CONTRACT.md section 3).

The socket is a ROUTER that serves REQ and DEALER clients alike. Its clients may be hostile or broken: what
cannot be read is answered {ok: false, error} where an answer has an address, and never harms the gateway.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Final

import msgspec
import zmq

from supervisor.control.authority import Authority
from supervisor.control.curve import ServerKeys
from supervisor.host.zmq_port import Peer, ZmqPort
from supervisor.logs.log import Log
from supervisor.source.escape import escape_unprintable

__all__ = ["Answer", "ControlServer", "NotFound", "Operation", "Refused"]

MOST_WAITING: Final = 64  # questions being answered at once
LOGGED: Final = ("reload", "drain", "kill")
LONGEST_QUOTE: Final = 40

Answer = dict[str, object]
Operation = Callable[[Mapping[str, object]], Answer | Coroutine[None, None, Answer]]


class Refused(Exception):
    """An operation's refusal; the text is the answer's `error`."""


class NotFound(Refused):
    """The object of the question does not exist."""


class ControlServer:
    """`operations` maps an op to what answers it; `stats` gives the published statistics; `keys` are there for tcp://."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        stats_endpoint: str,
        operations: Mapping[str, Operation],
        stats: Callable[[], Mapping[str, object]],
        log: Log,
        interval: float = 1.0,
        keys: ServerKeys | None = None,
    ) -> None:
        self._loop = loop
        self._operations = operations
        self._stats = stats
        self._log = log
        self._interval = interval
        self._tasks: set[asyncio.Task[None]] = set()
        self._encoder = msgspec.msgpack.Encoder()
        self.malformed = 0
        prepare = keys.apply if keys is not None else None
        with contextlib.ExitStack() as undo:
            self._authority = Authority(loop, context, keys.clients) if keys is not None else None
            if self._authority is not None:
                undo.callback(self._authority.close)
            self._port = ZmqPort(loop, context, zmq.ROUTER, endpoint, self._receive, prepare=prepare)
            undo.callback(self._port.close)
            self._publisher = ZmqPort(loop, context, zmq.PUB, stats_endpoint, prepare=prepare)
            undo.pop_all()
        self._timer = loop.call_later(interval, self._publish)

    @property
    def dropped(self) -> int:
        """Answers and statistics that could not be sent."""
        return self._port.dropped + self._publisher.dropped

    @property
    def refused(self) -> int:
        """Handshakes with a key that may not ask."""
        return self._authority.refused if self._authority is not None else 0

    def admit(self, keys: ServerKeys | None) -> None:
        """After a reload: from here on these clients may connect."""
        if self._authority is not None and keys is not None:
            self._authority.clients = keys.clients

    def close(self) -> None:
        """Questions still open stay unanswered."""
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._port.close()
        self._publisher.close()
        if self._authority is not None:
            self._authority.close()

    async def finish(self, timeout: float) -> None:
        """Gives answers that are under way a moment to leave."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def _publish(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._publish)
        self._publisher.send((b"stats", self._encoder.encode(self._stats())))

    def _receive(self, frames: list[zmq.Frame]) -> None:
        # [identity, "", body] from REQ, [identity, body] from DEALER.
        if len(frames) == 3 and not len(frames[1]):
            route = [frames[0].bytes, b""]
        elif len(frames) == 2:
            route = [frames[0].bytes]
        else:
            self.malformed += 1
            return
        try:
            request = msgspec.msgpack.decode(frames[-1].buffer)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self.malformed += 1
            self._answer(route, {"ok": False, "error": "the request is not msgpack"})
            return
        if not isinstance(request, dict) or not all(isinstance(key, str) for key in request):
            self.malformed += 1
            self._answer(route, {"ok": False, "error": "the request is not a map with text keys"})
            return
        op = request.pop("op", None)
        operation = self._operations.get(op) if isinstance(op, str) else None
        if operation is None:
            self.malformed += 1
            known = ", ".join(sorted(self._operations))
            self._answer(route, {"ok": False, "error": f"unknown op {_quote(op)}; there are {known}"})
            return
        if op in LOGGED:
            about = {"id": request["id"]} if "id" in request else {}
            peer = Peer.describe(frames[0])
            self._log.info("control", f"{op} was asked for on the control endpoint", **about, **peer)
        self._serve(route, str(op), operation, request)

    def _serve(self, route: list[bytes], op: str, operation: Operation, request: Mapping[str, object]) -> None:
        """Answers at once, or starts a task for an operation that waits; only those can be too many."""
        with self._refusing(route, op):
            answer = operation(request)
            if isinstance(answer, dict):
                self._answer(route, {"ok": True, **answer})
            elif len(self._tasks) >= MOST_WAITING:
                answer.close()
                raise Refused(f"busy: {MOST_WAITING} requests are being answered")
            else:
                task = self._loop.create_task(self._wait(route, op, answer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _wait(self, route: list[bytes], op: str, answer: Coroutine[None, None, Answer]) -> None:
        with self._refusing(route, op):
            self._answer(route, {"ok": True, **await answer})

    @contextlib.contextmanager
    def _refusing(self, route: list[bytes], op: str) -> Iterator[None]:
        """An exception inside becomes an answer, never an end."""
        try:
            yield
        except Refused as error:
            text = "\n".join(escape_unprintable(line) for line in str(error).splitlines())
            self._answer(route, {"ok": False, "error": text})
        except Exception as error:
            self._log.error("control_failed", f"op {op} failed", error=repr(error))
            self._answer(route, {"ok": False, "error": f"internal error in op {op}; the gateway's log has more"})

    def _answer(self, route: list[bytes], answer: Mapping[str, object]) -> None:
        try:
            body = self._encoder.encode(answer)
        except (TypeError, ValueError, OverflowError) as error:
            body = self._encoder.encode({"ok": False, "error": f"the answer cannot be encoded: {error}"})
        self._port.send((*route, body))


def _quote(value: object) -> str:
    text = escape_unprintable(value if isinstance(value, str) else repr(value)[:200])
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "...")
