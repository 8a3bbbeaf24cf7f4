"""Bearer tokens read and verified: JWTs in compact form (RFC 7519, RFC 7515 section 3.1), as RFC 8725 advises.

Bytes and a time in, facts or a reason out: no file, no clock, no thread. The key decides which algorithm a token has,
never its header; a header that names a key itself, or an extension, is refused. Every part is bounded by the length of
the token, each name of an object stands once, and nothing of a token stands in a message.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.contract import TokenFacts
from supervisor.identity.issuers import Issuer, TokenKey, mark_of
from supervisor.identity.strict_json import read_object
from supervisor.source.words import is_user_name

__all__ = ["LEEWAY", "LONGEST", "TokenReader", "TokenRefused"]

LONGEST: Final = 8192  # bytes: TOKEN_MAX of gateway/proto/codec.pxd
LEEWAY: Final = 60  # seconds that another clock may be ahead (`nbf`)
MOST_AUDIENCES: Final = 64  # of one token
LATEST: Final = 1 << 53  # Unix seconds: the largest number that every JSON reader has exactly
REFUSED_HEADER: Final = frozenset(("jku", "jwk", "x5u", "crit"))
TYPES: Final = frozenset(("jwt", "at+jwt", "application/jwt", "application/at+jwt"))
# Kubernetes: namespace and account of a service account, in the two forms that API servers write.
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ACCOUNT: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*")


class TokenRefused(Exception):
    """A token that does not hold; `reason` is a word of gateway.tables.REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenReader:
    """Reads tokens of these issuers. May be used from any thread."""

    def __init__(self, issuers: Sequence[Issuer]) -> None:
        """Imports the keys, which takes a while."""
        self._issuers = {issuer.issuer: issuer for issuer in issuers}
        self._keys = {key.thumbprint: _import(key) for issuer in issuers for key in issuer.keys}

    def read(self, token: bytes, now: float) -> TokenFacts:
        """The facts of a token that holds at `now`, Unix seconds. Raises TokenRefused."""
        header, claims, signed, signature = _parts(token)
        issuer = self._issuer(claims)
        key = _key(issuer, header)
        if header.get("alg") != key.algorithm:
            raise TokenRefused("token_algorithm")
        if not self._is_signed(key, signed, signature):
            raise TokenRefused("token_signature")
        until = _times(claims, now)
        audience = _audience(issuer, claims)
        user, namespace, account = _stands_for(issuer, claims)
        subject = claims.get("sub")
        if not isinstance(subject, str):
            subject = user or f"{namespace}/{account}"
        return TokenFacts(
            user=user.encode() if user else None,
            namespace=namespace.encode() if namespace else None,
            account=account.encode() if account else None,
            subject=_digest(issuer.issuer, subject),
            credential=mark_of(issuer, key, audience),
            until=until,
        )

    def _issuer(self, claims: Mapping[str, Any]) -> Issuer:
        name = claims.get("iss")
        if not isinstance(name, str) or (issuer := self._issuers.get(name)) is None:
            raise TokenRefused("token_issuer")
        return issuer

    def _is_signed(self, key: TokenKey, signed: bytes, signature: bytes) -> bool:
        algorithm, public = self._keys[key.thumbprint]
        try:
            return algorithm.verify(signed, signature, public) is True
        except Exception:  # whatever the library makes of a signature: it is not one
            return False


def _import(key: TokenKey) -> tuple[Any, Any]:
    """(algorithm, key) of the library."""
    from joserfc.jwk import import_key
    from joserfc.jws import JWSRegistry  # takes a while to load

    public = import_key(json.loads(key.jwk))
    public.get_op_key("verify")  # made here, once, and not by the first token
    return JWSRegistry.algorithms[key.algorithm], public


def _parts(token: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """(header, claims, what is signed, signature)."""
    if len(token) > LONGEST:
        raise TokenRefused("token_too_long")
    pieces = token.split(b".")
    if len(pieces) != 3:
        raise TokenRefused("token_malformed")
    try:
        header, claims = (read_object(_base64url(piece)) for piece in pieces[:2])
        signature = _base64url(pieces[2])
    except ValueError:
        raise TokenRefused("token_malformed") from None
    if not REFUSED_HEADER.isdisjoint(header):
        raise TokenRefused("token_header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise TokenRefused("token_malformed")
    return header, claims, token[: token.rindex(b".")], signature


def _base64url(text: bytes) -> bytes:
    """RFC 7515 section 2: without padding, and in its one spelling. Raises ValueError."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    try:
        found = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("not base64url") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != text:
        raise ValueError("not the one spelling")
    return found


def _key(issuer: Issuer, header: Mapping[str, Any]) -> TokenKey:
    """The key that the token names; without a name the only one there is."""
    if "kid" not in header and len(issuer.keys) == 1:
        return issuer.keys[0]
    for key in issuer.keys:
        if key.kid and key.kid == header.get("kid"):
            return key
    raise TokenRefused("token_key")


def _times(claims: Mapping[str, Any], now: float) -> int:
    """When the token ends; it has begun, and not ended."""
    until = _moment(claims.get("exp"))
    if until is None or ("nbf" in claims and _moment(claims["nbf"]) is None):
        raise TokenRefused("token_claims")
    if until <= now:
        raise TokenRefused("token_expired")
    if "nbf" in claims and claims["nbf"] > now + LEEWAY:
        raise TokenRefused("token_not_yet_valid")
    return until


def _moment(claim: object) -> int | None:
    """A NumericDate (RFC 7519 section 2) in whole seconds; None = it is not one."""
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    return int(claim) if 0 <= claim <= LATEST else None


def _audience(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    """The first of the issuer's audiences that the token is for."""
    named = claims.get("aud")
    meant = [named] if isinstance(named, str) else named
    if not isinstance(meant, list) or len(meant) > MOST_AUDIENCES or not all(isinstance(one, str) for one in meant):
        raise TokenRefused("token_claims")
    for audience in issuer.audiences:
        if audience in meant:
            return audience
    raise TokenRefused("token_audience")


def _stands_for(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[str, str, str]:
    """(user, namespace, service account), "" = none."""
    if issuer.kubernetes:
        return "", *_service_account(claims)
    if issuer.user:
        user = claims.get(issuer.user)
        if not isinstance(user, str) or not is_user_name(user):
            raise TokenRefused("token_claims")
        return user, "", ""
    namespace = _name(claims.get(issuer.namespace), _NAMESPACE)
    account = _name(claims.get(issuer.service_account), _ACCOUNT) if issuer.service_account else ""
    return "", namespace, account


def _service_account(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Bound tokens have an object `kubernetes.io`, those of Secrets two flat claims; `sub` has to say the same."""
    private = claims.get("kubernetes.io")
    if isinstance(private, dict) and isinstance(account := private.get("serviceaccount"), dict):
        names = (private.get("namespace"), account.get("name"))
    else:
        names = (
            claims.get("kubernetes.io/serviceaccount/namespace"),
            claims.get("kubernetes.io/serviceaccount/service-account.name"),
        )
    found = _name(names[0], _NAMESPACE), _name(names[1], _ACCOUNT)
    if claims.get("sub") != f"system:serviceaccount:{found[0]}:{found[1]}":
        raise TokenRefused("token_claims")
    return found


def _name(claim: object, form: re.Pattern[str]) -> str:
    if not isinstance(claim, str) or not form.fullmatch(claim):
        raise TokenRefused("token_claims")
    return claim


def _digest(issuer: str, subject: str) -> bytes:
    """Of a subject: 16 bytes behind a NUL, with which no user's name begins."""
    text = f"{len(issuer)}:{issuer}{subject}"
    return b"\0" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
