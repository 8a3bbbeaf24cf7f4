"""Bearer tokens against a running gateway: what they stand for, why they are refused, and what ends their tunnels
(DECISIONS.md section 1)."""

import json
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.e2e.policy.test_certificate_identity import CertifiedGateway, Mesh
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket
from tests.support.tokens import AUDIENCE, ISSUER, Claims, SigningKey, claims, service_account, unsigned, write_keys

KEYS: Final = [SigningKey("rsa", "RS256"), SigningKey("ec", "ES256"), SigningKey("ed", "EdDSA")]
EC: Final = KEYS[1]
CLUSTER: Final = "https://kubernetes.default.svc.cluster.local"


def rules(world: World, **spec: Any) -> list[Mapping]:
    ports = [world.echo.port]
    open_test = [{"host": "open.test", "ports": ports}]
    return [
        policy("cart", open_test, namespace="shop", sources=[{"serviceAccount": "cart"}], **spec),
        policy("bot", [{"host": "team.test", "ports": ports}], sources=[{"user": "build-bot"}], **spec),
        policy("local", [{"host": "localhost", "ports": ports}]),
    ]


def gateway_of(world: World, folder: Path, policies: list[Mapping] | None = None, **identity: Any) -> Gateway:
    """Two issuers: one of users, with all keys of `folder`, and a cluster's."""
    tokens = [
        {"issuer": ISSUER, "audiences": [AUDIENCE], "keys": str(folder / "users.json"), "identity": {"user": "name"}},
        {"issuer": CLUSTER, "audiences": [AUDIENCE], "keys": str(folder / "cluster.json"), "kubernetes": True},
    ]
    config = {"dns": {"servers": [world.names.address]}, "identity": {"tokens": tokens, **identity}}
    return Gateway(policies or rules(world), config, files={"users.yaml": yaml.safe_dump(sample_users())})


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[Gateway]:
    with tempfile.TemporaryDirectory() as folder:
        write_keys(Path(folder) / "users.json", *KEYS)
        write_keys(Path(folder) / "cluster.json", EC)
        identity: Mapping = {"users": "users.yaml", "networks": [{"cidr": "127.0.77.0/24", "namespace": "net"}]}
        with gateway_of(world, Path(folder), **identity) as gateway:
            yield gateway


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_keys(tmp_path / "users.json", *KEYS)
    write_keys(tmp_path / "cluster.json", EC)
    return tmp_path


def bearer(token: str) -> str:
    return f"Proxy-Authorization: Bearer {token}\r\n"


def cart(**more: Any) -> str:
    return EC.token(service_account("shop", "cart", iss=CLUSTER, **more))


def asked(gateway: Gateway, world: World, host: str, token: str, source: str | None = None) -> wire.HttpAnswer:
    with wire.connect(gateway.port, source=source) as client:
        return wire.http(client, f"{host}:{world.echo.port}", bearer(token))


def streamed(gateway: Gateway, world: World, host: str, token: str) -> int:
    with RfcClient(gateway.port) as client:
        number = client.connect(f"{host}:{world.echo.port}", ("proxy-authorization", f"bearer {token}"))
        return int(client.answer(number).status or 0)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_a_token_names_a_user(served: Gateway, world: World, key: SigningKey) -> None:
    before = len(served.events())
    with wire.connect(served.port) as client:
        port = client.getsockname()[1]
        assert wire.http(client, f"team.test:{world.echo.port}", bearer(key.token(claims()))).status == 200
        assert wire.echoes(client)
        (listed,) = json.loads(served.sluice("tunnels", "--from", "build-bot", "--json").stdout)["items"]
        assert (listed["source"]["user"], listed["source"]["identity_source"]) == ("build-bot", "token")
    line = served.logged(before, port)
    assert (line["source"]["user"], line["source"]["identity_source"]) == ("build-bot", "token")
    assert asked(served, world, "open.test", key.token(claims())).status == 403
    assert streamed(served, world, "team.test", key.token(claims())) == 200


def test_a_token_of_kubernetes_names_a_workload(served: Gateway, world: World) -> None:
    before = len(served.events())
    with wire.connect(served.port) as client:
        port = client.getsockname()[1]
        assert wire.http(client, f"open.test:{world.echo.port}", bearer(cart())).status == 200
        assert wire.echoes(client)
        (listed,) = json.loads(served.sluice("tunnels", "--from", "shop/cart", "--json").stdout)["items"]
        assert listed["source"]["identity_source"] == "token"
    source = served.logged(before, port)["source"]
    assert (source["identity"], source["identity_source"], source["user"]) == ("shop/cart", "token", None)
    done = served.sluice("explain", "--log-line", json.dumps(served.logged(before, port)), "--json")
    answer = json.loads(done.stdout)
    assert (answer["identity_source"], answer["verdict"], answer["source"]["namespace"]) == ("token", "allow", "shop")
    assert asked(served, world, "team.test", cart()).status == 403
    assert asked(served, world, "open.test", EC.token(service_account("shop", "till", iss=CLUSTER))).status == 403


def test_another_issuer_makes_no_workload(served: Gateway, world: World) -> None:
    assert asked(served, world, "open.test", EC.token(service_account("shop", "cart", name="x"))).status == 403


WRONG: Final[dict[str, Callable[[], str]]] = {
    "token_malformed": lambda: "a.b.c",
    "token_too_long": lambda: "x" * 8193,
    "token_header": lambda: EC.token(claims(), jku="https://evil.test/keys"),
    "token_algorithm": lambda: unsigned(claims(), "ec"),
    "token_issuer": lambda: EC.token(claims(iss="https://evil.test")),
    "token_key": lambda: EC.token(claims(), kid="k" * 5000),
    "token_signature": lambda: SigningKey("ec").token(claims()),
    "token_claims": lambda: EC.token(claims(exp=None)),
    "token_audience": lambda: EC.token(claims(aud="another")),
    "token_expired": lambda: EC.token(claims(exp=int(time.time()) - 10)),
    "token_not_yet_valid": lambda: EC.token(claims(nbf=int(time.time()) + 3600)),
}


def refusals(gateway: Gateway, reason: str) -> float:
    with wire.connect(gateway.admin) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        text = wire.to_the_end(client).decode()
    name = f'sluice_credentials_refused_total{{reason="{reason}"}} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("reason", WRONG)
def test_each_refusal_has_its_reason(served: Gateway, world: World, reason: str) -> None:
    """Logged, counted and answered, also what is known already; over both versions of HTTP."""
    token = WRONG[reason]()
    before, source = refusals(served, reason), f"127.0.78.{1 + list(WRONG).index(reason)}"
    skip = len(served.events(reason=reason))
    for _ in range(2):
        answer = asked(served, world, "localhost", token, source)
        assert answer.status == 407
        assert 'Bearer realm="sluice"' in answer.headers["proxy-authenticate"]
    assert streamed(served, world, "localhost", token) == 407
    found = eventually(lambda: served.events(reason=reason)[skip + 2 :], "three lines")[0]
    assert (found["event"], found["outcome"], found["verdict"]) == ("refused", "auth_failed", None)
    eventually(lambda: refusals(served, reason) == before + 3, "three are counted")


def test_a_public_key_is_no_secret(served: Gateway, world: World) -> None:
    before = len(served.events(reason="token_algorithm"))
    assert asked(served, world, "localhost", KEYS[0].confused(claims())).status == 407
    eventually(lambda: len(served.events(reason="token_algorithm")) > before, "its line")


def test_passwords_stay_what_they_are(served: Gateway, world: World) -> None:
    with wire.connect(served.port) as client:
        answer = wire.http(client, f"team.test:{world.echo.port}", wire.basic("build-bot", PASSWORD))
        assert answer.status == 200
    with wire.connect(served.port) as client:
        assert wire.http(client, f"team.test:{world.echo.port}", wire.basic("build-bot", cart())).status == 407


def test_a_token_is_never_logged(served: Gateway, world: World) -> None:
    token = EC.token(claims(sub="unseen"))
    asked(served, world, "team.test", token)
    wrong = EC.token(claims(aud="unseen"))
    asked(served, world, "team.test", wrong)
    eventually(lambda: served.events(reason="token_audience"), "its line")
    for name in ("access.log", "out.log", "err.log"):
        text = (served.folder / name).read_text(errors="replace")
        assert token[-20:] not in text and wrong[-20:] not in text


def test_curl_sends_one(served: Gateway, world: World) -> None:
    command = ["curl", "-sS", "-p", "-x", f"http://127.0.0.1:{served.port}", "--max-time", "20", "-o", "/dev/null"]
    command += ["-w", "%{http_connect}", f"http://team.test:{world.echo.port}/"]
    for token, status in ((EC.token(claims()), "200"), (EC.token(claims(aud="x")), "407")):
        header = ["--proxy-header", f"Proxy-Authorization: Bearer {token}"]
        done = subprocess.run([*command, *header], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == status, done.stderr


def test_explain_knows_users_of_tokens(served: Gateway, world: World) -> None:
    target = f"team.test:{world.echo.port}"
    for user, source, verdict in (("build-bot", "password", "allow"), ("by-token", "token", "deny")):
        done = served.sluice("explain", "--user", user, "--to", target, "--json", "--live")
        answer = json.loads(done.stdout)
        assert (answer["identity_source"], answer["verdict"], done.stderr) == (source, verdict, "")


NODE: Final = """
const [port, path, token] = process.argv.slice(1);
const headers = {"Proxy-Authorization": "Bearer " + token};
const request = require("http").request({port, path, headers, method: "CONNECT", host: "127.0.0.1"});
request.on("connect", answer => { console.log(answer.statusCode); process.exit(); }).end();
"""


def test_node_sends_one(served: Gateway, world: World) -> None:
    for token, status in ((EC.token(claims()), "200"), (EC.token(claims(aud="x")), "407")):
        command = ["node", "-e", NODE, str(served.port), f"team.test:{world.echo.port}", token]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.strip() == status, done.stderr


# ---- where it may come from ------------------------------------------------------------------------------------------


def test_clear_text_is_for_this_machine_alone(world: World, folder: Path) -> None:
    """A peer that a PROXY header names is elsewhere, whatever address it has."""
    with gateway_of(world, folder, proxyProtocolFrom=["127.0.0.9/32"]) as gateway:
        assert asked(gateway, world, "open.test", cart()).status == 200
        for address in ("192.0.2.7", "127.0.0.1"):
            with wire.connect(gateway.port, source="127.0.0.9") as client:
                client.sendall(f"PROXY TCP4 {address} 192.0.2.1 4000 1080\r\n".encode())
                assert wire.http(client, f"open.test:{world.echo.port}", bearer(cart())).status == 407
        assert gateway.event(event="refused", reason="token_cleartext")["source"]["ip"] == "192.0.2.7"
        gateway.config["identity"]["insecureTokens"] = True
        gateway.write_config()
        gateway.reload()
        with wire.connect(gateway.port, source="127.0.0.9") as client:
            client.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 1080\r\n")
            assert wire.http(client, f"open.test:{world.echo.port}", bearer(cart())).status == 200


def test_tls_carries_tokens_from_anywhere(world: World, folder: Path) -> None:
    mesh = Mesh(folder)
    tokens = [{"issuer": CLUSTER, "audiences": [AUDIENCE], "keys": str(folder / "cluster.json"), "kubernetes": True}]
    identity = {"tokens": tokens, "proxyProtocolFrom": ["127.0.0.9/32"]}
    config: Mapping = {"dns": {"servers": [world.names.address]}, "identity": identity}
    mesh.tls.pop("clientCA")
    with CertifiedGateway(rules(world), config, listener={"tls": mesh.tls}) as gateway:
        for token, status in ((cart(), 200), (cart(aud="another"), 407)):
            with wire.connect(gateway.port, source="127.0.0.9") as plain:
                plain.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 1080\r\n")
                client: Any = TlsSocket(plain, mesh.authority.client(None))
                assert wire.http(client, f"open.test:{world.echo.port}", bearer(token)).status == status
        assert gateway.event(event="refused", reason="token_audience")["source"]["ip"] == "192.0.2.7"


def test_guesses_are_limited_by_source(world: World, folder: Path) -> None:
    with gateway_of(world, folder) as gateway:
        gateway.config["limits"] = {"perSource": {"loginFailures": "3/h"}}
        gateway.write_config()
        gateway.reload()
        assert asked(gateway, world, "open.test", cart()).status == 200

        def guess() -> bool:
            return asked(gateway, world, "open.test", SigningKey("ec").token(claims())).status == 429

        eventually(guess, "the source is barred")
        assert asked(gateway, world, "open.test", cart()).status in (200, 429)
        assert asked(gateway, world, "open.test", SigningKey("ec").token(claims()), "127.0.0.88").status == 407


# ---- what ends a tunnel ----------------------------------------------------------------------------------------------


def opened(gateway: Gateway, world: World, token: str) -> socket.socket:
    client = wire.connect(gateway.port)
    assert wire.http(client, f"open.test:{world.echo.port}", bearer(token)).status == 200
    assert wire.echoes(client)
    return client


def is_ended(client: socket.socket) -> bool:
    try:
        return not client.recv(100)
    except ConnectionResetError:
        return True


def test_a_key_that_is_gone_ends_its_tunnels(world: World, folder: Path) -> None:
    """Also where its file changes by itself; tunnels by another key, and by a key that is only renamed, go on."""
    old, new = SigningKey("old"), SigningKey("new")
    write_keys(folder / "cluster.json", old, new)
    with gateway_of(world, folder) as gateway:
        one = opened(gateway, world, old.token(service_account("shop", "cart", iss=CLUSTER)))
        two = opened(gateway, world, new.token(service_account("shop", "cart", iss=CLUSTER)))
        gateway.reload()
        assert wire.echoes(one) and wire.echoes(two)
        new.kid = "renamed"
        write_keys(folder / "cluster.json", new)
        eventually(lambda: is_ended(one), "its tunnel has ended")
        line = gateway.event(event="close", outcome="revoked")
        assert (line["reason"], line["source"]["identity"]) == ("unauthorized", "shop/cart")
        assert wire.echoes(two)
        assert asked(gateway, world, "open.test", old.token(service_account("shop", "cart", iss=CLUSTER))).status == 407
        (folder / "cluster.json").write_text("{}")
        done = gateway.sluice("reload")
        assert done.returncode == 1 and "cluster.json" in done.stderr + done.stdout
        assert wire.echoes(two), "a file that cannot be read changes nothing"
        two.close()
        one.close()


def test_on_revoke_holds_for_tokens(world: World, folder: Path) -> None:
    with gateway_of(world, folder, rules(world, onRevoke="keep")) as gateway, opened(gateway, world, cart()) as client:
        write_keys(folder / "cluster.json", SigningKey("ec"))
        gateway.reload()
        assert gateway.event(event="decision", outcome="revoked")["reason"] == "unauthorized"
        assert wire.echoes(client)


def test_a_tunnel_outlives_its_token_for_max_age(world: World, folder: Path) -> None:
    with gateway_of(world, folder, maxAge="5s") as gateway:
        brief: Claims = service_account("shop", "cart", iss=CLUSTER, exp=int(time.time()) + 4)
        with opened(gateway, world, EC.token(brief)) as client, opened(gateway, world, cart()) as lasting:
            eventually(lambda: asked(gateway, world, "open.test", EC.token(brief)).status == 407, "it has expired")
            eventually(lambda: is_ended(client), "its tunnel has ended")
            line = gateway.event(event="close", outcome="revoked")
            assert (line["reason"], line["source"]["identity_source"]) == ("identity_expired", "token")
            assert wire.echoes(lasting)


def test_a_token_satisfies_auth(world: World, folder: Path) -> None:
    with gateway_of(world, folder) as gateway:
        gateway.config["listeners"][0]["auth"] = "required"
        gateway.write_config()
        gateway.reload()
        assert asked(gateway, world, "open.test", cart()).status == 200
        with wire.connect(gateway.port) as client:
            assert wire.http(client, f"localhost:{world.echo.port}").status == 407
