"""The supervisor: brings the gateway up, keeps it up, and takes it down without leaving anything behind.

In order: compile the configuration, lock the control endpoint, open the sockets, start the workers, serve. Signals are
only noted by their handlers; what they ask for is done here (CONTRACT.md section 1): HUP reloads, TERM drains and
stops, a second TERM or INT stops now, USR1 opens the logs again. The parts know nothing of each other: service.py holds
them.
"""

import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from supervisor.companion import Companion
from supervisor.generation.compiler import COMPILE_COMMAND
from supervisor.host.errors import StartError
from supervisor.host.inherited import Inherited, inherited_sockets
from supervisor.host.notify import Notifier
from supervisor.host.process import keep_descriptors_to_ourselves, yield_to_traffic
from supervisor.host.reaper import Reaper
from supervisor.logs.log import Log
from supervisor.logs.log_writer import LogWriter
from supervisor.service import Service
from supervisor.workers.pool import WORKER_COMMAND
from supervisor.workers.slot import Timing

__all__ = ["Options", "run"]

FLUSH = 2.0  # seconds that the last log lines may take
CHILDREN = 5.0  # seconds for killed children to be reaped


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a start. `companions` live and die with the gateway; `on_ready` is called once it serves,
    with the pids of the workers."""

    worker_command: Sequence[str] = WORKER_COMMAND
    compile_command: Sequence[str] = COMPILE_COMMAND
    timing: Timing | None = None
    companions: Sequence[Companion] = ()
    on_ready: Callable[[Sequence[int]], None] | None = None
    log_format: str = "auto"  # auto | plain | json
    takeover: bool = False  # from the gateway that runs with the same endpoint


def run(config_path: str, options: Options | None = None) -> int:
    """Runs the gateway of the sluice.yaml at `config_path` until a signal ends it; returns the exit code."""
    options = options or Options()
    keep_descriptors_to_ourselves()
    notifier = Notifier()
    try:
        return asyncio.run(_run(config_path, options, notifier, inherited_sockets()))
    except StartError as error:
        print(f"sluice: {error}", file=sys.stderr)
        return 1


async def _run(config_path: str, options: Options, notifier: Notifier, inherited: Inherited) -> int:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="work", initializer=yield_to_traffic))
    writer = LogWriter("stderr")
    plain = options.log_format == "plain" or (options.log_format == "auto" and os.isatty(2))
    log = Log(writer.offer, plain=plain)
    loop.set_exception_handler(lambda _, what: log.error("internal_error", str(what["message"]), **_what(what)))
    reaper = Reaper(loop)
    reaper.start()
    commands = options.worker_command, options.compile_command
    service = Service(loop, reaper, log, config_path, *commands, options.timing, notifier)
    signals = _Signals(loop, service)
    try:
        await _serve(service, signals, options, notifier, inherited)
    finally:
        await service.close(CHILDREN)
        signals.remove()
        reaper.stop()
        # On a thread: a stderr that takes no lines must not hold the end up for longer than this.
        await loop.run_in_executor(None, writer.close, FLUSH)
    return 0


def _what(context: Mapping[str, object]) -> dict[str, object]:
    """The exception of an event loop's report, and where it came from."""
    error = context.get("exception")
    if not isinstance(error, BaseException):
        return {}
    place = traceback.extract_tb(error.__traceback__)[-1:]
    return {"error": repr(error), "at": ", ".join(f"{frame.filename}:{frame.lineno}" for frame in place)}


async def _serve(
    service: Service,
    signals: "_Signals",
    options: Options,
    notifier: Notifier,
    inherited: Inherited,
) -> None:
    starting = asyncio.ensure_future(service.start(options.companions, options.takeover, inherited))
    ending = asyncio.ensure_future(signals.end.wait())
    await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        if service.serves():  # workers do before it is known: their clients get the time of a drain
            await _drain(service, signals)
        return
    starting.result()
    if options.on_ready is not None:
        options.on_ready(service.workers())
    signals.ready()
    notifier.send("READY=1", "STATUS=the gateway serves")
    handed_over = asyncio.ensure_future(service.handed_over.wait())
    await asyncio.wait({ending, handed_over}, return_when=asyncio.FIRST_COMPLETED)
    if service.successor:
        notifier.send(f"MAINPID={service.successor}")
    else:
        notifier.send("STOPPING=1", "STATUS=the gateway drains")
    await _drain(service, signals)


async def _drain(service: Service, signals: "_Signals") -> None:
    """Until the last tunnel has ended, or it is to end now."""
    if not signals.now.is_set():
        stopped = asyncio.ensure_future(service.drain_and_wait())
        now = asyncio.ensure_future(signals.now.wait())
        await asyncio.wait({stopped, now}, return_when=asyncio.FIRST_COMPLETED)
    await service.stop_and_wait()


class _Signals:
    """Notes what signals ask for. `end`: take the gateway down; `now`: without draining."""

    def __init__(self, loop: asyncio.AbstractEventLoop, service: Service) -> None:
        self._loop = loop
        self._service = service
        self._ready = False
        self._reload_wanted = False
        self._reopen_wanted = False
        self.end = asyncio.Event()
        self.now = asyncio.Event()
        self._handlers = {
            signal.SIGHUP: self._reload,
            signal.SIGINT: self._interrupt,
            signal.SIGTERM: self._terminate,
            signal.SIGUSR1: self._reopen,
        }
        for number, handler in self._handlers.items():
            loop.add_signal_handler(number, handler)
        # They were blocked from the first lines of the process on (entry.py).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._handlers)

    def remove(self) -> None:
        """From here on they are ignored: what is left is over in a moment.

        Blocked first: between its handler and SIG_IGN a signal has its default action, which kills.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, self._handlers)
        for number in self._handlers:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def ready(self) -> None:
        """A SIGHUP or SIGUSR1 that came while the gateway started is answered now."""
        self._ready = True
        if self._reopen_wanted:
            self._reopen()
        if self._reload_wanted:
            self._reload()

    def _reopen(self) -> None:
        if self._ready:
            self._service.reopen_logs()
        else:
            self._reopen_wanted = True

    def _reload(self) -> None:
        if self._ready:
            self._service.reload_by_signal()
        else:
            self._reload_wanted = True

    def _interrupt(self) -> None:
        self.now.set()
        self.end.set()

    def _terminate(self) -> None:
        if self.end.is_set():
            self.now.set()
        self.end.set()
