"""Tools that fetch over `http://` through a proxy: wget, git, pip, npm, apt, and programs in Node, Go and Java."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.e2e.http.conftest import Site
from tests.support.http_origin import LARGE

HERE: Final = Path(__file__).parent
full = pytest.mark.full


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Test output stays about tests."""


@contextlib.contextmanager
def files(folder: Path) -> Iterator[str]:
    """The URL of a server of these files, under a name that the gateway alone resolves."""

    def handler(*arguments: Any) -> _Files:
        return _Files(*arguments, directory=str(folder))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"http://www.test:{server.server_address[1]}"
        server.shutdown()


def run(site: Site, *command: str, cwd: Path | None = None, **variables: str) -> str:
    """Its output; the proxy is in its environment."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY"), site.proxy)
    environment = {**os.environ, **proxies, "no_proxy": "", "NO_PROXY": "", **variables}
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def through(site: Site, skip: int) -> list[str | None]:
    """The hosts of the requests that the gateway has logged since."""
    return [line["destination"]["host"] for line in site.gateway.events()[skip:] if line["protocol"] == "http"]


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


@needs("wget")
@full
def test_wget(site: Site, tmp_path: Path) -> None:
    run(site, "wget", "-q", "-O", str(tmp_path / "large"), site.url("/large"))
    assert (tmp_path / "large").read_bytes() == LARGE
    assert json.loads(run(site, "wget", "-q", "-O", "-", "--post-data=abc", site.url("/post")))["length"] == 3


@needs("git")
@full
def test_git_clones(site: Site, tmp_path: Path) -> None:
    work, bare = tmp_path / "work", tmp_path / "served/repo.git"
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@test", "-c", "init.defaultBranch=main")
    run(site, *git, "init", "-q", str(work))
    (work / "content").write_bytes(LARGE)
    run(site, *git, "-C", str(work), "add", ".")
    run(site, *git, "-C", str(work), "commit", "-qm", "one")
    run(site, "git", "clone", "-q", "--bare", str(work), str(bare))
    run(site, "git", "-C", str(bare), "update-server-info")
    skip = len(site.gateway.events())
    with files(bare.parent) as url:
        run(site, "git", "clone", "-q", f"{url}/repo.git", str(tmp_path / "clone"))
    assert (tmp_path / "clone/content").read_bytes() == LARGE
    assert "www.test" in through(site, skip)


def wheel(folder: Path) -> None:
    """A package without content: sluicetest 1.0."""
    info = "sluicetest-1.0.dist-info"
    parts = {
        "sluicetest.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: sluicetest\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / "sluicetest-1.0-py3-none-any.whl", "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)


@full
def test_pip_downloads(site: Site, tmp_path: Path) -> None:
    served = tmp_path / "served/simple/sluicetest"
    served.mkdir(parents=True)
    wheel(served)
    (served / "index.html").write_text('<a href="sluicetest-1.0-py3-none-any.whl">sluicetest</a>')
    with files(tmp_path / "served") as url:
        run(site, sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir",
            "--disable-pip-version-check", "--index-url", f"{url}/simple/", "--trusted-host", "www.test",
            "--proxy", site.proxy, "-d", str(tmp_path / "got"), "sluicetest")  # fmt: skip
    assert (tmp_path / "got/sluicetest-1.0-py3-none-any.whl").exists()


@needs("npm")
@full
def test_npm_installs(site: Site, tmp_path: Path) -> None:
    served = tmp_path / "served"
    (served / "tar").mkdir(parents=True)
    manifest = json.dumps({"name": "sluicetest", "version": "1.0.0"}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/package.json")
        entry.size = len(manifest)
        archive.addfile(entry, io.BytesIO(manifest))
    (served / "tar/sluicetest-1.0.0.tgz").write_bytes(packed.getvalue())
    with files(served) as url:
        sums = {
            "integrity": "sha512-" + base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode(),
            "tarball": f"{url}/tar/sluicetest-1.0.0.tgz",
        }
        version = {"name": "sluicetest", "version": "1.0.0", "dist": sums}
        document = {"name": "sluicetest", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        (served / "sluicetest").write_text(json.dumps(document))
        project = tmp_path / "project"
        project.mkdir()
        (project / "package.json").write_text('{"name": "p", "version": "1.0.0"}')
        run(site, "npm", "install", "--no-audit", "--no-fund", "--registry", url, "--proxy", site.proxy,
            "--cache", str(tmp_path / "cache"), "sluicetest", cwd=project)  # fmt: skip
    assert (project / "node_modules/sluicetest/package.json").read_bytes() == manifest


@needs("apt-get")
@full
def test_apt_updates(site: Site, tmp_path: Path) -> None:
    """From a repository without a signature, with folders of its own."""
    served = tmp_path / "served"
    (served / "flat").mkdir(parents=True)  # apt asks for `./` of one without a folder, and dot segments are refused
    (served / "flat/Packages").write_text(
        "Package: sluicetest\nVersion: 1.0\nArchitecture: all\nDescription: a test\n\n"
    )
    for name in ("lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/preferences.d", "etc/trusted"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").write_text("")
    with files(served) as url:
        (tmp_path / "etc/sources.list").write_text(f"deb [trusted=yes] {url} flat/\n")
        options = {
            "Dir::Etc": f"{tmp_path}/etc", "Dir::State::lists": f"{tmp_path}/lists", "Dir::Cache": f"{tmp_path}/cache",
            "Dir::State::status": f"{tmp_path}/status", "Acquire::http::Proxy": site.proxy,
            "Acquire::Languages": "none", "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
        }  # fmt: skip
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        run(site, "apt-get", *given, "update")
        assert "sluicetest" in run(site, "apt-cache", *given, "search", "sluicetest")


@needs("node")
def test_node(site: Site) -> None:
    told = json.loads(run(site, "node", str(HERE / "request.mjs"), site.proxy, site.url("/node")))
    assert [one["target"] for one in told] == ["/node?0", "/node?1", "/node?2"]
    assert [one["length"] for one in told] == [0, 100_000, 200_000]


@needs("go")
@full
def test_go(site: Site, tmp_path: Path) -> None:
    shutil.copy(HERE / "request.go", tmp_path / "main.go")
    (tmp_path / "go.mod").write_text("module request\n\ngo 1.19\n")
    variables = {"GOFLAGS": "-mod=mod", "GOCACHE": str(tmp_path / "cache"), "GOTOOLCHAIN": "local"}
    told = json.loads(run(site, "go", "run", ".", site.proxy, site.url("/go"), cwd=tmp_path, **variables))
    assert [one["target"] for one in told] == ["/go?0", "/go?1", "/go?2"]
    assert [one["length"] for one in told] == [0, 100_000, 200_000]


@needs("java")
@full
def test_java(site: Site) -> None:
    told = json.loads(run(site, "java", str(HERE / "Request.java"), str(site.gateway.port), site.url("/java")))
    assert [one["target"] for one in told] == ["/java?0", "/java?1", "/java?2"]
    assert [one["length"] for one in told] == [0, 100_000, 200_000]
