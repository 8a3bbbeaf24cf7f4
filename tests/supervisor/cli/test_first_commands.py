"""An operator's first commands: `check FILE...`, `check --print`, `policy`, and commands with --json that refuse."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.cli import COMMANDS
from supervisor.policy.rule_listing import ListingError, page_of
from tests.support.front import CONFIG, HASH, POLICY, sluice, write
from tests.support.harness import Running
from tests.support.sluice_process import ROOT

SECOND: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: EgressPolicy
metadata: {name: cart, namespace: shop}
spec:
  from: [{serviceAccount: cart}, {user: bob, cidr: 10.0.0.0/8}]
  to:
    - {host: "*.shop.test", except: [evil.shop.test]}
    - {cidr: 10.9.0.0/16, ports: [5432, "8000-8100"]}
    - {hostsFrom: list.txt}
  action: Deny
  onRevoke: drain
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound configuration in the working directory, and a second manifest that it does not name."""
    write(tmp_path, sluice_yaml=CONFIG, policy_yaml=POLICY, second_yaml=SECOND, list_txt="a.test\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supervisor.config.config.DEFAULT_PATHS", ("sluice.yaml", str(tmp_path / "etc/sluice.yaml")))
    return tmp_path


# check FILE...


def test_check_of_a_manifest_that_is_not_in_use(folder: Path) -> None:
    done = sluice("check", "second.yaml")
    assert (done.exit_code, done.stdout) == (
        0,
        f"{folder}/second.yaml: sound (1 file, 1 resource, 3 rules, 2 names, 1 cidr)\n",
    )


def test_check_of_a_manifest_needs_no_configuration(folder: Path) -> None:
    (folder / "sluice.yaml").unlink()
    assert sluice("check", "second.yaml", "policy.yaml").exit_code == 0
    assert not (folder / "sluice.yaml").exists()


def test_a_manifest_is_judged_with_the_configuration_that_is_named(folder: Path) -> None:
    """A parent is known there alone."""
    write(folder, second_yaml=SECOND.replace("Deny", "Allow").replace("onRevoke: drain", "upstream: corp"))
    assert "there is no upstream `corp`" in sluice("check", "second.yaml").stderr
    corp = "upstreams: [{name: corp, type: socks5, addresses: ['192.0.2.9:1080']}]\n"
    write(folder, other_yaml=corp)
    for arguments in (
        ("-c", "other.yaml", "second.yaml"),
        ("other.yaml", "second.yaml"),
        ("second.yaml", "other.yaml"),
    ):
        done = sluice("check", *arguments)
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f"{folder}/second.yaml: sound")


@pytest.mark.parametrize("name", ["sluice.yaml", "renamed.yaml", "here"])
def test_check_of_a_configuration_by_its_name(folder: Path, name: str) -> None:
    (folder / "here").mkdir()
    for place in ("renamed.yaml", "here/sluice.yaml"):
        (folder / place).write_text(f"policy: {{paths: [{folder}/policy.yaml]}}\nworkerz: 1\n")
    write(folder, sluice_yaml=CONFIG + "workerz: 1\n")
    done = sluice("check", name)
    assert done.exit_code == 1
    assert ":2:1: unknown key `workerz` (did you mean `workers`?)" in done.stderr


def test_check_of_a_folder_of_manifests(folder: Path) -> None:
    (folder / "rules").mkdir()
    (folder / "rules/a.yaml").write_text(POLICY)
    (folder / "rules/b.yaml").write_text(POLICY.replace("Allow", "Alow"))
    done = sluice("check", "rules")
    assert done.exit_code == 1
    assert f"{folder}/rules/b.yaml:7:11: action: expected one of Allow, Deny, Audit" in done.stderr


@pytest.mark.parametrize("text", ["kind: [\n", "", "x\n", "apiVersion: v1\n"])
def test_check_of_a_manifest_that_is_wrong(folder: Path, text: str) -> None:
    write(folder, wrong_yaml=text)
    done = sluice("check", "wrong.yaml")
    assert done.exit_code == 1
    assert f"error: {folder}/wrong.yaml" in done.stderr and "1 error" in done.stderr


def test_check_of_files_that_cannot_be_meant(folder: Path) -> None:
    done = sluice("check", "absent.yaml")
    assert done.exit_code == 2 and "absent.yaml does not exist" in done.stderr
    write(folder, other_yaml="workers: 1\n")
    for arguments in (("sluice.yaml", "other.yaml"), ("-c", "sluice.yaml", "other.yaml")):
        done = sluice("check", *arguments)
        assert done.exit_code == 2 and "sluice.yaml and other.yaml are both a configuration" in done.stderr


def test_check_of_files_in_json(folder: Path) -> None:
    report = json.loads(sluice("check", "--json", "second.yaml").stdout)
    assert report["ok"] is True and report["manifests"] == [f"{folder}/second.yaml"] and report["counts"]["rules"] == 3


def test_check_warns_of_the_process_manager_of_the_same_name(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "process manager" not in sluice("check").stderr
    site = tmp_path_factory.mktemp("site")
    (site / "supervisor-4.2.5.dist-info").mkdir()
    (site / "supervisor-4.2.5.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: supervisor\nVersion: 4.2.5\n"
    )
    monkeypatch.syspath_prepend(str(site))
    done = sluice("check")
    assert done.exit_code == 0
    assert "warning: the process manager supervisor 4.2.5 is installed in this environment" in done.stderr


# check --print

EVERY_KEY: Final = """\
listeners:
  - {name: a, address: "[::1]:1081", protocol: sock5, auth: required, innerName: audit, audit: true, diagnostics: true}
  - {address: "127.0.0.1:1082", auth: off}
workers: 3
gateway:
  {name: edge, namespace: out, serviceAddresses: ["fd00::1"], denyMessage: "ask in #egress", podNetworks: ["fd00::/8"],
  labels: {app: sluice}, clusterNetworks: [10.0.0.0/8]}
linkerd: {globalNamespace: out}
policy: {paths: [policy.yaml], passthrough: true, audit: true}
identity:
  users: users.yaml
  networks: [{cidr: 10.1.0.0/16, namespace: shop, serviceAccount: cart}, {cidr: "fd00::/64", namespace: pay}]
addresses: {allow: [10.0.0.0/8], deny: ["192.0.2.0/24"], nat64: ["64:ff9b:1::/96"]}
upstreams:
  - {name: corp, type: http, addresses: ["10.0.0.9:3128", "[fd00::9]:3128"], user: gate, passwordFile: secret}
dns: {servers: [10.0.0.10, "[fd00::a]:53"], timeout: 1500ms, minTTL: 0s, maxTTL: 1h30m, negativeTTL: 250ms,
  cacheEntries: 7}
limits:
  {tunnels: 9, tunnelsPerSource: 8, streamsPerConnection: 7, requestTimeout: 90s, dialTimeout: 1s, idleTimeout: 2h,
  halfCloseTimeout: 61s, keepAlive: 2s,
  perSource: {requests: 1, lookups: 2, dials: 3, provisional: 4, loginFailures: 5/m}}
admin: {address: "127.0.0.1:9903", token: correct-horse-battery}
metrics: {address: "127.0.0.1:9904"}
control: {endpoint: "ipc:///run/other/control"}
logs: {level: debug, access: a.log, interval: 0s}
shutdown: {drain: 1m}
"""


def keys(value: Any, path: str = "") -> set[str]:
    """Paths of all keys; items of a list have the path of the list."""
    if isinstance(value, dict):
        return {found for name, inner in value.items() for found in {f"{path}.{name}"} | keys(inner, f"{path}.{name}")}
    return {found for inner in value for found in keys(inner, path)} if isinstance(value, list) else set()


@pytest.mark.parametrize("text", ["", CONFIG, EVERY_KEY], ids=["defaults", "few", "all"])
def test_what_is_printed_means_the_same(folder: Path, text: str) -> None:
    """It is a sluice.yaml that prints as itself; the token alone is to be added."""
    write(folder, sluice_yaml=text, users_yaml=f"users: [{{name: bob, hash: '{HASH}'}}]\n")
    (folder / "secret").write_text("x\n")
    printed = sluice("check", "--print")
    assert printed.exit_code == 0, printed.stderr
    assert "correct-horse" not in printed.output
    again = printed.stdout.replace("  # token: is set, and not shown", "  token: correct-horse-battery")
    write(folder, sluice_yaml=again)
    assert sluice("check", "--print").stdout == printed.stdout
    shown = json.loads(sluice("check", "--print", "--json").stdout)["configuration"]
    assert keys(shown) - {".admin.token"} == keys(yaml.safe_load(printed.stdout)) - {".admin.token"}


def test_every_key_that_is_built_is_printed(folder: Path) -> None:
    """The example has them all, with their defaults; so has what is printed."""
    example = yaml.safe_load((ROOT / "deploy/sluice.yaml").read_text())
    write(folder, sluice_yaml="")
    shown = yaml.safe_load(sluice("check", "--print").stdout)
    assert keys(shown) == keys(example) | {".upstreams", ".limits.tunnels"}
    for section, key in (("dns", "timeout"), ("limits", "idleTimeout"), ("limits", "perSource"), ("shutdown", "drain")):
        assert shown[section][key] == example[section][key]


def test_what_is_refused_is_not_printed(folder: Path) -> None:
    write(folder, sluice_yaml="workers: 0\n")
    done = sluice("check", "--print")
    assert done.exit_code == 1 and done.stdout == ""
    assert json.loads(sluice("check", "--print", "--json").stdout)["configuration"] is None


# policy


def test_the_rules_with_their_lines(folder: Path) -> None:
    write(folder, sluice_yaml="policy: {paths: [policy.yaml, second.yaml]}\n")
    done = sluice("policy")
    assert done.exit_code == 0
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert rows == [
        "RULE ITEM ACTION FROM TO PORTS SETS PLACE",
        f"ClusterEgressPolicy/web 0 Allow every workload api.example.com 443 {folder}/policy.yaml:6",
        "EgressPolicy/shop/cart 0 Deny shop/cart; shop user bob 10.0.0.0/8 *.shop.test except evil.shop.test any"
        f" onRevoke: drain {folder}/second.yaml:7",
        "EgressPolicy/shop/cart 1 Deny shop/cart; shop user bob 10.0.0.0/8 10.9.0.0/16 5432, 8000-8100"
        f" onRevoke: drain {folder}/second.yaml:8",
        f"EgressPolicy/shop/cart 2 Deny shop/cart; shop user bob 10.0.0.0/8 hosts of {folder}/list.txt any"
        f" onRevoke: drain {folder}/second.yaml:9",
    ]


def test_the_rules_in_json_and_in_pages(folder: Path) -> None:
    write(folder, sluice_yaml="policy: {paths: [policy.yaml, second.yaml]}\n")
    whole = json.loads(sluice("policy", "--json").stdout)
    assert whole["next"] is None and len(whole["items"]) == 4
    first = whole["items"][0]
    assert first["rule"] == {
        "kind": "ClusterEgressPolicy", "namespace": None, "name": "web", "index": 0,
        "file": f"{folder}/policy.yaml", "line": 6,
    }  # fmt: skip
    assert first["to"]["host"] == "api.example.com" and first["to"]["ports"] == [443]
    items: list[Any] = []
    after: list[str] = []
    while True:
        page = json.loads(sluice("policy", "--json", "--limit", "3", *after).stdout)
        items += page["items"]
        if page["next"] is None:
            break
        after = ["--after", page["next"]]
    assert items == whole["items"]


@pytest.mark.parametrize("after", ["x", "1", "0-", "0-x", "-1", "0-1-2", "٣-٣"])
def test_a_page_that_is_none(after: str) -> None:
    with pytest.raises(ListingError):
        page_of(b"", 0, 10, after)


def test_a_page_of_another_policy() -> None:
    with pytest.raises(ListingError, match="has changed"):
        page_of(b"", 7, 10, "6-1000")


def test_the_running_gateway_lists_the_same_rules(folder: Path) -> None:
    with Running(config={"policy": {"paths": [str(folder / "policy.yaml"), str(folder / "second.yaml")]}}) as gateway:
        live = json.loads(sluice("policy", "--live", "--json", "-c", str(gateway.config_file)).stdout)
        read = json.loads(sluice("policy", "--json", "-c", str(gateway.config_file)).stdout)
        assert live["items"] == read["items"] and len(live["items"]) == 4 and live["generation"] == 1
        page = gateway.ask("policy", limit=3)
        write(folder, second_yaml=SECOND.replace("Deny", "Allow"))
        assert sluice("reload", "-c", str(gateway.config_file)).exit_code == 0
        assert {item["action"] for item in gateway.ask("policy")["items"]} == {"Allow"}
        done = sluice("policy", "--live", "--after", page["next"], "-c", str(gateway.config_file))
        assert done.exit_code == 1 and "the policy has changed" in done.stderr
        write(folder, second_yaml="kind: [\n")
        refused = sluice("reload", "--json", "-c", str(gateway.config_file))
        said = json.loads(refused.stdout)
        assert refused.exit_code == 1 and said["ok"] is False and f"{folder}/second.yaml:2:1" in said["error"]


# --json

WITH_JSON: Final = {
    "check": [], "explain": ["--to", "a.test:1"], "policy": [], "reload": [], "drain": [], "stats": [], "tunnels": [],
    "user": ["list"],
}  # fmt: skip
USAGE: Final = {name: ["--nonsense"] for name in WITH_JSON} | {
    "explain": ["--to", "nonsense"], "tunnels": ["--to", ""], "policy": ["--limit", "0"],
}  # fmt: skip


def test_the_table_has_every_command_with_json() -> None:
    assert set(COMMANDS) == set(WITH_JSON) | {"run", "pki"}


def answer(done: Any) -> Any:
    """The one JSON document on stdout."""
    assert not done.stderr.startswith(("Usage", "sluice:", "error:")), done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", WITH_JSON)
def test_refusals_in_json(folder: Path, name: str) -> None:
    """No gateway, no configuration, files that are wrong, and arguments that are wrong."""
    command = [name, *WITH_JSON[name], "--json"]
    if name in ("reload", "drain", "stats", "tunnels"):
        write(folder, sluice_yaml=f"control: {{endpoint: 'ipc://{folder}/control'}}\n")
        done = sluice(*command)
        assert done.exit_code == 1 and "no gateway answers" in answer(done)["error"]
    write(folder, sluice_yaml="workerz: 1\n")
    done = sluice(*command)
    assert done.exit_code == 1
    found = answer(done)
    assert found["ok"] is False and found["errors"][0]["message"] == "unknown key `workerz`"
    (folder / "sluice.yaml").unlink()
    done = sluice(*command, "-c", "absent.yaml")
    assert done.exit_code == 2 and "absent.yaml does not exist" in answer(done)["error"]
    done = sluice(name, *WITH_JSON[name][: 1 if name == "user" else 0], "--json", *USAGE[name])
    found = answer(done)
    assert done.exit_code == 2 and found["ok"] is False and found["error"]


def test_a_command_that_is_none_in_json() -> None:
    done = sluice("chekc", "--json")
    assert done.exit_code == 2 and "did you mean `check`?" in answer(done)["error"]


def test_help_is_help_beside_json() -> None:
    done = sluice("stats", "--json", "--help")
    assert done.exit_code == 0 and done.stdout.startswith("Usage: sluice stats")
