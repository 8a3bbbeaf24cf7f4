"""The commands that need no gateway: check and explain, called as a shell would call them."""

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import zmq

from gateway.tables import REASONS
from supervisor.cli import COMMANDS, asking
from supervisor.cli.verdicts import TURNS, describe
from supervisor.generation.compilation import CompileResult, compile_blocking
from tests.support.front import CONFIG, POLICY, entered, sluice, write

NAMESPACED: Final = """\
---
apiVersion: sluice.dev/v1alpha1
kind: EgressPolicy
metadata: {name: cart, namespace: shop}
spec:
  from: [{serviceAccount: cart}]
  to: [{host: "*.shop.test"}, {cidr: 10.9.0.0/16, ports: [5432]}]
  action: Allow
---
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: bots}
spec: {action: Audit, from: [{user: bot}], to: [{host: bot.test}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sound configuration, which is the working directory."""
    return entered(tmp_path, monkeypatch, sluice_yaml=CONFIG, policy_yaml=POLICY + NAMESPACED)


# The group.


def test_help_imports_no_command() -> None:
    script = "import sys\nfrom supervisor.cli import main\nmain(['--help'], standalone_mode=False)\nprint(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    *lines, modules = said.splitlines()
    assert all(f"  {name} " in "\n".join(lines) for name in COMMANDS)
    assert not {module for module, _, _ in COMMANDS.values()} & set(modules.split())
    assert "gateway.policy.image" not in modules and "zmq" not in modules


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_teaches(name: str) -> None:
    done = sluice(name, "--help")
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: sluice {name}")
    assert "Example" in done.output


def test_a_misspelt_command() -> None:
    done = sluice("chekc")
    assert done.exit_code == 2
    assert "did you mean `check`?" in done.output


def test_the_version() -> None:
    assert sluice("--version").output.startswith("sluice ")


# check


def test_check_counts_what_is_sound(folder: Path) -> None:
    done = sluice("check")
    assert done.exit_code == 0
    assert done.stdout == f"{folder}/sluice.yaml: sound (1 file, 3 resources, 4 rules, 3 names, 1 cidr)\n"
    place = f"{folder}/policy.yaml:20:49"
    strangers, bots, *more = done.stderr.splitlines()
    assert strangers.startswith(f"warning: {folder}/policy.yaml:14:8: no item of identity.networks and no user")
    assert bots.startswith(f"warning: {place}: ClusterEgressPolicy bots selects the user `bot`")
    assert all(line.startswith("warning: ") for line in more)


def test_check_names_every_mistake_and_ends_with_1(folder: Path) -> None:
    write(folder, policy_yaml=POLICY.replace("Allow", "Alow").replace("443", "70000"))
    done = sluice("check", "-c", "sluice.yaml")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: {folder}/policy.yaml:6:39: 70000 is out of range: 1 to 65535",
        f"error: {folder}/policy.yaml:7:11: action: expected one of Allow, Deny, Audit, found the text `Alow` "
        "(did you mean `Allow`?)",
        f"{folder}/sluice.yaml: 2 errors",
    ]


def test_check_in_json(folder: Path) -> None:
    report = json.loads(sluice("check", "--json").stdout)
    assert report["ok"] is True and report["errors"] == [] and report["counts"]["rules"] == 4
    write(folder, policy_yaml=POLICY.replace("web", "web, x: y"))
    done = sluice("check", "--json")
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert report["ok"] is False and len(report["warnings"]) == 0
    expected = {"file": f"{folder}/policy.yaml", "line": 3, "column": 23, "message": "unknown key `x`"}
    assert report["errors"][0] | expected == report["errors"][0]


def test_check_warns_of_keys_that_a_control_endpoint_over_tcp_lacks(folder: Path) -> None:
    write(folder, sluice_yaml=CONFIG + "control: {endpoint: 'tcp://127.0.0.1:9902'}\n")
    done = sluice("check")
    assert done.exit_code == 0
    assert f"warning: {folder}/sluice.yaml: control key {folder}/control-keys/server.key_secret" in done.stderr


def test_check_without_a_configuration(folder: Path) -> None:
    (folder / "sluice.yaml").unlink()
    done = sluice("check")
    assert done.exit_code == 2
    assert "no configuration found: sluice.yaml and" in done.stderr
    done = sluice("check", "-c", "absent\x1b.yaml")
    assert done.exit_code == 2
    assert "absent\\x1b.yaml does not exist" in done.stderr


def test_a_terminal_gets_no_command_from_a_file(folder: Path) -> None:
    write(folder, policy_yaml=POLICY.replace("Allow", '"\\e[2J\u202e"'))
    for arguments in (("check",), ("check", "--json"), ("explain", "--to", "a.test:1")):
        done = sluice(*arguments)
        assert done.exit_code == 1
        text = done.stdout + done.stderr
        assert "\\x1b[2J\\xe2\\x80\\xae" in text.replace("\\\\", "\\")
        assert text.isascii() and text.replace("\n", "").isprintable()


# explain


def explained(*arguments: str) -> Mapping[str, Any]:
    done = sluice("explain", "--json", *arguments)
    assert done.exit_code == 0, done.output
    answer: Mapping[str, Any] = json.loads(done.stdout)
    return answer


QUESTIONS: Final = {
    "any source": (["--to", "api.example.com:443"], "allow", "rule_allow", "web"),
    "another port": (["--to", "api.example.com:80"], "deny", "no_rule", None),
    "an account": (["--from", "shop/cart", "--to", "a.shop.test:1"], "allow", "rule_allow", "cart"),
    "an account of another namespace": (["--from", "pay/cart", "--to", "a.shop.test:1"], "deny", "no_rule", None),
    "a namespace alone": (["--from", "shop", "--to", "a.shop.test:1"], "deny", "no_rule", None),
    "an identity stands for its account": (
        ["--identity", "spiffe://mesh/ns/shop/sa/cart", "--to", "a.shop.test:1"], "allow", "rule_allow", "cart",
    ),
    "an identity of another form stands for none": (
        ["--identity", "spiffe://mesh/shop/cart", "--to", "a.shop.test:1"], "deny", "no_rule", None,
    ),
    "a user": (["--user", "bot", "--to", "bot.test:1"], "audit", "rule_audit", "bots"),
    "a name whose address decides": (["--from", "shop/cart", "--to", "db.test:5432"], "deny", "needs_address", None),
    "and with an address": (
        ["--from", "shop/cart", "--to", "db.test:5432", "--address", "10.9.1.1"], "allow", "rule_allow", "cart",
    ),
    "an address": (["--from", "shop/cart", "--to", "10.9.1.1:5432"], "allow", "rule_allow", "cart"),
    "an IPv6 address": (["--to", "[2001:db8::1]:443"], "deny", "address_special_purpose", None),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "verdict", "reason", "rule"), QUESTIONS.values(), ids=list(QUESTIONS))
def test_explain(folder: Path, arguments: list[str], verdict: str, reason: str, rule: str | None) -> None:
    answer = explained(*arguments)
    assert (answer["verdict"], answer["reason"]) == (verdict, reason)
    assert (answer["rule"] and answer["rule"]["name"]) == rule
    assert ("to_turn" in answer) == (verdict == "deny")
    # Without a source the rules that name the destination are listed as well.
    assert set(answer) - {"question", "default", "items", "next", "generation", "unlisted", "to_turn"} == {
        *("verdict", "rule", "phase", "reason", "would_deny", "source", "destination", "trail"),
        *("source_address", "list_line"),
        *("addresses", "unknown", "credentials", "identity_source", "attributes"),
    }  # fmt: skip


def test_explain_for_people(folder: Path) -> None:
    source = ("--from", "shop/cart", "--source", "10.1.1.1")
    done = sluice("explain", *source, "--to", "DB.test:5432", "--address", "10.9.1.1")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "ALLOW  db.test:5432 at 10.9.1.1",
        "  source   shop/cart, 10.1.1.1",
        f"  rule     EgressPolicy/shop/cart, item 1 of `to`  {folder}/policy.yaml:14",
        "  reason   rule_allow (address phase)",
        "  trail",
        "    * name     needs_address",
        "    * address  allow      EgressPolicy/shop/cart[1]  10.9.0.0/16 for service account shop/cart, port by single"
        f"  {folder}/policy.yaml:14",
        "  to turn  deny it: a policy for this source with action: Deny; or take it out of EgressPolicy/shop/cart",
    ]


def test_what_is_not_known_is_said(folder: Path) -> None:
    to = ("--to", "api.example.com:443")
    assert explained(*to)["unknown"] == ["address"]
    assert explained(*to, "--address", "8.8.8.8")["unknown"] == []
    assert explained("--to", "x.test:1")["unknown"] == [], "no address turns a denial by name"
    assert explained("--to", "8.8.8.8:1")["unknown"] == []
    first = sluice("explain", *to).stdout.splitlines()[0]
    assert first == "ALLOW by name only  api.example.com:443; addresses not judged: give --address or --resolve"
    assert [sluice("explain", *to, *more, "--fail").exit_code for more in ((), ("--address", "8.8.8.8"))] == [1, 0]
    assert sluice("explain", "--to", "x.test:1", "--fail").exit_code == 1


def test_each_address_is_judged(folder: Path) -> None:
    to = ("--to", "api.example.com:443")
    both = explained(*to, "--address", "10.1.1.1", "--address", "8.8.8.8")
    assert (both["verdict"], both["destination"]["address"]) == ("allow", "8.8.8.8"), "the refused one is dropped"
    assert [(each["address"], each["verdict"]) for each in both["addresses"]] == [
        ("10.1.1.1", "deny"), ("8.8.8.8", "allow")
    ]  # fmt: skip
    none = explained(*to, "--address", "10.1.1.1", "--address", "127.0.0.1")
    assert (none["verdict"], none["reason"]) == ("deny", "address_special_purpose")


def test_credentials_that_a_listener_requires_are_said(folder: Path) -> None:
    listeners = "listeners: [{name: a, auth: required}, {name: b, address: '127.0.0.1:2'}]\n"
    write(folder, sluice_yaml=CONFIG + listeners + "identity: {users: users.yaml}\n", users_yaml="users: []\n")
    to = ("--to", "api.example.com:443", "--address", "8.8.8.8")
    assert explained(*to, "--listener", "a")["credentials"] == "a"
    assert explained(*to, "--listener", "a")["unknown"] == ["credentials"]
    assert explained(*to, "--listener", "a", "--user", "bot")["credentials"] is None
    assert explained(*to, "--listener", "b")["credentials"] is None
    assert "needs    credentials: listener a has auth: required" in sluice("explain", *to, "--listener", "a").stdout
    assert sluice("explain", *to, "--listener", "a", "--fail").exit_code == 1


@pytest.mark.parametrize(
    ("asked", "warned"),
    [
        (("--user", "stranger"), "warning: no user is called `stranger`"),
        (("--from", "ghost/town"), "warning: nothing stands for `ghost/town`"),
        ((), ""),
    ],
)
def test_names_that_no_one_has_are_warned_of(folder: Path, asked: tuple[str, ...], warned: str) -> None:
    done = sluice("explain", "--to", "a.test:1", *asked)
    assert (done.exit_code, done.stderr.startswith(warned), bool(done.stderr)) == (0, True, bool(warned))


def test_a_listeners_audit_mode(folder: Path) -> None:
    listeners = "listeners: [{name: a, audit: true}, {name: b, address: '127.0.0.1:2'}]\n"
    write(folder, sluice_yaml=CONFIG + listeners)
    to = ("--to", "x.test:1")
    assert explained(*to, "--listener", "a")["verdict"] == "audit"
    assert explained(*to, "--listener", "b")["verdict"] == "deny"
    assert explained(*to)["verdict"] == "deny"
    done = sluice("explain", *to, "--listener", "c")
    assert (done.exit_code, done.stderr) == (2, "sluice: no listener `c`: there is a, b\n")
    write(folder, sluice_yaml=CONFIG + "listeners: [{audit: true}]\n")
    assert explained(*to)["verdict"] == "audit"


def test_a_listeners_inner_mode(folder: Path) -> None:
    listeners = "listeners: [{name: a}, {name: b, address: '127.0.0.1:2', innerName: 'off'}]\n"
    write(folder, sluice_yaml=CONFIG + listeners)
    to = ("--to", "api.example.com:443", "--sni", "other.example.com")
    assert explained(*to, "--listener", "a")["reason"] == "inner_name_mismatch"
    assert explained(*to, "--listener", "b")["verdict"] == "allow"
    assert explained(*to)["verdict"] == "deny", "the stricter one, where they differ"
    assert explained(*to[:2], "--sni", "API.example.com")["verdict"] == "allow"


BAD_QUESTIONS: Final = {
    "no destination": ([], "nothing is asked for"),
    "no port": (["--to", "a.test"], "`a.test` is not host:port"),
    "port 0": (["--to", "a.test:0"], "`a.test:0` is not host:port"),
    "port 65536": (["--to", "a.test:65536"], "`a.test:65536` is not host:port"),
    "IPv6 without brackets": (["--to", "::1:443"], "IPv6 addresses stand in brackets"),
    "a name in brackets": (["--to", "[a.test]:443"], "`a.test` is not an IP address"),
    "a URL": (["--to", "https://a.test:443"], "is not host:port"),
    "not a name": (["--to", "a b:443"], "only letters, digits, '-', '_' and '.' may stand in a name"),
    "no U-label": (["--to", "a.\u2603.test:443"], "is not a label of an internationalised name"),
    "a pattern": (["--to", "*.test:443"], "may stand in a name"),
    "no account": (["--to", "a.test:1", "--from", "shop/"], "`shop/` is not namespace/service-account"),
    "a namespace in capitals": (
        ["--to", "a.test:1", "--from", "Shop/cart"], "`Shop/cart` is not namespace/service-account",
    ),
    "no identity": (["--to", "a.test:1", "--identity", "cart"], "`cart` is not an identity such as spiffe://"),
    "no user": (["--to", "a.test:1", "--user", "a b"], "`a b` is not a user name"),
    "no address": (["--to", "a.test:1", "--source", "10.0.0.256"], "`10.0.0.256` is not an IP address"),
    "a network": (["--to", "a.test:1", "--address", "10.0.0.0/8"], "`10.0.0.0/8` is not an IP address"),
    "an address of an address": (
        ["--to", "8.8.8.8:1", "--address", "8.8.4.4"], "the destination is an address already",
    ),
    "no name inside": (["--to", "a.test:1", "--sni", "8.8.8.8"], "`8.8.8.8` is not a name to show inside a tunnel"),
    "no method": (["--to", "a.test:1", "--method", "G ET"], "`G ET` is not a method"),
    "no path": (["--to", "a.test:1", "--path", "/a/../b"], "`/a/../b` is not a path: a path has no segment . or .."),
    "a path without a slash": (["--to", "a.test:1", "--path", "a"], "`a` is not a path: a path begins with a slash"),
    "two queries": (["--to", "a.test:1", "--path", "/a?b", "--query", "c"], "the query is given twice"),
    "no query": (["--to", "a.test:1", "--query", "a b"], "`a b` is not a query"),
    "no header": (["--to", "a.test:1", "--header", "x-team"], "`x-team` is not a header such as x-team:shop"),
    "a request in TLS": (["--to", "a.test:1", "--protocol", "https", "--path", "/"], "nothing of a request is visible"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "expected"), BAD_QUESTIONS.values(), ids=list(BAD_QUESTIONS))
def test_a_question_without_sense_ends_with_2(folder: Path, arguments: list[str], expected: str) -> None:
    done = sluice("explain", *arguments)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert done.stdout == ""


def test_explain_of_a_broken_policy_ends_with_1(folder: Path) -> None:
    write(folder, policy_yaml="kind: x\n")
    done = sluice("explain", "--to", "a.test:1")
    assert done.exit_code == 1
    expected = f"error: {folder}/policy.yaml:1:1: not a Kubernetes manifest: `apiVersion` is missing\n"
    assert done.stderr == expected + f"sluice: {folder}/sluice.yaml cannot be used\n"


def test_live_asks_the_gateway_the_same_question(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = explained("--from", "shop/cart", "--source", "10.1.1.1", "--to", "a.shop.test:1")
    asked: list[object] = []

    def answer(endpoint: str, request: Mapping[str, object], timeout: float = 10.0) -> dict[str, object]:
        asked.append((endpoint, request))
        return {"ok": True, **offline}

    monkeypatch.setattr(importlib.import_module("supervisor.cli.answers"), "ask", answer)
    write(folder, sluice_yaml=CONFIG + f"control: {{endpoint: 'ipc://{folder}/control'}}\n")
    live = explained("--from", "shop/cart", "--source", "10.1.1.1", "--to", "a.shop.test:1", "--live")
    assert live == offline
    question = {"op": "explain", "from": "shop/cart", "source": "10.1.1.1", "to": "a.shop.test:1"}
    assert asked == [((f"ipc://{folder}/control", folder / "control-keys"), question)]


def test_live_without_a_gateway_ends_with_1(folder: Path) -> None:
    write(folder, sluice_yaml=CONFIG + f"control: {{endpoint: 'ipc://{folder}/control'}}\n")
    done = sluice("explain", "--live", "--to", "a.test:1")
    assert done.exit_code == 1
    assert "no gateway answers" in done.stderr


def test_every_reason_of_a_decision_says_what_would_turn_it() -> None:
    to_come = {"unauthorized"}
    to_come |= {"login_missing", "login_failed", "malformed", "not_built", "request_timeout", "limit"}  # no question
    to_come |= {"no_server_name", "head_too_large", "expectation", "loop", "doubtful_target"}  # none either
    to_come |= {"no_route"}  # a route of the host is what it needs
    to_come |= {"tls_handshake", "proxy_header", "identity_expired"}
    to_come |= {reason for reason in REASONS if reason.startswith("token_")}  # refused before any question
    to_come |= {"draining", "too_many_streams"}  # no policy decides them
    to_come |= {"tls_upstream"}  # allowed: the peer is at fault
    to_come |= {"misdirected"}  # a request that does not belong into its tunnel
    to_come |= {reason for reason in REASONS if reason.startswith("credential_")}  # allowed: its credential is at fault
    to_come |= {"source_gone"}  # ends a tunnel that was allowed
    to_come |= {"source_address", "inner_too_long"}  # found out when it is dialed, or by what the client sends
    assert set(TURNS) == set(REASONS) - to_come
    for reason in REASONS:
        lines = describe(
            {
                "verdict": "deny",
                "reason": reason,
                "phase": "name",
                "would_deny": False,
                "rule": None,
                "list_line": None,
                "trail": [],
                "source": dict.fromkeys(("ip", "namespace", "service_account", "identity", "user")),
                "destination": {"host": "a.test", "port": 1, "address": None},
            }
        )
        assert (len(lines) >= 5) is (reason not in to_come)


# Files that do not say which gateway is meant; the place that is named.
UNTOLD: Final = {
    "not YAML": ("listeners: [\n", "2:1"),
    "not UTF-8": ("a: \udcff\n", "1:4"),
    "not a mapping": ("- a\n", "1:1"),
    "two documents": ("control: {endpoint: 'ipc:///run/x'}\n---\n{}\n", "3:1"),
    "wrong elsewhere, and no endpoint": ("workers: many\n", "1:10"),
    "a misspelt section": ("contrl: {endpoint: 'ipc:///run/x'}\n", "1:1"),
    "a misspelt key": ("control: {endpont: 'ipc:///run/x'}\n", "1:11"),
    "a key beside it": ("control: {endpoint: 'ipc:///run/x', end: 1}\n", "1:37"),
    "a section twice": ("control: {endpoint: 'ipc:///run/x'}\ncontrol: {endpoint: 'ipc:///run/y'}\n", "2:1"),
    "not an endpoint": ("control: {endpoint: '/run/x'}\n", "1:21"),
    "an endpoint of no text": ("control: {endpoint: [1]}\n", "1:21"),
    "a section of no mapping": ("control: ipc:///run/x\n", "1:10"),
    "null, and wrong elsewhere": ("control: {endpoint: null}\nworkers: 0\n", "2:10"),
    "nested too deep": ("[" * 100_000, "1:51"),
}
ASKING: Final = {
    "reload": ("reload",),
    "drain": ("drain",),
    "stats": ("stats",),
    "tunnels": ("tunnels",),
    "tunnels --kill": ("tunnels", "--kill", "0-1-1"),
    "explain --live": ("explain", "--live", "--to", "a.test:1"),
}


@pytest.mark.parametrize(("text", "place"), UNTOLD.values(), ids=list(UNTOLD))
@pytest.mark.parametrize("command", ASKING.values(), ids=list(ASKING))
def test_a_file_that_does_not_say_which_gateway_is_meant_asks_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], text: str, place: str
) -> None:
    """Another gateway serves at the default endpoint."""
    monkeypatch.setattr("supervisor.host.machine.control_endpoint", lambda: f"ipc://{folder}/default")
    (folder / "stage.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with zmq.Context() as context, context.socket(zmq.ROUTER) as production:
        production.bind(f"ipc://{folder}/default")
        done = sluice(*command, "-c", "stage.yaml")
        assert done.exit_code == 1, done.output
        assert f"{folder}/stage.yaml:{place}: " in done.stderr and "--endpoint" in done.stderr
        write(folder, sluice_yaml=text.encode("ascii", "replace").decode())
        assert sluice(*command).exit_code == 1, "a file that was found counts as one that was named"
        missing = sluice(*command, "-c", "missing.yaml")
        assert missing.exit_code == 2 and "missing.yaml does not exist" in missing.stderr
        assert sluice(*command, "-c", "missing.yaml", "--endpoint", "ipc:///no/such").exit_code == 2
        assert production.poll(0) == 0


def test_a_file_that_cannot_be_read_asks_no_other_gateway(folder: Path) -> None:
    (folder / "stage.yaml").symlink_to("nowhere")
    (folder / "folder.yaml").mkdir()
    for name in ("stage.yaml", "folder.yaml"):
        done = sluice("drain", "-c", name)
        assert done.exit_code == 1 and f"{folder}/{name}: " in done.stderr


def test_a_user_without_a_default_endpoint_has_to_name_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.host.machine.control_endpoint", lambda: "")
    done = sluice("reload")
    assert done.exit_code == 1 and "control.endpoint must be set" in done.stderr
    assert sluice("explain", "--to", "api.example.com:443").exit_code == 0, "policy needs no endpoint"

    def unset(path: str, *_: object) -> CompileResult:  # the compile process has its own idea of the default
        result = compile_blocking(path)
        assert result.config is not None
        return msgspec.structs.replace(result, config=msgspec.structs.replace(result.config, control=""))

    monkeypatch.setattr("supervisor.cli.check.compile_or_exit", unset)
    done = sluice("check")
    assert done.exit_code == 0 and f"warning: {folder}/sluice.yaml: control.endpoint must be set" in done.stderr


def test_the_control_endpoint_is_found_in_the_configuration(folder: Path) -> None:
    write(folder, sluice_yaml="workers: many\nunknown: 1\ncontrol: {endpoint: 'ipc:///run/x'}\n")
    assert asking.endpoint_of(None).endpoint == "ipc:///run/x", "what is wrong elsewhere does not matter"
    write(folder, sluice_yaml="control: {endpoint: 'ipc:///run/x'}\n")
    assert asking.endpoint_of(None) == ("ipc:///run/x", folder / "control-keys")
    assert asking.endpoint_of(None, "ipc:///run/y") == ("ipc:///run/y", folder / "control-keys")
    (folder / "sluice.yaml").unlink()
    assert asking.endpoint_of(None, "ipc:///run/y").endpoint == "ipc:///run/y", "no configuration is needed"
