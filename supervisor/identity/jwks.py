"""Keys of an issuer: a file with a JWK Set (RFC 7517 section 5), read and checked key by key.

Every key has one algorithm: its own `alg`, else the usual one of its type and curve. Keys that could sign as well, as
they are symmetric or private, are errors: whatever reads them could make tokens. Messages never repeat a key.
"""

import json
import warnings
from typing import Any, Final

from supervisor.identity.issuers import TokenKey
from supervisor.identity.strict_json import read_object
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.yaml_source import read_file

__all__ = ["read_keys"]

MOST_BYTES: Final = 1 << 20
MOST_KEYS: Final = 64
LONGEST_KID: Final = 256
RSA_BITS: Final = (2048, 8192)
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By type and curve, the usual one first.
ALGORITHMS: Final[dict[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA", "Ed25519"),
    ("OKP", "Ed448"): ("EdDSA", "Ed448"),
}
# Members of each type that are its public key (RFC 7518 section 6, RFC 8037 section 2).
PUBLIC: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}


def read_keys(path: str, place: Place, problems: Problems) -> tuple[TokenKey, ...]:
    """The keys for signatures in a file that sluice.yaml names at `place`. What is wrong goes to `problems`."""
    try:
        found = read_object(read_file(path, MOST_BYTES)).get("keys")
    except Invalid as wrong:
        problems.error(place, f"the key file {quote(path)} cannot be read: {wrong.problem.message}")
        return ()
    except ValueError as wrong:
        problems.error(place, f"the key file {quote(path)} is {wrong}", 'expected a JWK Set, {"keys": [...]}')
        return ()
    if not isinstance(found, list) or len(found) > MOST_KEYS:
        problems.error(place, f"the key file {quote(path)} has no list `keys` of at most {MOST_KEYS} keys")
        return ()
    keys: dict[str, TokenKey] = {}
    for number, entry in enumerate(found, 1):
        try:
            key = _key(entry)
        except ValueError as wrong:
            problems.error(place, f"key {number} of {quote(path)} {wrong}")
            continue
        if key is not None and key.kid in keys:
            problems.error(place, f"key {number} of {quote(path)} has the kid of another one")
        elif key is not None:
            keys[key.kid] = key
    if not keys and not problems.errors:
        problems.error(place, f"the key file {quote(path)} has no key for signatures")
    if "" in keys and len(keys) > 1:
        problems.error(place, f"a key of {quote(path)} has no kid", "only a single key may go without one")
    return tuple(keys.values())


def _key(entry: Any) -> TokenKey | None:
    """One key; None = it is for something else. Raises ValueError, whose text goes on behind "key N"."""
    if not isinstance(entry, dict) or not isinstance(kind := entry.get("kty"), str):
        raise ValueError("is not a JWK: an object with kty")
    if kind == "oct":
        raise ValueError("is symmetric: what can read it can make tokens")
    if kind not in PUBLIC or entry.get("use", "sig") != "sig":
        return None
    if isinstance(ops := entry.get("key_ops"), list) and "verify" not in ops:
        return None
    if any(name in entry for name in ("d", "p", "q", "dp", "dq", "qi", "oth")):
        raise ValueError("is a private key: what can read it can make tokens")
    kid = entry.get("kid", "")
    if not isinstance(kid, str) or len(kid) > LONGEST_KID:
        raise ValueError(f"has a kid that is not a text of at most {LONGEST_KID} characters")
    curve = entry.get("crv") if kind != "RSA" else None
    usual = ALGORITHMS.get((kind, curve)) if curve is None or isinstance(curve, str) else None
    algorithm = entry.get("alg", usual[0] if usual else None)
    if usual is None or algorithm not in usual:
        raise ValueError("has an algorithm, or a curve, that is not one for signatures")
    return _imported(kid, str(algorithm), {"kty": kind, **{name: entry.get(name) for name in PUBLIC[kind]}})


def _imported(kid: str, algorithm: str, public: dict[str, Any]) -> TokenKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import RSAKey, import_key  # takes a while to load

    try:
        with warnings.catch_warnings(action="ignore"):  # a short key is told of below
            key = import_key(public)
        bits = key.public_key.key_size if isinstance(key, RSAKey) else 0
        thumbprint = key.thumbprint()
    except (JoseError, ValueError, TypeError, AttributeError, KeyError):
        raise ValueError("cannot be read") from None
    if bits and not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise ValueError(f"has not {RSA_BITS[0]} to {RSA_BITS[1]} bits")
    return TokenKey(kid, algorithm, json.dumps(public, sort_keys=True), thumbprint)
