"""sluice.yaml: defaults, every key, and each mistake at its exact place."""

from pathlib import Path
from typing import Any, Final

import pytest

from supervisor.config.config import (
    Config,
    Listener,
    Network,
    Pools,
    SourceLimits,
    find_config,
    from_builtins,
    to_builtins,
)
from supervisor.config.reader import load_config
from tests.support.front import complaints, read, without

FULL: Final = """\
listeners:
  - name: mesh
    address: "0.0.0.0:1080"
    protocol: sock5
    auth: required
    innerName: audit
    audit: true
    requests: false
    diagnostics: true
  - {name: six, address: "[::1]:1081", protocol: http, auth: off, innerName: off}
workers: 3
gateway: {name: edge, namespace: out, serviceAddresses: [10.96.0.10, "fd00::1"],
          podNetworks: ["fd00:1::/64"], labels: {tier: edge, app: sluice}, clusterNetworks: [10.0.0.0/8, 10.0.0.0/8]}
linkerd: {globalNamespace: out}
policy: {paths: [policy, /etc/other/policy.yaml, policy], passthrough: true, audit: true}
identity:
  networks: [{cidr: 10.1.0.0/16, namespace: shop, serviceAccount: cart}, {cidr: "fd00::/64", namespace: pay}]
  users: users.yaml
  proxyProtocolFrom: []
  trusted: []
addresses: {allow: [10.0.0.0/8], deny: [192.0.2.0/24]}
upstreams: []
dns: {servers: [10.0.0.10, "10.0.0.11:5353", "[fd00::a]:53"], timeout: 500ms, minTTL: 0s, maxTTL: 1h,
      negativeTTL: 10s, cacheEntries: 5}
limits: {tunnels: 10, tunnelsPerSource: 5, requestTimeout: 1s, dialTimeout: 2s, idleTimeout: 2h, halfCloseTimeout: 3s,
         perSource: {requests: 7, lookups: 6, dials: 5, provisional: 4}}
pools: {perDestination: 2, pending: 3, idle: 4s, maxAge: 5s}
via: off
admin: {address: "127.0.0.1:9902", token: null}
metrics: {address: null}
control: {endpoint: ipc://run/control}
logs: {level: debug, access: log/access.json, interval: 5m}
shutdown: {drain: 0s}
"""


def test_the_empty_mapping_is_every_default(tmp_path: Path) -> None:
    config = read(tmp_path, "{}")
    assert config == Config(
        path=str(tmp_path / "sluice.yaml"),
        control=config.control,
        workers=config.workers,
        identity=config.identity,
        listeners=(Listener("default", "127.0.0.1", 1080, "auto", "off", "enforce"),),
    )
    assert config.workers >= 1
    assert config.identity.users is None
    assert config.warnings == ()


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n"])
def test_an_empty_file_is_every_default_with_a_warning(tmp_path: Path, text: str) -> None:
    config = read(tmp_path, text)
    assert config.listeners == (Listener(),)
    assert without(tmp_path, map(str, config.warnings)) == ["sluice.yaml: the file is empty: every default applies"]


def test_every_key_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    assert config.listeners == (
        Listener("mesh", "0.0.0.0", 1080, "socks5", "required", "audit", True, False, True),
        Listener("six", "::1", 1081, "http", "off", "off"),
    )
    assert [listener.address for listener in config.listeners] == ["0.0.0.0:1080", "[::1]:1081"]
    assert config.workers == 3
    assert (config.gateway.name, config.gateway.namespace) == ("edge", "out")
    assert config.gateway.service_addresses == ("10.96.0.10", "fd00::1")
    assert config.gateway.pod_networks == ("fd00:1::/64",)
    assert config.gateway.labels == (("app", "sluice"), ("tier", "edge"))
    assert config.gateway.cluster_networks == ("10.0.0.0/8",)
    assert config.linkerd.global_namespace == "out"
    assert config.policy.paths == (str(tmp_path / "policy"), "/etc/other/policy.yaml")
    assert [(place.line, place.column) for place in config.policy.places] == [(15, 18), (15, 26)]
    assert config.policy.passthrough and config.policy.audit
    assert config.identity.networks == (Network("10.1.0.0/16", "shop", "cart"), Network("fd00::/64", "pay"))
    assert config.identity.users == str(tmp_path / "users.yaml")
    assert (config.addresses.allow, config.addresses.deny) == (("10.0.0.0/8",), ("192.0.2.0/24",))
    assert config.dns.servers == ("10.0.0.10", "10.0.0.11:5353", "[fd00::a]:53")
    assert (config.dns.timeout, config.dns.min_ttl, config.dns.max_ttl) == (0.5, 0.0, 3600.0)
    assert (config.dns.negative_ttl, config.dns.cache_entries) == (10.0, 5)
    assert config.pools == Pools(2, 3, 4.0, 5.0) and not config.via
    limits = config.limits
    assert (limits.tunnels, limits.tunnels_set, limits.tunnels_per_source) == (10, True, 5)
    assert (limits.request_timeout, limits.dial_timeout) == (1.0, 2.0)
    assert (limits.idle_timeout, limits.half_close_timeout) == (7200.0, 3.0)
    assert limits.per_source == SourceLimits(requests=7, lookups=6, dials=5, provisional=4)
    assert (config.admin.host, config.admin.port, config.admin.token) == ("127.0.0.1", 9902, None)
    assert config.metrics is None
    assert config.control == f"ipc://{tmp_path}/run/control"
    assert config.control_path == str(tmp_path / "run/control")
    assert (config.logs.level, config.logs.access, config.logs.interval) == (
        "debug", str(tmp_path / "log/access.json"), 300.0,
    )  # fmt: skip
    assert config.drain == 0.0


def test_settings_carry_what_a_worker_needs(tmp_path: Path) -> None:
    settings = read(tmp_path, FULL).settings()
    keys = ("name", "address", "protocol", "auth", "audit", "inner")
    assert [tuple(listener[key] for key in keys) for listener in settings["listeners"]] == [  # type: ignore[literal-required]
        ("mesh", "0.0.0.0:1080", "socks5", "required", True, "audit"),
        ("six", "[::1]:1081", "http", "off", False, "off"),
    ]
    assert settings["limits"]["idle_timeout"] == 7200.0
    assert settings["limits"]["per_source"] == {"requests": 7, "lookups": 6, "dials": 5, "provisional": 4}
    assert settings["pod_networks"] == ["fd00:1::/64"]
    assert settings["dns"]["servers"] == ["10.0.0.10", "10.0.0.11:5353", "[fd00::a]:53"]
    assert settings["access_log"] is True
    assert (settings["log_interval"], settings["drain"]) == (300.0, 0.0)
    assert read(tmp_path, "logs: {access: off}").settings()["access_log"] is False


def test_a_configuration_survives_the_way_between_processes(tmp_path: Path) -> None:
    config = read(tmp_path, FULL)
    assert from_builtins(to_builtins(config)) == config


@pytest.mark.parametrize(
    ("text", "auth"), [("{}", "off"), ("identity: {users: u.yaml}", "optional"), ("identity: {users: null}", "off")]
)
def test_auth_follows_the_users(tmp_path: Path, text: str, auth: str) -> None:
    assert read(tmp_path, text).listeners[0].auth == auth
    assert read(tmp_path, text.replace("{}", "") + "\nlisteners: [{name: a}]").listeners[0].auth == auth


@pytest.mark.parametrize("section", ["listeners", "gateway", "policy", "dns", "limits", "control", "logs", "upstreams"])
def test_a_section_left_empty_is_absent(tmp_path: Path, section: str) -> None:
    config = read(tmp_path, f"{section}:\n")
    assert config == read(tmp_path, "{}")


# what is written: every complaint about it
MISTAKES: Final[dict[str, tuple[str, list[str]]]] = {
    "a list": ("- a\n", ["1:1: expected a mapping, found a list"]),
    "two documents": (
        "{}\n---\n{}\n", ["3:1: a second document begins here, where one is expected (remove the `---`)"],
    ),
    "an unknown key": ("lisseners: []\n", ["1:1: unknown key `lisseners` (did you mean `listeners`?)"]),
    "an unknown key inside": (
        "dns: {servers: system}\nlogs:\n  acess: off\n", ["3:3: unknown key `acess` (did you mean `access`?)"],
    ),
    "a key twice": ("workers: 1\nworkers: 2\n", ["2:1: duplicate key `workers` (it is first set in line 1, column 1)"]),
    "a section of another type": ("dns: yes\n", ["1:6: expected a mapping, found the boolean `yes`"]),
    "several at once": (
        "workers: 0\npolicy: {audit: yes}\nlogz: 1\n",
        [
            "1:10: workers: 0 is out of range: 1 to 256",
            "2:17: audit: expected true or false, found the boolean `yes` (write true)",
            "3:1: unknown key `logz` (did you mean `logs`?)",
        ],
    ),
    "workers that are no number": (
        "workers: many\n", ["1:10: workers: expected `auto` or a number from 1 to 256, found the text `many`"],
    ),
    # listeners
    "no listener at all": ("listeners: []\n", ["1:12: the list is empty (remove the key if nothing is meant)"]),
    "a name for an address": (
        "listeners: [{address: 'localhost:1080'}]\n",
        [
            "1:23: address: expected an address such as 127.0.0.1:1080 or [::]:1080, found the text `localhost:1080` "
            "(write 127.0.0.1:1080)"
        ],
    ),
    "auth left empty": (
        "listeners: [{auth: }]\n",
        ["1:20: auth: expected a value, found nothing (write off, optional or required)"],
    ),
    "auth of a listener, null": (
        "listeners:\n  - auth: null\n",
        ["2:11: auth: expected a value, found nothing (write off, optional or required)"],
    ),
    "a deny list that was commented out": (
        "addresses:\n  deny:\n    # - 10.0.0.0/8\n",
        ["2:8: deny: expected a value, found nothing (write deny: [] when no address is meant)"],
    ),
    "no host": (
        "listeners: [{address: ':1080'}]\n",
        [
            "1:23: address: expected an address such as 127.0.0.1:1080 or [::]:1080, found the text `:1080` "
            "(for every address write 0.0.0.0:1080 or [::]:1080)"
        ],
    ),
    "IPv6 without brackets": (
        "listeners: [{address: '::1:1080'}]\n",
        [
            "1:23: address: expected an address such as 127.0.0.1:1080 or [::]:1080, found the text `::1:1080` "
            "(IPv6 addresses stand in brackets: [::1]:1080)"
        ],
    ),
    "IPv4 in brackets": (
        "listeners: [{address: '[127.0.0.1]:1080'}]\n",
        [
            "1:23: address: expected an address such as 127.0.0.1:1080 or [::]:1080, found the text `[127.0.0.1]:1080` "
            "(names are not looked up here: write the IP address)"
        ],
    ),
    "port 0": ("listeners: [{address: '127.0.0.1:0'}]\n", ["1:23: address: `0` is not a port: 1 to 65535"]),
    "port 65536": ("listeners: [{address: '127.0.0.1:65536'}]\n", ["1:23: address: `65536` is not a port: 1 to 65535"]),
    "a name twice": (
        "listeners:\n  - {name: a, address: '127.0.0.1:1'}\n  - {name: a, address: '127.0.0.1:2'}\n",
        ["3:5: duplicate listener name `a` (it is first used in line 2)"],
    ),
    "an address twice": (
        "listeners:\n  - {name: a, address: '127.0.0.1:1'}\n  - {name: b, address: '127.0.0.1:1'}\n",
        ["3:5: duplicate listener address: 127.0.0.1:1 and 127.0.0.1:1 overlap (listener `a` in line 2 has it)"],
    ),
    "a wildcard over an address": (
        "listeners:\n  - {name: a, address: '127.0.0.1:1'}\n  - {name: b, address: '0.0.0.0:1'}\n",
        ["3:5: duplicate listener address: 0.0.0.0:1 and 127.0.0.1:1 overlap (listener `a` in line 2 has it)"],
    ),
    "a dual-stack wildcard over IPv4": (
        "listeners:\n  - {name: a, address: '127.0.0.1:1'}\n  - {name: b, address: '[::]:1'}\n",
        ["3:5: duplicate listener address: [::]:1 and 127.0.0.1:1 overlap (listener `a` in line 2 has it)"],
    ),
    "a protocol that is to come": (
        "listeners: [{protocol: transparent}]\n",
        [
            "1:24: protocol: protocol `transparent` is not built yet"
            " (auto, socks5, http, http2tunnel, hbone, tls and tcp are)",
        ],
    ),
    "hbone by itself": (
        "listeners: [{protocol: hbone, auth: optional}]\n",
        [
            "1:24: hbone without identity.trustDomains (certificates would name no identity)",
            "1:24: hbone without tls (set tls: {certificates: [...]})",
            "1:37: hbone implies auth: required (remove the key)",
        ],
    ),
    "tcp without a destination": (
        "listeners: [{protocol: tcp}]\n",
        ['1:13: `destination` is missing (such as destination: "db.example.com:5432")'],
    ),
    "a destination without a port": (
        "listeners: [{protocol: tcp, destination: db.example.com}]\n",
        [
            "1:42: destination: expected a host and a port such as db.example.com:5432 or [2001:db8::1]:5432, "
            "found the text `db.example.com`"
        ],
    ),
    "a destination that is no host": (
        "listeners: [{protocol: tcp, destination: '*.example.com:5432'}]\n",
        [
            "1:42: destination: expected a host such as proxy.example.com, without a wildcard, or an address, "
            "found the text `*.example.com`"
        ],
    ),
    "an IPv6 destination without brackets": (
        "listeners: [{protocol: tcp, destination: '2001:db8::1:5432'}]\n",
        [
            "1:42: destination: expected a host and a port such as db.example.com:5432 or [2001:db8::1]:5432, "
            "found the text `2001:db8::1:5432`"
        ],
    ),
    "a host for the port of tls": (
        "listeners: [{protocol: tls, destination: 'api.example.com:443'}]\n",
        [
            "1:42: destination: expected a port from 1 to 65535, found the text `api.example.com:443` "
            "(the host is the server name that each client shows)"
        ],
    ),
    "a destination of auto": (
        "listeners: [{destination: 'db.example.com:5432'}]\n",
        ["1:27: protocol auto has no destination (its clients name one in each request)"],
    ),
    "credentials of tcp": (
        "listeners: [{protocol: tcp, auth: required, destination: 'a.test:1'}]\n",
        ["1:35: protocol tcp carries no credentials (write off, or remove the key)"],
    ),
    "a destination that is this gateway": (
        "listeners: [{name: db, protocol: tcp, destination: '127.0.0.1:1080'}]\n",
        ["1:13: the destination of listener db is this gateway itself (listener db has that address)"],
    ),
    "TLS on protocol tls": (
        "listeners: [{protocol: tls, tls: {certificates: [{certificate: a, key: b}]}}]\n",
        [
            "1:34: protocol tls passes the client's own TLS on, and has none of the gateway's "
            "(remove tls, or use protocol: auto for clients that speak TLS to the gateway)"
        ],
    ),
    "an unknown protocol": (
        "listeners: [{protocol: socks6}]\n",
        [
            "1:24: protocol: expected one of auto, socks5, http, http2tunnel, hbone, tls, tcp, found the text `socks6`"
            " (did you mean `socks5`?)"
        ],
    ),
    "tls": (
        "listeners: [{tls: {certificates: [{certificate: a, kee: b}]}}]\n",
        ["1:35: `key` is missing", "1:52: unknown key `kee` (did you mean `key`?)"],
    ),
    "auth without users": (
        "listeners: [{auth: required}]\n",
        ["1:20: auth is required, and there are no users and no tokens (set identity.users or identity.tokens)"],
    ),
    "a name of blanks": (
        "listeners: [{name: 'a b'}]\n",
        ["1:20: name: expected a name of at most 63 letters, digits, '.', '_' and '-', found the text `a b`"],
    ),
    # who asks
    "host bits": (
        "identity:\n  networks:\n    - {cidr: 10.0.0.1/8, namespace: a}\n",
        ["3:14: cidr: `10.0.0.1/8` has host bits set (the network is 10.0.0.0/8)"],
    ),
    "a network twice": (
        "identity:\n  networks:\n    - {cidr: 10.0.0.0/8, namespace: a}\n    - {cidr: 10.0.0.0/8, namespace: b}\n",
        ["4:7: duplicate network 10.0.0.0/8 (it is first mapped in line 3)"],
    ),
    "a network without a namespace": (
        "identity: {networks: [{cidr: 10.0.0.0/8}]}\n", ["1:23: `namespace` is missing"],
    ),
    "a namespace in capitals": (
        "identity: {networks: [{cidr: 10.0.0.0/8, namespace: Shop}]}\n",
        [
            "1:53: namespace: expected a namespace: at most 63 of a-z, 0-9 and '-', with a letter or digit "
            "at both ends, found the text `Shop`"
        ],
    ),
    "trusted identities": (
        "identity: {trusted: [{identity: 'spiffe://a/b'}]}\n",
        [
            "1:22: no trust domain has the identity `spiffe://a/b`: no client can show it (identity.trustDomains in "
            "sluice.yaml names them)"
        ],
    ),
    "upstreams": (
        "upstreams: [{name: corp}]\n", ["1:13: `addresses` is missing", "1:13: `type` is missing"],
    ),
    # where to
    "a name in addresses.deny": (
        "addresses: {deny: [evil.example.com]}\n",
        ["1:20: expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, found the text `evil.example.com`"],
    ),
    "an address in addresses.allow": (
        "addresses: {allow: [10.0.0.1]}\n",
        ["1:21: expected a CIDR, found the text `10.0.0.1` (for this one address write 10.0.0.1/32)"],
    ),
    "a network in serviceAddresses": (
        "gateway: {serviceAddresses: [10.0.0.0/8]}\n", ["1:30: expected an IP address, found the text `10.0.0.0/8`"],
    ),
    "a path that is a list": ("policy: {paths: [[a]]}\n", ["1:18: expected a text, found a list"]),
    "one path": ("policy: {paths: a}\n", ["1:17: paths: expected a list, found the text `a` (put [ ] around it)"]),
    "dns servers by name": (
        "dns: {servers: [dns.example.com]}\n",
        [
            "1:17: expected an IP address, with or without a port: 10.0.0.10, 10.0.0.10:53 or [2001:db8::10]:53, "
            "found the text `dns.example.com`"
        ],
    ),
    "a dns server that is one text": (
        "dns: {servers: 10.0.0.10}\n",
        ["1:16: servers: expected `system` or a list of servers, found the text `10.0.0.10`"],
    ),
    "TTLs the wrong way round": (
        "dns: {minTTL: 1h, maxTTL: 1m}\n", ["1:15: dns.minTTL (3600s) is longer than dns.maxTTL (60s)"],
    ),
    # the rest
    "a limit in quotes": (
        "limits: {tunnels: '5'}\n",
        ["1:19: tunnels: expected a decimal number, found the text `5` (remove the quotes: 5)"],
    ),
    "a negative limit": ("limits: {tunnels: -1}\n", ["1:19: tunnels: -1 is out of range: 1 to 10000000"]),
    "a timeout without a unit": (
        "limits: {idleTimeout: 60}\n",
        ["1:23: idleTimeout: expected a duration, found the number `60` (a unit is missing: 60s)"],
    ),
    "admin on a listener's port": (
        "admin: {address: '127.0.0.1:1080'}\n", ["1:8: admin.address 127.0.0.1:1080 overlaps with listener `default`"],
    ),
    "metrics on admin's port": (
        "metrics: {address: '0.0.0.0:9901'}\n", ["1:10: metrics.address 0.0.0.0:9901 overlaps with admin.address"],
    ),
    "a listener on the port that admin has by default": (
        "workers: 1\nlisteners: [{name: a, address: '[::]:9901'}]\n",
        ["1:1: admin.address 127.0.0.1:9901 overlaps with listener `a`"],
    ),
    "an open admin endpoint": (
        "admin: {address: '0.0.0.0:9901'}\n",
        ["1:18: admin.address 0.0.0.0 is not loopback, and there is no token (set admin.token)"],
    ),
    "control over tcp by name": (
        "control: {endpoint: 'tcp://localhost:5'}\n",
        [
            "1:21: endpoint: expected an address such as 127.0.0.1:1080 or [::]:1080, found the text `localhost:5`"
            " (write 127.0.0.1:5)"
        ],
    ),
    "control over tcp without a port for statistics": (
        "control: {endpoint: 'tcp://127.0.0.1:65535'}\n",
        ["1:21: endpoint: the port after it is for statistics: 65535 has none"],
    ),
    "an abstract control socket": (
        "control: {endpoint: 'ipc://@sluice'}\n",
        [
            "1:21: endpoint: expected an endpoint such as ipc:///run/sluice/control or tcp://127.0.0.1:9902,"
            " found the text `ipc://@sluice`"
        ],
    ),
    "a log level": (
        "logs: {level: warn}\n",
        [
            "1:15: level: expected one of debug, info, warning, error, found the text `warn` "
            "(did you mean `warning`?)"
        ],
    ),
    "access: false": (
        "logs: {access: false}\n",
        ["1:16: access: expected stdout, stderr, off or a path, found the boolean `false` (write off)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_named_at_its_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert complaints(tmp_path, text) == [f"sluice.yaml:{line}" for line in expected]


WARNINGS: Final = {
    "optional auth without users": (
        "listeners: [{auth: optional}]",
        "1:20: there are no users and no tokens: credentials that are sent will be refused",
    ),
    "allowed and denied": (
        "addresses: {allow: [10.0.0.0/8], deny: [10.0.0.0/8]}",
        "1:20: 10.0.0.0/8 stands in addresses.allow and addresses.deny: deny wins",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WARNINGS.values(), ids=list(WARNINGS))
def test_a_warning_does_not_refuse(tmp_path: Path, text: str, expected: str) -> None:
    assert without(tmp_path, map(str, read(tmp_path, text).warnings)) == [f"sluice.yaml:{expected}"]


def test_a_control_endpoint_has_a_hundred_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 100 - len("ipc:///")
    assert read(tmp_path, f"control: {{endpoint: 'ipc:///{'a' * room}'}}").control == f"ipc:///{'a' * room}"
    found = complaints(tmp_path, f"control: {{endpoint: 'ipc:///{'a' * (room + 1)}'}}")
    assert found == [f"sluice.yaml:1:21: the control endpoint `ipc:///{'a' * 73}...` is longer than 100 bytes"]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/" + "x" * 100)
    assert "is longer than 100 bytes (set control.endpoint to a shorter path)" in complaints(tmp_path, "{}")[0]


def test_a_control_endpoint_that_this_user_has_no_default_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert read(tmp_path, "{}").control == ""


def test_a_token_is_never_repeated(tmp_path: Path) -> None:
    found = complaints(tmp_path, "admin: {address: '10.0.0.1:1', token: hunter2}")
    expected = "expected a token of 16 to 1024 printable ASCII characters without blanks"
    assert found == [f"sluice.yaml:1:39: token: {expected}"]


def test_the_number_of_listeners_is_bounded(tmp_path: Path) -> None:
    text = "listeners:\n" + "".join(f"  - {{address: '127.0.0.1:{port}'}}\n" for port in range(1, 67))
    assert complaints(tmp_path, text) == ["sluice.yaml:2:3: more than 64 listeners"]


def test_the_number_of_problems_is_bounded(tmp_path: Path) -> None:
    found = complaints(tmp_path, "".join(f"key{number}: 1\n" for number in range(1000)))
    assert len(found) == 101
    assert found[-1] == "... and 900 more"


def test_finding_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supervisor.config.config.DEFAULT_PATHS", ("sluice.yaml", str(tmp_path / "etc.yaml")))
    assert find_config(None) is None
    assert find_config("a.yaml") is None
    (tmp_path / "etc.yaml").write_text("{}")
    assert find_config(None) == str(tmp_path / "etc.yaml")
    (tmp_path / "sluice.yaml").write_text("{}")
    assert find_config(None) == str(tmp_path / "sluice.yaml")
    (tmp_path / "a.yaml").write_text("{}")
    assert find_config("a.yaml") == str(tmp_path / "a.yaml")


def test_a_relative_path_resolves_against_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/sluice.yaml").write_text("policy: {paths: [../p]}")
    monkeypatch.chdir(tmp_path)
    config: Any = load_config("conf/sluice.yaml")
    assert config.policy.paths == (str(tmp_path / "p"),)
