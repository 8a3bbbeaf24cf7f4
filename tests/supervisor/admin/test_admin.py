"""The admin and metrics endpoints of a running gateway: pages, who gets them, and what strangers cannot do."""

import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervisor.admin.admin import _is_ours
from tests.support.eventually import PATIENCE, eventually
from tests.support.harness import Greeted, Running
from tests.support.ports import free_port

TOKEN: Final = "correct-horse-battery"
READS: Final = ("/", "/metrics", "/healthz", "/readyz", "/stats", "/tunnels", "/policy", "/explain?to=a.example:443")
WRITES: Final = ("/reload", "/drain", "/tunnels/0-1-1/kill")


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(port: int, path: str, method: str = "GET", **headers: str) -> Reply:
    """One request. Header names are written with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(request)
        found = b""
        with contextlib.suppress(ConnectionResetError):
            while data := client.recv(65536):
                found += data
        return found


DENIES: Final = """
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: never}
spec: {action: Deny, to: [{host: never.example}, {host: "*.never.example"}]}
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """No token; a metrics endpoint; two items that deny."""
    metrics = free_port()
    policy = tmp_path_factory.mktemp("plain") / "policy.yaml"
    policy.write_text(DENIES)
    config = {
        "metrics": {"address": f"127.0.0.1:{metrics}"},
        "policy": {"passthrough": True, "paths": [str(policy)]},
    }
    with Running(config=config) as gateway:
        gateway.metrics = metrics  # type: ignore[attr-defined]
        gateway.all_ready()
        yield gateway


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    """A token, on loopback."""
    with guarded_gateway("127.0.0.1") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def exposed() -> Iterator[Running]:
    """A token, on every address."""
    with guarded_gateway("0.0.0.0") as gateway:
        yield gateway


@contextlib.contextmanager
def guarded_gateway(host: str) -> Iterator[Running]:
    gateway = Running()
    gateway.write(admin={"address": f"{host}:{gateway.admin}", "token": TOKEN})
    with gateway:
        yield gateway


def test_the_pages(plain: Running) -> None:
    kinds = {"/": "text/html", "/metrics": "text/plain", "/healthz": "text/plain", "/readyz": "text/plain"}
    for path in READS:
        reply = ask(plain.admin, path)
        assert reply.status == 200, path
        assert reply.headers["content-type"].startswith(kinds.get(path, "application/json"))
        assert reply.headers["x-content-type-options"] == "nosniff" and reply.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        head = ask(plain.admin, path, "HEAD")
        assert (head.status, head.body) == (200, b"")


def test_pages_say_what_the_control_endpoint_says(plain: Running) -> None:
    for path, op in (("/stats", "stats"), ("/policy", "policy"), ("/tunnels", "tunnels")):
        theirs = plain.ask(op)
        assert set(ask(plain.admin, path).json) == set(theirs) - {"ok"}
    assert ask(plain.admin, "/stats").json["version"] in ask(plain.admin, "/").body.decode()
    question = {"to": "a.example:443", "source": "10.0.0.1"}
    answer = plain.ask("explain", **question)
    del answer["ok"]
    assert ask(plain.admin, "/explain?to=a.example:443&source=10.0.0.1").json == answer


def test_explain_has_the_inverse_questions(plain: Running) -> None:
    """A source alone: what it can reach; a destination alone: who can reach it; as the control endpoint lists them."""

    def listed(**question: object) -> dict[str, object]:
        answer = plain.ask("explain", reach=True, **question)
        del answer["ok"]
        return answer

    found = ask(plain.admin, "/explain?source=10.0.0.1&limit=1").json
    assert found == listed(source="10.0.0.1", limit=1) and found["question"] == "from"
    assert len(found["items"]) == 1 and found["items"][0]["rule"]["name"]
    after = ask(plain.admin, f"/explain?source=10.0.0.1&limit=1&after={found['next']}").json
    assert len(after["items"]) == 1 and after["items"] != found["items"] and after["next"] is None
    asked = {"to": "a.never.example:443", "address": ["8.8.8.8", "8.8.4.4"]}
    found = ask(plain.admin, "/explain?to=a.never.example:443&address=8.8.8.8&address=8.8.4.4").json
    decision = plain.ask("explain", **asked)
    del decision["ok"]
    assert found == listed(**asked) | decision
    assert found["question"] == "to" and found["verdict"] and found["items"] and len(found["addresses"]) == 2


def test_metrics_are_read_by_prometheus(plain: Running) -> None:
    before = plain.ask("stats")["counters"]["connections_accepted_total"]
    Greeted(plain.port).close()
    reply = ask(plain.admin, "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
    (accepted,) = families["sluice_connections_accepted"].samples
    assert accepted.value == before + 1
    assert {sample.labels["worker"] for sample in families["sluice_policy_generation"].samples} == {"0", "1"}
    (files,) = families["sluice_open_fds"].samples
    assert files.value > 20


def test_many_scrapes_at_once(plain: Running) -> None:
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda: replies.append(ask(plain.admin, "/metrics"))) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [200] * 30


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/tunnels?limit=0", "limit is a number from 1 to 1000"), ("/tunnels?limit=1001", "limit is a number from 1"),
        ("/tunnels?limit=x", "limit is a number"), ("/tunnels?after=x", "`next` of a page"), ("/tunnels?x=1", "x"),
        ("/tunnels?to=a&to=b", "to is given twice"), ("/tunnels?to=", "`to` is a host"), ("/explain", "to"),
        ("/explain?to=a", "is not host:port"), ("/explain?to=a:1&x=1", "x"), ("/stats?x=1", "unexpected keys: x"),
        ("/explain?source=10.0.0.1&limit=0", "limit is a number from 1"), ("/explain?source=10.0.0", "is not an IP"),
        ("/explain?source=10.0.0.1&limit=x", "limit is a number"), ("/explain?to=a:1&reach=1", "reach is not a key"),
        ("/explain?to=a:1&source=10.0.0.1&limit=1", "for lists of rules"), ("/explain?to=a:1&to=b:1", "to is given"),
        ("/explain?to=a:1&resolve=yes", "resolve is true or false"), ("/explain?source=10.0.0.1&after=x", "of a page"),
        ("/explain?to=a%00b:1", "a\\x00b"), ("/tunnels?%1b[31m=1", "\\x1b"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense(plain: Running, path: str, expected: str) -> None:
    reply = ask(plain.admin, path)
    assert reply.status == 400
    assert expected in reply.json["error"]
    assert "\x1b" not in reply.body.decode()


@pytest.mark.parametrize(
    "path", ["/nothing", "//", "/stats/", "/STATS", "/tunnels/x/kill/", "/../stats", "/%2e%2e/stats"]
)
def test_other_paths(plain: Running, path: str) -> None:
    assert ask(plain.admin, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_on_pages(plain: Running, method: str) -> None:
    reply = ask(plain.admin, "/stats", method)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", WRITES)
def test_state_never_changes_by_get(plain: Running, path: str) -> None:
    for method in ("GET", "HEAD", "PUT"):
        reply = ask(plain.admin, path, method)
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert plain.ask("stats")["draining"] is False


HOSTS: Final = {
    "localhost": True, "LOCALHOST": True, "localhost.": True, "localhost:9901": True, "127.0.0.1": True,
    "127.0.0.1:9901": True, "10.1.2.3": True, "[::1]": True, "[::1]:9901": True, "[2001:db8::1]:80": True,
    "evil.example": False, "evil.example:9901": False, "localhost.evil.example": False, "127.0.0.1.evil.example": False,
    "127.0.0.1:9901:1": False, "": False, "::1": False, "[localhost]": False, "[127.0.0.1]": False, "127.1": False,
    "2130706433": False, "0x7f000001": False, "localhost:": False, "localhost:x": False,
    "localhost@evil.example": False, "evil.example\tlocalhost": False, "127.0.0.1 ": False,
}  # fmt: skip


@pytest.mark.parametrize("host", HOSTS, ids=repr)
def test_whose_host_it_is(host: str) -> None:
    assert _is_ours(host) is HOSTS[host]


@pytest.mark.parametrize("path", READS)
def test_a_name_that_was_made_to_point_here_sees_nothing(plain: Running, path: str) -> None:
    reply = ask(plain.admin, path, Host="evil.example")
    assert reply.status == 403
    assert set(reply.json) == {"error"}
    assert ask(plain.admin, path, Host=f"localhost:{plain.admin}").status == 200


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]], ids=str)
def test_exactly_one_host(plain: Running, hosts: list[str]) -> None:
    fields = "".join(f"Host: {host}\r\n" for host in hosts)
    for version in ("1.0", "1.1"):
        answer = raw(plain.admin, f"GET /stats HTTP/{version}\r\n{fields}\r\n".encode())
        assert b" 400 " in answer.splitlines()[0]
        assert b"counters" not in answer


def test_without_a_token_nothing_can_be_changed(plain: Running) -> None:
    for path in WRITES:
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer None"}):
            reply = ask(plain.admin, path, "POST", **headers)
            assert reply.status == 403
            assert "admin.token is not set" in reply.json["error"]


WRONG: Final = (
    "", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", f"Bearer  {TOKEN} x", "Bearer",
    "Bearer \xff", f"Bearer{TOKEN}", f"Bearer {TOKEN.upper()}",
)  # fmt: skip


@pytest.mark.parametrize("authorization", WRONG)
def test_a_wrong_token_changes_nothing(guarded: Running, authorization: str) -> None:
    for path in WRITES:
        reply = ask(guarded.admin, path, "POST", **({"Authorization": authorization} if authorization else {}))
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == 'Bearer realm="sluice"'
        assert TOKEN not in reply.body.decode()
    stats = guarded.ask("stats")
    assert stats["draining"] is False and stats["reloads"]["ok"] == stats["generation"] - 1


def test_refusals_are_logged_but_not_each(guarded: Running) -> None:
    for _ in range(50):
        assert ask(guarded.admin, "/drain", "POST").status == 401
    logged = eventually(lambda: guarded.events("admin_denied"), "it is logged")
    assert logged[0]["peer"] == "127.0.0.1"
    assert len(logged) < 40
    assert TOKEN not in guarded.errors()


def test_on_loopback_pages_need_no_token(guarded: Running) -> None:
    for path in READS:
        assert ask(guarded.admin, path).status == 200


def test_elsewhere_they_do(exposed: Running) -> None:
    for path in READS:
        open_to_all = path in ("/healthz", "/readyz")
        assert ask(exposed.admin, path).status == (200 if open_to_all else 401)
        assert ask(exposed.admin, path, Authorization=f"Bearer {TOKEN}").status == 200
        assert ask(exposed.admin, path, Authorization=f"bearer {TOKEN}", Host="sluice.egress.svc:9901").status == 200
        assert ask(exposed.admin, path, Host="sluice.egress.svc:9901").status == 403


def test_reload_by_post(guarded: Running) -> None:
    before = guarded.ask("stats")["generation"]
    reply = ask(guarded.admin, "/reload", "POST", Authorization=f"Bearer {TOKEN}")
    assert reply.status == 200 and reply.json["generation"] == before + 1
    assert guarded.events("admin", peer="127.0.0.1")
    old = guarded.config_file.read_text()
    guarded.config_file.write_text(old + "\nnonsense: 1\n")
    try:
        reply = ask(guarded.admin, "/reload", "POST", Authorization=f"Bearer {TOKEN}")
    finally:
        guarded.config_file.write_text(old)
    assert reply.status == 409
    assert "unknown key `nonsense`" in reply.json["error"]
    assert ask(guarded.admin, "/readyz").status == 200, "a bad reload never clears it"
    assert guarded.ask("stats")["generation"] == before + 1


def test_kill_by_post(guarded: Running) -> None:
    reply = ask(guarded.admin, "/tunnels/0-1-1/kill", "POST", Authorization=f"Bearer {TOKEN}")
    assert reply.status == 404
    assert "no tunnel 0-1-1 is open" in reply.json["error"]


def test_bodies_are_not_read(guarded: Running) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded.admin, "/tunnels/0-1-1/kill", "POST", Content_Length="0", **bearer).status == 404
    huge = (
        f"POST /reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99999999\r\n\r\n"
    )
    assert b" 413 " in raw(guarded.admin, huge.encode()).splitlines()[0]
    chunked = "GET /stats HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffff\r\n"
    assert b" 413 " in raw(guarded.admin, chunked.encode()).splitlines()[0]


def test_the_metrics_endpoint_has_nothing_else(plain: Running) -> None:
    port: int = plain.metrics  # type: ignore[attr-defined]
    for path in ("/metrics", "/healthz", "/readyz"):
        assert ask(port, path).status == 200
        assert ask(port, path, Host="sluice-metrics.egress.svc").status == 200
        assert ask(port, path, "POST").status == 405
    for path in ("/", "/stats", "/tunnels", "/policy", "/explain?to=a:1"):
        assert ask(port, path).status == 404
    for path in WRITES:
        assert ask(port, path, "POST", Authorization=f"Bearer {TOKEN}").status == 404


def test_draining_is_not_ready_and_alive() -> None:
    with guarded_gateway("127.0.0.1") as gateway, Greeted(gateway.port):
        reply = ask(gateway.admin, "/drain", "POST", Authorization=f"Bearer {TOKEN}")
        assert (reply.status, reply.json) == (200, {"seconds": 30.0})
        ready = ask(gateway.admin, "/readyz")
        assert (ready.status, ready.body) == (503, b"draining\n")
        assert ask(gateway.admin, "/healthz").status == 200
        assert b"draining" in ask(gateway.admin, "/").body
        reply = ask(gateway.admin, "/reload", "POST", Authorization=f"Bearer {TOKEN}")
        assert reply.status == 409 and "draining" in reply.json["error"]


def test_without_a_worker_it_is_not_ready() -> None:
    with Running(config={"workers": 1}) as gateway:
        assert ask(gateway.admin, "/readyz").body == b"ready\n"
        (worker,) = gateway.workers()
        os.kill(worker["pid"], signal.SIGKILL)
        seen = eventually(lambda: [r for r in [ask(gateway.admin, "/readyz")] if r.status == 503], "it is not ready")
        assert seen[0].body == b"no worker serves\n"
        eventually(lambda: ask(gateway.admin, "/readyz").status == 200, "it is ready again")


def test_a_flood_does_not_hold_up_the_gateway(plain: Running) -> None:
    """Silent connections and requests at full speed, while reloads, statistics and new connections go on."""
    over = time.monotonic() + 3.0
    idle = [socket.create_connection(("127.0.0.1", plain.admin)) for _ in range(300)]

    def flood() -> None:
        while time.monotonic() < over:
            with contextlib.suppress(OSError):
                ask(plain.admin, "/stats")

    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        assert plain.ask("ping") == {"ok": True}
        Greeted(plain.port).close()
    assert plain.ask("reload")["ok"] is True
    for thread in threads:
        thread.join()
    for client in idle:
        client.close()
    assert plain.ask("stats")["supervisor"]["http_cut"] > 0
    assert not plain.events("internal_error") and not plain.events("admin_failed")


def refused(**changes: Any) -> str:
    """The error of a gateway that cannot start."""
    gateway = Running()
    gateway.write(**changes)
    with contextlib.ExitStack() as stack:
        stack.callback(gateway.__exit__)
        assert gateway.launch().wait() == 1
        assert gateway.family() == []
        return gateway.errors()


def test_an_address_in_use_is_a_clear_error(plain: Running) -> None:
    text = refused(admin={"address": f"127.0.0.1:{plain.admin}"})
    assert f"admin.address cannot use 127.0.0.1:{plain.admin}: Address already in use (EADDRINUSE); held by" in text
    assert "set another admin.address in sluice.yaml" in text
    text = refused(metrics={"address": f"127.0.0.1:{plain.admin}"})
    assert "metrics.address cannot use" in text and "set another metrics.address" in text


def test_an_address_of_somebody_else_is_a_clear_error() -> None:
    text = refused(admin={"address": "192.0.2.1:9901", "token": TOKEN})
    assert "admin.address cannot use 192.0.2.1:9901" in text and "no interface of this machine" in text


def test_an_open_address_without_a_token_is_refused() -> None:
    text = refused(admin={"address": f"0.0.0.0:{free_port()}"})
    assert "is not loopback, and there is no token" in text and "set admin.token" in text


def test_ipv6_loopback() -> None:
    gateway = Running()
    gateway.write(admin={"address": f"[::1]:{gateway.admin}"})
    with gateway, socket.create_connection(("::1", gateway.admin)) as client:
        client.sendall(f"GET /readyz HTTP/1.1\r\nHost: [::1]:{gateway.admin}\r\n\r\n".encode())
        assert client.makefile("rb").read().endswith(b"ready\n")
