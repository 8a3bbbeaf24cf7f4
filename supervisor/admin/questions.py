"""`/explain` of the admin endpoint: a query string as a question, and which lists answer it, as `sluice explain` asks
(CONTRACT.md section 2): a source alone, what it can reach; a destination alone, the decision and who can reach it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from supervisor.control.control import Answer
from supervisor.source.problems import quote

__all__ = ["QueryError", "answer_to", "question_of"]

SOURCES: Final = frozenset({"from", "user", "identity", "source"})
AGAIN: Final = frozenset({"address", "header"})
SWITCHES: Final = frozenset({"resolve", "token"})
WORDS: Final = {"true": True, "false": False}

Question = Mapping[str, object]


class QueryError(ValueError):
    """The query is not a question; the text says why."""


def question_of(query: Iterable[tuple[str, str]]) -> dict[str, object]:
    """The keys of a query as the control endpoint takes them; `address` and `header` may come again. Raises
    QueryError."""
    found: dict[str, object] = {}
    several: dict[str, list[str]] = {}
    for name, text in query:
        if name in AGAIN:
            several.setdefault(name, []).append(text)
        elif name in found:
            raise QueryError(f"{name} is given twice")
        elif name in SWITCHES:
            if text not in WORDS:
                raise QueryError(f"{name} is true or false, not {quote(text)}")
            found[name] = WORDS[text]
        elif name == "limit":
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise QueryError("limit is a number")
            found[name] = int(text)
        elif name == "reach":
            raise QueryError("reach is not a key: leave out `to`, or the source, for a list of rules")
        else:
            found[name] = text
    return found | several


async def answer_to(asked: Question, explain: Callable[[Question], Awaitable[Answer]]) -> Answer:
    """The decision, a list, or both. Raises what `explain` does."""
    sources = asked.keys() & SOURCES
    if "to" not in asked and "listener" in asked and ("sni" in asked or not sources):
        return await explain(asked)  # at the destination of that listener
    if sources and "to" not in asked:
        return await explain({**asked, "reach": True})
    if sources or "to" not in asked or asked.get("resolve"):
        return await explain(asked)
    alone = {name: value for name, value in asked.items() if name not in ("limit", "after")}
    decision = await explain(alone)
    return {**await explain({**asked, "reach": True}), **decision}
