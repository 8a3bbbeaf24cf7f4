"""Keys of issuers: read from the files that a configuration names, for a generation or a renewal."""

from dataclasses import dataclass, field

from supervisor.config.config import Config
from supervisor.host.file_marks import marks_of
from supervisor.identity.issuers import Issuer
from supervisor.source.problems import Problems

__all__ = ["ReadTokens", "read_issuers"]


@dataclass
class ReadTokens:
    """The issuers with their keys, and the mark of each file before it was read."""

    issuers: tuple[Issuer, ...] = ()
    marks: dict[str, str] = field(default_factory=dict)


def read_issuers(config: Config, problems: Problems) -> ReadTokens:
    """The issuers of a configuration. What is wrong goes to `problems`."""
    sources = config.identity.tokens
    if not sources:
        return ReadTokens()
    from supervisor.identity.jwks import read_keys  # takes a while to load

    marks = marks_of(source.keys.path for source in sources)
    issuers = tuple(
        Issuer(
            issuer=source.issuer,
            audiences=source.audiences,
            keys=read_keys(source.keys.path, source.keys.place, problems),
            kubernetes=source.kubernetes,
            user=source.user,
            namespace=source.namespace,
            service_account=source.service_account,
        )
        for source in sources
    )
    return ReadTokens(issuers, marks)
