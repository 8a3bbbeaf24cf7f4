"""The changes that turn a denial, made for real: after all of them it passes, and after fewer it does not."""

import copy
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import yaml

from supervisor.cli.turning import from_trail, turning
from supervisor.policy.explanation import explain, read_question
from tests.supervisor.policy.draws import draw_question, draw_world
from tests.supervisor.policy.matching import World
from tests.supervisor.policy.test_reach import Loaded, source_of
from tests.supervisor.policy.worlds import users_of

Answer = dict[str, Any]
# What neither a policy nor a setting turns: the client has to ask otherwise, or a rule to demand less.
REMAINS = re.compile("own_address|inner_|other_way|address_denied|no_cidr_rule")


def changed(world: World, changes: list[Answer]) -> World:
    """The world with these changes made in its files and settings."""
    manifests = copy.deepcopy(list(world.manifests))
    allow, deny = list(world.allow), list(world.deny)
    gone = {
        (each["rule"]["namespace"], each["rule"]["name"], each["rule"]["index"]) for each in changes if each["rule"]
    }
    for manifest in manifests:
        space, name = manifest["metadata"].get("namespace"), manifest["metadata"]["name"]
        items = manifest["spec"]["to"]
        manifest["spec"]["to"] = [item for index, item in enumerate(items) if (space, name, index) not in gone]
    manifests = [manifest for manifest in manifests if manifest["spec"]["to"]]
    for each in changes:
        if each["policy"]:
            manifests.append(yaml.safe_load(each["policy"]))
        elif found := re.fullmatch("add (.*) to addresses.allow in sluice.yaml", each["change"]):
            allow.append(found[1])
        elif found := re.fullmatch("take (.*) out of addresses.deny in sluice.yaml", each["change"]):
            deny = [cidr for cidr in deny if cidr not in found[1].split(", ")]
    return World(**{**world.__dict__, "manifests": manifests, "allow": allow, "deny": deny})


def compare(seed: int, worlds: int, folder: Path) -> Counter[str]:
    random, hits = Random(seed), Counter[str]()
    for _ in range(worlds):
        world = draw_world(random)
        loaded = Loaded(world, folder)
        denied = []
        for _ in range(8):
            drawn = draw_question(random)
            to = f"[{drawn.host}]:{drawn.port}" if ":" in drawn.host else f"{drawn.host}:{drawn.port}"
            address = drawn.address if drawn.address != drawn.host else ""
            given = {key: value for key, value in (("address", address), ("sni", drawn.sni)) if value}
            question = read_question({"to": to, **given, **source_of(drawn)})
            answer = explain(loaded.image, loaded.config, question)
            if answer["verdict"] == "deny":
                args = (loaded.image, loaded.config, users_of(world), loaded.rules, question, answer)
                denied.append((question, turning(*args)))
        for question, turned in denied:
            hits[f"changes {len(turned['changes'])}"] += 1
            hits[f"flips {turned['flips']}"] += 1
            if not turned["flips"]:
                assert turned["flips"] is None or REMAINS.search(turned["remains"]), turned
                continue
            for made in (turned["changes"], turned["changes"][:-1]):
                after = Loaded(changed(world, made), folder)
                verdict = explain(after.image, after.config, question)["verdict"]
                assert (verdict != "deny") == (made is turned["changes"]), f"{world}\n{question}\n{turned}"
            Loaded(world, folder)
    return hits


def test_all_changes_turn_a_denial_and_fewer_do_not(tmp_path: Path) -> None:
    hits = compare(1, 30, tmp_path)
    assert hits["flips True"] > 50 and hits["changes 1"] > 25 and hits["changes 2"] > 10, hits
    assert hits["flips None"] < hits["flips True"] / 20, hits


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_all_changes_turn_a_denial_and_fewer_do_not_at_length(tmp_path: Path) -> None:
    assert compare(2, 1500, tmp_path)["flips True"] > 3000


def test_a_live_answer_tells_what_its_trail_has(tmp_path: Path) -> None:
    random = Random(4)
    loaded = Loaded(draw_world(random), tmp_path)
    answer = loaded.explain(to="example.test:443", source="10.1.0.1")
    told = from_trail(answer)
    assert told["flips"] is None and set(told) == {"changes", "flips", "remains"}
    assert msgspec.json.encode(told)


def test_a_namespace_in_audit_mode_needs_no_policy_once_the_address_is_open(tmp_path: Path) -> None:
    """No rule names the destination: what is left when the guard is lifted is a denial that audit mode softens."""
    manifest = {
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "ClusterEgressPolicy",
        "metadata": {"name": "elsewhere"},
        "spec": {"action": "Allow", "to": [{"host": "a.test"}]},
    }
    plain = {"manifests": [manifest], "allow": [], "deny": [], "passthrough": False, "audit_namespaces": ["shop"]}
    world = World(**{**draw_world(Random(1)).__dict__, **plain})
    loaded = Loaded(world, tmp_path)
    question = read_question({"to": "169.254.169.254:443", "from": "shop/cart"})
    answer = explain(loaded.image, loaded.config, question)
    turned = turning(loaded.image, loaded.config, users_of(world), loaded.rules, question, answer)
    opened = "add 169.254.169.254/32 to addresses.allow in sluice.yaml"
    assert [each["change"] for each in turned["changes"]] == [opened] and turned["flips"]
