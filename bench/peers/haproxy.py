"""HAProxy: a TCP relay to one origin, splicing both ways, one thread; it speaks no proxy protocol here."""

from pathlib import Path

from bench.peers.base import Peer, find, tunnels_most

CONFIGURATION = """\
global
    nbthread 1
    maxconn {most}
    maxpipes 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    option splice-request
    option splice-response
listen relay
    bind 127.0.0.1:{port} backlog 4096
    server origin 127.0.0.1:{origin}
"""


class HAProxy(Peer):
    name = "haproxy"
    title = "HAProxy (TCP relay)"
    ways = ("direct",)
    package = "haproxy"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/haproxy")

    def command(self) -> list[str]:
        file = self.folder / "haproxy.cfg"
        file.write_text(CONFIGURATION.format(port=self.port, origin=self.origin, most=tunnels_most()))
        return [str(self.binary()), "-db", "-f", str(file)]
