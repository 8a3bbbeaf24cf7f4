"""The peers: gateways and relays that are measured beside each other, one small module each."""

from typing import Final

from bench.peers.base import Peer
from bench.peers.dante import Dante
from bench.peers.envoy import Envoy
from bench.peers.floor import Floor
from bench.peers.h2_floor import H2Floor
from bench.peers.haproxy import HAProxy
from bench.peers.microsocks import Microsocks
from bench.peers.nghttpx import Nghttpx
from bench.peers.nginx import Nginx
from bench.peers.sluice import Sluice
from bench.peers.squid import Squid

__all__ = ["PEERS", "Peer"]

PEERS: Final[dict[str, type[Peer]]] = {
    peer.name: peer for peer in (Sluice, Floor, H2Floor, Envoy, Nghttpx, HAProxy, Nginx, Squid, Microsocks, Dante)
}
