"""Envoy: HTTP/1.1 and HTTP/2 CONNECT on one port, as the first bytes (over TLS: ALPN) say; one worker thread, no log.

The cluster of tunnels is the one origin: that is the cheapest Envoy, which resolves nothing and decides nothing.
Requests in clear go through its dynamic forward proxy, those over TLS to a cluster of their own.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from bench.peers.base import UNPACKED, Absent, Peer
from bench.peers.certificates import certificates
from bench.peers.envoy_requests import add_requests
from bench.peers.web import WAYS


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


TYPES = "type.googleapis.com/envoy.extensions.filters"


def secure(mutual: bool) -> dict[str, Any]:
    """TLS of a listener."""
    paths = certificates()
    chain, key = ({"filename": path} for path in paths.gateway)
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
        **({"validation_context": {"trusted_ca": {"filename": str(paths.authority)}}} if mutual else {}),
    }
    context = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    typed = {"@type": context, "require_client_certificate": mutual, "common_tls_context": common}
    return {"transport_socket": {"name": "tls", "typed_config": typed}}


def configuration(port: int, origin: int, tls: int = 0, mtls: int = 0) -> dict[str, Any]:
    """Of tunnels."""
    manager = {
        "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "tunnels",
        "codec_type": "AUTO",
        "http2_protocol_options": {"allow_connect": True},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
            }
        ],
        "upgrade_configs": [{"upgrade_type": "CONNECT"}],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"connect_matcher": {}},
                            "route": {
                                "cluster": "origin",
                                "timeout": "0s",
                                "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
                            },
                        }
                    ],
                }
            ]
        },
    }
    filters = [{"name": "manager", "typed_config": manager}]
    # 1,024 connections are the default.
    plenty = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
    return {
        "static_resources": {
            "listeners": [
                {"name": name, "address": address(number), "filter_chains": [{"filters": filters, **more}]}
                for name, number, more in (
                    ("tunnels", port, {}),
                    ("tls", tls, secure(False)),
                    ("mtls", mtls, secure(True)),
                )
                if number
            ],
            "clusters": [
                {
                    "name": "origin",
                    "type": "STATIC",
                    "connect_timeout": "5s",
                    "circuit_breakers": {"thresholds": [plenty]},
                    "load_assignment": {
                        "cluster_name": "origin",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(origin)}}]}],
                    },
                }
            ],
        }
    }


class Envoy(Peer):
    name = "envoy"
    title = "Envoy"
    ways = ("connect", "http2", "tls", "http2-tls", "mtls", *WAYS)
    forwards = True

    @classmethod
    def binary(cls) -> Path:
        path = UNPACKED / "envoy/envoy/_bin/envoy"
        if not path.exists():
            raise Absent(f"{path} is not there")
        return path

    @classmethod
    def version(cls) -> str:
        done = subprocess.run([cls.binary(), "--version"], capture_output=True, text=True, check=True)
        return done.stdout.split("version:")[1].strip().split("/")[1]

    def command(self) -> list[str]:
        file = self.folder / "envoy.json"
        text = configuration(self.port, self.origin, self.tls, self.mtls)
        add_requests(text["static_resources"], self.doors, self.web)
        file.write_text(json.dumps(text))
        # Many runs side by side would share a memory region by default.
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        return [str(self.binary()), "-c", str(file), *options]
