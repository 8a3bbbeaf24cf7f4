"""Dante: SOCKS5, a family of processes that hand clients on; no log of clients."""

from pathlib import Path

from bench.peers.base import Peer, find

CONFIGURATION = """\
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
user.privileged: root
user.unprivileged: root
client pass {{
    from: 127.0.0.0/8 to: 127.0.0.0/8
    log: error
}}
socks pass {{
    from: 127.0.0.0/8 to: 127.0.0.0/8
    command: connect
    log: error
}}
"""


class Dante(Peer):
    name = "dante"
    title = "Dante"
    ways = ("socks5",)
    package = "dante-server"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/danted")

    def command(self) -> list[str]:
        file = self.folder / "danted.conf"
        file.write_text(CONFIGURATION.format(port=self.port))
        return [str(self.binary()), "-f", str(file), "-N", "1", "-p", str(self.folder / "pid")]
