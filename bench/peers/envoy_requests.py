"""Requests through Envoy: its dynamic forward proxy in clear, and clusters over TLS with HTTP/1.1 and HTTP/2."""

from typing import Any, Final

from bench.peers.certificates import certificates
from bench.peers.web import Web

__all__ = ["add_requests"]

TYPES: Final = "type.googleapis.com/envoy.extensions"
# 1,024 connections are the default.
PLENTY: Final = {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}]}
CACHE: Final = {"name": "names", "dns_lookup_family": "V4_ONLY"}


def add_requests(resources: dict[str, Any], doors: dict[str, int], web: Web) -> None:
    """Adds a listener for each way, and its cluster."""
    forward = f"{TYPES}.filters.http.dynamic_forward_proxy.v3.FilterConfig"
    dynamic = {"name": "forward", "typed_config": {"@type": forward, "dns_cache_config": CACHE}}
    for way, door in doors.items():
        cluster = {"get-tls": "secure", "unary": "calls"}.get(way, "forward")
        filters = [dynamic] if cluster == "forward" else []
        resources["listeners"].append(_listener(way, door, cluster, filters))
    kind = f"{TYPES}.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    resources["clusters"] += [
        {
            "name": "forward", "lb_policy": "CLUSTER_PROVIDED", "circuit_breakers": PLENTY, "connect_timeout": "5s",
            "cluster_type": {"name": "forward", "typed_config": {"@type": kind, "dns_cache_config": CACHE}},
        },
        _secure("secure", web.tls, {"http_protocol_options": {}}, ["http/1.1"]),
        _secure("calls", web.tls_http2, {"http2_protocol_options": {}}, ["h2"]),
    ]  # fmt: skip


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(way: str, door: int, cluster: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}
    router = {"name": "router", "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"}}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": way,
        "codec_type": "AUTO",
        "http_filters": [*filters, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    return {"name": way, "address": _address(door), "filter_chains": [chain]}


def _secure(name: str, port: int, protocol: dict[str, Any], offered: list[str]) -> dict[str, Any]:
    """A cluster over TLS 1.3 whose certificate is verified."""
    trusted = {
        "trusted_ca": {"filename": str(certificates().authority)},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
    }
    context = {
        "@type": f"{TYPES}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "localhost",
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": offered,
            "validation_context": trusted,
        },
    }
    options = {"@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": protocol}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": PLENTY,
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "transport_socket": {"name": "tls", "typed_config": context},
        "load_assignment": {"cluster_name": name, "endpoints": [endpoint]},
    }  # fmt: skip
