"""Real clients of HTTPS proxies, each let through once and turned away once: curl, pycurl with HTTP/2, Node, Go, gRPC
of Go, Java, chromium; and the probes of OpenSSL, sslscan and sslyze."""

import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.e2e.conftest import World
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.origins import Origin
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.sluice_process import ROOT

HERE: Final = Path(__file__).parent
CLIENTS: Final = ROOT / "build/clients"
GRPC: Final = ROOT / "build/grpc/grpc"
CART: Final = "spiffe://mesh.test/ns/shop/sa/cart"
PAGE: Final = b"<html><body>served over TLS</body></html>\n"
full = pytest.mark.full
Done = subprocess.CompletedProcess[str]


class Mesh:
    """A gateway with two TLS listeners: `open` asks for no certificate, `mutual` demands one. open.test is for
    shop/cart alone, localhost for every client."""

    def __init__(self, folder: Path, world: World, secure: int) -> None:
        self.authority = Authority(folder)
        pair = self.authority.issue("gateway", "gateway.test", "localhost", "127.0.0.1", linked=True)
        self.ca = str(self.authority.path)
        self.cart = self.authority.issue("cart", CART, client=True)
        self.stranger = self.authority.issue("stranger", client=True)
        self.secure, self.http = secure, world.http
        self.open, self.mutual = free_port(), free_port()
        tls = {"certificates": [dict(zip(("certificate", "key"), pair, strict=True))]}
        ports = [world.http, secure]
        self.policies = [
            policy("cart", [{"host": "open.test", "ports": ports}], namespace="shop"),
            policy("all", [{"host": "localhost", "ports": ports}]),
        ]
        self.gateway = Gateway(
            self.policies,
            {
                "dns": {"servers": [world.names.address]},
                "identity": {"trustDomains": [{"name": "mesh.test", "ca": self.ca}]},
            },
        )
        self.gateway.config["listeners"] += [
            {"name": "open", "address": f"127.0.0.1:{self.open}", "tls": tls},
            {"name": "mutual", "address": f"127.0.0.1:{self.mutual}", "tls": {**tls, "clientCA": self.ca}},
        ]

    @contextlib.contextmanager
    def allowing(self, port: int) -> Iterator[None]:
        """A rule more for shop/cart alone: this port of localhost and open.test."""
        to = [{"host": host, "ports": [port]} for host in ("localhost", "open.test")]
        self.gateway.reload([*self.policies, policy("more", to, namespace="shop")])
        try:
            yield
        finally:
            self.gateway.reload(self.policies)

    def logs(self, skip: int, *expected: str | None, event: str = "open") -> bool:
        """Waits for a line behind so many with this protocol, identity source and ALPN. Lines of earlier tests may come
        late."""

        def facts(line: Mapping) -> tuple[str | None, ...]:
            return line["protocol"], line["source"]["identity_source"], line["tls"]["client"]["alpn"]

        lines = self.gateway.events
        return eventually(lambda: expected in [facts(line) for line in lines(event=event)[skip:]], f"{expected}")

    def count(self, event: str = "open") -> int:
        """Lines so far."""
        return len(self.gateway.events(event=event))


def page(connection: socket.socket, context: ssl.SSLContext) -> None:
    """An HTTPS origin: one page for each connection."""
    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as client:
        client.recv(65536)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE)


@pytest.fixture(scope="module")
def mesh(world: World) -> Iterator[Mesh]:
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder), "origins")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with Origin(lambda connection, _: page(connection, context)) as secure:
            made = Mesh(Path(folder), world, secure.port)
            context.load_cert_chain(*made.authority.issue("origin", "open.test", "localhost"))
            assert authority.path.exists()
            with made.gateway:
                yield made


def run(*command: str, given: str = "", timeout: float = 60, **variables: str) -> Done:
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


def curl(mesh: Mesh, pair: tuple[str, str] | None, url: str, *more: str) -> Done:
    shown = ("--proxy-cert", pair[0], "--proxy-key", pair[1]) if pair else ()
    proxy = ("--proxy", f"https://localhost:{mesh.mutual}", "--proxy-cacert", mesh.ca, "--proxytunnel")
    return run("curl", "-sS", "--max-time", "30", "--noproxy", "", *proxy, *shown, *more, url)


def test_curl_shows_its_certificate(mesh: Mesh) -> None:
    before = mesh.count()
    done = curl(mesh, mesh.cart, f"http://open.test:{mesh.http}/by/curl")
    assert (done.returncode, done.stdout) == (0, "served /by/curl\n"), done.stderr
    assert mesh.logs(before, "http", "certificate", None), "this curl offers a proxy no ALPN"
    done = curl(mesh, mesh.cart, f"https://open.test:{mesh.secure}/", "--cacert", mesh.ca)
    assert done.stdout == PAGE.decode(), done.stderr
    done = curl(mesh, mesh.stranger, f"http://open.test:{mesh.http}/")
    assert (done.returncode, "403" in done.stderr) == (56, True)
    done = curl(mesh, None, f"http://open.test:{mesh.http}/")
    assert done.returncode in (35, 56), "an alert, in the handshake or behind it"


@pytest.mark.parametrize("protocol", ["http2", "http1"])
def test_node(mesh: Mesh, protocol: str) -> None:
    def node(pair: tuple[str, str], host: str) -> Done:
        words = (protocol, str(mesh.mutual), host, str(mesh.http), "/by/node", mesh.ca, *pair)
        return run("node", str(HERE / "tls_client.mjs"), *words)

    before = mesh.count()
    done = node(mesh.cart, "open.test")
    assert (done.returncode, done.stdout) == (0, "served /by/node\n"), done.stderr
    expected = {"http1": ("http", None), "http2": ("http2tunnel", "h2")}
    assert mesh.logs(before, expected[protocol][0], "certificate", expected[protocol][1])
    done = node(mesh.stranger, "open.test")
    assert (done.returncode, done.stderr.startswith("refused: 403, sluice; error=http_request_denied")) == (3, True)


# ---- openssl s_client: what no other client does ----


def s_client(mesh: Mesh, *options: str, given: str = "", port: int = 0) -> Done:
    address = ("-connect", f"127.0.0.1:{port or mesh.open}", "-servername", "localhost", "-CAfile", mesh.ca)
    return run("openssl", "s_client", *address, *options, given=given)


def test_openssl_finds_no_old_version(mesh: Mesh) -> None:
    for option in ("-tls1", "-tls1_1"):
        done = s_client(mesh, option, "-cipher", "ALL:@SECLEVEL=0")
        assert done.returncode == 1 and "alert protocol version" in done.stderr, done.stderr
        assert mesh.gateway.event(event="refused", detail="unsupported protocol")["reason"] == "tls_handshake"
    done = s_client(mesh, "-tls1_2", "-cipher", "AES128-SHA:DHE-RSA-AES256-SHA:NULL:@SECLEVEL=0")
    assert done.returncode == 1 and "handshake failure" in done.stderr, "no key exchange without forward secrecy"


def test_openssl_may_not_renegotiate(mesh: Mesh) -> None:
    done = s_client(mesh, "-tls1_2", given="R\n")
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stderr, done.stderr
    assert curl(mesh, mesh.cart, f"http://open.test:{mesh.http}/").returncode == 0


def test_openssl_sends_no_early_data(mesh: Mesh, tmp_path: Path) -> None:
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_text("CONNECT localhost:1 HTTP/1.1\r\n\r\n")
    # A ticket of TLS 1.3 comes behind the handshake: the answer to a request brings it along.
    s_client(mesh, "-tls1_3", "-sess_out", str(session), "-ign_eof", given="GET / HTTP/1.0\r\n\r\n")
    done = s_client(mesh, "-tls1_3", "-sess_in", str(session), "-early_data", str(early))
    assert "Reused, TLSv1.3" in done.stdout, done.stdout + done.stderr
    assert "Early data was not sent" in done.stdout


@pytest.mark.parametrize("alert", ["certificate expired", "unknown ca", "unsupported certificate"])
def test_openssl_shows_a_bad_certificate(mesh: Mesh, tmp_path: Path, alert: str) -> None:
    hour = datetime.timedelta(hours=1)
    pairs = {
        "certificate expired": mesh.authority.issue("late", CART, client=True, left=-hour),
        "unknown ca": Authority(tmp_path, "other").issue("other", CART, client=True),
        "unsupported certificate": mesh.authority.issue("server", CART),
    }
    certificate, key = pairs[alert]
    options = ("-cert", certificate, "-key", key, "-ign_eof")
    done = s_client(mesh, *options, given="GET / HTTP/1.0\r\n\r\n", port=mesh.mutual)
    assert f"alert {alert}" in done.stderr, done.stderr


# ---- clients of the long tests ----


PYCURL: Final = """\
import sys, pycurl
port, url, ca, certificate, key = sys.argv[1:]
curl = pycurl.Curl()
options = {
    "URL": url, "PROXY": f"https://localhost:{port}", "HTTPPROXYTUNNEL": 1, "NOPROXY": "", "PROXY_CAINFO": ca,
    "PROXY_SSLCERT": certificate, "PROXY_SSLKEY": key, "TIMEOUT": 30, "WRITEFUNCTION": sys.stdout.buffer.write,
}
for name, value in options.items():
    curl.setopt(getattr(pycurl, name), value)
curl.setopt(pycurl.PROXYTYPE, 3)  # CURLPROXY_HTTPS2
curl.perform()
"""


def unpacked(path: str) -> str:
    found = CLIENTS / path
    assert found.exists(), f"{found} is not there: deploy/clients.sh fetches it, make test-full does that"
    return str(found)


@full
def test_curl_over_http2_to_the_proxy(mesh: Mesh) -> None:
    def perform(pair: tuple[str, str]) -> Done:
        words = (str(mesh.mutual), f"http://open.test:{mesh.http}/by/pycurl", mesh.ca, *pair)
        return run(shutil.which("python3") or "", "-c", PYCURL, *words, PYTHONPATH=unpacked("pycurl"))

    before = mesh.count()
    done = perform(mesh.cart)
    assert (done.returncode, done.stdout) == (0, "served /by/pycurl\n"), done.stderr
    assert mesh.logs(before, "http2tunnel", "certificate", "h2")
    before = mesh.count("decision")
    assert perform(mesh.stranger).returncode == 1
    assert mesh.logs(before, "http2tunnel", "none", "h2", event="decision")


@full
def test_go(mesh: Mesh, tmp_path: Path) -> None:
    go, program = shutil.which("go") or "/usr/local/go/bin/go", str(tmp_path / "proxy_get")
    built = run(go, "build", "-o", program, str(HERE / "proxy_get.go"), timeout=200, GO111MODULE="off")
    assert built.returncode == 0, built.stderr

    def get(pair: tuple[str, str]) -> Done:
        return run(program, f"https://localhost:{mesh.mutual}", f"https://open.test:{mesh.secure}/", mesh.ca, *pair)

    done = get(mesh.cart)
    assert (done.returncode, done.stdout) == (0, PAGE.decode())
    done = get(mesh.stranger)
    assert (done.returncode, "Forbidden" in done.stdout) == (3, True), done.stdout


@full
def test_grpc_of_go(mesh: Mesh) -> None:
    """A unary call and a stream, over TLS within the tunnel; and the reason of a refusal, as the caller gets it."""
    if not GRPC.exists():
        subprocess.run([ROOT / "deploy/go_client.sh", ROOT / "tests/e2e/grpc", GRPC], check=True, timeout=900)
    origin = mesh.authority.issue("grpc", "localhost", "open.test")
    with subprocess.Popen([GRPC, "serve", *origin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stdin is not None
        target = f"localhost:{server.stdout.readline().strip()}"

        def check(pair: tuple[str, str], to: str = target) -> Done:
            return run(str(GRPC), "check", f"localhost:{mesh.mutual}", to, mesh.ca, *pair)

        with mesh.allowing(int(target.rpartition(":")[2])):
            before = mesh.count()
            done = check(mesh.cart)
            assert (done.returncode, done.stdout) == (0, "SERVING SERVING\n"), done.stderr
            assert mesh.logs(before, "http", "certificate", "http/1.1")
            done = check(mesh.stranger, target.replace("localhost", "open.test"))
            assert done.returncode == 1 and "refused: 403" in done.stderr and "http_request_denied" in done.stderr
        server.stdin.close()


@full
def test_java(mesh: Mesh, tmp_path: Path) -> None:
    java = shutil.which("java")
    if not java:
        pytest.skip("no java here")

    def get(name: str, pair: tuple[str, str]) -> Done:
        certificate = x509.load_pem_x509_certificate(Path(pair[0]).read_bytes())
        key = serialization.load_pem_private_key(Path(pair[1]).read_bytes(), None)
        authority = pkcs12.PKCS12Certificate(mesh.authority.certificate, b"ca")
        encryption = serialization.BestAvailableEncryption(b"changeit")
        made = pkcs12.serialize_key_and_certificates(name.encode(), key, certificate, [authority], encryption)  # type: ignore[arg-type]
        keys, store = tmp_path / f"{name}.p12", str(tmp_path / f"{name}-store.p12")
        keys.write_bytes(made)
        # A CA counts as trusted only behind keytool: the library writes no attribute for that.
        shutil.copy(keys, store)
        trust = ("-importcert", "-noprompt", "-alias", "authority", "-file", mesh.ca)
        run("keytool", *trust, "-keystore", store, "-storepass", "changeit")
        words = (str(mesh.mutual), "open.test", str(mesh.http), "/by/java", store, "changeit")
        return run(java, str(HERE / "ProxyGet.java"), *words, timeout=120)

    done = get("cart", mesh.cart)
    assert (done.returncode, done.stdout) == (0, "served /by/java\n"), done.stderr
    done = get("stranger", mesh.stranger)
    assert (done.returncode, done.stdout.startswith("refused: HTTP/1.1 403")) == (3, True)


@full
@pytest.mark.timeout(200)
def test_chromium(mesh: Mesh, tmp_path: Path) -> None:
    program = unpacked("usr/lib/chromium/chromium-headless-shell")
    libraries = ":".join(unpacked(f"usr/lib/x86_64-linux-gnu{folder}") for folder in ("", "/pulseaudio"))

    def dump(host: str) -> str:
        options = (
            "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path}",
            f"--proxy-server=https://localhost:{mesh.open}", "--proxy-bypass-list=<-loopback>",
            "--ignore-certificate-errors", "--timeout=20000", "--dump-dom",
        )  # fmt: skip
        done = run(program, *options, f"https://{host}:{mesh.secure}/", timeout=150, LD_LIBRARY_PATH=libraries)
        return done.stdout

    before = mesh.count()
    assert "served over TLS" in dump("localhost")
    assert mesh.logs(before, "http2tunnel", "none", "h2")
    before = mesh.count("decision")
    assert "served over TLS" not in dump("open.test")
    assert mesh.logs(before, "http2tunnel", "none", "h2", event="decision")


@full
def test_sslscan_finds_nothing_to_complain_about(mesh: Mesh) -> None:
    done = run(unpacked("usr/bin/sslscan"), "--no-colour", f"127.0.0.1:{mesh.open}", timeout=120)
    text = done.stdout
    enabled = dict(re.findall(r"^(SSLv2|SSLv3|TLSv1\.\d)\s+(enabled|disabled)", text, re.MULTILINE))
    assert enabled == {
        "SSLv2": "disabled", "SSLv3": "disabled", "TLSv1.0": "disabled", "TLSv1.1": "disabled", "TLSv1.2": "enabled",
        "TLSv1.3": "enabled",
    }  # fmt: skip
    assert "Session renegotiation not supported" in text
    assert "vulnerable to heartbleed" not in text.replace("not vulnerable to heartbleed", "")
    ciphers = re.findall(r"^(?:Preferred|Accepted)\s+TLSv1\.\d\s+(\d+) bits\s+(\S+)", text, re.MULTILINE)
    assert ciphers
    assert all(int(bits) >= 128 and ("GCM" in name or "CHACHA20" in name) for bits, name in ciphers), ciphers


@full
def test_sslyze_finds_nothing_to_complain_about(mesh: Mesh) -> None:
    """By Mozilla's "intermediate" configuration: versions, ciphers, curves, the certificate and its path. Heartbleed,
    ROBOT, CCS injection, compression, renegotiation and downgrades are looked for on the way."""
    options = ("--mozilla_config", "intermediate", "--certinfo_ca_file", mesh.ca)
    words = (sys.executable, "-m", "sslyze", *options, f"localhost:{mesh.open}")
    done = run(*words, timeout=120, PYTHONPATH=unpacked("sslyze"))
    assert done.returncode == 0 and f"localhost:{mesh.open}: OK - Compliant." in done.stdout, done.stdout[-2000:]
    assert "VULNERABLE" not in done.stdout.replace("Not vulnerable", "")
    for found in ("TLS_FALLBACK_SCSV:                 OK", "Client Renegotiation DoS Attack:   OK", "not supported.\n"):
        assert found in done.stdout, found
