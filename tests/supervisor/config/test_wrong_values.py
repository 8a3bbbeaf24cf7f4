"""Every value of every file, replaced by wrong ones: errors name their place, and none follows from another.

A reader goes on with a default after a mistake, so that one run shows them all. What comes later must not stumble over
that default: the builder refuses what its caller should not have given, and that would be told as an internal error.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.support.front import ALLOW, HASH, OK_TO, compiled, errors, manifest, write

WRONG: Final[tuple[Any, ...]] = (None, "", "a b", "a:b", "\u00fc", "x" * 300, 7, -1, True, [], {}, ["x"], {"x": "y"})
CONFIG: Final[dict[str, Any]] = {
    "listeners": [{"name": "mesh", "address": "127.0.0.1:1080", "protocol": "auto", "auth": "optional"}],
    "workers": 2,
    "gateway": {"name": "sluice", "namespace": "egress", "serviceAddresses": ["10.0.0.1"]},
    "policy": {"paths": ["policy.yaml"], "passthrough": False, "audit": False},
    "identity": {
        "networks": [{"cidr": "10.1.0.0/16", "namespace": "shop", "serviceAccount": "cart"}],
        "users": "users.yaml",
    },
    "addresses": {"allow": ["127.0.0.0/8"], "deny": ["192.0.2.0/24"]},
    "upstreams": [{"name": "corp", "type": "http", "addresses": ["192.0.2.9:1080"]}],
    "dns": {"servers": ["192.0.2.53"], "timeout": "2s", "minTTL": "1s", "cacheEntries": 10},
    "limits": {"tunnels": 100, "requestTimeout": "10s", "perSource": {"loginFailures": "10/s"}},
    "admin": {"address": "127.0.0.1:9901", "token": "x" * 20},
    "logs": {"level": "info", "access": "off", "interval": "60s"},
    "shutdown": {"drain": "30s"},
}
USERS: Final[dict[str, Any]] = {
    "users": [
        {"name": "bob", "hash": HASH, "identity": {"namespace": "shop", "serviceAccount": "cart"}},
        {"name": "ann", "hash": HASH},
    ]
}
POLICY: Final[dict[str, Any]] = {
    "apiVersion": "sluice.dev/v1alpha1",
    "kind": "EgressPolicy",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {
        "from": [{"user": "bob"}, {"cidr": "10.0.0.0/8"}, {"serviceAccount": "cart"}],
        "to": [
            {"host": "api.example.com", "ports": [443, "8000-8100"]},
            {"host": "*.example.com", "except": ["evil.example.com"]},
            {"cidr": "203.0.113.0/24", "ports": [5432], "except": ["203.0.113.7/32"]},
        ],
        "action": "Allow",
        "onRevoke": "drain",
        "upstream": "corp",
        "innerName": "audit",
    },
}
FILES: Final = {"sluice_yaml": CONFIG, "users_yaml": USERS, "policy_yaml": POLICY}


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value, the document itself left out."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in inner:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at `path`."""
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = value if len(path) == 1 else changed(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("file", FILES)
def test_no_mistake_is_followed_by_an_error_of_ours(tmp_path: Path, file: str) -> None:
    write(tmp_path, **{name: yaml.safe_dump(document) for name, document in FILES.items()})
    report, image = compiled(tmp_path)
    assert report.ok and image is not None, errors(tmp_path, report)
    os.close(image)
    refused = 0
    for path in places(FILES[file]):
        for value in WRONG:
            write(tmp_path, **{file: yaml.safe_dump(changed(FILES[file], path, value), allow_unicode=True)})
            report, image = compiled(tmp_path)
            told = errors(tmp_path, report)
            assert report.ok == (image is not None) == (not told)
            for line in told:
                assert "internal error" not in line and "cannot be compiled" not in line, (path, value, told)
                assert re.match(r"(sluice|users|policy)\.yaml[: ]|/", line), (path, told)
            refused += not report.ok
            if image is not None:
                os.close(image)
    assert refused > 100


def test_all_mistakes_of_a_users_file_are_told_in_one_run(tmp_path: Path) -> None:
    users = f"""users:
  - {{name: 'a:b', hash: {HASH}}}
  - {{name: bob, hash: nonsense}}
  - {{name: eve, hash: {HASH}, identity: {{namespace: Shop}}}}
  - {{hash: {HASH}}}
"""
    write(
        tmp_path,
        sluice_yaml="policy: {paths: [policy.yaml]}\nidentity: {users: users.yaml}\n",
        policy_yaml=manifest(OK_TO + ALLOW + "from: [{user: bob}]\n", namespace="shop"),
        users_yaml=users,
    )
    report, _ = compiled(tmp_path)
    assert [line.split(": ")[:2] for line in errors(tmp_path, report)] == [
        ["users.yaml:2:12", "name"],
        ["users.yaml:3:23", "hash"],
        ["users.yaml:4:132", "namespace"],
        ["users.yaml:5:5", "`name` is missing"],
    ]
    assert not [warning for warning in report.warnings if "does not exist" in warning.message], "bob was written"
