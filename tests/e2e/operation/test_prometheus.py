"""Debian's Prometheus against a running gateway: promtool finds nothing to say, and scrapes come in."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.conftest import World
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy, tunnels
from tests.support.sluice_process import ROOT

BIN: Final = ROOT / "build/prometheus/usr/bin"
CONFIG: Final = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: sluice
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@pytest.fixture
def gateway(world: World) -> Iterator[Gateway]:
    rules = [policy("open", [{"cidr": "127.0.0.0/8", "ports": [world.echo.port]}])]
    metrics = {"metrics": {"address": f"127.0.0.1:{free_port()}"}, "workers": 2}
    with Gateway(rules, metrics) as running, tunnels(running, 3, "127.0.0.1", world.echo.port) as clients:
        assert all(wire.echoes(client) for client in clients)
        yield running


def metrics_port(gateway: Gateway) -> int:
    return int(gateway.config["metrics"]["address"].rpartition(":")[2])


@pytest.mark.full
def test_promtool_has_nothing_to_complain_of(gateway: Gateway) -> None:
    for port in (gateway.admin, metrics_port(gateway)):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            text = answer.read()
        done = subprocess.run([BIN / "promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.full
def test_prometheus_scrapes(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=metrics_port(gateway)))
    port = free_port()
    command = [
        str(BIN / "prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip

    def ask(query: str) -> Any:
        url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(query)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                found = json.load(answer)["data"]["result"]
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    with subprocess.Popen(command) as process:
        try:
            eventually(lambda: ask('sum(sluice_tunnels_open{protocol="socks5"})') == 3, "the tunnels are seen")
            assert ask("up") == 1
            assert ask('sum(sluice_bytes_total{rule="ClusterEgressPolicy/open",direction="up"})') == 15
            assert ask("count(sluice_policy_generation == 1)") == 2
            eventually(lambda: ask("histogram_quantile(0.99, sum by (le) (sluice_dial_seconds_bucket))"), "a quantile")
        finally:
            process.terminate()
