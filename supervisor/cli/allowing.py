"""The smallest policy that would allow what was denied: a manifest to paste, or nothing where no rule can."""

import ipaddress
import re
from typing import Any, Final

import yaml

__all__ = ["allowing_policy"]

# Denials that a further allow turns, by their reason, and whether only a rule for the address does.
TURNED: Final = {
    "no_policy": False,
    "no_rule": False,
    "default_deny": False,
    "needs_address": False,
    "needs_http": False,
    "no_cidr_rule": True,
    "inner_name_missing": True,
    "address_special_purpose": True,
}
LONGEST_NAME: Final = 63
LONGEST_PATH: Final = 1024
PLAIN: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+/?|/", re.ASCII)


def allowing_policy(answer: dict[str, Any], method: str | None = None, path: str | None = None) -> list[str]:
    """The lines of a manifest; none for a denial that another rule or the address guard stands behind. `method` and
    `path` are those of the request that was asked about."""
    by_rule = answer["reason"] == "needs_http" and answer["rule"]  # it is a deny
    if answer["verdict"] != "deny" or answer["reason"] not in TURNED or by_rule or _has_role(answer["source"]):
        return []
    to = answer["destination"]
    target = to["address"] or to["host"] if TURNED[answer["reason"]] else to["host"]
    namespace, sources = _source(answer["source"])
    metadata = {"name": _name(target), **({"namespace": namespace} if namespace else {})}
    lines = [
        "apiVersion: sluice.dev/v1alpha1",
        f"kind: {'EgressPolicy' if namespace else 'ClusterEgressPolicy'}",
        f"metadata: {_flow(metadata)}",
        "spec:",
        f"  from: {_flow([sources])}" if sources else "",
        f"  to: {_flow([{**_target(target), 'ports': [to['port']], **_request(method, path)}])}",
        "  action: Allow",
    ]
    return [line for line in lines if line]


def _flow(value: object) -> str:
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=1000)).strip()


def _has_role(source: dict[str, Any]) -> bool:
    """The role of a certificate is an identity that no selector names: such an allow would be for every source."""
    return bool(source["identity"] and source["identity"].startswith(("CN=", "OU=")))


def _source(source: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The namespace of the policy, and its selector. An allow has to name the highest identity of the source."""
    if source["namespace"]:
        account = source["service_account"]
        return source["namespace"], {"serviceAccount": account} if account else {}
    if source["identity"]:
        return "", {"identity": source["identity"]}
    if source["user"]:
        return "", {"user": source["user"]}
    return "", {"cidr": _network(source["ip"])} if source["ip"] else {}


def _target(host: str) -> dict[str, str]:
    try:
        return {"cidr": _network(host)}
    except ValueError:
        return {"host": host}


def _request(method: str | None, path: str | None) -> dict[str, Any]:
    """Of requests that one alone. A path that has another normal form than its own is left out."""
    path = (path or "").partition("?")[0]
    wanted = {"methods": [method] if method and re.fullmatch("[A-Z]+", method) else []}
    wanted["paths"] = [path] if PLAIN.fullmatch(path) and len(path) <= LONGEST_PATH else []
    found = {name: value for name, value in wanted.items() if value}
    return {"http": [found]} if found else {}


def _network(address: str) -> str:
    return str(ipaddress.ip_network(address))


def _name(target: str) -> str:
    """Of the manifest: lower-case letters, digits and `-`."""
    return "allow-" + re.sub(r"[^a-z0-9]+", "-", target.lower())[: LONGEST_NAME - 6].strip("-")
