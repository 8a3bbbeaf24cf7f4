"""The configuration that is in effect, every default written out, in the words of sluice.yaml: `check --print`.

What it gives is a sluice.yaml itself. Secrets are left out; keys of parts that are not built yet are not in it.
"""

import re
from typing import Any, Final

import yaml

from supervisor.config.config import Config
from supervisor.config.credentials import Credential
from supervisor.config.tls import ListenerTls
from supervisor.config.tokens import TokenSource
from supervisor.config.upstreams import Upstream
from supervisor.source.host_port import join

HIDDEN: Final = "(not shown)"  # not a token: a file with it is refused
UNITS: Final = ((3600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms"))
PERIODS: Final = {1.0: "s", 60.0: "m", 3600.0: "h"}


def _tls(tls: ListenerTls) -> dict[str, Any]:
    return {
        "certificates": [{"certificate": pair.certificate.path, "key": pair.key.path} for pair in tls.certificates],
        **({"clientCA": tls.client_ca.path} if tls.client_ca else {}),
        "clientCertificate": tls.client_certificate,
        **({"crl": tls.crl.path} if tls.crl else {}),
        "minVersion": tls.min_version,
    }


def _destination(host: str, port: int) -> str | int:
    """Of `tcp`; of `tls` the port alone."""
    return join(host, port) if host else port


def effective(config: Config) -> dict[str, Any]:
    """Sections and keys as sluice.yaml has them. Paths are absolute; `workers` is a number also where it was `auto`."""
    limits, source = config.limits, config.limits.per_source
    return {
        "listeners": [
            {
                "name": listener.name,
                "address": listener.address,
                "protocol": listener.protocol,
                "auth": listener.auth,
                "innerName": listener.inner_name,
                "audit": listener.audit,
                "requests": listener.requests,
                "diagnostics": listener.diagnostics,
                **({"tls": _tls(listener.tls)} if listener.tls is not None else {}),
                **({"destination": _destination(*listener.destination)} if listener.destination is not None else {}),
            }
            for listener in config.listeners
        ],
        "workers": config.workers,
        "gateway": {
            "name": config.gateway.name,
            "namespace": config.gateway.namespace,
            "labels": dict(config.gateway.labels),
            "services": list(config.gateway.services),
            "serviceAddresses": list(config.gateway.service_addresses),
            "denyMessage": config.gateway.deny_message,
            "podNetworks": list(config.gateway.pod_networks),
            "clusterNetworks": list(config.gateway.cluster_networks),
            "clusterDomain": config.gateway.cluster_domain,
        },
        "linkerd": {"globalNamespace": config.linkerd.global_namespace},
        "policy": {
            "paths": list(config.policy.paths),
            "passthrough": "mesh" if config.policy.follows_mesh else config.policy.passthrough,
            "audit": config.policy.audit,
            "auditNamespaces": list(config.policy.audit_namespaces),
            "perNamespace": {
                "entries": config.policy.per_namespace.entries,
                "bytes": config.policy.per_namespace.bytes,
                "states": config.policy.per_namespace.states,
            },
        },
        "grants": [
            {
                "namespaces": list(grant.namespaces),
                "cidrs": list(grant.cidrs),
                "sourceAddresses": list(grant.source_addresses),
                "upstreams": list(grant.upstreams),
                "credentials": list(grant.credentials),
            }
            for grant in config.grants
        ],
        "credentials": [_credential(one) for one in config.credentials],
        "identity": {
            "networks": [
                {"cidr": network.cidr, "namespace": network.namespace}
                | ({"serviceAccount": network.service_account} if network.service_account else {})
                for network in config.identity.networks
            ],
            "users": config.identity.users,
            "trustDomains": [
                {"name": domain.name, "ca": domain.ca.path}
                | ({"linkerdNamespace": domain.linkerd_namespace} if domain.linkerd_namespace else {})
                for domain in config.identity.trust.domains
            ],
            "subject": {"role": config.identity.trust.role},
            "maxAge": duration(config.identity.max_age),
            "proxyProtocolFrom": [
                {"cidr": peers.cidr, "identity": True} if peers.identity else peers.cidr
                for peers in config.identity.proxy_protocol_from
            ],
            "trusted": [{"identity": each.identity, "sources": each.sources} for each in config.identity.trusted],
            "tokens": [_token_source(source) for source in config.identity.tokens],
            "insecureTokens": config.identity.insecure_tokens,
        },
        "addresses": {
            "allow": list(config.addresses.allow),
            "deny": list(config.addresses.deny),
            "nat64": list(config.addresses.nat64),
        },
        "upstreams": [_upstream(upstream) for upstream in config.upstreams],
        "dns": {
            "servers": list(config.dns.servers) or "system",
            "timeout": duration(config.dns.timeout),
            "minTTL": duration(config.dns.min_ttl),
            "maxTTL": duration(config.dns.max_ttl),
            "negativeTTL": duration(config.dns.negative_ttl),
            "cacheEntries": config.dns.cache_entries,
        },
        "pools": {
            "perDestination": config.pools.per_destination,
            "pending": config.pools.pending,
            "idle": duration(config.pools.idle),
            "maxAge": duration(config.pools.max_age),
        },
        "via": "on" if config.via else "off",
        "tracing": {
            "endpoint": config.tracing.endpoint,
            "sample": config.tracing.sample,
            "parentBased": config.tracing.parent_based,
        },
        "limits": {
            "tunnels": limits.tunnels,
            "tunnelsPerSource": limits.tunnels_per_source,
            "streamsPerConnection": limits.streams_per_connection,
            "handshakes": limits.handshakes,
            "requestTimeout": duration(limits.request_timeout),
            "dialTimeout": duration(limits.dial_timeout),
            "idleTimeout": duration(limits.idle_timeout),
            "halfCloseTimeout": duration(limits.half_close_timeout),
            "keepAlive": duration(limits.keep_alive),
            "perSource": {
                "requests": source.requests,
                "lookups": source.lookups,
                "dials": source.dials,
                "provisional": source.provisional,
                "loginFailures": _rate(limits.login_failures),
            },
        },
        "admin": {
            "address": join(config.admin.host, config.admin.port),
            "token": None if config.admin.token is None else HIDDEN,
        },
        "metrics": {"address": join(*config.metrics) if config.metrics else None},
        "control": {"endpoint": config.control or None},
        "logs": {
            "level": config.logs.level,
            "access": config.logs.access,
            "interval": duration(config.logs.interval),
            "query": config.logs.query,
        },
        "shutdown": {"drain": duration(config.drain)},
    }


def as_yaml(config: Config) -> str:
    """The same as a file. A token is not in it: a comment says so."""
    text: str = yaml.safe_dump(effective(config), sort_keys=False, width=120, allow_unicode=False)
    return re.sub(rf"^  token: {re.escape(HIDDEN)}$", "  # token: is set, and not shown", text, flags=re.MULTILINE)


def duration(seconds: float) -> str:
    """`1h`, `90s`, `500ms`, `1.5ms`: the largest unit that gives a whole number."""
    milliseconds = round(seconds * 1000, 6)
    for size, unit in UNITS:
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size:.0f}{unit}"
    return f"{milliseconds:g}ms" if milliseconds else "0s"


def _rate(rate: tuple[int, float]) -> str:
    return f"{rate[0]}/{PERIODS[rate[1]]}"


def _upstream(upstream: Upstream) -> dict[str, Any]:
    """`passwordFile` is a path, not a secret."""
    found: dict[str, Any] = {
        "name": upstream.name,
        "type": upstream.type,
        "addresses": [join(host, port) for host, port in upstream.addresses],
    }
    if upstream.proxy_protocol != "off":
        found["proxyProtocol"] = upstream.proxy_protocol
    given = {"user": upstream.user, "passwordFile": upstream.password_file}
    return found | {name: value for name, value in given.items() if value is not None}


def _credential(one: Credential) -> dict[str, object]:
    """`file` is a path, not a secret."""
    spaces: dict[str, object] = {"namespaces": list(one.namespaces)} if one.namespaces is not None else {}
    return {"name": one.name, "file": one.file.path, "hosts": list(one.hosts), **spaces, "insecure": one.insecure}


def _token_source(source: TokenSource) -> dict[str, object]:
    claims = {"user": source.user, "namespace": source.namespace, "serviceAccount": source.service_account}
    meaning: dict[str, object] = {"kubernetes": True}
    if not source.kubernetes:
        meaning = {"identity": {name: claim for name, claim in claims.items() if claim}}
    return {"issuer": source.issuer, "audiences": list(source.audiences), "keys": source.keys.path, **meaning}
