"""HAProxy: a TCP relay to one origin, splicing both ways, one thread; it speaks no proxy protocol here.

Requests go to one fixed origin, over connections that are kept and shared.

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

defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    http-reuse always
    option splice-response

listen get
    bind 127.0.0.1:{doors[get]} backlog 4096
    server origin 127.0.0.1:{web.port} pool-max-conn 256

listen get-h2
    bind 127.0.0.1:{doors[get-h2]} backlog 4096 proto h2
    server origin 127.0.0.1:{web.port} pool-max-conn 256

listen get-tls
    bind 127.0.0.1:{doors[get-tls]} backlog 4096
    server origin 127.0.0.1:{web.tls} pool-max-conn 256 ssl ca-file {authority} {verified}

listen unary
    bind 127.0.0.1:{doors[unary]} backlog 4096 proto h2
    server origin 127.0.0.1:{web.tls_http2} pool-max-conn 256 ssl alpn h2 ca-file {authority} {verified}
"""


class HAProxy(Peer):
    name = "haproxy"
    title = "HAProxy"
    ways = ("direct", "tls", "mtls", "get", "get-h2", "get-tls", "unary")
    package = "haproxy"

    @classmethod
    def binary(cls) -> Path:
        return find("usr/sbin/haproxy")

    def command(self) -> list[str]:
        file = self.folder / "haproxy.cfg"
        text = CONFIGURATION.format(
            port=self.port, tls=self.tls, mtls=self.mtls, origin=self.origin, most=tunnels_most(),
            pair=certificates().both, authority=certificates().authority, doors=self.doors, web=self.web,
            verified="verify required verifyhost localhost sni str(localhost)",
        )  # fmt: skip
        file.write_text(text)
        return [str(self.binary()), "-db", "-f", str(file)]
