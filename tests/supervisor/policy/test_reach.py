"""The inverse questions of `explain`, against the judge: lists hold every rule that takes part, and name the denies
that take something out."""

import os
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import yaml

from gateway.policy.image import PolicyImage
from supervisor.cli.turning import turning
from supervisor.config.effective import effective
from supervisor.generation.compile import compile_config
from supervisor.policy.explanation import Question, QuestionError, explain, read_question
from supervisor.policy.loader import load_policy
from supervisor.policy.reach import MOST_DENIES, reach
from supervisor.policy.rule_listing import pack
from supervisor.source.problems import Problems
from tests.supervisor.policy import evaluator
from tests.supervisor.policy.draws import IDENTITIES, NETWORKS, draw_question, draw_world
from tests.supervisor.policy.matching import World, best_rank
from tests.supervisor.policy.test_strangers import policy
from tests.supervisor.policy.worlds import compile_world, config_of

Answer = dict[str, Any]


class Loaded:
    """A world's image, and what lists of its rules are made from."""

    def __init__(self, world: World, folder: Path) -> None:
        self.image: PolicyImage = compile_world(world, folder)
        self.config = config_of(world, folder)
        policy = self.config.policy
        self.rules = pack(load_policy(policy.paths, policy.places, Problems()).rules)

    def explain(self, **request: object) -> Answer:
        return explain(self.image, self.config, read_question(request))

    def reach(self, **request: object) -> Answer:
        return reach(self.image, self.config, self.rules, 7, read_question({"reach": True, **request}))


def name(rule: Answer) -> tuple[Any, ...]:
    return rule["kind"], rule["namespace"], rule["name"], rule["index"]


def items(answer: Answer) -> dict[tuple[Any, ...], Answer]:
    return {name(item["rule"]): item for item in answer["items"]}


def source_of(question: evaluator.Question) -> dict[str, object]:
    """The source of a drawn question, in the words of `explain`."""
    workload = "/".join(filter(None, (question.namespace, question.account)))
    found: dict[str, object] = {
        "from": workload,
        "user": question.user,
        "identity": question.identity,
        "source": question.source,
    }
    if question.token and not (workload or question.user or question.identity):
        found |= {"from": question.token.rstrip("/"), "token": True}
    return {key: value for key, value in found.items() if value}


def check_denies(listed: dict[tuple[Any, ...], Answer], answer: Answer, hits: Counter[str]) -> None:
    """Lists have all that took part in a decision, and name denies where they took something."""
    rule = answer["rule"]
    if rule is not None and answer["reason"] in ("rule_allow", "rule_audit"):
        assert listed[name(rule)]["denied"] != "all", rule
    for phase in ("name", "address"):
        steps = [step for step in answer["trail"] if step["rule"] is not None and step["phase"] == phase]
        steps = [step for step in steps if not step["excepted"]]
        denies = {name(step["rule"]) for step in steps if step["tier"] in ("deny", "hard_deny")}
        for step in steps:
            item = listed[name(step["rule"])]
            # An IPv6 address that carries an IPv4 address is judged by rules of both: lists compare those of one.
            one = phase == "name" or ":" not in (answer["destination"]["address"] or answer["destination"]["host"])
            if denies and one and step["tier"] in ("allow", "audit"):
                hits["denied"] += 1
                assert item["denied"] is not None, step
                assert item["more"] or denies <= {name(each) for each in item["by"]}, step


def compare(seed: int, worlds: int, folder: Path) -> Counter[str]:
    random, hits = Random(seed), Counter[str]()
    for _ in range(worlds):
        world = draw_world(random)
        loaded = Loaded(world, folder)
        for _ in range(12):
            question = draw_question(random)
            source = source_of(question)
            if not source:
                continue
            listed = items(loaded.reach(**source))
            for _ in range(10):
                other = draw_question(random)
                to = f"[{other.host}]:{other.port}" if ":" in other.host else f"{other.host}:{other.port}"
                given = {"address": other.address} if other.address and other.address != other.host else {}
                answer = loaded.explain(to=to, **given, **source)
                check_denies(listed, answer, hits)
                who = items(loaded.reach(to=to, **given))
                for step in answer["trail"]:
                    if (
                        step["rule"] is not None
                        and not step["excepted"]
                        and not other.host.startswith(("::ffff", "64:", "2600:64"))
                    ):
                        ipv4 = ":" not in (other.address or other.host)
                        assert not (ipv4 or step["phase"] == "name") or name(step["rule"]) in who, (to, given, step)
                for item in who.values():
                    for each in item["sources"]:
                        hits[f"source {each['verdict']}"] += 1
                hits["questions"] += 1
            check_order(listed)
    return hits


def check_order(listed: dict[tuple[Any, ...], Answer]) -> None:
    tiers = [("Deny", True), ("Deny", False), ("Allow", False), ("Audit", False)]
    order = [tiers.index((item["action"], item["hard"])) for item in listed.values()]
    assert order == sorted(order)


def test_lists_hold_what_the_judge_finds(tmp_path: Path) -> None:
    hits = compare(1, 20, tmp_path)
    assert hits["questions"] > 1500 and hits["denied"] > 150, hits
    assert hits["source allow"] > 150 and hits["source deny"] > 150, hits


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_lists_hold_what_the_judge_finds_at_length(tmp_path: Path) -> None:
    hits = compare(2, 1500, tmp_path)
    assert hits["denied"] > 10_000, hits


@pytest.mark.parametrize("worlds", [60, pytest.param(1500, marks=pytest.mark.full)])
def test_a_source_is_listed_no_rule_of_others(tmp_path: Path, worlds: int) -> None:
    """The slow evaluator's view of which items select a source; sources by address, so that both know them whole."""
    random = Random(3)
    for _ in range(worlds):
        world = draw_world(random)
        loaded = Loaded(world, tmp_path)
        slow = evaluator.Evaluator(world)
        for source in ("10.1.0.1", "10.1.5.5", "10.2.0.1", "fd01::1"):
            asked = evaluator.Question(host="a.test", port=1, source=source)
            who = slow.source(asked)
            expected = {
                (*item.rule[:1], item.namespace or None, *item.rule[2:])
                for item in slow.items
                if best_rank(item, who) is not None
            }
            assert set(items(loaded.reach(source=source))) == expected


WORLD: Final = World(
    manifests=[
        policy("web", "shop", **{"from": [{"serviceAccount": "cart"}, {"serviceAccount": "till"}]}, to=[
            {"host": "*.example.test", "ports": [443]}, {"host": "a.test"}, {"hostsFrom": "list.txt"},
        ]),
        policy("no-till", "shop", action="Deny", **{"from": [{"serviceAccount": "till"}]}, to=[
            {"host": "evil.example.test"},
        ]),
        policy("never", None, action="Deny", hard=True, to=[{"host": "*.bad.test"}, {"host": "a.test"}]),
        policy("net", None, to=[{"cidr": "8.8.0.0/16"}]),
    ],
    lists={"list.txt": "x.test\nbad.test\n"},
    networks=NETWORKS,
)  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return Loaded(WORLD, tmp_path_factory.mktemp("small"))


def test_a_source(small: Loaded) -> None:
    answer = small.reach(**{"from": "shop/till"})
    assert answer["question"] == "from" and answer["default"] == {"verdict": "deny", "reason": "no_rule"}
    said = [(item["rule"]["name"], item["to"]["host"], item["denied"]) for item in answer["items"]]
    assert said == [
        ("never", "a.test", None), ("never", "*.bad.test", None), ("no-till", "evil.example.test", None),
        ("web", "a.test", "all"), ("web", None, "part"), ("web", "*.example.test", "part"), ("net", None, None),
    ]  # fmt: skip
    denied = next(item for item in answer["items"] if item["to"]["host"] == "*.example.test")
    assert [rule["name"] for rule in denied["by"]] == ["no-till"] and denied["more"] == 0


def test_a_destination(small: Loaded) -> None:
    answer = small.reach(to="evil.example.test:443")
    assert answer["unlisted"] == ["networks"] and answer["default"]["reason"] == "needs_address"
    assert [(item["rule"]["name"], item["denied"]) for item in answer["items"]] == [("no-till", None), ("web", "part")]
    verdicts = [(source["from"]["serviceAccount"], source["verdict"]) for source in answer["items"][1]["sources"]]
    assert verdicts == [("cart", "allow"), ("till", "deny")]


@pytest.mark.parametrize(("to", "expected"), [("x.test:1", 1), ("bad.test:1", 1), ("y.test:1", 0), ("8.8.8.8:53", 1)])
def test_names_of_lists_and_networks(small: Loaded, to: str, expected: int) -> None:
    assert len(small.reach(to=to)["items"]) == expected


def test_pages(small: Loaded) -> None:
    whole, page, seen = small.reach(**{"from": "shop/till"})["items"], None, []
    for _ in range(len(whole)):
        answer = small.reach(**{"from": "shop/till", "limit": 2, **({"after": page} if page else {})})
        seen += answer["items"]
        page = answer["next"]
        if page is None:
            break
    assert seen == whole and page is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "a list of rules is for a source, or for a destination"),
        ({"to": "a.test:1", "source": "10.0.0.1"}, "a list of rules is for a source, or for a destination"),
        ({"source": "10.0.0.1", "limit": 0}, "limit is a number from 1 to 1000"),
        ({"source": "10.0.0.1", "limit": 1001}, "limit is a number from 1 to 1000"),
        ({"source": "10.0.0.1", "limit": "1"}, "Expected `int"),
        ({"source": "10.0.0.1", "after": "x"}, "expected the `next` of a page"),
        ({"source": "10.0.0.1", "after": "6-1"}, "the policy has changed"),
        ({"source": "10.0.0.1", "resolve": True}, "a list of rules asks no DNS"),
        ({"source": "10.0.0"}, "is not an IP address"),
        ({"to": "a.test"}, "is not host:port"),
        ({"to": "a..test:1"}, "a label is empty"),
    ],
)
def test_bad_questions(small: Loaded, request_: dict[str, object], words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        small.reach(**request_)


def test_without_a_destination_there_is_no_decision(small: Loaded) -> None:
    with pytest.raises(QuestionError, match="no destination is asked for"):
        read_question({"source": "10.0.0.1"})
    with pytest.raises(QuestionError, match="no destination is asked for"):
        explain(small.image, small.config, Question(source="10.0.0.1"))
    with pytest.raises(QuestionError, match="for lists of rules"):
        read_question({"to": "a.test:1", "source": "10.0.0.1", "limit": 3})


def test_many_denies_are_counted(tmp_path: Path) -> None:
    denies = [{"host": f"h{number}.test"} for number in range(MOST_DENIES + 5)]
    world = World(manifests=[policy("p", None, to=[{"host": "*"}]), policy("d", None, action="Deny", to=denies)])
    item = Loaded(world, tmp_path).reach(identity=IDENTITIES[0])["items"][-1]
    assert (item["denied"], len(item["by"]), item["more"]) == ("part", MOST_DENIES, 5)


def test_lists_are_asked_as_a_source_that_the_rule_selects(tmp_path: Path) -> None:
    """The first selector is a user of another namespace: no source is one, and the name is in the list all the same."""
    sources = [{"user": "ops"}, {"identity": IDENTITIES[0]}]
    world = World(
        manifests=[policy("p", "shop", action="Audit", **{"from": sources}, to=[{"hostsFrom": "list.txt"}])],
        lists={"list.txt": "x.test\n"},
        networks=NETWORKS,
        users={"ops": ("pay", "")},
    )
    loaded = Loaded(world, tmp_path)
    (item,) = loaded.reach(to="x.test:1")["items"]
    assert [(source["from"].get("user"), source["verdict"]) for source in item["sources"]] == [(None, "audit")]
    assert not loaded.reach(to="y.test:1")["items"]


MESH: Final = {
    "apiVersion": "config.flomesh.io/v1alpha3",
    "kind": "MeshConfig",
    "metadata": {"name": "fsm-mesh-config", "namespace": "fsm"},
}


@pytest.mark.parametrize("opens", [True, False])
def test_passthrough_of_the_mesh_is_resolved(tmp_path: Path, opens: bool) -> None:
    """`passthrough: mesh` lists and turns as what the mesh says, and `check --print` shows the word."""
    mesh = {**MESH, "spec": {"traffic": {"enableEgress": opens}}}
    deny = policy("never", None, action="Deny", to=[{"host": "*"}])
    allow = policy("own", "shop", to=[{"host": "own.test"}])
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump_all([mesh, deny, allow]))
    (tmp_path / "sluice.yaml").write_text("policy: {paths: [policy.yaml], passthrough: mesh}\n")
    report, descriptor = compile_config(str(tmp_path / "sluice.yaml"))
    assert descriptor is not None and report.config is not None, report.problems
    image = PolicyImage.from_fd(descriptor)
    os.close(descriptor)
    assert effective(report.config)["policy"]["passthrough"] == "mesh"
    for source, opened in (("pay", opens), ("shop", False)):
        listed = reach(image, report.config, report.rules, 1, read_question({"reach": True, "from": source}))
        assert listed["default"]["verdict"] == ("allow" if opened else "deny"), source
        question = read_question({"from": source, "to": "x.test:1"})
        answer = explain(image, report.config, question)
        turned = turning(image, report.config, (), report.rules, question, answer)
        assert turned["flips"] and len(turned["changes"]) == (1 if opened else 2), turned
