"""The HTTP/2 conformance suite h2spec, with the diagnostic page: every case has to pass.

`auto` takes requests as well, and whatever does not begin as HTTP/2 for another protocol: one case asks for a GOAWAY
there, and gets the answer of HTTP/1.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.run_gateway import Gateway, policy
from tests.support.sluice_process import ROOT

H2SPEC: Final = Path(os.environ.get("H2SPEC", ROOT / "build/h2spec/h2spec"))
CASES: Final = 146  # of h2spec 2.6.0; fewer would be cases that did not run


@pytest.mark.parametrize(("protocol", "others"), [("http2tunnel", []), ("auto", ["Sends invalid connection preface"])])
def test_every_case_of_h2spec_passes(protocol: str, others: list[str]) -> None:
    assert H2SPEC.exists(), "deploy/h2spec.sh builds it; make test does that"
    rules = [policy("all", [{"cidr": "127.0.0.0/8"}])]
    with Gateway(rules, listener={"protocol": protocol, "diagnostics": True}) as gateway:
        command = [str(H2SPEC), "-h", "127.0.0.1", "-p", str(gateway.port), "-o", "5"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        assert summary is not None, done.stdout[-500:] + done.stderr
        failures = done.stdout.partition("Failures:")[2]
        found = [int(number) for number in summary.groups()]
        assert found == [CASES, CASES - len(others), 0, len(others)], failures
        assert re.findall(r"\d+: (Sends .*)", failures) == others
        assert gateway.counter("internal_errors_total") == 0
