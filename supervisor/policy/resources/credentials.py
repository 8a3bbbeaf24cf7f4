"""References to credentials in the values of fields: `${credential:NAME}`, with text around it or without."""

import re
from typing import Final

from supervisor.policy.resources.terms import Text
from supervisor.source.node import Node
from supervisor.source.problems import quote

__all__ = ["references"]

# As workers find them (gateway/routing/route.pyx).
REFERENCE: Final = re.compile(r"\$\{credential:([^}]*)\}")
NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")  # source/words.py, entry_name


def references(node: Node, value: str) -> tuple[Text, ...]:
    """The names of credentials in a value, each where the value stands. Raises Invalid for anything else that begins
    like one."""
    found = []
    for name in REFERENCE.findall(value):
        if not NAME.fullmatch(name):
            raise node.invalid(f"{quote(name)} is not the name of a credential", "write ${credential:NAME}")
        found.append(Text(name, node.line, node.column))
    if "${" in REFERENCE.sub("", value):
        hint = "write ${credential:NAME}, with a name of `credentials` in sluice.yaml"
        raise node.invalid("`${` begins a credential, and none follows", hint)
    return tuple(found)
