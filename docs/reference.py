"""Writes the tables of docs/reference.md from the typed models: `python docs/reference.py`, or `make reference`.

Names, types, defaults, labels and values come from the code; docs/reference.yaml has the meanings. What has no meaning
there, or stands there and nowhere in the code, ends this with an error.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from prometheus_client.core import Metric

from gateway.tables import REASON_ROWS
from supervisor.admin import exposition, metrics
from supervisor.config.config import Auth, Config, Inner, Level, Listener, Protocol, Query
from supervisor.config.later import LATER
from supervisor.config.tls import ClientCertificate, ListenerTls, Version
from supervisor.config.upstreams import Type
from supervisor.segment import labels
from supervisor.segment.segment import BUCKET_FIRST_US, BUCKETS, HISTOGRAMS, Histogram

DOCUMENT: Final = Path(__file__).with_name("reference.md")
WORDS: Final = Path(__file__).with_name("reference.yaml")
SCHEMA: Final = Path(__file__).parents[1] / "deploy/schemas/access-log-1.json"
MODEL: Final = Config(path="", control="")
# Keys whose place in the model, or whose choice of words, has another name.
PLACES: Final = {
    "limits.perSource.loginFailures": "limits.loginFailures",
    "shutdown.drain": "drain",
}
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "listeners[].protocol": get_args(Protocol),
    "listeners[].auth": get_args(Auth),
    "listeners[].innerName": get_args(Inner),
    "listeners[].tls.clientCertificate": get_args(ClientCertificate),
    "listeners[].tls.minVersion": get_args(Version),
    "logs.level": get_args(Level),
    "logs.query": get_args(Query),
    "upstreams[].type": get_args(Type),
}
# Defaults that the model has only once the file was read.
DEFAULTS: Final = {
    "listeners": "one",
    "listeners[].name": "`listener-N`",
    "listeners[].auth": "`optional` or `off`",
    "listeners[].address": f"`{Listener().address}`",
    "listeners[].tls": "none",
    "listeners[].destination": "must be set for `tcp`; `443` for `tls`",
    "listeners[].tls.certificates": "must be set",
    "listeners[].tls.certificates[].certificate": "must be set",
    "listeners[].tls.certificates[].key": "must be set",
    "listeners[].tls.clientCA": "none",
    "listeners[].tls.clientCertificate": "`off` or `required`",
    "listeners[].tls.crl": "none",
    "listeners[].tls.minVersion": f"`{ListenerTls().min_version}`",
    "identity.trustDomains": "`[]`",
    "identity.trustDomains[].name": "must be set",
    "identity.trustDomains[].ca": "must be set",
    "identity.trustDomains[].linkerdNamespace": "none",
    "identity.subject.role": "none",
    "identity.proxyProtocolFrom[].cidr": "none",
    "identity.proxyProtocolFrom[].identity": "`false`",
    "identity.trusted": "`[]`",
    "identity.trusted[].identity": "must be set",
    "identity.trusted[].sources": "`1`",
    "identity.tokens": "`[]`",
    "identity.tokens[].issuer": "must be set",
    "identity.tokens[].audiences": "must be set",
    "identity.tokens[].keys": "must be set",
    "identity.tokens[].kubernetes": "`false`",
    "identity.tokens[].identity.user": "none",
    "identity.tokens[].identity.namespace": "none",
    "identity.tokens[].identity.serviceAccount": "none",
    "policy.perNamespace": "as below",
    "policy.perNamespace.bytes": "`16MiB`",
    "grants": "`[]`",
    "grants[].namespaces": "must be set",
    "grants[].cidrs": "`[]`",
    "grants[].sourceAddresses": "`[]`",
    "grants[].upstreams": "`[]`",
    "grants[].credentials": "`[]`",
    "credentials": "`[]`",
    "credentials[].name": "must be set",
    "credentials[].file": "must be set",
    "credentials[].hosts": "must be set",
    "credentials[].namespaces": "any",
    "credentials[].insecure": "`false`",
    "workers": "`auto`",
    "dns.servers": "`system`",
    "admin.address": f"`{MODEL.admin.host}:{MODEL.admin.port}`",
    "metrics.address": "none",
    "control.endpoint": "by the user",
}
SECONDS: Final = ("timeout", "ttl", "interval", "keep_alive", "drain", "max_age")


def table(head: str, rows: list[list[str]]) -> list[str]:
    columns = head.split(" | ")
    return [f"| {head} |", "|" + "---|" * len(columns), *(f"| {' | '.join(row)} |" for row in rows)]


def snake(name: str) -> str:
    text = name.replace("TTL", "Ttl")
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in text)


def shown(value: Any, name: str) -> str:
    """A value of the model as sluice.yaml has it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{value[0]}/s`" if value else "`[]`"
    if isinstance(value, float) and name.endswith(SECONDS):
        return f"`{value / 3600:g}h`" if value % 3600 == 0 else f"`{value:g}s`"
    return f"`{value}`"


def default(path: str) -> str:
    """The default of a key."""
    if path in DEFAULTS:
        return DEFAULTS[path]
    if path.startswith(("upstreams[].", "identity.networks[].")):
        return "none"
    value: Any = Listener() if path.startswith("listeners[].") else MODEL
    name = ""
    for part in PLACES.get(path, path.removeprefix("listeners[].")).split("."):
        name = snake(part)
        value = getattr(value, name)
    return shown(value, name)


def keys(words: dict[str, str]) -> list[str]:
    """Every key of sluice.yaml that is read, and below them those that are refused until they are built."""
    rows = []
    for path, meaning in words.items():
        choices = " ".join(f"`{word}`" for word in CHOICES.get(path, ()))
        rows.append([f"`{path}`", default(path), f"{choices}: {meaning}" if choices else meaning])
    later = [[f"`{path}`", each.part] for path, each in LATER.items()]
    return [
        *table("key | default | meaning", rows),
        "",
        "Keys of parts that are not built: `sluice check` refuses them, unless the value is what happens anyway.",
        "",
        *table("key | part", later),
    ]


def families() -> Iterator[Metric]:
    """Every metric, as a scrape of one worker has it."""
    empty: tuple[dict[tuple[str, ...], int], ...] = tuple({} for _ in labels.FAMILY)
    scalars = dict.fromkeys(metrics.SCALARS, 0)
    found = {name: Histogram(0, [0] * BUCKETS) for name in HISTOGRAMS}
    routes = {("", "2xx"): Histogram(0, [0] * BUCKETS)}
    expiries = (("listener", "tls.crt", 0.0),)
    taken = metrics.Snapshot(scalars, empty, found, routes, {"0": 1}, reloads={"ok": 1}, expiries=expiries)
    return exposition.families(taken)


def label_names(metric: Metric) -> tuple[str, ...]:
    for family in labels.FAMILY:
        if metric.name == (exposition.PREFIX + family.name).removesuffix("_total"):
            return family.labels
    if metric.type == "histogram":
        return tuple(name for name in metric.samples[0].labels if name != "le")
    return tuple(metric.samples[0].labels)


def metric_rows() -> list[str]:
    """Every metric with its type and labels."""
    rows = []
    for metric in families():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        names = " ".join(f"`{label}`" for label in label_names(metric))
        rows.append([f"`{name}`", metric.type, names, metric.documentation])
    return [
        *table("metric | type | labels | meaning", sorted(rows)),
        "",
        f"Buckets of histograms begin with {BUCKET_FIRST_US} µs and double; the last of {BUCKETS} is unbounded.",
        "",
        *table("label | of | values", list(label_values())),
    ]


def label_values() -> Iterator[list[str]]:
    """The closed sets of words that labels take, and the metrics that have them."""
    found: dict[tuple[str, str], list[str]] = {}
    for family in labels.FAMILY:
        words = iter(family.words)
        for label in family.labels:
            if label in labels.SLOTS:
                values = "`Kind/namespace/name` or `Kind/name`; `other` beyond 1,000 rules and routes"
            else:
                of = next(words)
                values = ", ".join(f"`{word}`" for word in of) if of is not labels.REASONS else "the table of reasons"
            found.setdefault((label, values), []).append(f"`{family.name}`")
    for (label, values), names in found.items():
        yield [f"`{label}`", ", ".join(names), values]


def fields(words: dict[str, str]) -> list[str]:
    """Every field of the access log."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for name, told in schema["properties"].items():
        if "properties" in told:
            found.update({f"{name}.{inner}": each for inner, each in told["properties"].items()})
        else:
            found[name] = told
    check("field", set(words), set(found))
    return table("field | type | meaning", [[f"`{name}`", kind(found[name]), words[name]] for name in words])


def kind(told: dict[str, Any]) -> str:
    """The type of a field, from its JSON Schema."""
    if "enum" in told:
        words = ", ".join(f"`{word}`" for word in told["enum"] if word is not None)
        return words + (" or null" if None in told["enum"] else "")
    names = [told["type"]] if isinstance(told["type"], str) else told["type"]
    return " or ".join(names)


def check(what: str, said: set[str], known: set[str]) -> None:
    """Raises SystemExit where words and code differ."""
    for name in sorted(known - said):
        raise SystemExit(f"docs/reference.yaml has no meaning of the {what} `{name}`")
    for name in sorted(said - known):
        raise SystemExit(f"docs/reference.yaml has a meaning of the {what} `{name}`, which does not exist")


def reasons() -> list[str]:
    """The closed table of reasons."""
    rows = [[f"`{row[0]}`", *row[1:]] for row in sorted(REASON_ROWS)]
    return table("reason | phase | tier | answer | meaning", rows)


def rendered(text: str) -> str:
    """The document with its tables as they are now."""
    words = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    parts: dict[str, Callable[[], list[str]]] = {
        "keys": lambda: keys(words["keys"]),
        "metrics": metric_rows,
        "fields": lambda: fields(words["fields"]),
        "reasons": reasons,
    }
    for name, made in parts.items():
        begin, end = f"<!-- {name}: made by docs/reference.py -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise SystemExit(f"{DOCUMENT} has no markers of `{name}`")
        text = f"{before}{begin}\n" + "".join(f"{line}\n" for line in made()) + f"\n{end}{after}"
    return text


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
