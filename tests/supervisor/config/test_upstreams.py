"""`upstreams` of sluice.yaml, their password files, and the rules that name them."""

import os
from pathlib import Path

import pytest
import yaml

from supervisor.config.reader import load_config
from supervisor.generation.compilation import Report
from supervisor.generation.compile import compile_config
from supervisor.source.problems import Problems

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
        (CORP | {"tls": {}}, "`upstreams.tls` is not built yet"),
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
