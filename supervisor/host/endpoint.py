"""The control endpoint's place: its folder, the lock that keeps two gateways apart, and stale sockets.

A ZeroMQ ipc bind replaces the socket file that another process bound. So nothing is bound, and nothing stale removed,
before the endpoint's lock is held; it is held for life. The folder belongs to this user alone (0700), as access to the
sockets is control of the gateway; several gateways may have their endpoints in it. The files of an endpoint:

    /run/sluice/control        REP, the endpoint itself
    /run/sluice/control.pub    PUB, statistics
    /run/sluice/control.bus    the workers' bus, which never leaves the machine
    /run/sluice/control.lock   the lock: pid and endpoint of the gateway that holds it
    /run/sluice/control.takeover   where it gives its sockets and the lock to a successor (takeover.py)

A gateway that took over has its bus at control.PID.bus, as workers of the one before it still use the other. An
endpoint over tcp:// has only the last three, in the folder of the default endpoint: tcp-10.0.0.1-9902.bus and .lock.
"""

import contextlib
import errno
import fcntl
import glob
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from supervisor.host import machine
from supervisor.host.errors import StartError, errno_text

__all__ = [
    "ENDPOINT_UNSET",
    "LONGEST_ENDPOINT",
    "SUFFIXES",
    "TAKEOVER",
    "ControlLock",
    "TcpEndpoint",
    "endpoint_path",
    "takeover_path",
    "tcp_endpoint",
]

LONGEST_ENDPOINT = 100  # bytes: with a suffix it must fit a Unix socket's address (108)
ENDPOINT_UNSET = "control.endpoint must be set: this user has neither $RUNTIME_DIRECTORY nor $XDG_RUNTIME_DIR"
STATS, BUS, LOCK, TAKEOVER = SUFFIXES = (".pub", ".bus", ".lock", ".takeover")  # after the endpoint's file name


class TcpEndpoint(NamedTuple):
    """`host` as it stands in the endpoint, IPv6 in brackets. Statistics have the next port."""

    host: str
    port: int

    @property
    def stats(self) -> str:
        return f"tcp://{self.host}:{self.port + 1}"


def tcp_endpoint(endpoint: str) -> TcpEndpoint | None:
    """The parts of `tcp://10.0.0.1:9902` or `tcp://[::1]:9902`, None for an endpoint of another kind."""
    found = re.fullmatch(r"tcp://([0-9.]+|\[[0-9a-fA-F:.]+\]):([1-9][0-9]{0,4})", endpoint)
    return TcpEndpoint(found[1], int(found[2])) if found and int(found[2]) < 65535 else None


def endpoint_path(endpoint: str) -> Path:
    """The socket path of `ipc:///absolute/path`. Raises StartError for what cannot serve as a control endpoint."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or not path.startswith("/") or "\0" in path:
        raise StartError(
            f"control.endpoint {endpoint!r} is neither ipc:///absolute/path nor tcp://IP:PORT",
            "for example ipc:///run/sluice/control",
        )
    if len(os.fsencode(endpoint)) > LONGEST_ENDPOINT:
        raise StartError(
            f"control.endpoint is longer than {LONGEST_ENDPOINT} bytes: {endpoint}", "use a shorter folder"
        )
    if Path(path).name in ("", ".", "..") or path.endswith(("/", *SUFFIXES)):
        raise StartError(
            f"control.endpoint {endpoint}: expected a file name that does not end in {', '.join(SUFFIXES)}",
            "for example ipc:///run/sluice/control",
        )
    return Path(path)


class ControlLock:
    """The held lock. `control`, `stats` and `bus` are the endpoints that may be bound while it is held, `takeover` is
    the path of a socket."""

    def __init__(self, endpoint: str, taken: int | None = None) -> None:
        """Takes the lock and removes stale sockets. Raises StartError, with nothing left behind. `taken`: the lock as
        the running gateway gave it, whose endpoints may be bound after own(). It stays the caller's."""
        path = base_path(endpoint)
        if tcp := tcp_endpoint(endpoint):
            self.control, self.stats = endpoint, tcp.stats
            self._sockets = []
        else:
            self.control, self.stats = f"ipc://{path}", f"ipc://{path}{STATS}"
            self._sockets = [path, Path(f"{path}{STATS}")]
        self.folder = path.parent
        self.takeover = takeover_path(endpoint)
        bus = Path(f"{path}{BUS}" if taken is None else f"{path}.{os.getpid()}{BUS}")
        self.bus = f"ipc://{bus}"
        self._sockets += [bus, self.takeover]
        self._base = path
        self._lock_file = Path(f"{path}{LOCK}")
        self.taken = taken is not None
        self.handed_over = False  # its files are another gateway's: they stay
        if len(os.fsencode(self.bus)) > LONGEST_ENDPOINT + 4:
            raise StartError(f"control.endpoint {endpoint}: the folder's path is too long", "use a shorter folder")
        self._made_folder = False
        self.found_stale = False  # a gateway was killed here and could not clean up
        if taken is not None:
            self.handed_over = True  # not ours before own()
            if not _same_file(taken, self._lock_file):
                raise StartError(f"the running gateway's lock is not {self._lock_file}", "start without --takeover")
            self._fd = os.dup(taken)  # one lock, however many copies
            return
        try:
            self._fd = self._lock()
        except BaseException:
            self._remove_folder()
            raise
        try:
            self._sign()
            self.found_stale = self._remove_sockets(stale=True)
        except StartError:
            self.release()
            raise
        except OSError as error:
            self.release()
            raise StartError(f"control folder {self.folder}: {errno_text(error)}") from None

    @property
    def descriptor(self) -> int:
        """The lock itself: it is held as long as any copy is open."""
        return self._fd

    def hand_over(self) -> None:
        """The endpoint is a successor's from here on. The bus goes at once: its workers are connected, and at the end
        another gateway may have one of this name."""
        self.handed_over = True
        self._remove_bus()

    def _remove_bus(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.bus.removeprefix("ipc://"))

    def own(self) -> None:
        """After a takeover: the endpoint is ours. Raises StartError."""
        self.handed_over = False
        try:
            self._sign()
            self._remove_sockets(stale=True)
        except OSError as error:
            raise StartError(f"control folder {self.folder}: {errno_text(error)}") from None

    async def left(self, patience: float) -> None:
        """Returns when the files of control and statistics are gone, after at most so many seconds: ZeroMQ removes
        them on a thread of its own, and would remove those of a successor."""
        import asyncio  # commands and compile processes load this module, and have no loop

        for _ in range(round(patience / 0.01)):
            if not any(path.exists() for path in self._sockets if str(path) in (self.control[6:], self.stats[6:])):
                return
            await asyncio.sleep(0.01)

    def _sign(self) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, os.fsencode(f"{os.getpid()} {self.control}\n"), 0)

    def release(self) -> None:
        """Removes what we made, then gives the lock up."""
        if self.handed_over:
            if self.taken:
                self._remove_bus()
            os.close(self._fd)
            return
        with contextlib.suppress(OSError, StartError):
            self._remove_sockets()
        # Unlinked while held: a process that opened the same file before must look again (see _lock).
        with contextlib.suppress(OSError):
            self._lock_file.unlink()
        os.close(self._fd)
        self._remove_folder()

    def _lock(self) -> int:
        for _ in range(100):
            self._prepare_folder()
            try:
                fd = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # a gateway that ended has just removed the folder
            except OSError as error:
                raise StartError(
                    f"cannot lock {self._lock_file}: {errno_text(error)}", _own_folder(self.folder)
                ) from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, self._lock_file):
                    return fd
            except BlockingIOError:
                pid, _, held = os.fsdecode(os.pread(fd, 20 + LONGEST_ENDPOINT, 0)).strip().partition(" ")
                os.close(fd)
                raise StartError(
                    f"another sluice (pid {pid or 'unknown'}) is running with this control endpoint: "
                    f"{held or self.control}",
                    "stop it, or give this one its own control.endpoint in sluice.yaml",
                ) from None
            except OSError as error:
                os.close(fd)
                raise StartError(
                    f"cannot lock {self._lock_file}: {errno_text(error)}", _own_folder(self.folder)
                ) from None
            os.close(fd)
        raise StartError(
            f"cannot lock {self._lock_file}: it keeps being replaced", "look for gateways that restart in a loop"
        )

    def _prepare_folder(self) -> None:
        try:
            self.folder.mkdir(0o700)
            self._made_folder = True
            self.folder.chmod(0o700)  # whatever the umask
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno == errno.ENOENT:
                why = f"{self.folder.parent} does not exist"
            else:
                why = errno_text(error)
            raise StartError(f"cannot make the control folder {self.folder}: {why}", _own_folder(self.folder)) from None
        try:
            found = self.folder.lstat()
        except OSError as error:
            raise StartError(
                f"cannot use the control folder {self.folder}: {errno_text(error)}", _own_folder(self.folder)
            ) from None
        if not stat.S_ISDIR(found.st_mode):
            raise StartError(
                f"cannot use the control folder {self.folder}: it is not a folder", _own_folder(self.folder)
            )
        if found.st_uid != os.geteuid():
            raise StartError(
                f"control folder {self.folder} belongs to another user (uid {found.st_uid})", _own_folder(self.folder)
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise StartError(
                f"control folder {self.folder} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
                f"`chmod 0700 {self.folder}` if it is only for this gateway; otherwise {_own_folder(self.folder)}",
            )

    def _remove_sockets(self, stale: bool = False) -> bool:
        """Whether there were any. `stale`: those of other gateways that had this endpoint as well."""
        found = False
        others = self.folder.glob(f"{glob.escape(self._base.name)}.*{BUS}") if stale else ()
        kept = {Path(self.bus.removeprefix("ipc://"))} if stale and self.taken else set()  # bound before own()
        for path in {*self._sockets, *others} - kept:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(path.lstat().st_mode):
                    raise StartError(
                        f"{path} is in the way: it is not a socket", "move it, or name another control.endpoint"
                    )
                path.unlink()
                found = True
        return found

    def _remove_folder(self) -> None:
        if self._made_folder:
            with contextlib.suppress(OSError):
                self.folder.rmdir()


def takeover_path(endpoint: str) -> Path:
    """Where a gateway with this endpoint hands over. Raises StartError."""
    return Path(f"{base_path(endpoint)}{TAKEOVER}")


def base_path(endpoint: str) -> Path:
    """The path that the files of an endpoint have their names from. Raises StartError."""
    if not endpoint:
        raise StartError(ENDPOINT_UNSET, "for example to ipc:///run/sluice/control")
    tcp = tcp_endpoint(endpoint)
    return _tcp_path(tcp) if tcp else endpoint_path(endpoint)


def _tcp_path(tcp: TcpEndpoint) -> Path:
    """Where the files of an endpoint over tcp:// have their name from. Raises StartError."""
    usual = machine.control_endpoint()
    if not usual:
        raise StartError(
            f"control.endpoint tcp://{tcp.host}:{tcp.port} needs a folder for the workers' bus: "
            "this user has neither $RUNTIME_DIRECTORY nor $XDG_RUNTIME_DIR",
            "set one of them to a folder of this user",
        )
    host = tcp.host.strip("[]").replace(":", "_")
    return endpoint_path(usual).with_name(f"tcp-{host}-{tcp.port}")


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _own_folder(folder: Path) -> str:
    return f"set control.endpoint to a path in a folder of its own that this user may make, instead of {folder}"
