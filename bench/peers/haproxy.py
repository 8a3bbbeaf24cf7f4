"""HAProxy: a TCP relay to one origin, splicing both ways, one thread; it speaks no proxy protocol here.

Over TLS it ends TLS 1.3 and relays what was inside, on the libssl that it finds here.
"""

from pathlib import Path

from bench.peers.base import Peer, find, tunnels_most
from bench.peers.certificates import certificates

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
listen tls
    bind 127.0.0.1:{tls} backlog 4096 ssl crt {pair} ssl-min-ver TLSv1.3
    server origin 127.0.0.1:{origin}
listen mtls
    bind 127.0.0.1:{mtls} backlog 4096 ssl crt {pair} ssl-min-ver TLSv1.3 ca-file {authority} verify required
    server origin 127.0.0.1:{origin}
"""


class HAProxy(Peer):
    name = "haproxy"
    title = "HAProxy (TCP relay)"
    ways = ("direct", "tls", "mtls")
    package = "haproxy"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/haproxy")

    def command(self) -> list[str]:
        file = self.folder / "haproxy.cfg"
        text = CONFIGURATION.format(
            port=self.port, tls=self.tls, mtls=self.mtls, origin=self.origin, most=tunnels_most(),
            pair=certificates().both, authority=certificates().authority,
        )  # fmt: skip
        file.write_text(text)
        return [str(self.binary()), "-db", "-f", str(file)]
