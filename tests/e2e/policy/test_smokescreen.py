"""Smokescreen ACLs against a running gateway: roles by certificate and by user, the log's rule, and `explain`, which
says what the worker decides; and the example of deploy/examples."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World
from tests.e2e.policy.test_certificate_identity import Mesh
from tests.support import wire
from tests.support.run_gateway import Gateway, Mapping, policy, sluice
from tests.support.sluice_process import ROOT

ACL: Final[Mapping] = {
    "version": "v1",
    "services": [
        {"name": "web", "project": "shop", "action": "enforce", "allowed_domains": ["open.test", "a.wild.test"]},
        {"name": "visitor", "project": "shop", "action": "report"},
        {"name": "free", "project": "ops", "action": "open"},
    ],
    "default": {"project": "ops", "action": "enforce", "allowed_domains": ["team.test"]},
    "global_deny_list": ["*.wild.test", "both.test"],
    "global_allow_list": ["localhost", "both.test"],
}
EXAMPLE: Final = ROOT / "deploy/examples/smokescreen"

# (CN of the certificate, user, host, verdict, rule)
FLOWS: Final = (
    ("web", None, "open.test", "allow", "SmokescreenRole/web"),
    ("web", None, "a.wild.test", "allow", "SmokescreenRole/web"),
    ("web", None, "both.test", "deny", "SmokescreenGlobal/global_deny_list"),
    ("web", None, "localhost", "allow", "SmokescreenGlobal/global_allow_list"),
    ("web", None, "team.test", "deny", "SmokescreenAction/web"),
    ("web", "visitor", "team.test", "deny", "SmokescreenAction/web"),
    ("free", None, "team.test", "allow", "SmokescreenAction/free"),
    ("free", None, "a.wild.test", "deny", "SmokescreenGlobal/global_deny_list"),
    ("free", None, "blocked.test", "deny", "ClusterEgressPolicy/refused"),
    ("stranger", None, "team.test", "allow", "SmokescreenDefault/allowed_domains"),
    ("stranger", None, "open.test", "deny", "SmokescreenDefault/action"),
    (None, "visitor", "team.test", "audit", "SmokescreenAction/visitor"),
    (None, "visitor", "both.test", "deny", "SmokescreenGlobal/global_deny_list"),
    (None, "build-bot", "team.test", "allow", "SmokescreenDefault/allowed_domains"),
    (None, None, "localhost", "deny", None),
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    found = Mesh(tmp_path_factory.mktemp("mesh"))
    found.tls["clientCertificate"] = "optional"
    found.trust = {"subject": {"role": "CN"}}
    return found


@pytest.fixture(scope="module")
def served(mesh: Mesh, world: World) -> Iterator[Gateway]:
    refused = policy("refused", [{"host": "blocked.test"}], "Deny")
    with mesh.gateway(world, [ACL, refused]) as gateway:
        yield gateway


@pytest.mark.parametrize(("role", "user", "host", "verdict", "rule"), FLOWS)
def test_the_worker_decides_as_explain_says(
    mesh: Mesh, served: Gateway, world: World, role: str | None, user: str | None, host: str, verdict: str,
    rule: str | None,
) -> None:  # fmt: skip
    before = len(served.events())
    with mesh.connect(served, mesh.client(role) if role else None) as client:
        source = client.getsockname()[1]
        status = wire.socks5(client, host, world.echo.port, user, PASSWORD)  # type: ignore[arg-type]
        assert status == (2 if verdict == "deny" else 0)
        assert status or wire.echoes(client)  # type: ignore[arg-type]
    line = served.logged(before, source)
    assert (line["verdict"], line["rule"], line["would_deny"]) == (verdict, rule, verdict == "audit")

    asked = [*(["--identity", f"CN={role}"] if role else []), *(["--user", user] if user else [])]
    for way in ([], ["--live"]):
        done = served.sluice("explain", "--json", *asked, "--to", f"{host}:{world.echo.port}", *way)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        named = answer["rule"] and "/".join((answer["rule"]["kind"], answer["rule"]["name"]))
        assert (answer["verdict"], named) == (verdict, rule)
        assert answer["reason"] == line["reason"]


def test_a_reload_takes_a_role_away_and_ends_its_tunnels(mesh: Mesh, world: World) -> None:
    closed = {**ACL, "services": [{**each, "action": "enforce"} for each in ACL["services"]]}
    with mesh.gateway(world, [ACL]) as gateway, mesh.connect(gateway, mesh.client("free")) as client:
        wire.open_socks5(client, "team.test", world.echo.port)  # type: ignore[arg-type]
        assert wire.echoes(client)  # type: ignore[arg-type]
        gateway.reload([closed])
        line = gateway.event(event="close")
        assert (line["outcome"], line["rule"]) == ("revoked", "SmokescreenAction/free")


def test_explain_knows_which_roles_there_can_be(served: Gateway) -> None:
    done = served.sluice("explain", "--identity", "OU=web", "--to", "open.test:443")
    assert done.returncode == 2
    assert "no certificate is `OU=web` here: identity.subject.role is CN" in done.stderr


def test_what_a_role_can_reach_and_who_can_reach_a_name(served: Gateway) -> None:
    answer = json.loads(served.sluice("explain", "--json", "--identity", "CN=web").stdout)
    assert answer["default"] == {"verdict": "deny", "reason": "default_deny"}
    denied = {
        "/".join((item["rule"]["name"], item["to"]["host"])): item["denied"]
        for item in answer["items"]
        if item["action"] == "Allow"
    }
    # A domain of the role comes before the global denies, those before global allows.
    wanted = {"web/open.test": None, "web/a.wild.test": None}
    assert denied == wanted | {"global_allow_list/localhost": None, "global_allow_list/both.test": "all"}
    answer = json.loads(served.sluice("explain", "--json", "--to", "team.test:443").stdout)
    verdicts = {
        source["from"].get("role", "others"): source["verdict"]
        for item in answer["items"]
        for source in item["sources"]
    }
    assert verdicts == {"others": "allow", "web": "deny", "visitor": "audit", "free": "allow"}


def test_the_rules_are_listed(served: Gateway) -> None:
    text = served.sluice("policy").stdout
    for words in ("SmokescreenAction/web", "Deny (default)", "role web", "every other role", "anything"):
        assert words in text


def test_the_example_is_accepted_and_decides(tmp_path: Path) -> None:
    folder = tmp_path / "smokescreen"
    shutil.copytree(EXAMPLE, folder)
    done = sluice("check", "-c", str(folder / "sluice.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr
    answers = {
        ("web", "api.stripe.com"): "allow",
        ("web", "www.example.com"): "deny",
        ("batch", "www.example.com"): "audit",
        ("batch", "paste.example"): "deny",
        ("visitor", "status.example.com"): "allow",
        ("visitor", "www.example.com"): "deny",
    }
    for (user, host), verdict in answers.items():
        done = sluice("explain", "--json", "-c", str(folder / "sluice.yaml"), "--user", user, "--to", f"{host}:443")
        assert json.loads(done.stdout)["verdict"] == verdict, (user, host)


def test_the_example_runs(world: World) -> None:
    files = {
        "users.yaml": (EXAMPLE / "users.yaml").read_text(),
        "acl.yaml": (EXAMPLE / "policy/acl.yaml").read_text().replace("api.stripe.com", "open.test"),
    }
    example = yaml.safe_load((EXAMPLE / "sluice.yaml").read_text())
    config = {
        "identity": example["identity"],
        "policy": {"paths": ["acl.yaml"]},
        "dns": {"servers": [world.names.address]},
    }
    with Gateway([], config, files=files) as gateway:
        for host, status in (("open.test", 0), ("both.test", 2)):
            with wire.connect(gateway.port) as client:
                assert wire.socks5(client, host, world.echo.port, "web", "web") == status
