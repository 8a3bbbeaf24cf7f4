"""`identity.tokens` and the key files that it names: what is wrong is said with its place, and nothing of a key."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.config.reader import load_config
from supervisor.generation.token_keys import ReadTokens, read_issuers
from supervisor.source.problems import Problems
from tests.support.tokens import SigningKey, number

EC: Final = SigningKey("ec")
ED: Final = SigningKey("ed", "EdDSA")
RSA: Final = SigningKey("rsa", "RS256")
USUAL: Final = {"issuer": "https://i.test", "audiences": ["sluice"], "keys": "keys.json", "identity": {"user": "name"}}


def loaded(folder: Path, *entries: Any, keys: Any = None, text: str | None = None) -> tuple[ReadTokens, list[str]]:
    """The issuers, and errors with their places."""
    path = folder / "sluice.yaml"
    path.write_text(yaml.safe_dump({"identity": {"tokens": list(entries)}, "control": {"endpoint": "ipc:///run/n"}}))
    (folder / "keys.json").write_text(text if text is not None else json.dumps({"keys": keys or [EC.jwk()]}))
    problems = Problems()
    found = ReadTokens()
    try:
        found = read_issuers(load_config(str(path)), problems)
    except Problems as wrong:
        problems = wrong
    return found, [str(error) for error in problems.errors]


def test_all_of_it(tmp_path: Path) -> None:
    cluster = {**USUAL, "issuer": "https://cluster.test", "kubernetes": True}
    cluster.pop("identity")
    workload = {**USUAL, "issuer": "w", "identity": {"namespace": "ns", "serviceAccount": "sa"}}
    found, errors = loaded(tmp_path, USUAL, cluster, workload, keys=[EC.jwk(), ED.jwk(), RSA.jwk()])
    assert errors == []
    one, two, three = found.issuers
    assert (one.user, two.kubernetes, three.namespace, three.service_account) == ("name", True, "ns", "sa")
    assert [(key.kid, key.algorithm) for key in one.keys] == [("ec", "ES256"), ("ed", "EdDSA"), ("rsa", "RS256")]
    assert found.marks == {str(tmp_path / "keys.json"): found.marks[str(tmp_path / "keys.json")]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": None}, "expected"),
        ({"audiences": []}, "audiences"),
        ({"audiences": ["a"] * 17}, "more than 16 audiences"),
        ({"keys": None}, "keys"),
        ({"kubernetes": True}, "expected one of `kubernetes: true` and `identity`"),
        ({"identity": {}}, "expected the claim of a user, or of a namespace"),
        ({"identity": {"user": "a", "namespace": "b"}}, "expected the claim of a user, or of a namespace"),
        ({"identity": {"serviceAccount": "b"}}, "expected the claim of a user, or of a namespace"),
        ({"identity": {"usr": "a"}}, "unknown key `usr` (did you mean `user`?)"),
        ({"audience": "x"}, "unknown key `audience` (did you mean `audiences`?)"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    _, errors = loaded(tmp_path, {**USUAL, **change})
    assert errors and all(error.startswith(f"{tmp_path}/sluice.yaml:") for error in errors)
    assert any(said in error for error in errors), errors


def test_neither_meaning_and_an_issuer_twice(tmp_path: Path) -> None:
    bare = {key: value for key, value in USUAL.items() if key != "identity"}
    assert "expected one of" in loaded(tmp_path, bare)[1][0]
    assert "duplicate issuer" in loaded(tmp_path, USUAL, USUAL)[1][0]


SECRET: Final = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"


@pytest.mark.parametrize(
    ("key", "said", "more"),
    [
        ({"kty": "oct", "k": SECRET}, "key 1 of", "is symmetric"),
        (EC.jwk(d=SECRET), "key 1 of", "is a private key"),
        ("x", "key 1 of", "is not a JWK"),
        ({"kid": "x"}, "key 1 of", "is not a JWK"),
        (EC.jwk(alg="RS256"), "key 1 of", "has an algorithm"),
        (EC.jwk(alg="HS256"), "key 1 of", "has an algorithm"),
        (EC.jwk(alg="none"), "key 1 of", "has an algorithm"),
        (EC.jwk(alg=["ES256"]), "key 1 of", "has an algorithm"),
        (EC.jwk(crv="P-192"), "key 1 of", "has an algorithm, or a curve"),
        (EC.jwk(crv=["P-256"]), "key 1 of", "has an algorithm, or a curve"),
        (EC.jwk(kid=7), "key 1 of", "has a kid"),
        (EC.jwk(kid="k" * 300), "key 1 of", "has a kid"),
        (EC.jwk(x="AA"), "key 1 of", "cannot be read"),
        (EC.jwk(x=None), "key 1 of", "cannot be read"),
        (RSA.jwk(n=number((1 << 1023) | 1)), "key 1 of", "has not 2048 to 8192 bits"),
        (EC.jwk(use="enc"), "the key file", "has no key for signatures"),
        ({"kty": "unknown"}, "the key file", "has no key for signatures"),
        (EC.jwk(key_ops=["encrypt"]), "the key file", "has no key for signatures"),
    ],
    ids=range(1, 19),
)
def test_keys_that_are_not_for_this(tmp_path: Path, key: Any, said: str, more: str) -> None:
    _, errors = loaded(tmp_path, USUAL, keys=[key])
    assert len(errors) == 1 and said in errors[0] and more in errors[0], errors
    assert errors[0].startswith(f"{tmp_path}/sluice.yaml:") and SECRET not in errors[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[]", "is not an object"),
        ("{}", "has no list `keys`"),
        ('{"keys": {}}', "has no list `keys`"),
        (json.dumps({"keys": [{}] * 65}), "has no list `keys` of at most 64 keys"),
        ('{"keys": [], "keys": []}', "is not JSON, or a name in it stands twice"),
        (json.dumps({"keys": [EC.jwk(), EC.jwk()]}), "has the kid of another one"),
        (json.dumps({"keys": [EC.jwk(), ED.jwk(kid="")]}), "has no kid"),
    ],
    ids=range(1, 9),
)
def test_files_that_are_no_key_sets(tmp_path: Path, text: str, said: str) -> None:
    (error,) = loaded(tmp_path, USUAL, text=text)[1]
    assert said in error


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (error,) = loaded(tmp_path, {**USUAL, "keys": "missing.json"})[1]
    assert "missing.json" in error and "cannot be read" in error


def test_a_key_without_an_algorithm_has_the_usual_one(tmp_path: Path) -> None:
    jwks = [{key: value for key, value in each.jwk().items() if key != "alg"} for each in (EC, ED, RSA)]
    found, errors = loaded(tmp_path, USUAL, keys=jwks)
    assert errors == []
    assert [key.algorithm for key in found.issuers[0].keys] == ["ES256", "EdDSA", "RS256"]
