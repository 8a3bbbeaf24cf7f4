"""Squid: HTTP CONNECT, one process, nothing cached, no log."""

import os
from pathlib import Path
from types import TracebackType

from bench.peers.base import UNPACKED, Peer, find, tunnels_most

CONFIGURATION = """\
http_port 127.0.0.1:{port}
http_access allow all
server_persistent_connections on
client_persistent_connections on
access_log none
cache_log {folder}/cache.log
cache_store_log none
cache deny all
coredump_dir {folder}
pid_filename {folder}/squid.pid
mime_table {share}/usr/share/squid/mime.conf
icon_directory {share}/usr/share/squid/icons
error_directory {share}/usr/share/squid/errors/templates
unlinkd_program {share}/usr/lib/squid/unlinkd
pinger_enable off
visible_hostname localhost
dns_nameservers 127.0.0.1
max_filedescriptors {files}
shutdown_lifetime 0 seconds
via off
forwarded_for delete
"""


class Squid(Peer):
    name = "squid"
    title = "Squid"
    ways = ("connect", "get")
    forwards = True
    package = "squid"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/squid")

    def command(self) -> list[str]:
        self.folder.chmod(0o777)  # it becomes `proxy` when started by root
        binary = self.binary()
        share = UNPACKED if binary.is_relative_to(UNPACKED) else Path("/")
        file = self.folder / "squid.conf"
        self.doors = {"get": self.port}
        files = 2 * tunnels_most() + 500
        text = CONFIGURATION.format(port=self.port, folder=self.folder, share=share, files=files)
        file.write_text(text)
        # Its shared memory is called after its service: another Squid's must not be met.
        return [str(binary), "-N", "-n", self._service(), "-f", str(file)]

    def _service(self) -> str:
        return f"bench{os.getpid()}x{self.port}"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        for left in Path("/dev/shm").glob(f"{self._service()}-*.shm"):
            left.unlink(missing_ok=True)
