"""Tokens as the verifier reads them: what holds, and one reason for each that does not (RFC 8725)."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from gateway.tables import REASONS
from supervisor.identity.issuers import Issuer, TokenKey, marks
from supervisor.identity.jwks import ALGORITHMS, _key
from supervisor.identity.tokens import LONGEST, TokenReader, TokenRefused
from tests.fuzz.fuzz_tokens import run
from tests.support.tokens import AUDIENCE, ISSUER, SigningKey, claims, encoded, service_account, unsigned

KEYS: Final = {name: SigningKey(name.lower(), name) for name in ("RS256", "ES256", "EdDSA")}
EC: Final = KEYS["ES256"]
CLUSTER: Final = "https://kubernetes.default.svc"


def imported(key: SigningKey, **more: Any) -> TokenKey:
    found = _key(key.jwk(**more))
    assert found is not None
    return found


def issuer(*keys: SigningKey, **more: Any) -> Issuer:
    meaning = more or {"user": "name"}
    return Issuer(ISSUER, (AUDIENCE, "other"), tuple(imported(key) for key in keys or KEYS.values()), **meaning)


READER: Final = TokenReader(
    [issuer(), Issuer(CLUSTER, (AUDIENCE,), (imported(EC),), kubernetes=True)],
)


def reason(token: str | bytes, reader: TokenReader = READER) -> str:
    with pytest.raises(TokenRefused) as refused:
        reader.read(token.encode() if isinstance(token, str) else token, time.time())
    assert refused.value.reason in REASONS
    return refused.value.reason


@pytest.mark.parametrize("algorithm", KEYS)
def test_each_algorithm(algorithm: str) -> None:
    until = int(time.time()) + 600
    facts = READER.read(KEYS[algorithm].token(claims(exp=until)).encode(), time.time())
    assert (facts["user"], facts["namespace"], facts["until"]) == (b"build-bot", None, until)
    assert facts["credential"] in marks((issuer(),))


def test_a_service_account() -> None:
    token = EC.token(service_account("shop", "cart", iss=CLUSTER))
    facts = READER.read(token.encode(), time.time())
    assert (facts["user"], facts["namespace"], facts["account"]) == (None, b"shop", b"cart")
    flat = {
        "kubernetes.io": None,
        "kubernetes.io/serviceaccount/namespace": "shop",
        "kubernetes.io/serviceaccount/service-account.name": "cart",
    }
    facts = READER.read(EC.token(service_account("shop", "cart", iss=CLUSTER, **flat)).encode(), time.time())
    assert (facts["namespace"], facts["account"]) == (b"shop", b"cart")


def test_no_other_issuer_makes_service_accounts() -> None:
    """Its claims of Kubernetes are claims as any others."""
    facts = READER.read(EC.token(service_account("shop", "cart", name="build-bot")).encode(), time.time())
    assert (facts["user"], facts["namespace"]) == (b"build-bot", None)
    assert reason(EC.token(service_account("shop", "cart"))) == "token_claims"


def test_claims_that_name_a_workload() -> None:
    reader = TokenReader([issuer(EC, namespace="ns", service_account="sa")])
    facts = reader.read(EC.token(claims(ns="shop", sa="cart")).encode(), time.time())
    assert (facts["namespace"], facts["account"]) == (b"shop", b"cart")
    for wrong in ({"ns": "Shop", "sa": "cart"}, {"ns": "shop"}, {"ns": "shop", "sa": "a/b"}, {"ns": 1, "sa": "cart"}):
        assert reason(EC.token(claims(**wrong)), reader) == "token_claims"


def header(**members: Any) -> Callable[[], str]:
    return lambda: EC.token(claims(), **members)


def body(**members: Any) -> Callable[[], str]:
    return lambda: EC.token(claims(**members))


def raw(text: str, payload: str | None = None) -> Callable[[], str]:
    return lambda: EC.sealed(text, payload or json.dumps(claims()))


def cut() -> str:
    token = EC.token(claims())
    return token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")


HEAD: Final = '{"alg":"ES256","kid":"es256"}'
WRONG: Final[list[tuple[str, Callable[[], str]]]] = [
    ("token_malformed", lambda: ""),
    ("token_malformed", lambda: "a.b"),
    ("token_malformed", lambda: "a.b.c.d.e"),
    ("token_malformed", lambda: "a.b.c"),
    ("token_malformed", lambda: EC.token(claims()) + "="),
    ("token_malformed", lambda: EC.token(claims()).replace(".", ".\n", 1)),
    ("token_malformed", raw("[]")),
    ("token_malformed", raw("{")),
    ("token_malformed", raw('{"alg":"none","alg":"ES256","kid":"es256"}')),
    ("token_malformed", raw(HEAD, '{"exp":1,"exp":9999999999}')),
    ("token_malformed", raw(HEAD, '{"exp":NaN}')),
    ("token_malformed", raw(HEAD, "[" * 5000)),
    ("token_malformed", raw(HEAD, '{"exp":' + "9" * 5000 + "}")),
    ("token_malformed", header(typ="logout+jwt")),
    ("token_malformed", header(typ=7)),
    ("token_too_long", body(pad="x" * LONGEST)),
    ("token_header", header(jku="https://evil.test/jwks")),
    ("token_header", header(jwk=EC.jwk())),
    ("token_header", header(x5u="https://evil.test/x5u")),
    ("token_header", header(crit=["exp"], exp=1)),
    ("token_algorithm", lambda: unsigned(claims(), "es256")),
    ("token_algorithm", lambda: EC.confused(claims())),
    ("token_algorithm", header(alg="ES384")),
    ("token_algorithm", header(alg="RS256")),
    ("token_algorithm", header(alg=["ES256"])),
    ("token_algorithm", header(alg=None)),
    ("token_issuer", body(iss="https://evil.test")),
    ("token_issuer", body(iss=None)),
    ("token_issuer", body(iss=["https://issuer.test"])),
    ("token_key", header(kid="k" * 4000)),
    ("token_key", header(kid=None)),
    ("token_key", header(kid=["es256"])),
    ("token_key", header(kid="../../es256")),
    ("token_signature", cut),
    ("token_signature", lambda: SigningKey("es256").token(claims())),
    ("token_signature", lambda: EC.token(claims()).rpartition(".")[0] + "."),
    ("token_signature", lambda: EC.token(claims()).rpartition(".")[0] + "." + encoded(b"\0" * 64)),
    ("token_claims", body(exp=None)),
    ("token_claims", body(exp="9999999999")),
    ("token_claims", body(exp=True)),
    ("token_claims", body(exp=10**400)),
    ("token_claims", body(exp=-1)),
    ("token_claims", body(nbf="now")),
    ("token_claims", body(aud=None)),
    ("token_claims", body(aud={"sluice": 1})),
    ("token_claims", body(aud=["sluice", 1])),
    ("token_claims", body(aud=["sluice"] * 65)),
    ("token_claims", body(name=None)),
    ("token_claims", body(name="")),
    ("token_claims", body(name="a:b")),
    ("token_claims", body(name="a\0b")),
    ("token_claims", body(name="\ud800")),
    ("token_claims", body(name="x" * 256)),
    ("token_claims", lambda: EC.token(service_account("shop", "cart", iss=CLUSTER, sub="system:serviceaccount:a:b"))),
    ("token_claims", lambda: EC.token(service_account("shop", "a/b", iss=CLUSTER))),
    ("token_claims", lambda: EC.token(claims(iss=CLUSTER))),
    ("token_audience", body(aud="another")),
    ("token_audience", body(aud=["a", "b"])),
    ("token_audience", body(aud=[])),
    ("token_expired", body(exp=int(time.time()) - 1)),
    ("token_not_yet_valid", body(nbf=int(time.time()) + 3600)),
]


@pytest.mark.parametrize(("said", "token"), WRONG, ids=[f"{n} {said}" for n, (said, _) in enumerate(WRONG)])
def test_what_does_not_hold(said: str, token: Callable[[], str]) -> None:
    assert reason(token()) == said


def test_a_clock_ahead_is_borne_and_one_key_needs_no_name() -> None:
    reader = TokenReader([issuer(EC)])
    facts = reader.read(EC.token(claims(nbf=int(time.time()) + 30), kid=None).encode(), time.time())
    assert facts["user"] == b"build-bot"


def test_what_a_token_stands_by() -> None:
    """The mark goes with key, audience and meaning, and not with the name of the key."""
    same = issuer(EC)
    renamed = Issuer(ISSUER, same.audiences, (imported(EC, kid="renamed"),), user="name")
    assert marks((same,)) == marks((renamed,))
    for other in (
        issuer(SigningKey("es256")),
        Issuer(ISSUER, ("third",), same.keys, user="name"),
        Issuer(ISSUER, same.audiences, same.keys, user="sub"),
        Issuer(CLUSTER, same.audiences, same.keys, user="name"),
    ):
        assert not set(marks((same,))) & set(marks((other,)))


def test_subjects_of_two_issuers_are_two_sources() -> None:
    other = Issuer("https://other.test", (AUDIENCE,), (imported(EC),), user="name")
    reader = TokenReader([issuer(EC), other])
    found = {reader.read(EC.token(claims(iss=name)).encode(), 0)["subject"] for name in (ISSUER, other.issuer)}
    assert len(found) == 2


def test_every_algorithm_is_one_of_the_library() -> None:
    from joserfc.jws import JWSRegistry

    assert {name for names in ALGORITHMS.values() for name in names} <= JWSRegistry.algorithms.keys()


def test_random_tokens() -> None:
    """The fuzzer for a moment; `make fuzz` runs it for longer."""
    run(2000, 1)
