"""An issuer of the tests: keys, their JWK Set, and tokens of every kind, right and wrong. It signs with primitives of
`cryptography`, and shares nothing with what reads the tokens."""

import base64
import functools
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Claims = dict[str, Any]

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "sluice"


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    """The slow one: made once, where it is needed."""
    return rsa.generate_private_key(65537, 2048)


def encoded(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int, size: int = 0) -> str:
    """A number as JWKs have it (RFC 7518 section 6.3)."""
    return encoded(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


class SigningKey:
    """A key pair for one algorithm: RS256, ES256 or EdDSA."""

    def __init__(self, kid: str, algorithm: str = "ES256") -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = rsa_key()

    def jwk(self, **more: Any) -> Claims:
        """The public half (RFC 7517)."""
        public = self.private.public_key()
        if self.algorithm == "RS256":
            numbers = public.public_numbers()
            half = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
        elif self.algorithm == "ES256":
            numbers = public.public_numbers()
            half = {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
        else:
            half = {"kty": "OKP", "crv": "Ed25519", "x": encoded(public.public_bytes_raw())}
        return {**half, "kid": self.kid, "use": "sig", "alg": self.algorithm, **more}

    def signature(self, data: bytes) -> bytes:
        """RFC 7515 appendix A, RFC 8037 section 3.1."""
        if self.algorithm == "RS256":
            return bytes(self.private.sign(data, padding.PKCS1v15(), hashes.SHA256()))
        if self.algorithm == "ES256":
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return bytes(self.private.sign(data))

    def token(self, claims: Claims, **header: Any) -> str:
        """A signed token; `header` replaces members, None takes one away."""
        members = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid, **header}
        return self.sealed(json.dumps({k: v for k, v in members.items() if v is not None}), json.dumps(claims))

    def sealed(self, header: str, claims: str) -> str:
        """The same of any two texts."""
        signed = f"{encoded(header.encode())}.{encoded(claims.encode())}"
        return f"{signed}.{encoded(self.signature(signed.encode()))}"

    def confused(self, claims: Claims) -> str:
        """HS256, with the text of the public key for a secret: the classic attack."""
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        secret = self.private.public_key().public_bytes(serialization.Encoding.PEM, form)
        header = json.dumps({"alg": "HS256", "typ": "JWT", "kid": self.kid})
        signed = f"{encoded(header.encode())}.{encoded(json.dumps(claims).encode())}"
        return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def unsigned(claims: Claims, kid: str) -> str:
    """alg none."""
    header = json.dumps({"alg": "none", "typ": "JWT", "kid": kid})
    return f"{encoded(header.encode())}.{encoded(json.dumps(claims).encode())}."


def claims(**more: Any) -> Claims:
    """Those of a token that holds for an hour; None takes one away."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 3600, "sub": "subject", "name": "build-bot"}
    return {key: value for key, value in {**usual, **more}.items() if value is not None}


def service_account(namespace: str, account: str, **more: Any) -> Claims:
    """Those of a bound token of Kubernetes."""
    bound = {"namespace": namespace, "serviceaccount": {"name": account, "uid": "u"}, "pod": {"name": "p", "uid": "u"}}
    subject = f"system:serviceaccount:{namespace}:{account}"
    return claims(**{"aud": [AUDIENCE], "name": None, "sub": subject, "kubernetes.io": bound, **more})


def write_keys(path: Path, *keys: SigningKey) -> None:
    """The JWK Set, by rename as issuers' agents write it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": [key.jwk() for key in keys]}))
    new.rename(path)
