"""`upstreams` of sluice.yaml, their password files, and the rules that name them."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from supervisor.config.reader import load_config
from supervisor.generation.compilation import Report
from supervisor.generation.compile import compile_config
from supervisor.source.problems import Problems
from tests.support.certificates import Authority

CORP = {"name": "corp", "type": "http", "addresses": ["192.0.2.9:3128", "[2001:db8::9]:3128"]}


def write(folder: Path, upstreams: object, **rest: object) -> str:
    path = folder / "sluice.yaml"
    path.write_text(yaml.safe_dump({"upstreams": upstreams, **rest}, default_flow_style=True, sort_keys=False))
    return str(path)


def complaints(folder: Path, upstreams: object, **rest: object) -> list[str]:
    with pytest.raises(Problems) as wrong:
        load_config(write(folder, upstreams, **rest))
    return [problem.message for problem in wrong.value.errors]


def compiled(folder: Path, upstreams: object, spec: dict[str, object]) -> Report:
    manifest = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ClusterEgressPolicy",
        "metadata": {"name": "open"},
        "spec": {"to": [{"host": "a.test"}, {"host": "b.test"}], "action": "Allow", **spec},
    }
    (folder / "policy.yaml").write_text(yaml.safe_dump(manifest))
    report, image = compile_config(write(folder, upstreams, policy={"paths": ["policy.yaml"]}))
    if image is not None:
        os.close(image)
    return report


@pytest.mark.parametrize("kind", ["http", "socks5", "http2tunnel"])
def test_what_is_written_is_what_workers_get(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("open: sesame\n")
    login = {"type": kind, "user": "gate", "passwordFile": "secret"}
    report = compiled(tmp_path, [CORP | login], {"upstream": "corp"})
    assert report.ok and report.settings is not None
    assert report.settings["upstreams"] == [
        {
            "name": "corp",
            "type": kind,
            "addresses": [("192.0.2.9", 3128), ("2001:db8::9", 3128)],
            "user": b"gate",
            "password": b"open: sesame",
            "announces": False,
            "tls": None,
        }
    ]


def test_a_proxy_header_names_one_client(tmp_path: Path) -> None:
    report = compiled(tmp_path, [CORP | {"type": "socks5", "proxyProtocol": "v2"}], {"upstream": "corp"})
    assert report.settings is not None and report.settings["upstreams"][0]["announces"]
    report = compiled(tmp_path, [CORP | {"type": "http2tunnel", "proxyProtocol": "v2"}], {"upstream": "corp"})
    assert [problem.message for problem in report.problems] == [
        "proxyProtocol is not for an http2tunnel: one connection carries many clients"
    ]


def test_the_password_is_no_part_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sesame")
    report = compiled(tmp_path, [CORP | {"user": "gate", "passwordFile": "secret"}], {"upstream": "corp"})
    assert "sesame" not in repr(report.config)


def test_a_rule_names_an_upstream_that_there_is(tmp_path: Path) -> None:
    report = compiled(tmp_path, [CORP], {"upstream": "crop"})
    assert [problem.message for problem in report.problems] == ["there is no upstream `crop`"]
    assert report.problems[0].suggestion == "did you mean `corp`?"


def test_on_a_rule_that_denies_it_has_no_effect(tmp_path: Path) -> None:
    report = compiled(tmp_path, [CORP], {"upstream": "corp", "action": "Deny"})
    assert report.ok
    assert "upstream has no effect on a rule that denies" in [problem.message for problem in report.warnings]


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        (CORP | {"type": "http3"}, "expected one of http, socks5, http2tunnel"),
        (CORP | {"tls": {"certificate": "a.crt"}}, "certificate without key"),
        (CORP | {"tls": {"key": "a.key"}}, "key without certificate"),
        (CORP | {"tls": {"serverName": "*.corp.test"}}, "expected a host such as proxy.example.com"),
        (CORP | {"tls": {"serverName": ""}}, "expected a host such as proxy.example.com"),
        (CORP | {"tls": {"sans": ["spiffe://"]}}, "expected a URI such as"),
        (CORP | {"tls": {"sans": [f"{n}.test" for n in range(65)]}}, "expected at most 64 names, found 65"),
        (CORP | {"tls": {"minVersion": "1.1"}}, "expected one of 1.2, 1.3"),
        (CORP | {"tls": {"clientCA": "a.crt"}}, "unknown key `clientCA`"),
        (CORP | {"addresses": []}, "the list is empty"),
        (CORP | {"addresses": ["proxy.corp:3128"]}, "expected an address such as 127.0.0.1:1080"),
        (CORP | {"addresses": ["0.0.0.0:3128"]}, "0.0.0.0 is not an address to dial"),
        (CORP | {"addresses": [f"192.0.2.9:{port}" for port in range(1, 18)]}, "more than 16 addresses"),
        (CORP | {"user": "gate"}, "user without passwordFile"),
        (CORP | {"passwordFile": "secret"}, "passwordFile without user"),
        (CORP | {"addresses": ["127.0.0.1:1080"]}, "the upstream `corp` leads to this gateway itself"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, upstream: object, expected: str) -> None:
    assert any(expected in text for text in complaints(tmp_path, [upstream])), complaints(tmp_path, [upstream])


def test_two_of_one_name_are_an_error(tmp_path: Path) -> None:
    assert complaints(tmp_path, [CORP, CORP]) == ["duplicate upstream `corp`"]


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"x" * 256, b"nul\0"])
def test_a_password_file_holds_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    report = compiled(tmp_path, [CORP | {"user": "gate", "passwordFile": "secret"}], {})
    (problem,) = report.problems
    assert "is not one line of 1 to 255 bytes" in problem.message
    assert not content.strip() or content.decode() not in str(problem)


def test_a_password_file_that_is_not_there(tmp_path: Path) -> None:
    report = compiled(tmp_path, [CORP | {"user": "gate", "passwordFile": "secret"}], {})
    (problem,) = report.problems
    assert "cannot be read: No such file or directory" in problem.message
    assert problem.file == str(tmp_path / "sluice.yaml") and problem.line > 0


def test_tls_is_read_whole(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("gate", client=True)
    tls = {
        "serverName": "Corp.test.",
        "sans": ["a.test", "192.0.2.9", "spiffe://d/x"],
        "ca": "ca.crt",
        "minVersion": "1.3",
    }
    report = compiled(tmp_path, [CORP | {"tls": {**tls, "certificate": "gate.crt", "key": "gate.key"}}], {})
    assert report.ok and report.settings is not None and not report.warnings
    (upstream,) = report.settings["upstreams"]
    found: dict[str, Any] = dict(upstream["tls"] or {})
    shown = found.pop("certificate")
    assert b"CERTIFICATE" in shown["chain"] and b"PRIVATE KEY" in shown["key"]
    assert found == {
        "server_name": "corp.test",
        "sans": ["a.test", "192.0.2.9", "spiffe://d/x"],
        "ca": authority.path.read_bytes(),
        "min_version": "1.3",
        "alpn": ["http/1.1"],
    }
    assert {(each.use, Path(each.name).name) for each in report.expiries} == {
        ("upstream", "gate.crt"),
        ("upstream_ca", "ca.crt"),
    }
    assert {Path(path).name for path in report.marks} == {"ca.crt", "gate.crt", "gate.key"}


def test_the_system_s_cas_are_those_of_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).path))
    report = compiled(tmp_path, [CORP | {"tls": {}}, CORP | {"name": "two", "tls": {"ca": "system"}}], {})
    assert report.settings is not None
    assert report.settings["system_ca"] == (tmp_path / "ca.crt").read_bytes()
    assert [each["tls"] and each["tls"]["ca"] for each in report.settings["upstreams"]] == [None, None]
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    report = compiled(tmp_path, [CORP | {"tls": {}}], {})
    assert [problem.message for problem in report.problems] == ["this system has no file of trusted CAs"]


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({"ca": "none.crt"}, "the CA `{}/none.crt` cannot be read: No such file or directory"),
        ({"ca": "gate.key"}, "the file `{}/gate.key` has no readable certificate"),
        (
            {"ca": "ca.crt", "certificate": "gate.crt", "key": "other.key"},
            "the key `{0}/other.key` is not that of the certificate `{0}/gate.crt`",
        ),
    ],
)
def test_files_of_tls_that_cannot_be_used(tmp_path: Path, tls: dict[str, str], expected: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("gate", client=True)
    authority.issue("other", client=True)
    report = compiled(tmp_path, [CORP | {"tls": tls}], {})
    assert [problem.message for problem in report.problems] == [expected.format(tmp_path)]
