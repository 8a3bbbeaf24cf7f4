"""The cost of a mirror: requests without one, with a copy of each, and with copies that a backend never reads.

    python -m bench.operate.mirror [--rounds 5] [--seconds 2]

Three gateways with one route each, asked in turns, all on one core; load and backends have the other.
"""

import contextlib
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.accounting import Account
from bench.loads import SETTLING, finish, start
from bench.machine import confined, cores
from bench.operate.scene import begin, keep, options, table
from bench.peers.web import Web
from bench.web import WebOrigin
from tests.support.run_gateway import Gateway, policy

KINDS: Final = ("none", "all", "stalls")
ROUTE: Final = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: outside, namespace: egress}}
spec: {{gatewayClassName: sluice, listeners: [{{name: mesh, port: {port}, protocol: HTTP}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: copies, namespace: egress}}
spec:
  parentRefs: [{{name: outside}}]
  hostnames: [localhost]
  rules: [{{filters: [{filters}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: copies, namespace: egress}}
spec: {{type: ExternalName, externalName: localhost, ports: [{{port: {backend}}}]}}
"""
FILTER: Final = "{{type: RequestMirror, requestMirror: {{backendRef: {{name: copies, port: {port}}}}}}}"


def gateway_of(kind: str, web: Web, account: Account) -> Gateway:
    """One gateway, not started."""
    made = Gateway(
        [policy("backends", [{"cidr": "127.0.0.0/8"}])],
        {"policy": {"paths": ["policy.yaml", "route.yaml"]}},
        preexec_fn=confined(cores().proxy, account.enter()),
    )
    backend = web.silent if kind == "stalls" else web.port
    filters = "" if kind == "none" else FILTER.format(port=backend)
    Path(made.folder, "route.yaml").write_text(ROUTE.format(port=made.port, filters=filters, backend=backend))
    return made


def measure(gateway: Gateway, account: Account, web: Web, seconds: float) -> dict[str, float]:
    """CPU of a request in microseconds, and the p99 of the requests themselves."""
    arguments = ("kept", "--count", "64", "--seconds", f"{seconds:g}", "--absolute")
    target = ("--proxy", f"127.0.0.1:{gateway.port}", "--authority", f"localhost:{web.port}")
    before = account.cpu()
    answer: dict[str, Any] = finish(start(arguments, target, cores().load, "requests"))
    time.sleep(SETTLING)
    spent = account.cpu() - before
    return {"cpu_us": spent * 1e6 / answer["round_trips"], "p99_us": answer["round_trip_us"]["p99"]}


def main() -> None:
    arguments = options(__doc__.splitlines()[0], rounds=5, seconds=2.0)
    begin()
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(WebOrigin(cores().load))
        running = {}
        for kind in KINDS:
            account = Account(f"mirror-{kind}")
            stack.callback(account.close)
            gateway = stack.enter_context(gateway_of(kind, web, account))
            account.session = gateway.pid
            running[kind] = (gateway, account)
            measure(*running[kind], web, 0.5)
        for number in range(arguments.rounds):
            for kind in KINDS if number % 2 else reversed(KINDS):
                found[kind].append(measure(*running[kind], web, arguments.seconds))
    rows = {}
    for kind in KINDS:
        rows[kind] = {key: median(run[key] for run in found[kind]) for key in ("cpu_us", "p99_us")}
        for key in ("cpu_us", "p99_us"):
            pairs = zip(found[kind], found["none"], strict=True)
            rows[kind][f"{key}_ratio"] = median(one[key] / none[key] for one, none in pairs)
    table("a request, its p99, and both relative to none", rows)
    keep("mirror", arguments, {"rounds": found, "medians": rows})


if __name__ == "__main__":
    main()
