"""Rules that set credentials: sluice.yaml has to have each of them, for all of the rule's hosts and its namespace
(DECISIONS.md section 7). So a value leaves for no host that its owner has not named, whatever a rule says."""

from collections.abc import Iterator, Sequence

import idna

from supervisor.config.credentials import Credential
from supervisor.policy.resources.host_lists import read_list
from supervisor.policy.resources.model import Item, Rules, Text
from supervisor.source.problems import Invalid, Place, Problem, Problems, did_you_mean, quote

__all__ = ["check_credentials"]


def check_credentials(rules: Rules, known: Sequence[Credential], roots: tuple[str, ...], problems: Problems) -> None:
    """Reports what is wrong with those of one resource. `roots`: folders that host lists may lie in."""
    by_name = {one.name: one for one in known}
    for text in dict.fromkeys(rules.credentials):
        credential = by_name.get(text.value)
        if credential is None:
            words = f"there is no credential {quote(text.value)}"
            hint = did_you_mean(text.value, by_name) or "`credentials` in sluice.yaml names them"
            problems.error(rules.place(text), words, hint)
            continue
        for problem in (*_namespaces(rules, text, credential), *_hosts(rules, credential, roots)):
            problems.add(problem)


def _namespaces(rules: Rules, text: Text, credential: Credential) -> Iterator[Problem]:
    if credential.namespaces is None:
        return
    spaces = {rules.namespace} if rules.namespace else {_namespace(selector) for selector in rules.selectors}
    for space in sorted(spaces.difference(credential.namespaces)):
        named = f"the namespace {space}" if space else "every namespace"
        words = f"the credential {quote(credential.name)} is not for sources of {named}"
        hint = f"sluice.yaml gives it to {', '.join(credential.namespaces)}"
        yield _at(rules.place(text), words, hint)


def _namespace(selector: object) -> str:
    workloads = getattr(selector, "workloads", None)
    found: str = getattr(workloads if workloads is not None else selector, "namespace", "")
    return found


def _hosts(rules: Rules, credential: Credential, roots: tuple[str, ...]) -> Iterator[Problem]:
    said: set[tuple[int, int]] = set()
    for item in rules.items:
        where = (item.line, item.column)
        if where in said:
            continue  # another kind of requests of the same destination
        said.add(where)
        yield from _item(rules, item, credential, roots)


def _item(rules: Rules, item: Item, credential: Credential, roots: tuple[str, ...]) -> Iterator[Problem]:
    to = item.destination
    hint = f"its hosts in sluice.yaml are {', '.join(credential.hosts)}"
    if to.hosts_from is not None:
        yield from _list(rules, to.hosts_from, credential, roots, hint)
    elif to.host is None:
        what = f"cidr {to.cidr}" if to.cidr else "a destination"
        yield _at(rules.place(item), f"{what} has no name that the credential {quote(credential.name)} is for", hint)
    elif not credential.covers(to.host.value):
        words = f"{quote(to.host.value)} is not among the hosts of the credential {quote(credential.name)}"
        yield _at(rules.place(to.host), words, hint)


def _list(rules: Rules, path: Text, credential: Credential, roots: tuple[str, ...], hint: str) -> Iterator[Problem]:
    """The first name of a list that is not among the hosts. What stands there is not repeated."""
    try:
        data = read_list(path.value, rules.place(path), roots)
    except Invalid as wrong:
        yield wrong.problem
        return
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        text = line.partition(b"#")[0].decode("utf-8", "replace").strip(" \t\r")
        if text and not credential.covers(_canonical(text)):
            words = f"a name that is not among the hosts of the credential {quote(credential.name)}"
            yield _at(Place(path.value, number, 1), words, hint)
            return


def _canonical(text: str) -> str:
    name = text.lower().removesuffix(".")
    if name.isascii():
        return name
    star = "*." if name.startswith("*.") else ""
    try:
        return star + idna.encode(name.removeprefix("*."), uts46=True).decode()
    except idna.IDNAError:
        return name


def _at(place: Place, words: str, hint: str) -> Problem:
    return Problem(place.file, place.line, place.column, words, hint)
