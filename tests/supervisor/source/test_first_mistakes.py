"""Texts that people write on their first day instead of an address, a name of a resource, a name in a host list: what
`sluice check` expected, what it found, and what to write."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.front import compiled, errors

EXPECTED: Final = "expected an address such as 127.0.0.1:1080 or [::]:1080, found the"
NO_HOST: Final = "an IP address is missing before the port"
NO_PORT: Final = "a port is missing"
NAME: Final = (
    "expected a name: at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends, found the text"
)
NO_NAME: Final = "`metadata.name` is missing (write name: and a name of its own, such as allow-api)"

ADDRESSES: Final = {
    "21080": f"number `21080` ({NO_HOST}: write 127.0.0.1:21080, or 0.0.0.0:21080 for every address)",
    '"443"': f"text `443` ({NO_HOST}: write 127.0.0.1:443, or 0.0.0.0:443 for every address)",
    "0.0.0.0": f"text `0.0.0.0` ({NO_PORT}: write 0.0.0.0:1080)",
    '"[::1]"': f"text `[::1]` ({NO_PORT}: write [::1]:1080)",
    '"10.0.0.1:"': f"text `10.0.0.1:` ({NO_PORT}: write 10.0.0.1:1080)",
    "mesh": f"text `mesh` ({NO_PORT}: names are not looked up here, write an IP address and a port)",
    "mesh:1080": "text `mesh:1080` (names are not looked up here: write the IP address)",
    '"::"': "text `::` (IPv6 addresses stand in brackets: [::1]:1080)",
    '":21080"': "text `:21080` (for every address write 0.0.0.0:21080 or [::]:21080)",
    "http://127.0.0.1:8080/": "text `http://127.0.0.1:8080/` (an address is not a URL: write 127.0.0.1:8080)",
    "tcp://host": "text `tcp://host` (an address is not a URL)",
}


@pytest.mark.parametrize(("address", "said"), ADDRESSES.items(), ids=list(ADDRESSES))
@pytest.mark.parametrize("key", ["listeners: [{address: %s}]", "admin: {address: %s}", "metrics: {address: %s}"])
def test_an_address(tmp_path: Path, key: str, address: str, said: str) -> None:
    tmp_path.joinpath("sluice.yaml").write_text(key % address + "\n")
    [found] = errors(tmp_path, compiled(tmp_path)[0])
    assert found == f"sluice.yaml:1:{key.index('%') + 1}: address: {EXPECTED} {said}"


METADATA: Final = {
    "{}": f"3:11: {NO_NAME}",
    "{name: }": f"3:11: {NO_NAME}",
    "{labels: {a: b}}": f"3:11: {NO_NAME}",
    "{name: Allow_API}": f"3:18: metadata.name: {NAME} `Allow_API` (write allow-api)",
    "{name: allow api}": f"3:18: metadata.name: {NAME} `allow api` (write allow-api)",
    "{name: -api.}": f"3:18: metadata.name: {NAME} `-api.` (write api)",
    "{name: a..b}": f"3:18: metadata.name: {NAME} `a..b` (write a.b)",
    "{name: ünï}": f"3:18: metadata.name: {NAME} `\\xc3\\xbcn\\xc3\\xaf`",
    "{name: 7}": '3:18: metadata.name: expected a text, found the number `7` (put it in quotes: "7")',
    "{name: [x]}": "3:18: metadata.name: expected a text, found a list",
    "{name:api}": "3:12: unknown key `name:api` (a blank is missing after the colon: write name: api)",
    "name:api": "3:11: metadata: expected a mapping, found the text `name:api`"
    " (a blank is missing after the colon: write name: api)",
    "": "3:10: metadata: expected a mapping, found nothing",
}


@pytest.mark.parametrize(("metadata", "said"), METADATA.items(), ids=list(METADATA))
def test_the_name_of_a_resource(tmp_path: Path, metadata: str, said: str) -> None:
    tmp_path.joinpath("sluice.yaml").write_text("policy: {paths: [policy.yaml]}\n")
    tmp_path.joinpath("policy.yaml").write_text(
        f"apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {metadata}\n"
        "spec: {to: [{host: a.com}], action: Allow}\n"
    )
    assert errors(tmp_path, compiled(tmp_path)[0]) == [f"policy.yaml:{said}"]


URL: Final = "a URL (write the host name alone, without scheme, port and path)"
NUMBERS: Final = "an IP address or network (write a rule with cidr: a list holds names only)"
LINES: Final = {
    "https://secret.example.com/": (1, URL),
    "  http://10.0.0.1:8080": (3, URL),
    "secret.example.com:443": (1, "a name with a port (write the name alone: ports stand in the rule)"),
    "secret.example.com/path": (1, "a path (write the host name alone)"),
    "me@secret.example.com": (1, "a name with a user (write the host name alone)"),
    "192.0.2.77": (1, NUMBERS),
    "192.0.2.0/24": (1, NUMBERS),
    "2001:db8::77": (1, NUMBERS),
    ".secret.example.com": (1, "a name that begins with a dot (for every name below it write *. and the name)"),
    "*secret.example.com": (1, "a wildcard without a dot (for every name below a name write *. and the name)"),
    "secret.*.com": (1, "a wildcard that is not the first label (only `*.name` and `*` are wildcards)"),
    "- secret.example.com": (1, "an item of a YAML list (a list file has one name a line, without the dash)"),
    '"secret.example.com"': (1, "a name in quotes (write it without quotes)"),
    "a.example.com, secret.example.com": (1, "several words (write one name a line; a comment begins with #)"),
}


@pytest.mark.parametrize(("line", "said"), LINES.items(), ids=list(LINES))
def test_a_line_of_a_host_list(tmp_path: Path, line: str, said: tuple[int, str]) -> None:
    """The list is not the policy writer's to read: nothing that stands in it is repeated."""
    tmp_path.joinpath("sluice.yaml").write_text("policy: {paths: [policy.yaml]}\n")
    tmp_path.joinpath("policy.yaml").write_text(
        "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: x}\n"
        "spec: {to: [{hostsFrom: list.txt}], action: Allow}\n"
    )
    tmp_path.joinpath("list.txt").write_text(f"# names\nok.example.com\n{line} # one\nnever reached\n")
    [found] = errors(tmp_path, compiled(tmp_path)[0])
    kind, _, hint = said[1].partition(" (")
    assert found.startswith(f"list.txt:3:{said[0]}: expected a host name, found {kind}: ")
    assert found.endswith(f" ({hint}")
    assert "secret" not in found and "192.0.2" not in found
