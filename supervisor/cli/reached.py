"""The lists of `explain`, in lines: what a source can reach, and who can reach a destination."""

from collections.abc import Iterator
from typing import Any

from supervisor.cli.tables import aligned
from supervisor.policy.rule_listing import HEAD, rows, selector_text
from supervisor.segment.rule_slots import label_of

__all__ = ["reached"]


def reached(answer: dict[str, Any]) -> Iterator[str]:
    """The lines of a page; not escaped yet."""
    items = answer["items"]
    by_source = answer["question"] == "from"
    if by_source:
        default = answer["default"]
        yield f"what no rule below names: {default['verdict'].upper()}, {default['reason']}"
    if not items:
        if by_source:
            yield "no rule selects this source"
        return
    head = ("ACTION", "TO" if by_source else "FROM", "PORTS", "RULE", "ITEM", "PLACE", "DENIED")
    yield from aligned([head, *(_row(item, by_source) for item in items)], right=(4,))
    if "networks" in answer.get("unlisted", ()):
        yield "rules for networks take part once the address is known: give --address"
    if answer["next"]:
        yield f"there are more: add --after {answer['next']}"


def _row(item: dict[str, Any], by_source: bool) -> tuple[str, ...]:
    cells = dict(zip(HEAD, rows([item])[0], strict=True))
    sides = cells["TO"] if by_source else "; ".join(map(_source, item["sources"]))
    if left_out := item.get("sources_left_out"):
        sides += f"; {left_out} more"
    return cells["ACTION"], sides, cells["PORTS"], cells["RULE"], cells["ITEM"], cells["PLACE"], _denied(item)


def _source(source: dict[str, Any]) -> str:
    """A selected source, and the verdict where a rule of another action decides for it."""
    return f"{selector_text(source['from'])}: {source['verdict']}"


def _denied(item: dict[str, Any]) -> str:
    if item["denied"] is None:
        return ""
    by = [f"{label_of(rule['kind'], rule['namespace'], rule['name'])}[{rule['index']}]" for rule in item["by"]]
    more = [f"{item['more']} more"] if item["more"] else []
    return f"{item['denied']}" + (f", by {', '.join([*by, *more])}" if by else "")
