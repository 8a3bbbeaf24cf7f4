"""The control endpoint's place: its folder, the lock that keeps two gateways apart, and stale sockets.

A ZeroMQ ipc bind replaces the socket file of whoever had it. So nothing is bound, and nothing stale removed, before the
lock on the folder is held; it is held for life. The folder is ours alone (0700), as whoever reaches the sockets rules
the gateway. An endpoint over tcp:// has no folder, and needs one all the same: the workers' bus never leaves the
machine.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from supervisor import machine
from supervisor.errors import StartError, errno_text

__all__ = ["LONGEST_ENDPOINT", "ControlLock", "TcpEndpoint", "endpoint_path", "tcp_endpoint"]

LONGEST_ENDPOINT = 100  # bytes: with a suffix it must fit a Unix socket's address (108)
BUS = "bus"
LOCK = "control.lock"


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
    if Path(path).name in (BUS, LOCK, "", ".", "..") or path.endswith("/"):
        raise StartError(
            f"control.endpoint {endpoint}: that file name cannot be used", "for example ipc:///run/sluice/control"
        )
    return Path(path)


class ControlLock:
    """The held lock. `control`, `stats` and `bus` are the endpoints that may be bound while it is held."""

    def __init__(self, endpoint: str) -> None:
        """Takes the lock and removes stale sockets. Raises StartError, with nothing left behind."""
        if tcp := tcp_endpoint(endpoint):
            self.control, self.stats = endpoint, tcp.stats
            usual = endpoint_path(machine.control_endpoint()).parent
            self.folder = usual.with_name(f"{usual.name}-{tcp.port}")
            self._sockets = [self.folder / BUS]
        else:
            path = endpoint_path(endpoint)
            self.control, self.stats = f"ipc://{path}", f"ipc://{path}.pub"
            self.folder = path.parent
            self._sockets = [path, Path(f"{path}.pub"), self.folder / BUS]
        self.bus = f"ipc://{self.folder / BUS}"
        if len(os.fsencode(self.bus)) > LONGEST_ENDPOINT + 4:
            raise StartError(f"control.endpoint {endpoint}: the folder's path is too long", "use a shorter folder")
        self._made_folder = False
        self.found_stale = False  # a gateway was killed here and could not clean up
        try:
            self._fd = self._lock()
        except BaseException:
            self._remove_folder()
            raise
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)
            self.found_stale = self._remove_sockets()
        except StartError:
            self.release()
            raise
        except OSError as error:
            self.release()
            raise StartError(f"control folder {self.folder}: {errno_text(error)}") from None

    def release(self) -> None:
        """Removes what we made, then gives the lock up."""
        with contextlib.suppress(OSError, StartError):
            self._remove_sockets()
        # Unlinked while held: whoever opened the same file before must look again (see _lock).
        with contextlib.suppress(OSError):
            (self.folder / LOCK).unlink()
        os.close(self._fd)
        self._remove_folder()

    def _lock(self) -> int:
        for _ in range(100):
            self._prepare_folder()
            try:
                fd = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except FileNotFoundError:
                continue  # a gateway that ended has just removed the folder
            except OSError as error:
                raise StartError(
                    f"cannot lock {self.folder / LOCK}: {errno_text(error)}", _own_folder(self.folder)
                ) from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, self.folder / LOCK):
                    return fd
            except BlockingIOError:
                pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise StartError(
                    f"another sluice (pid {pid}) is running with this control endpoint: {self.control}",
                    "stop it, or give this one its own control.endpoint in sluice.yaml",
                ) from None
            except OSError as error:
                os.close(fd)
                raise StartError(
                    f"cannot lock {self.folder / LOCK}: {errno_text(error)}", _own_folder(self.folder)
                ) from None
            os.close(fd)
        raise StartError(
            f"cannot lock {self.folder / LOCK}: it keeps being replaced", "look for gateways that restart in a loop"
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

    def _remove_sockets(self) -> bool:
        found = False
        for path in self._sockets:
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


def _same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _own_folder(folder: Path) -> str:
    return f"set control.endpoint to a path in a folder of its own that this user may make, instead of {folder}"
