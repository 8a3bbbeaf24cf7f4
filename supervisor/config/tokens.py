"""`identity.tokens`: issuers of bearer tokens as sluice.yaml names them. Their key files are read elsewhere
(identity/jwks.py)."""

from typing import Final

import msgspec

from supervisor.config.trust import NamedFile, named_file
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems, quote

TOKEN: Final = ("issuer", "audiences", "keys", "kubernetes", "identity")
CLAIMS: Final = ("user", "namespace", "serviceAccount")
MOST_ISSUERS: Final = 64
MOST_AUDIENCES: Final = 16
LONGEST: Final = 1024  # characters of an issuer, an audience and the name of a claim


class TokenSource(msgspec.Struct, frozen=True):
    """An issuer, the audiences that its tokens have to be for, and the file with its keys. `kubernetes`: its tokens are
    those of service accounts. Else `user`, or `namespace` and `service_account`, name the claims that say for what a
    token stands; "" = none."""

    issuer: str
    audiences: tuple[str, ...]
    keys: NamedFile
    kubernetes: bool = False
    user: str = ""
    namespace: str = ""
    service_account: str = ""


def read_tokens(identity: Fields, folder: str, problems: Problems) -> tuple[TokenSource, ...]:
    """The key of `identity`; paths resolve against `folder`. What is wrong is left out, and reported."""
    found: dict[str, TokenSource] = {}
    for node in identity.items("tokens"):
        source = _source(node, folder, problems)
        if source.issuer in found:
            problems.error(node.place, f"duplicate issuer {quote(source.issuer)}", "one item has all its audiences")
        found.setdefault(source.issuer, source)
    if len(found) > MOST_ISSUERS and (node_of_all := identity.get("tokens")):
        problems.error(node_of_all.place, f"more than {MOST_ISSUERS} issuers")
    return tuple(found.values())


def _source(node: Node, folder: str, problems: Problems) -> TokenSource:
    fields = node.fields(TOKEN, problems)
    kubernetes = fields.read("kubernetes", Node.boolean, False)
    meaning = fields.read("identity", lambda claims: _claims(claims, problems), ("", "", ""))
    if kubernetes == (fields.get("identity") is not None):
        hint = "write kubernetes: true, or identity: {user: CLAIM}"
        problems.error(node.place, "expected one of `kubernetes: true` and `identity`", hint)
    return TokenSource(
        issuer=fields.need("issuer", _text, ""),
        audiences=fields.need("audiences", _audiences, (), "a token for another service would pass"),
        keys=fields.need("keys", lambda path: named_file(path, folder), NamedFile("", node.place)),
        kubernetes=kubernetes,
        user=meaning[0],
        namespace=meaning[1],
        service_account=meaning[2],
    )


def _claims(node: Node, problems: Problems) -> tuple[str, str, str]:
    fields = node.fields(CLAIMS, problems)
    user, namespace, account = (fields.read(name, _text, "") for name in CLAIMS)
    if bool(user) == bool(namespace) or (user and account):
        hint = "write {user: CLAIM} or {namespace: CLAIM, serviceAccount: CLAIM}"
        problems.error(node.place, "expected the claim of a user, or of a namespace", hint)
    return user, namespace, account


def _audiences(node: Node) -> tuple[str, ...]:
    items = node.filled()
    if len(items) > MOST_AUDIENCES:
        raise node.invalid(f"more than {MOST_AUDIENCES} audiences")
    return tuple(dict.fromkeys(_text(item) for item in items))


def _text(node: Node) -> str:
    text = node.string()
    if not 0 < len(text) <= LONGEST or not text.isprintable():
        raise node.unexpected(f"a text of 1 to {LONGEST} printable characters")
    return text
