"""Mistakes in an EgressPolicy: each is refused, or warned of, at its exact place and with what to write instead."""

import os
from pathlib import Path
from typing import Final

import pytest

from supervisor.policy.dialects.egress_policy import FROM
from tests.support.front import ALLOW, DENY, OK_TO, compiled, errors, manifest, warnings, write

# what is written in `spec`: every complaint, at its place in policy.yaml. The namespaced ones stand in shop.
MISTAKES: Final[dict[str, tuple[str, list[str]]]] = {
    "an unknown field": (ALLOW + OK_TO + "form: []", ["7:3: unknown key `form` (did you mean `from`?)"]),
    "no action": (OK_TO, ["5:3: `action` is missing (write action: Allow, Deny or Audit)"]),
    "an action in lower case": (
        OK_TO + "action: allow",
        ["6:11: action: expected one of Allow, Deny, Audit, found the text `allow` (did you mean `Allow`?)"],
    ),
    "no `to`": (ALLOW, ['5:3: `to` is missing (write to: [{host: NAME, ports: [PORT]}])']),
    "an empty `to`": (ALLOW + "to: []", ["6:7: the list is empty: it matches nothing"]),
    "a `to` that was commented out": (ALLOW + "to:\nhard: false", ["6:6: the list is empty: it matches nothing"]),
    "an empty `from`": (
        ALLOW + OK_TO + "from: []",
        ["7:9: the list is empty: it selects no source"],
    ),
    "a `from` that was commented out": (
        ALLOW + OK_TO + "from:\n  # - {user: x}",
        ["7:8: the list is empty: it selects no source"],
    ),
    "an empty item of `from`": (
        ALLOW + OK_TO + "from: [{}]",
        [f"7:10: an empty item in `from` (one of {', '.join(FROM)})"],
    ),
    "hard, and not a deny": (ALLOW + OK_TO + "hard: true", ["7:9: only Deny can be hard, not Allow"]),
    "hard: yes": (
        DENY + OK_TO + "hard: yes", ["7:9: hard: expected true or false, found the boolean `yes` (write true)"],
    ),
    "onRevoke": (
        ALLOW + OK_TO + "onRevoke: kil",
        ["7:13: onRevoke: expected one of kill, drain, keep, found the text `kil` (did you mean `kill`?)"],
    ),
    "innerName": (
        ALLOW + OK_TO + "innerName: on",
        ["7:14: innerName: expected one of enforce, audit, off, found the boolean `on`"],
    ),
    "an upstream that is not a text": (
        ALLOW + OK_TO + "upstream: [corp]", ["7:13: upstream: expected a text, found a list"],
    ),
    "sourceAddress, a network": (
        ALLOW + OK_TO + "sourceAddress: [192.0.2.0/24]",
        ["7:19: expected an IP address, found the text `192.0.2.0/24` (a pool lists single addresses)"],
    ),
    "sourceAddress, no list": (
        ALLOW + OK_TO + "sourceAddress: 192.0.2.1",
        ["7:18: sourceAddress: expected a list, found the text `192.0.2.1` (put [ ] around it)"],
    ),
    "sourceAddress, empty": (
        ALLOW + OK_TO + "sourceAddress: []",
        ["7:18: the list is empty: it leaves no address to dial from"],
    ),
    "sourceAddress, a name": (
        ALLOW + OK_TO + "sourceAddress: [egress.example.com]",
        ["7:19: expected an IP address, found the text `egress.example.com`"],
    ),
    "sourceAddress, another way to write it": (
        ALLOW + OK_TO + "sourceAddress: [192.0.2.010]",
        ["7:19: expected an IP address, found the text `192.0.2.010`"],
    ),
    "sourceAddress, twice": (
        ALLOW + OK_TO + 'sourceAddress: ["2001:db8::1", "2001:DB8:0::1"]',
        ["7:34: duplicate address, first listed in line 7"],
    ),
    "sourceAddress, any": (
        ALLOW + OK_TO + 'sourceAddress: [0.0.0.0, "::", 224.0.0.1, "ff02::1", 255.255.255.255]',
        [
            "7:19: nothing can be dialed from this address (write an address of this machine)",
            "7:28: nothing can be dialed from this address (write an address of this machine)",
            "7:34: nothing can be dialed from this address (write an address of this machine)",
            "7:45: nothing can be dialed from this address (write an address of this machine)",
            "7:56: nothing can be dialed from this address (write an address of this machine)",
        ],
    ),
    "sourceAddress, of a link": (
        ALLOW + OK_TO + 'sourceAddress: ["fe80::1"]',
        ["7:19: a link-local address reaches no further than its link (write a global one)"],
    ),
    "sourceAddress, mapped": (
        ALLOW + OK_TO + 'sourceAddress: ["::ffff:192.0.2.1"]',
        ["7:19: an IPv4-mapped address stands for an IPv4 address (write 192.0.2.1)"],
    ),
    "tls, not said whether": (
        ALLOW + OK_TO + "tls: {port: 443}",
        ["7:8: `originate` is missing (write originate: true, or false for bytes as they come)"],
    ),
    "tls, wrong values": (
        ALLOW + OK_TO + "tls: {originate: true, port: 0, minVersion: 1.1, serverName: '*.a.test', sans: ['a b']}",
        [
            "7:32: port: 0 is out of range: 1 to 65535",
            "7:47: minVersion: expected one of 1.2, 1.3, found the number `1.1` (did you mean `1.3`?)",
            "7:64: serverName: expected a host such as proxy.example.com, without a wildcard, or an address, found the "
            "text `*.a.test`",
            "7:83: expected a host such as proxy.example.com, without a wildcard, or an address, found the text `a b`",
        ],
    ),
    "tls, half a pair": (
        ALLOW + OK_TO + "tls: {originate: true, certificate: a.crt}", ["7:39: certificate without key"],
    ),
    "tls, no protocol": (
        ALLOW + OK_TO + "tls: {originate: true, alpn: [h 2]}",
        ["7:33: expected a protocol such as h2 or http/1.1: 1 to 255 printable ASCII characters, found the text `h 2`"],
    ),
    # from
    "an unknown field in from": (
        ALLOW + OK_TO + "from: [{serviceaccount: x}]",
        ["7:11: unknown key `serviceaccount` (did you mean `serviceAccount`?)"],
    ),
    "an account without a namespace": (
        ALLOW + OK_TO + "from: [{serviceAccount: cart}]",
        ["7:10: a serviceAccount needs its namespace here (add namespace: to the item)"],
    ),
    "an account and a user": (
        ALLOW + OK_TO + "from: [{namespace: a, serviceAccount: cart, user: u}]",
        ["7:10: at most one of serviceAccount, identity and user (write several items)"],
    ),
    "the same source twice": (
        ALLOW + OK_TO + "from:\n  - {user: u}\n  - {user: u}",
        ["9:7: duplicate item in `from` (it is first listed in line 8)"],
    ),
    "an invalid identity": (
        ALLOW + OK_TO + "from: [{identity: cart.shop}]",
        [
            "7:21: identity: expected a SPIFFE ID such as spiffe://cluster.local/ns/shop/sa/cart, "
            "found the text `cart.shop`"
        ],
    ),
    "host bits in from": (
        ALLOW + OK_TO + "from: [{cidr: 10.0.0.1/8}]",
        ["7:17: cidr: `10.0.0.1/8` has host bits set (the network is 10.0.0.0/8)"],
    ),
    # to
    "neither host nor cidr": (
        ALLOW + "to: [{ports: [443]}]", ["6:8: one of host, cidr and hostsFrom is missing"],
    ),
    "hosts for host": (
        ALLOW + "to: [{hosts: a.test}]",
        [
            "6:8: one of host, cidr and hostsFrom is missing (write host:)",
            "6:9: unknown key `hosts` (did you mean `host`?)",
        ],
    ),
    "host and cidr": (
        ALLOW + "to: [{host: a.test, cidr: 8.8.8.8/32}]",
        ["6:8: exactly one of host, cidr and hostsFrom may be set, found host and cidr (write several items)"],
    ),
    "the same item twice": (
        ALLOW + "to:\n  - {host: a.test, ports: [443, 80]}\n  - {host: A.test., ports: [80, 443]}",
        ["8:7: duplicate rule: the same item of `to` twice (it is first listed in line 7)"],
    ),
    "an IPv4 address for a host": (
        ALLOW + "to: [{host: 192.0.2.1}]",
        ["6:15: host: `192.0.2.1` is an IP address, not a host name (write cidr: 192.0.2.1/32)"],
    ),
    "an IPv6 address for a host": (
        ALLOW + "to: [{host: '[2001:db8::1]'}]",
        ["6:15: host: `[2001:db8::1]` is an IP address, not a host name (write cidr: 2001:db8::1/128)"],
    ),
    "an address in another notation": (
        ALLOW + "to: [{host: 127.1.}]",
        [
            "6:15: `127.1` is not a host name: the last label is a number, "
            "and the whole is not a canonical IP address"
        ],
    ),
    "a number for a host": (
        ALLOW + "to: [{host: 2130706433}]",
        ['6:15: host: expected a text, found the number `2130706433` (put it in quotes: "2130706433")'],
    ),
    "a URL for a host": (
        ALLOW + "to: [{host: 'https://u@api.test:8443/x'}]",
        ["6:15: host: `https://u@api.test:8443/x` is a URL, not a host name (write host: api.test)"],
    ),
    "a host with a port": (
        ALLOW + "to: [{host: 'api.test:8443'}]",
        ["6:15: host: `api.test:8443` has a port (write host: api.test and ports: [8443])"],
    ),
    "a network for a host": (
        ALLOW + "to: [{host: 10.0.0.0/8}]",
        ["6:15: host: `10.0.0.0/8` is not a host name (write cidr: 10.0.0.0/8)"],
    ),
    "a suffix as others write it": (
        ALLOW + "to: [{host: .example.test}]",
        ['6:15: host: `.example.test` begins with a dot (for every name below it write "*.example.test")'],
    ),
    "a star inside a label": (
        ALLOW + "to: [{host: 'api-*.test'}]",
        [
            "6:15: `api-*.test` is not a host name: "
            "'*' may only stand alone or as the whole first label ('*.example.com')"
        ],
    ),
    "a blank": (
        ALLOW + "to: [{host: 'a b.test'}]",
        ["6:15: `a b.test` is not a host name: only letters, digits, '-', '_' and '.' may stand in a name"],
    ),
    "a wildcard of nothing": (ALLOW + "to: [{host: '*.'}]", ["6:15: `*.` is not a host name: the name is empty"]),
    "two dots at the end": (ALLOW + "to: [{host: a.t..}]", ["6:15: `a.t..` is not a host name: a label is empty"]),
    "an upstream that no name can be": (
        ALLOW + OK_TO + "upstream: a b",
        ["7:13: upstream: expected a name of at most 63 letters, digits, '.', '_' and '-', found the text `a b`"],
    ),
    "a path that is a number": (
        ALLOW + "to: [{hostsFrom: 7}]",
        ["6:20: hostsFrom: expected a text, found the number `7` (put it in quotes: \"7\")"],
    ),
    "an empty label": (ALLOW + "to: [{host: a..test}]", ["6:15: `a..test` is not a host name: a label is empty"]),
    "a label that is too long": (
        ALLOW + f"to: [{{host: {'a' * 64}.test}}]",
        [f"6:15: `{'a' * 64}.test` is not a host name: a label is longer than 63 bytes"],
    ),
    "an invalid U-label": (
        ALLOW + "to: [{host: 'a\u2603b.test'}]",
        [
            "6:15: host: `a\\xe2\\x98\\x83b` is not a label of an internationalised name (IDNA 2008) "
            "(write the name in its xn-- form)"
        ],
    ),
    "an empty host": (
        ALLOW + "to: [{host: ''}]", ['6:15: host: expected a host name, "*.name" or "*", found the text ``'],
    ),
    "no host": (
        ALLOW + "to: [{host: no}]", ['6:15: host: expected a text, found the boolean `no` (put it in quotes: "no")'],
    ),
    # ports
    "port 0": (ALLOW + "to: [{host: a.test, ports: [0]}]", ["6:31: 0 is out of range: 1 to 65535"]),
    "port 65536": (ALLOW + "to: [{host: a.test, ports: [65536]}]", ["6:31: 65536 is out of range: 1 to 65535"]),
    "a port in quotes": (
        ALLOW + "to: [{host: a.test, ports: ['443']}]",
        ['6:31: expected a port (443) or a range ("8000-8100"), found the text `443` (remove the quotes: 443)'],
    ),
    "a port by name": (
        ALLOW + "to: [{host: a.test, ports: [https]}]", ["6:31: expected a decimal number, found the text `https`"],
    ),
    "a range backwards": (
        ALLOW + "to: [{host: a.test, ports: [9-1]}]",
        ["6:31: `9-1` is not a port range (the lower port first, 1 to 65535)"],
    ),
    "a range from 0": (
        ALLOW + "to: [{host: a.test, ports: ['0-9']}]",
        ["6:31: `0-9` is not a port range (the lower port first, 1 to 65535)"],
    ),
    "a port twice": (
        ALLOW + "to: [{host: a.test, ports: [443, 443]}]", ["6:36: duplicate port: 443 and 443 overlap"],
    ),
    "a port inside a range": (
        ALLOW + "to: [{host: a.test, ports: [400-500, 443]}]", ["6:40: duplicate port: 443 and 400-500 overlap"],
    ),
    "no port in the list": (
        ALLOW + "to: [{host: a.test, ports: []}]",
        ["6:30: the list is empty: it matches no port"],
    ),
    "base 60": (
        ALLOW + "to: [{host: a.test, ports: [10:30]}]",
        [
            '6:31: `10:30` is a base 60 number in YAML 1.1 (put it in quotes: "10:30")',
            "6:31: expected a decimal number, found the text `10:30`",
        ],
    ),
    # except
    "an except of one name": (
        ALLOW + "to: [{host: a.test, except: [b.a.test]}]",
        ["6:32: `a.test` is one name: `except` can never match (remove `except`)"],
    ),
    "an except that lies elsewhere": (
        ALLOW + "to: [{host: '*.a.test', except: [b.test]}]",
        ['6:36: `b.test` is not below `*.a.test`: it can never match (names below it end in ".a.test")'],
    ),
    "an except of the apex": (
        ALLOW + "to: [{host: '*.a.test', except: [a.test]}]",
        ['6:36: `a.test` is not below `*.a.test`: it can never match (names below it end in ".a.test")'],
    ),
    "an except of everything": (
        ALLOW + "to: [{host: '*.a.test', except: ['*.A.test']}]",
        ["6:36: `*.a.test` is the whole destination: nothing would be left"],
    ),
    "an except twice": (
        ALLOW + "to: [{host: '*', except: [b.test, B.test]}]",
        ["6:37: duplicate item in `except`: `b.test` (it is first listed in line 6)"],
    ),
    "an except by address under a name": (
        ALLOW + "to: [{host: '*', except: [8.8.8.8]}]",
        ["6:29: `8.8.8.8` is an IP address, not a host name (write cidr: 8.8.8.8/32)"],
    ),
    "an except outside its network": (
        ALLOW + "to: [{cidr: 8.0.0.0/8, except: [9.0.0.0/16]}]",
        ["6:35: 9.0.0.0/16 lies outside 8.0.0.0/8: it can never match"],
    ),
    "an except of another family": (
        ALLOW + "to: [{cidr: 8.0.0.0/8, except: ['2600::/64']}]",
        ["6:35: 2600::/64 lies outside 8.0.0.0/8: it can never match"],
    ),
    "an except larger than its network": (
        ALLOW + "to: [{cidr: 8.8.0.0/16, except: [8.0.0.0/8]}]",
        ["6:36: 8.0.0.0/8 lies outside 8.8.0.0/16: it can never match"],
    ),
    "an except of the whole network": (
        ALLOW + "to: [{cidr: 8.0.0.0/8, except: [8.0.0.0/8]}]",
        ["6:35: 8.0.0.0/8 is the whole destination: nothing would be left"],
    ),
    "an except with host bits": (
        ALLOW + "to: [{cidr: 8.0.0.0/8, except: [8.8.8.8/16]}]",
        ["6:35: `8.8.8.8/16` has host bits set (the network is 8.8.0.0/16)"],
    ),
    "an except that is empty": (
        ALLOW + "to: [{host: '*', except: []}]", ["6:28: the list is empty: it excepts nothing"],
    ),
    "an except for a list": (
        ALLOW + 'to: [{hostsFrom: list.txt, except: ["*", 10.0.0.0/8, a.test, a.test]}]',
        [
            "6:20: the list `list.txt` cannot be read: No such file or directory",
            "6:39: `*` is the whole destination: nothing would be left",
            "6:44: `10.0.0.0/8` is not a host name (write cidr: 10.0.0.0/8)",
            "6:64: duplicate item in `except`: `a.test` (it is first listed in line 6)",
        ],
    ),
    # cidr
    "host bits": (
        ALLOW + "to: [{cidr: 8.8.8.8/24}]", ["6:15: cidr: `8.8.8.8/24` has host bits set (the network is 8.8.8.0/24)"],
    ),
    "one address": (
        ALLOW + "to: [{cidr: 8.8.8.8}]",
        ["6:15: cidr: expected a CIDR, found the text `8.8.8.8` (for this one address write 8.8.8.8/32)"],
    ),
    "a name for a network": (
        ALLOW + "to: [{cidr: a.test}]",
        ["6:15: cidr: expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, found the text `a.test`"],
    ),
    "several at once": (
        "action: Alow\nto:\n  - {host: 1.2.3.4}\n  - {cidr: x}\n  - {host: ok.test, port: [1]}",
        [
            "5:11: action: expected one of Allow, Deny, Audit, found the text `Alow` (did you mean `Allow`?)",
            "7:14: host: `1.2.3.4` is an IP address, not a host name (write cidr: 1.2.3.4/32)",
            "8:14: cidr: expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, found the text `x`",
            "9:23: unknown key `port` (did you mean `ports`?)",
        ],
    ),
}  # fmt: skip


def complaints(folder: Path, policy: str) -> list[str]:
    write(folder, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=policy)
    report, image = compiled(folder)
    assert (image is None) is bool(report.problems) is not report.ok
    if image is not None:
        os.close(image)
    return errors(folder, report)


@pytest.mark.parametrize(("spec", "expected"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_named_at_its_place(tmp_path: Path, spec: str, expected: list[str]) -> None:
    assert complaints(tmp_path, manifest(spec)) == [f"policy.yaml:{line}" for line in expected]


# what is written in `spec` of an EgressPolicy that has no namespace: nothing leads to the mesh but the one sentence.
HOMELESS: Final = {
    "no from": ALLOW + OK_TO,
    "an account": ALLOW + OK_TO + "from: [{serviceAccount: cart}]",
    "a user": ALLOW + OK_TO + "from: [{user: bot}]",
    "another namespace": ALLOW + OK_TO + "from: [{namespace: pay, serviceAccount: cart}]",
    "a deny": DENY + OK_TO,
}


@pytest.mark.parametrize("spec", HOMELESS.values(), ids=list(HOMELESS))
@pytest.mark.parametrize("metadata", ["{name: p}", "{name: p, namespace: }", "{name: p, namespace: null}"])
def test_an_egress_policy_without_a_namespace_is_an_error(tmp_path: Path, spec: str, metadata: str) -> None:
    text = manifest(spec, kind="EgressPolicy").replace("{name: p}", metadata)
    expected = "policy.yaml:3:11: metadata.namespace is missing; for every workload write kind: ClusterEgressPolicy"
    assert complaints(tmp_path, text) == [expected]


def test_hard_is_refused_whether_the_namespace_is_there_or_not(tmp_path: Path) -> None:
    found = complaints(tmp_path, manifest(DENY + OK_TO + "hard: true", kind="EgressPolicy"))
    assert found[1:] == ["policy.yaml:7:9: an EgressPolicy cannot be hard (write a ClusterEgressPolicy)"]


def test_an_egress_policy_cannot_be_hard(tmp_path: Path) -> None:
    found = complaints(tmp_path, manifest(DENY + OK_TO + "hard: true", namespace="shop"))
    assert found == ["policy.yaml:7:9: an EgressPolicy cannot be hard (write a ClusterEgressPolicy)"]


def test_an_egress_policy_cannot_select_another_namespace(tmp_path: Path) -> None:
    found = complaints(tmp_path, manifest(ALLOW + OK_TO + "from: [{namespace: pay}]", namespace="shop"))
    assert found == [
        "policy.yaml:7:10: an EgressPolicy in shop cannot select sources of pay "
        "(move it to that namespace, or write a ClusterEgressPolicy)"
    ]


def test_the_same_source_said_in_two_ways_is_a_duplicate(tmp_path: Path) -> None:
    spec = ALLOW + OK_TO + "from: [{serviceAccount: a}, {namespace: shop, serviceAccount: a}]"
    found = complaints(tmp_path, manifest(spec, namespace="shop"))
    assert found == ["policy.yaml:7:31: duplicate item in `from` (it is first listed in line 7)"]


def test_a_cluster_policy_has_no_namespace(tmp_path: Path) -> None:
    found = complaints(tmp_path, manifest(ALLOW + OK_TO, namespace="shop", kind="ClusterEgressPolicy"))
    expected = "policy.yaml:3:32: a ClusterEgressPolicy has no namespace (remove it, or write kind: EgressPolicy)"
    assert found == [expected]


WARNINGS: Final = {
    "an identity": (
        ALLOW + OK_TO + "from: [{identity: 'spiffe://a/b'}]",
        "policy.yaml:6:8: no trust domain has the identity `spiffe://a/b`: this item matches no source "
        "(identity.trustDomains in sluice.yaml names them)",
    ),
    "an unknown user": (
        ALLOW + OK_TO + "from: [{user: bot}]",
        "policy.yaml:6:8: ClusterEgressPolicy p selects the user `bot`, who does not exist "
        "(identity.users in sluice.yaml names the users)",
    ),
    "loopback": (
        ALLOW + "to: [{cidr: 127.0.0.0/8}]",
        "policy.yaml:6:8: the address guard refuses 127.0.0.0/8 whatever rules say "
        "(addresses.allow in sluice.yaml lifts it)",
    ),
    "innerName where nothing passes": (
        DENY + OK_TO + "innerName: off", "policy.yaml:7:14: innerName has no effect on a rule that denies",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), WARNINGS.values(), ids=list(WARNINGS))
def test_a_warning_does_not_refuse(tmp_path: Path, spec: str, expected: str) -> None:
    write(tmp_path, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=manifest(spec))
    report, image = compiled(tmp_path)
    assert image is not None, errors(tmp_path, report)
    os.close(image)
    assert warnings(tmp_path, report) == [expected]
