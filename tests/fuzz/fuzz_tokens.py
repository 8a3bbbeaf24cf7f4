"""Random and mutated bearer tokens against their reader, in one process.

    python tests/fuzz/fuzz_tokens.py [--count N] [--seed N]

The oracle: every token ends in facts or in a reason of the table, never in another error; and facts come only of bytes
that the issuer has signed. Each failure names the seed and the turn that make it again.
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from gateway.tables import REASONS
from supervisor.identity.issuers import Issuer
from supervisor.identity.jwks import _key
from supervisor.identity.tokens import TokenReader, TokenRefused
from tests.support.tokens import AUDIENCE, ISSUER, SigningKey, encoded

NOW: Final = 1_700_000_000
VALUES: Final[list[Any]] = [
    None, True, 0, -1, 1.5, 1e308, 10**30, "", "x", "a:b", "\0", "\ud800", [], {}, [[]], {"a": {}}, "ES256", "RS256",
    "none", "HS256", "EdDSA", "k", ISSUER, AUDIENCE, [AUDIENCE], [AUDIENCE, 1], NOW, NOW + 60, "k" * 3000, ["k"] * 70,
]  # fmt: skip
HEADER: Final = ("alg", "kid", "typ", "crit", "jku", "jwk", "x5u", "b64", "zip", "x")
CLAIMS: Final = ("iss", "aud", "exp", "nbf", "sub", "name", "iat", "kubernetes.io", "x")
BYTES: Final = [b".", b"..", b"=", b"\n", b"\0", b"\xff", b"-", b"_", b"e30", b"bnVsbA", b"W10", b"A" * 50]


class Forge:
    """Makes tokens, some of them signed, and says of each whether it has to be refused."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.key = SigningKey("k", "ES256")

    def reader(self) -> TokenReader:
        key = _key(self.key.jwk())
        assert key is not None
        users = Issuer(ISSUER, (AUDIENCE,), (key,), user="name")
        return TokenReader([users, Issuer("https://cluster.test", (AUDIENCE,), (key,), kubernetes=True)])

    def changed(self, names: tuple[str, ...], usual: dict[str, Any]) -> str:
        """An object with a few members changed, taken away or twice."""
        found = dict(usual)
        for _ in range(self.chance.choice((0, 0, 1, 2))):
            found[self.chance.choice(names)] = self.chance.choice(VALUES)
        if self.chance.random() < 0.1 and found:
            found.pop(self.chance.choice(list(found)))
        text = json.dumps(found)
        return text.replace("{", '{"alg":"none",', 1) if self.chance.random() < 0.05 else text

    def signed(self) -> bytes:
        """A token of the issuer, of whatever claims."""
        usual = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 60, "sub": "s", "name": "bot"}
        header = self.changed(HEADER, {"alg": "ES256", "kid": "k"})
        return self.key.sealed(header, self.changed(CLAIMS, usual)).encode()

    def mutated(self, token: bytes) -> bytes:
        """Bytes put in, taken out and replaced."""
        for _ in range(self.chance.randint(1, 4)):
            at = self.chance.randrange(len(token) + 1)
            cut = self.chance.choice((0, 0, 1, 4))
            token = token[:at] + self.chance.choice([*BYTES, b""]) + token[at + cut :]
        return token


def run(count: int, seed: int) -> int:
    """How many tokens held. Raises AssertionError."""
    chance = random.Random(seed)
    forge = Forge(chance)
    reader = forge.reader()
    held = 0
    genuine: set[bytes] = set()
    for turn in range(count):
        token = forge.signed()
        genuine.add(token)
        kind = chance.random()
        if kind < 0.5:
            token = forge.mutated(token)
        elif kind < 0.55:
            token = chance.randbytes(chance.randrange(200))
        elif kind < 0.6:
            token = b".".join(encoded(chance.randbytes(chance.randrange(60))).encode() for _ in range(3))
        try:
            facts = reader.read(token, NOW)
        except TokenRefused as refused:
            assert refused.reason in REASONS, f"seed {seed}, turn {turn}: {refused.reason}"
            continue
        except Exception as wrong:
            raise AssertionError(f"seed {seed}, turn {turn}: {token!r} raised {wrong!r}") from wrong
        assert token in genuine, f"seed {seed}, turn {turn}: {token!r} was never signed"
        assert facts["until"] > NOW and facts["credential"] and (facts["user"] or facts["namespace"])
        held += 1
    assert held or count < 100, "no token held: the fuzzer reaches nothing"
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzzes the reader of bearer tokens.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments = parser.parse_args()
    held = run(arguments.count, arguments.seed)
    print(f"{arguments.count} tokens of seed {arguments.seed}: {held} held, the others have their reasons")


if __name__ == "__main__":
    main()
