"""`sluice explain` asked by lines of the access log, by ids and by files of questions, and the policies it proposes."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.cli.questions import LONGEST_LINE, of_log_line
from supervisor.policy.explanation import QuestionError
from tests.support.front import CONFIG, POLICY, entered, sluice, write

NETWORKS: Final = "identity: {networks: [{cidr: 10.1.0.0/16, namespace: shop, serviceAccount: cart}]}\n"
SHOP: Final = """\
---
apiVersion: sluice.dev/v1alpha1
kind: EgressPolicy
metadata: {name: cart, namespace: shop}
spec:
  from: [{serviceAccount: cart}]
  to: [{host: "*.shop.test"}, {cidr: 10.9.0.0/16, ports: [5432]}]
  action: Allow
---
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: shut}
spec: {action: Deny, to: [{host: no.test}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return entered(
        tmp_path, monkeypatch, sluice_yaml=CONFIG + NETWORKS + "logs: {access: access.log}\n", policy_yaml=POLICY + SHOP
    )


def line(to: str, port: int, identifier: str = "0-1-1", **changes: Any) -> dict[str, Any]:
    """A line of the access log, as far as its request goes."""
    source = {"ip": "10.1.2.3", "port": 40000, "identity": "shop/cart", "identity_source": "network", "user": None}
    found = {
        "event": "close",
        "id": identifier,
        "listener": None,
        "source": source,
        "destination": {"host": to, "port": port, "address": None},
        "inner": "none",
        "reason": "rule_allow",
    }
    return found | changes


def asked(**changes: Any) -> dict[str, object]:
    return of_log_line(json.dumps(line("a.test", 1, **changes))).request()


# What a line asks for.


def test_a_source_by_its_address_is_asked_about_as_that_address() -> None:
    assert asked() == {"to": "a.test:1", "source": "10.1.2.3"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ({"identity": "shop/cart", "identity_source": "certificate"}, {"from": "shop/cart"}),
        ({"identity": "spiffe://b/x", "identity_source": "certificate"}, {"identity": "spiffe://b/x"}),
        ({"identity": "shop/cart", "identity_source": "password", "user": "bot"}, {"user": "bot"}),
        ({"identity": None, "identity_source": "none"}, {}),
    ],
)
def test_who_asked(source: dict[str, Any], found: dict[str, str]) -> None:
    given = {"ip": "10.1.2.3", "port": 1, "user": None} | source
    assert asked(source=given) == {"to": "a.test:1", "source": "10.1.2.3"} | found


def test_where_to() -> None:
    resolved = {"host": "a.test", "port": 443, "address": "192.0.2.1"}
    assert asked(destination=resolved)["address"] == "192.0.2.1"
    literal = asked(destination={"host": "2001:db8::1", "port": 443, "address": "2001:db8::1"})
    assert literal["to"] == "[2001:db8::1]:443" and "address" not in literal
    assert asked(inner="b.test")["sni"] == "b.test"
    assert asked(listener="mesh")["listener"] == "mesh"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a line of the access log"),
        ("[]", "is not a line of the access log"),
        ("{}", "has no source or no event"),
        ("{" * 100_000, "is not a line of the access log"),
        ('{"event": "close", "source": "10.1.1.1"}', "has no source or no event"),
        (json.dumps(line("a.test", 1, event="refused", destination=None, reason="login_failed")), "login_failed"),
        (json.dumps(line("a.test", 1, destination={"host": "a.test", "port": "x"})), "is not host:port"),
        (json.dumps(line("a.test", 1, source={"ip": "nowhere"})), "is not an IP address"),
        (json.dumps(line("a.test", 1, source={"ip": 7})), "Expected `str"),
        (json.dumps(line("a.test", 1, inner={})), "Expected `str"),
    ],
)
def test_what_is_no_such_line(text: str, words: str) -> None:
    with pytest.raises(QuestionError, match=words):
        of_log_line(text)


def test_every_part_of_a_line_is_refused_or_read() -> None:
    whole = json.dumps(line("a.test", 1))
    for cut in range(len(whole)):
        with pytest.raises(QuestionError):
            of_log_line(whole[:cut])


# The command.


def test_a_line_is_answered_by_the_policy_of_today(folder: Path) -> None:
    done = sluice("explain", "--log-line", json.dumps(line("x.shop.test", 443)))
    assert done.exit_code == 0 and done.stdout.startswith("ALLOW by name only  x.shop.test:443"), done.output
    assert "EgressPolicy/shop/cart" in done.stdout and "10.1.2.3" in done.stdout


def test_an_id_is_looked_for_in_the_log(folder: Path) -> None:
    lines = [line("x.shop.test", 443, "0-1-1"), line("no.test", 1, "0-1-2"), line("api.example.com", 443, "0-1-1")]
    (folder / "access.log").write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in lines))
    answer = json.loads(sluice("explain", "--id", "0-1-1", "--json").stdout)
    assert answer["destination"]["host"] == "api.example.com", "the last line counts"
    assert json.loads(sluice("explain", "--id", "0-1-2", "--json").stdout)["reason"] == "rule_deny"
    missing = sluice("explain", "--id", "0-9-9")
    assert missing.exit_code == 2 and 'has the id "0-9-9"' in missing.output.replace("`", '"')


def test_an_id_needs_a_log_that_is_a_file(folder: Path) -> None:
    write(folder, sluice_yaml=CONFIG)
    done = sluice("explain", "--id", "0-1-1")
    assert done.exit_code == 2 and "logs.access is stdout" in done.output and "--log-line" in done.output
    write(folder, sluice_yaml=CONFIG + "logs: {access: none/such.log}\n")
    done = sluice("explain", "--id", "0-1-1")
    assert done.exit_code == 2 and "No such file" in done.output


BATCH: Final = f"""\
# who reaches what
{json.dumps({"from": "shop/cart", "to": "x.shop.test:443"})}

{json.dumps(line("no.test", 443))}
{json.dumps({"to": "api.example.com:443", "address": "8.8.8.8"})}
"""


def test_a_file_of_questions(folder: Path) -> None:
    (folder / "questions").write_text(BATCH)
    done = sluice("explain", "--batch", "questions")
    assert done.exit_code == 0, done.output
    assert [text.split("  ")[0] for text in done.stdout.splitlines()] == ["ALLOW by name only", "DENY", "ALLOW"]
    answers = list(map(json.loads, sluice("explain", "--batch", "questions", "--json").stdout.splitlines()))
    assert [(each["line"], each["verdict"]) for each in answers] == [(2, "allow"), (4, "deny"), (5, "allow")]
    assert sluice("explain", "--batch", "questions", "--fail").exit_code == 1


def test_a_bad_line_hides_no_other(folder: Path) -> None:
    long = "x" * (2 * LONGEST_LINE)
    (folder / "questions").write_text(f'{BATCH}nonsense\n{{"to": "nowhere"}}\n{{"too": "a:1"}}\n{long}\n{BATCH}')
    done = sluice("explain", "--batch", "questions")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 6
    errors = done.stderr.splitlines()
    assert [text.split(": ")[1] for text in errors] == ["questions:6", "questions:7", "questions:8", "questions:9"]
    assert "is not a question such as" in errors[0] and "is not host:port" in errors[1] and "too" in errors[2]
    assert f"longer than {LONGEST_LINE} bytes" in errors[3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing is asked for   give one of --to, --id, --log-line, --batch"),
        (("--to", "a.test:1", "--id", "0-1-1"), "--to and --id"),
        (("--id", "0-1-1", "--from", "shop/cart"), "--from has no place beside it"),
        (("--batch", "no-such-file"), "cannot be read"),
        (("--log-line", "x"), "is not a line of the access log"),
    ],
)
def test_ways_that_exclude_each_other(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = sluice("explain", *arguments)
    assert done.exit_code == 2 and words in done.output.replace("\n", " "), done.output


# What would allow it.

DENIED: Final = {
    "by name": ("--to", "new.test:8443"),
    "for a service account": ("--from", "shop/cart", "--to", "new.test:443"),
    "for a namespace": ("--from", "pay", "--to", "new.test:443"),
    "for a user": ("--user", "bot", "--to", "new.test:443"),
    "for an identity of another domain": ("--identity", "spiffe://b/x", "--to", "new.test:443"),
    "for an address": ("--source", "192.0.2.7", "--to", "new.test:443"),
    "to an address": ("--from", "shop/cart", "--to", "8.8.8.8:53"),
    "to a private address": ("--from", "shop/cart", "--to", "10.8.0.1:53"),
    "to a private IPv6 address": ("--from", "shop/cart", "--to", "[fd00::1]:53"),
    "to a name at a private address": ("--to", "api.example.com:443", "--address", "10.1.1.1"),
    "to a name in Unicode": ("--to", "bücher.example:443"),
}


@pytest.mark.parametrize("question", DENIED.values(), ids=list(DENIED))
def test_a_denial_comes_with_the_policy_that_would_allow_it(folder: Path, question: tuple[str, ...]) -> None:
    done = sluice("explain", *question)
    assert done.stdout.startswith("DENY"), done.output
    _, _, proposed = done.stdout.partition("\n  to turn  ")
    proposed = proposed.partition("ACTION ")[0]  # the list of those who reach it follows
    manifest = "".join(text.removeprefix("    ") for text in proposed.splitlines(keepends=True)[1:])
    (folder / "policy.yaml").write_text(f"{POLICY}{SHOP}---\n{manifest}")
    assert sluice("explain", *question).stdout.startswith("ALLOW"), manifest
    assert len(yaml.safe_load(manifest)["spec"]["to"]) == 1
    other = [text.replace(":443", ":442").replace(":53", ":52").replace(":8443", ":8442") for text in question]
    assert sluice("explain", *other).stdout.startswith("DENY"), "nothing else is open now"


@pytest.mark.parametrize("to", ["no.test:443", "169.254.169.254:80", "127.0.0.1:1"])
def test_what_no_allow_turns_comes_without_one_first(folder: Path, to: str) -> None:
    lines = sluice("explain", "--to", to).stdout.splitlines()
    following = lines[next(number for number, line in enumerate(lines) if line.startswith("  to turn ")) + 1 :]
    assert "apiVersion" not in "".join(following[:1])
    changes = json.loads(sluice("explain", "--json", "--to", to).stdout)["to_turn"]["changes"]
    assert changes[0]["policy"] is None


def test_a_source_alone_lists_what_it_can_reach(folder: Path) -> None:
    done = sluice("explain", "--from", "shop/cart")
    lines = done.stdout.splitlines()
    assert lines[0] == "what no rule below names: DENY, no_rule"
    assert lines[1].split() == ["ACTION", "TO", "PORTS", "RULE", "ITEM", "PLACE", "DENIED"]
    page = json.loads(sluice("explain", "--json", "--from", "shop/cart", "--limit", "1").stdout)
    assert len(page["items"]) == 1 and page["source"]["namespace"] == "shop"
    assert sluice("explain", "--from", "shop/cart", "--limit", "1").stdout.splitlines()[-1].startswith("there are more")
    rest = json.loads(sluice("explain", "--json", "--from", "shop/cart", "--after", page["next"]).stdout)
    assert len(rest["items"]) + 1 == len(lines) - 2


def test_a_destination_alone_lists_who_can_reach_it(folder: Path) -> None:
    answer = json.loads(sluice("explain", "--json", "--to", "api.example.com:443").stdout)
    assert {"verdict", "items", "next"} <= answer.keys() and answer["unlisted"] == ["networks"]
    assert [source["verdict"] for source in answer["items"][0]["sources"]]
    assert sluice("explain", "--to", "nowhere.test:443", "--fail").exit_code == 1
    assert sluice("explain", "--from", "shop/cart", "--fail").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing is asked for"),
        (["--from", "shop/cart", "--to", "a.test:1", "--limit", "3"], "are for lists of rules"),
        (["--from", "shop/cart", "--resolve"], "asks no DNS"),
        (["--from", "shop/cart", "--after", "x"], "expected the `next` of a page"),
        (["--from", "shop/cart", "--limit", "0"], "--limit"),
        (["--sni", "a.test"], "nothing is asked for"),
        (["--from", "shop/cart", "--id", "1-2-3"], "has no place beside it"),
    ],
)
def test_lists_that_make_no_sense(folder: Path, arguments: list[str], words: str) -> None:
    done = sluice("explain", *arguments)
    assert done.exit_code == 2 and words in done.output, done.output


def test_every_change_that_a_denial_needs_is_listed(folder: Path) -> None:
    """A deny, a guard and a missing allow; made one after the other, the last one lets it pass."""
    deny = "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: stop}\n"
    deny += "spec: {to: [{cidr: 127.0.0.0/8}], action: Deny, hard: true}\n"
    (folder / "policy.yaml").write_text(f"{POLICY}{SHOP}---\n{deny}")
    question = ("--from", "shop/cart", "--to", "127.0.0.1:7")
    turned = json.loads(sluice("explain", "--json", *question).stdout)["to_turn"]
    assert turned["flips"] and turned["remains"] is None
    changes = [change["change"] for change in turned["changes"]]
    assert changes[0].startswith("take item 0 of `to` out of ClusterEgressPolicy/stop (")
    assert changes[1:] == ["add 127.0.0.1/32 to addresses.allow in sluice.yaml", "add this policy"]
    assert "  change 3 add this policy\n    apiVersion: sluice.dev/v1alpha1\n" in sluice("explain", *question).stdout
    policy = turned["changes"][2]["policy"]
    config = (folder / "sluice.yaml").read_text()
    (folder / "policy.yaml").write_text(f"{POLICY}{SHOP}---\n{policy}")
    assert sluice("explain", *question).stdout.startswith("DENY")
    (folder / "sluice.yaml").write_text(f"{config}addresses: {{allow: [127.0.0.1/32]}}\n")
    assert sluice("check").exit_code == 0
    assert sluice("explain", *question).stdout.startswith("ALLOW")


def test_what_nothing_turns_says_so(folder: Path) -> None:
    answer = json.loads(sluice("explain", "--json", "--to", "127.0.0.1:1080").stdout)
    assert answer["to_turn"] == {"changes": [], "flips": False, "remains": "own_address"}
    assert (
        "  to turn  nothing: a tunnel from the gateway to itself" in sluice("explain", "--to", "127.0.0.1:1080").stdout
    )
