"""All dialects in one image: its answer is what DECISIONS.md section 4 makes of the answers of each dialect alone, by
an image of its own manifests (Linkerd's by its slow evaluator, as an image may deny a name before its address)."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from gateway.policy.image import PolicyImage
from gateway.policy.target import HttpRequest
from supervisor.config.config import Config, Gateway, Listener, Policy
from supervisor.generation.building import surroundings_of
from supervisor.identity.users import User
from supervisor.policy.compiler import build_image
from supervisor.policy.loader import load_policy
from supervisor.source.problems import Place, Problems
from tests.supervisor.policy import draws
from tests.supervisor.policy.compared import check_seeds
from tests.supervisor.policy.dialects import acl
from tests.supervisor.policy.dialects.fsm import egresses, test_fsm_property
from tests.supervisor.policy.dialects.gateway_api import drawing
from tests.supervisor.policy.dialects.linkerd import draws as linkerd
from tests.supervisor.policy.dialects.linkerd import evaluator
from tests.supervisor.policy.dialects.linkerd.evaluator import GATEWAY, LABELS, LISTENERS, Asked
from tests.supervisor.policy.dialects.linkerd.matching import Who

QUESTIONS: Final = 100  # a world
TIERS: Final = ("none", "default_allow", "default_audit", "default_deny", "audit", "allow", "deny", "hard_deny")
VERDICTS: Final = ("deny", "allow", "audit", "deny", "audit", "allow", "deny", "deny")
REASONS: Final = {
    **{reason: reason for reason in TIERS[1:4]},
    **{f"rule_{tier}": tier for tier in TIERS[4:]},
    "unauthorized": "deny",
    "no_route": "default_deny",
    "inner_protocol_mismatch": "demanded",
}
DEFAULTS: Final = ("EgressNetwork", "SmokescreenAction", "SmokescreenDefault")
# Names of the worlds of EgressPolicies, as the other dialects have them.
RENAMED: Final = (
    *(("y.x.a.example.test", "z.y.x.a.test"), ("x.a.example.test", "y.x.a.test"), ("xexample.test", "b.test")),
    *(("a.example.test", "x.a.test"), ("example.test", "a.test")),
)
HOSTS: Final = ("a.test", "x.a.test", "y.x.a.test", "b.test", "b.a.test", "d.test", "other.test", "evil.test")
DIALECTS: Final = ("ours", "acl", "linkerd", "gateway", "fsm")
COVERED: Final = (
    *(f"{one} {tier}" for one in DIALECTS for tier in ("allow", "none")),
    *(f"wins {tier}" for tier in TIERS),
    *("ours deny", "ours audit", "acl deny", "acl default_deny", "linkerd deny", "linkerd default_deny"),
    *("two speak", "three speak", "a deny over an allow", "an allow over a default", "requests", "addresses"),
)
Said = tuple[str, object]  # a tier, and the rule
Texts = Mapping[str, str]  # policy files, by name


def image_of(files: Texts, folder: Path) -> PolicyImage:
    paths = []
    for name, text in files.items():
        (folder / name).write_text(text)
        paths += [str(folder / name)] if name.endswith(".json") else []
    places = tuple(map(Place, paths))
    config = Config(
        path=str(folder / "sluice.yaml"),
        control="ipc:///nowhere",
        listeners=tuple(Listener(name=name, host="192.0.2.1", port=port) for name, port in LISTENERS.items()),
        gateway=Gateway(namespace=GATEWAY, labels=tuple(LABELS.items()), services=("egress/sluice",)),
        policy=Policy(paths=tuple(paths), places=places),
    )
    problems = Problems()
    policy = load_policy(config.policy.paths, places, problems, surroundings=surroundings_of(config))
    users = tuple(User(name, "", *identity) for name, identity in draws.USERS.items())
    built = build_image(config, users, policy, problems)
    assert built is not None, str(problems)
    try:
        return PolicyImage.from_fd(built.descriptor, validate=True)
    finally:
        os.close(built.descriptor)


def listed(items: Sequence[Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def draw_ours(random: Random) -> Texts:
    """Without parents, which have an address phase of their own, and without TLS."""
    world = draws.draw_world(random)
    for one in world.manifests:
        for name in ("upstream", "tls", "sourceAddress", "inner"):
            one["spec"].pop(name, None)
    files = {"ours.json": listed(world.manifests), **world.lists}
    for old, new in RENAMED:
        files = {name: text.replace(old, new) for name, text in files.items()}
    return files


def draw_linkerd(random: Random) -> list[Any]:
    """Without authorizations on the gateway's namespace, which Gateway API's routes have to satisfy as well."""
    target = {"kind": "Namespace", "name": GATEWAY}
    return [one for one in linkerd.draw(random) if not target.items() <= one["spec"].get("targetRef", {}).items()]


def draw_gateway(random: Random) -> str:
    """Without Services, which Linkerd's routes would know as well."""
    text = listed([one for one in drawing.world(random) if one["kind"] not in ("Service", "ReferenceGrant")])
    for number in "123":
        text = text.replace(f'"r{number}"', f'"ga{number}"')
    return text.replace('"default"', '"mesh"').replace('"second"', '"other"')


def draw_files(random: Random, manifests: list[Any]) -> dict[str, Texts]:
    """The files of each dialect."""
    world = replace(egresses.draw_world(random), denied=(), passthrough=False)
    return {
        "ours": draw_ours(random),
        "acl": {"acl.json": json.dumps(acl.draw_acl(random))},
        "linkerd": {"linkerd.json": listed(manifests)},
        "gateway": {"gateway.json": draw_gateway(random)},
        "fsm": {"fsm.json": json.dumps(test_fsm_property.manifests(world))},
    }


def tier_of(reason: str, rule: tuple[str, ...] | None) -> str:
    """A rule that waits for a request or a name is the deny or the default that it is otherwise."""
    if reason in ("needs_http", "inner_name_missing") and rule is not None:
        return "default_deny" if rule[0] in DEFAULTS else "deny"
    return REASONS.get(reason, "none")


def ask(image: PolicyImage, asked: dict[str, Any]) -> tuple[str, Said]:
    """Its verdict, its tier and its rule."""
    said = image.explain(**asked)
    rule = said["rule"] and (said["rule"]["kind"], said["rule"]["namespace"] or "", said["rule"]["name"])
    return said["verdict"], (tier_of(said["reason"], rule), rule)


def draw_question(random: Random) -> dict[str, Any]:
    space, account = random.choice((*linkerd.ACCOUNTS, ("pay", "cart"), ("shop", "till")))
    asked: dict[str, Any] = {
        "host": random.choice(HOSTS), "port": random.choice((443, 80)), "namespace": space, "service_account": account,
        "listener": random.choice(list(LISTENERS)), "address": random.choice(linkerd.ADDRESSES),
        "every": random.random() < 0.3,
    }  # fmt: skip
    if random.random() < 0.5:
        asked["user"] = random.choice((*acl.ROLES, *acl.STRANGERS))
    if random.random() < 0.2:
        asked["host"], asked["address"] = asked["address"], None
    elif random.random() < 0.4:
        path = random.choice(("/", "/v1", "/v1/a", "/get", "/admin"))
        fields = tuple((name, random.choice(("one", "two", "shop"))) for name in ("x-a", "x-b", "x-team"))
        asked["request"] = HttpRequest(random.choice(("GET", "POST")), path, None, fields)
    return asked


def of_linkerd(slow: evaluator.Evaluator, asked: dict[str, Any]) -> Said | None:
    """By the slow evaluator; None where it is asked what it does not know: a request."""
    if "request" in asked:
        return None
    who = Who(asked["namespace"], asked["service_account"], "", asked.get("user", ""), "")
    host, address = (asked["host"], asked["address"]) if asked["address"] else ("", asked["host"])
    found = slow.decide(Asked(who, host, address, asked["port"], asked["listener"]))
    rule = found.rule and found.rule[:3]
    return tier_of(found.reason, rule), rule


def compare(seed: int, worlds: int, folder: Path) -> tuple[object, Counter[str]]:
    """The first difference, or None, and what was hit."""
    random = Random(seed)
    hits: Counter[str] = Counter()
    for _ in range(worlds):
        manifests = draw_linkerd(random)
        files = draw_files(random, manifests)
        alone = {name: image_of(texts, folder) for name, texts in files.items()}
        whole = image_of({name: text for texts in files.values() for name, text in texts.items()}, folder)
        slow = evaluator.Evaluator(manifests, ())
        for _ in range(QUESTIONS):
            asked = draw_question(random)
            said = {name: ask(image, asked)[1] for name, image in alone.items()}
            if said["ours"][0] == "none" and asked["address"]:  # nothing asked where it lies
                said["ours"] = ask(alone["ours"], {**asked, "host": asked["address"], "address": None})[1]
            if said["gateway"][0] != "none" and goes_by_protocol(alone["gateway"], asked):
                continue  # its tunnels pass as one protocol would, which with the others may be another one
            if said["gateway"][0] == "deny":  # its routes refuse by default, and here wait for a request
                said["gateway"] = "default_deny", said["gateway"][1]
            if (exact := of_linkerd(slow, asked)) is not None:
                said["linkerd"] = exact
            elif denied_early(alone["linkerd"].explain(**asked)):
                continue  # wherever it lies: with the others its address may be asked for
            if any(tier == "demanded" for tier, _ in said.values()):
                continue  # a request where another protocol is demanded: attributes combine by themselves
            best = max(TIERS.index(tier) for tier, _ in said.values())
            verdict, (tier, rule) = ask(whole, asked)
            count(hits, said, TIERS[best], asked)
            named = is_named(said, TIERS[best], tier, rule) or denied_early(whole.explain(**asked))
            if verdict != VERDICTS[best] or not named:
                return (files, asked, said, (verdict, tier, rule)), hits
    return None, hits


def goes_by_protocol(image: PolicyImage, asked: dict[str, Any]) -> bool:
    """Whether the rule of a tunnel is another one by what shows inside."""
    if "request" in asked:
        return False
    if ask(image, asked)[0] == "deny":
        return True  # for each protocol, which is not told
    return len({ask(image, {**asked, "shows": shows})[1] for shows in ("http", "tls", "none")}) > 1


def denied_early(said: dict[str, Any]) -> bool:
    """Whether a name was denied before it was known where it lies."""
    return bool(said["verdict"] == "deny" and said["phase"] == "name")


def is_named(said: dict[str, Said], best: str, tier: str, rule: object) -> bool:
    """Whether the right rule is. A name that is denied is not asked for its address, of which a hard deny might be."""
    if best in ("none", "default_deny"):
        return True
    tiers = ("deny", "hard_deny") if best == "hard_deny" else (best,)
    return tier in tiers and any(tier == name and rule == one for name, one in said.values())


def count(hits: Counter[str], said: dict[str, Said], best: str, asked: dict[str, Any]) -> None:
    hits.update(f"{name} {tier}" for name, (tier, _) in said.items())
    tiers = [tier for tier, _ in said.values() if tier != "none"]
    hits[f"wins {best}"] += 1
    hits["two speak"] += len(tiers) == 2
    hits["three speak"] += len(tiers) > 2
    hits["a deny over an allow"] += best == "deny" and "allow" in tiers
    hits["an allow over a default"] += best == "allow" and any(tier.startswith("default") for tier in tiers)
    hits["requests"] += "request" in asked
    hits["addresses"] += asked["address"] is None


def check(seeds: range, worlds: int, least: int, folder: Path) -> None:
    check_seeds(seeds, lambda seed: compare(seed, worlds, folder), COVERED, least)


def test_verdicts_combine(tmp_path: Path) -> None:
    check(range(1, 2), worlds=100, least=5, folder=tmp_path)


@pytest.mark.full
@pytest.mark.timeout(4800)
def test_verdicts_combine_at_length(tmp_path: Path) -> None:
    check(range(2, 12), worlds=1000, least=1000, folder=tmp_path)
