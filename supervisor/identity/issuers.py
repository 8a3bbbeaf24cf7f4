"""Issuers of bearer tokens with their keys, as values: what a generation trusts. It reads no file and no token."""

import hashlib
from collections.abc import Iterator

import msgspec

__all__ = ["Issuer", "TokenKey", "mark_of", "marks"]


class TokenKey(msgspec.Struct, frozen=True):
    """A public key and the one algorithm that it is for. `kid` is "" where the file gives it no name; `jwk` is JSON
    (RFC 7517), `thumbprint` that of RFC 7638."""

    kid: str
    algorithm: str
    jwk: str
    thumbprint: str


class Issuer(msgspec.Struct, frozen=True):
    """An issuer. `kubernetes`: its tokens are those of service accounts; else the claims of these names give a user, or
    a namespace and a service account ("" = none)."""

    issuer: str
    audiences: tuple[str, ...]
    keys: tuple[TokenKey, ...]
    kubernetes: bool = False
    user: str = ""
    namespace: str = ""
    service_account: str = ""


def mark_of(issuer: Issuer, key: TokenKey, audience: str) -> int:
    """The mark that a verified token stands by: 64 bits of a digest, never 0. A reload that takes away the key, the
    audience or the meaning of its claims takes the mark away, and with it what such tokens have opened."""
    meaning = (issuer.issuer, issuer.kubernetes, issuer.user, issuer.namespace, issuer.service_account)
    text = repr((meaning, key.algorithm, key.thumbprint, audience))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") or 1


def marks(issuers: tuple[Issuer, ...]) -> list[int]:
    """Those of all tokens that stand."""

    def each() -> Iterator[int]:
        for issuer in issuers:
            for key in issuer.keys:
                for audience in issuer.audiences:
                    yield mark_of(issuer, key, audience)

    return sorted(set(each()))
