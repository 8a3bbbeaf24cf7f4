"""microsocks: a thread for each client, SOCKS5 alone, no configuration."""

from pathlib import Path

from bench.peers.base import Peer, find


class Microsocks(Peer):
    name = "microsocks"
    title = "microsocks"
    ways = ("socks5",)
    package = "microsocks"
    output = "/dev/null"  # a line for each client, which cannot be turned off

    @classmethod
    def binary(cls) -> Path:
        return find("usr/bin/microsocks")

    def command(self) -> list[str]:
        return [str(self.binary()), "-i", "127.0.0.1", "-p", str(self.port)]
