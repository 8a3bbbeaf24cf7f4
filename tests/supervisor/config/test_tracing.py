"""`tracing` of sluice.yaml: values, the extra that exports, and what workers get."""

from pathlib import Path

import pytest

from supervisor.config import tracing
from supervisor.config.config import Config
from supervisor.config.reader import load_config
from supervisor.source.problems import Problems


def read(folder: Path, text: str) -> Config:
    file = folder / "sluice.yaml"
    file.write_text(f"tracing: {text}\ncontrol: {{endpoint: 'ipc://c'}}\n")
    return load_config(str(file))


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(Problems) as wrong:
        read(folder, text)
    (problem,) = wrong.value.errors
    return str(problem).replace(f"{folder}/", "")


def test_defaults_are_off(tmp_path: Path) -> None:
    config = read(tmp_path, "{}")
    assert (config.tracing.endpoint, config.tracing.sample, config.tracing.parent_based) == (None, 0.01, True)
    assert config.settings()["tracing"] is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
        ("https://collector.test/otlp/v1/traces", "https://collector.test/otlp/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_an_endpoint(tmp_path: Path, said: str, meant: str) -> None:
    config = read(tmp_path, f"{{endpoint: '{said}', sample: 0.25, parentBased: false}}")
    assert config.tracing.endpoint == meant
    assert config.settings()["tracing"] == {"sample": 0.25, "parent_based": False}


@pytest.mark.parametrize(
    "text", ["127.0.0.1:4318", "grpc://x:4317", "http://", "http://x:99999", "http://x:0", "http://a b/", "''", "5"]
)
def test_what_is_no_endpoint(tmp_path: Path, text: str) -> None:
    assert complaint(tmp_path, f"{{endpoint: {text!r}}}").startswith("sluice.yaml:1:21: endpoint: expected a")


def test_credentials_in_an_endpoint_are_refused_and_not_shown(tmp_path: Path) -> None:
    for text in ("http://user:secret@x", "ftp://user:secret@x", "http://user:secret@x:99999"):
        told = complaint(tmp_path, f"{{endpoint: '{text}'}}")
        assert "secret" not in told and "OTEL_EXPORTER_OTLP_HEADERS" in told


@pytest.mark.parametrize("text", ["1.5", "-0.1", "x", "nan", "inf", "true", "[]"])
def test_what_is_no_sample(tmp_path: Path, text: str) -> None:
    assert complaint(tmp_path, f"{{sample: {text}}}").startswith("sluice.yaml:1:19: sample: expected a")


@pytest.mark.parametrize(("text", "meant"), [("0", 0.0), ("1", 1.0), ("0.5", 0.5), ("1e-3", 0.001)])
def test_a_sample(tmp_path: Path, text: str, meant: float) -> None:
    assert read(tmp_path, f"{{sample: {text}}}").tracing.sample == meant


def test_an_endpoint_without_the_extra_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "EXPORTER", "opentelemetry_is_not_here.exporter.trace_exporter")
    told = complaint(tmp_path, "{endpoint: 'http://127.0.0.1:4318'}")
    assert told.startswith(
        "sluice.yaml:1:21: tracing.endpoint: the package opentelemetry-exporter-otlp-proto-http is not"
    )
    assert "pip install 'sluice[otel]'" in told
    assert read(tmp_path, "{endpoint: null, sample: 1}").tracing.endpoint is None
