"""The loader: which files are read, what is not a policy, what is refused, and where host lists may lie."""

import errno
import os
from pathlib import Path
from typing import Final

import pytest

from supervisor.policy.loader import Policy, load_policy
from supervisor.source.problems import Place, Problems, render
from tests.support.front import POLICY, compiled, errors, warnings, without, write

NAMED: Final = "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {{name: {}}}\nspec: {}\n"
SPEC: Final = "{action: Allow, to: [{host: a.test}]}"
EGRESS: Final = """\
apiVersion: GROUP/v1alpha1
kind: Egress
metadata: {name: a, namespace: one}
spec:
  sources: [{kind: ServiceAccount, name: web, namespace: one}]
  hosts: [a.test]
  ports: [{number: 80, protocol: http}]
"""


def policy(name: str) -> str:
    return NAMED.format(name, SPEC)


def load(folder: Path, *paths: str) -> tuple[Policy, list[str], list[str]]:
    """The loaded rules, errors and warnings."""
    problems = Problems()
    places = tuple(Place("sluice.yaml", 1, number + 1) for number in range(len(paths)))
    found = load_policy(tuple(str(folder / path) for path in paths), places, problems)
    return found, without(folder, render(problems.errors)), without(folder, render(problems.warnings))


def names(found: Policy) -> list[str]:
    return [rule.name for rule in found.rules]


def test_folders_are_read_with_their_folders_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "p/sub/deeper").mkdir(parents=True)
    (tmp_path / "p/b.yaml").write_text(policy("b"))
    (tmp_path / "p/a.yml").write_text(policy("a"))
    (tmp_path / "p/c.json").write_text(
        '{"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterEgressPolicy", "metadata": {"name": "c"},'
        ' "spec": {"action": "Allow", "to": [{"host": "a.test"}]}}'
    )
    (tmp_path / "p/sub/deeper/d.yaml").write_text(policy("d") + "---\n" + policy("e"))
    for ignored in (".hidden.yaml", "notes.txt", "x.yaml.bak", "list"):
        (tmp_path / "p" / ignored).write_text("not: [a policy")
    (tmp_path / "p/.git").mkdir()
    (tmp_path / "p/.git/f.yaml").write_text("not: [a policy")
    found, wrong, odd = load(tmp_path, "p")
    assert (names(found), wrong, odd) == (["a", "b", "c", "d", "e"], [], [])
    assert (found.files, found.resources) == (4, 5)


def test_a_file_that_is_named_may_have_any_suffix(tmp_path: Path) -> None:
    (tmp_path / "policy.txt").write_text(policy("a"))
    assert names(load(tmp_path, "policy.txt")[0]) == ["a"]


def test_symlinks_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.yaml").write_text(policy("a"))
    (tmp_path / "p/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "p/again.yaml").symlink_to(tmp_path / "elsewhere/a.yaml")
    (tmp_path / "p/self").symlink_to(tmp_path / "p")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "p")
    found, wrong, _ = load(tmp_path, "p", "p", "p/again.yaml")
    assert (names(found), wrong) == (["a"], [])


def test_a_mounted_config_map(tmp_path: Path) -> None:
    """Kubernetes mounts files as links through a dot folder that it swaps."""
    (tmp_path / "p/..2024_01_01").mkdir(parents=True)
    (tmp_path / "p/..data").symlink_to("..2024_01_01")
    (tmp_path / "p/..2024_01_01/a.yaml").write_text(NAMED.format("a", "{action: Allow, to: [{hostsFrom: list.txt}]}"))
    (tmp_path / "p/..2024_01_01/list.txt").write_text("a.test\n")
    for name in ("a.yaml", "list.txt"):
        (tmp_path / "p" / name).symlink_to(f"..data/{name}")
    write(tmp_path, sluice_yaml="policy: {paths: [p]}\n")
    report, image = compiled(tmp_path)
    assert image is not None, errors(tmp_path, report)
    os.close(image)
    assert (report.counts["rules"], report.counts["names"]) == (1, 1)


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").symlink_to("nowhere")
    (tmp_path / "p").mkdir()
    (tmp_path / "p/broken.yaml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "p/pipe.yaml")
    _, wrong, odd = load(tmp_path, "nothing", "broken.yaml", "p")
    assert wrong == [
        "p/broken.yaml: cannot be read: No such file or directory",
        "p/pipe.yaml: is not a regular file",
        "sluice.yaml:1:1: policy path `nothing`: No such file or directory",
        "sluice.yaml:1:2: policy path `broken.yaml`: No such file or directory",
    ]
    assert odd == []


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's answer is put in by hand: the tests may run as root, whom nothing is forbidden."""

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    (tmp_path / "a.yaml").write_text(policy("a"))
    monkeypatch.setattr(os, "open", refuse)
    assert load(tmp_path, "a.yaml")[1] == ["a.yaml: cannot be read: Permission denied"]


def test_a_folder_without_policy_is_worth_a_word(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    _, wrong, odd = load(tmp_path, "p")
    assert (wrong, odd) == (
        [], ["sluice.yaml:1:1: no policy file in `p` (*.yaml, *.yml and *.json are read)"],
    )  # fmt: skip


def test_folders_have_a_greatest_depth(tmp_path: Path) -> None:
    deep = tmp_path / "p"
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "a.yaml").write_text(policy("a"))
    found, wrong, _ = load(tmp_path, "p")
    assert names(found) == []
    assert len(wrong) == 1 and wrong[0].endswith("folders are nested deeper than 64")


# a document: (errors, warnings)
DOCUMENTS: Final[dict[str, tuple[str, list[str], list[str]]]] = {
    "nothing": ("", ["a.yaml: the file holds no resource (remove it, if that is meant)"], []),
    "only comments": ("# x\n---\n", ["a.yaml: the file holds no resource (remove it, if that is meant)"], []),
    "a text": ("hello\n", ["a.yaml:1:1: expected a mapping, found the text `hello`"], []),
    "no apiVersion": ("kind: EgressPolicy\n", ["a.yaml:1:1: not a Kubernetes manifest: `apiVersion` is missing"], []),
    "no kind": ("apiVersion: v1\n", ["a.yaml:1:1: not a Kubernetes manifest: `kind` is missing"], []),
    "a kind that is a list": ("apiVersion: v1\nkind: []\n", ["a.yaml:2:7: expected a text, found a list"], []),
    "no metadata": (
        f"apiVersion: sluice.dev/v1alpha1\nkind: EgressPolicy\nspec: {SPEC}\n",
        ["a.yaml:1:1: `metadata` is missing"], [],
    ),
    "no name": (
        f"apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {{}}\nspec: {SPEC}\n",
        ["a.yaml:3:11: `metadata.name` is missing (write name: and a name of its own, such as allow-api)"], [],
    ),
    "no namespace": (
        policy("a").replace("Cluster", ""),
        ["a.yaml:3:11: metadata.namespace is missing; for every workload write kind: ClusterEgressPolicy"], [],
    ),
    "a namespace left empty": (
        policy("a").replace("Cluster", "").replace("name: a", "name: a, namespace: "),
        ["a.yaml:3:11: metadata.namespace is missing; for every workload write kind: ClusterEgressPolicy"], [],
    ),
    "a namespace without a letter": (
        policy("a").replace("Cluster", "").replace("name: a", "name: a, namespace: \"\""),
        [
            "a.yaml:3:32: metadata.namespace: expected a namespace: at most 63 of a-z, 0-9 and '-', with a letter or "
            "digit at both ends, found the text ``"
        ],
        [],
    ),
    "a name in capitals": (
        NAMED.format("Web", SPEC),
        [
            "a.yaml:3:18: metadata.name: expected a name: at most 253 of a-z, 0-9, '-' and '.', with a letter or digit "
            "at both ends, found the text `Web` (write web)"
        ],
        [],
    ),
    "no spec": (NAMED.format("a", "null"), ["a.yaml:4:7: expected a mapping, found nothing"], []),
    "spec is missing": (
        "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: a}\n",
        ["a.yaml:1:1: `spec` is missing"], [],
    ),
    "a field beside spec": (
        policy("a") + "spek: {}\n", ["a.yaml:5:1: unknown key `spek` (did you mean `spec`?)"], [],
    ),
    "what a server adds": (
        policy("a").replace("{name: a}", "{name: a, uid: x, resourceVersion: '7', labels: {a: b}, annotations: {c: d}, "
                            "generation: 1, managedFields: [], creationTimestamp: null}") + "status: {}\n", [], [],
    ),
    "an invalid timestamp": (
        policy("a").replace("{name: a}", "{name: a, creationTimestamp: 2024-13-01T00:00:00Z}"),
        [
            "a.yaml:3:40: metadata.creationTimestamp: expected an RFC 3339 time such as 2024-01-31T12:00:00Z, "
            "found the text `2024-13-01T00:00:00Z`"
        ],
        [],
    ),
    "a timestamp without a zone": (
        policy("a").replace("{name: a}", "{name: a, creationTimestamp: '2024-01-01T00:00:00'}"),
        [
            "a.yaml:3:40: metadata.creationTimestamp: expected an RFC 3339 time such as 2024-01-31T12:00:00Z, "
            "found the text `2024-01-01T00:00:00`"
        ],
        [],
    ),
    "a kind of Sluice, misspelt": (
        policy("a").replace("ClusterEgressPolicy", "EgresPolicy"),
        [
            "a.yaml:2:7: expected one of EgressPolicy, ClusterEgressPolicy, found the text `EgresPolicy` "
            "(did you mean `EgressPolicy`?)"
        ],
        [],
    ),
    "a version to come": (
        policy("a").replace("v1alpha1", "v1"),
        [
            "a.yaml:1:13: expected apiVersion sluice.dev/v1alpha1, found the text `sluice.dev/v1` "
            "(write sluice.dev/v1alpha1)"
        ],
        [],
    ),
    "our kind in another group": (
        policy("a").replace("sluice.dev", "slucie.dev"),
        [
            "a.yaml:1:13: expected apiVersion sluice.dev/v1alpha1 for ClusterEgressPolicy, found the text "
            "`slucie.dev/v1alpha1` (write sluice.dev/v1alpha1)"
        ],
        [],
    ),
    "a kind of Kubernetes": (
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: a}\nspec: {}\n",
        [], ["a.yaml:2:7: skipped, as they have nothing to do with egress: 1 PersistentVolume"],
    ),
    "the same resource twice": (
        policy("a") + "---\n" + policy("a"),
        ["a.yaml:6:1: duplicate ClusterEgressPolicy a (it is first defined at a.yaml:1:1)"], [],
    ),
    "one name of two kinds": (
        policy("a") + "---\n" + policy("a").replace("Cluster", "").replace("name: a", "name: a, namespace: a"), [], [],
    ),
    "one name of two groups": (
        "---\n".join(EGRESS.replace("GROUP", group) for group in ("policy.flomesh.io", "policy.openservicemesh.io")),
        [], [],
    ),
    "the same name in two namespaces": (
        policy("a").replace("Cluster", "").replace("name: a", "name: a, namespace: one") + "---\n"
        + policy("a").replace("Cluster", "").replace("name: a", "name: a, namespace: two"), [], [],
    ),
    "a Smokescreen file": ("version: v1\nservices: []\n", [], []),
    "two Smokescreen files": (
        "version: v1\nservices: []\n---\nversion: v1\nservices: []\n",
        ["a.yaml:4:1: duplicate Smokescreen ACL file (it is first defined at a.yaml:1:1)"], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "wrong", "odd"), DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_a_document(tmp_path: Path, text: str, wrong: list[str], odd: list[str]) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert load(tmp_path, "a.yaml")[1:] == (wrong, odd)


def test_lists_are_their_items_and_one_bad_item_hides_no_other(tmp_path: Path) -> None:
    items = [policy("a"), "kind: x\n", policy("b"), policy("c").replace("Allow", "Alow")]
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        "  - " + item.replace("\n", "\n    ").rstrip() + "\n" for item in items
    )
    (tmp_path / "a.yaml").write_text(text)
    found, wrong, _ = load(tmp_path, "a.yaml")
    assert names(found) == ["a", "b", "c"]
    assert wrong == [
        "a.yaml:8:5: not a Kubernetes manifest: `apiVersion` is missing",
        "a.yaml:16:20: action: expected one of Allow, Deny, Audit, found the text `Alow` (did you mean `Allow`?)",
    ]
    (tmp_path / "b.yaml").write_text(text.replace("v1\nkind: List", "sluice.dev/v1alpha1\nkind: EgressPolicyList"))
    assert names(load(tmp_path, "b.yaml")[0]) == ["a", "b", "c"]


def test_two_files_with_the_same_resource_name_both_places(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.yaml").write_text(policy("web"))
    (tmp_path / "p/b.yaml").write_text("# here\n" + policy("web"))
    expected = "p/b.yaml:2:1: duplicate ClusterEgressPolicy web (it is first defined at p/a.yaml:1:1)"
    assert load(tmp_path, "p")[1] == [expected]


# Host lists.


def with_list(folder: Path, path: str, data: bytes | None = None) -> tuple[list[str], list[str], dict[str, int]]:
    """Errors, warnings and counts with a rule that reads its hosts from `path`, in a policy folder of its own."""
    (folder / "p").mkdir(exist_ok=True)
    (folder / "p/policy.yaml").write_text(POLICY.replace("host: api.example.com", f"hostsFrom: {path}"))
    if data is not None:
        (folder / "p" / path).write_bytes(data)
    write(folder, sluice_yaml="policy: {paths: [p]}\n")
    report, image = compiled(folder)
    if image is not None:
        os.close(image)
    return errors(folder, report), warnings(folder, report), report.counts


def test_a_list_is_counted(tmp_path: Path) -> None:
    data = "\ufeff# partners\r\na.test\r\n\r\n  *.b.test  # all of them\r\nb\u00fccher.example\n*".encode()
    wrong, odd, counts = with_list(tmp_path, "list.txt", data)
    assert (wrong, odd, counts["names"]) == ([], [], 4)


def test_an_empty_list_is_worth_a_word(tmp_path: Path) -> None:
    wrong, odd, _ = with_list(tmp_path, "list.txt", b"# no name yet\n")
    assert (wrong, odd) == ([], ["p/list.txt: the list holds no name: the rule matches nothing"])


BAD_LINES: Final = {
    "a blank": (b"a b", "only letters, digits, '-', '_' and '.' may stand in a name"),
    "an address": (b"192.0.2.1", "an IP address literal"),
    "a number": (b"a.1", "the last label is a number, and the whole is not a canonical IP address"),
    "a star elsewhere": (b"a.*.test", "'*' may only stand alone or as the whole first label ('*.example.com')"),
    "a long label": (b"a" * 64 + b".test", "a label is longer than 63 bytes"),
    "a long name": (b"a." * 150 + b"test", "the name is longer than 253 bytes"),
    "a NUL": (b"a\0.test", "only letters, digits, '-', '_' and '.' may stand in a name"),
    "latin-1": (b"b\xfccher.example", "a byte is not ASCII; write the name in its xn-- form"),
    "an escape sequence": (b"\x1b[31mred", "only letters, digits, '-', '_' and '.' may stand in a name"),
}


@pytest.mark.parametrize(("line", "rule"), BAD_LINES.values(), ids=list(BAD_LINES))
def test_a_bad_line_is_named_and_never_repeated(tmp_path: Path, line: bytes, rule: str) -> None:
    wrong, _, _ = with_list(tmp_path, "list.txt", b"a.test\n# words\n" + line + b"\nb.test\n")
    [said] = wrong
    assert said.startswith(("p/list.txt:3:1: not a host name: ", "p/list.txt:3:1: expected a host name, found "))
    assert f": {rule}" in said and line.decode("latin-1") not in said


def test_a_million_lines_with_one_bad_one(tmp_path: Path) -> None:
    lines = [b"host-%d.example.com" % number for number in range(1_000_000)]
    lines[654_320] = b"secret words"
    wrong, _, _ = with_list(tmp_path, "list.txt", b"\n".join(lines))
    rule = "only letters, digits, '-', '_' and '.' may stand in a name"
    hint = "write one name a line; a comment begins with #"
    assert wrong == [f"p/list.txt:654321:1: expected a host name, found several words: {rule} ({hint})"]


def test_where_lists_may_lie(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("a.test\n")
    (tmp_path / "p/sub").mkdir(parents=True)
    (tmp_path / "p/sub/inside.txt").write_text("a.test\n")
    (tmp_path / "p/out.txt").symlink_to(tmp_path / "outside.txt")
    (tmp_path / "p/in.txt").symlink_to("sub/inside.txt")
    os.mkfifo(tmp_path / "p/pipe")
    for path in ("sub/inside.txt", "in.txt", "../p/sub/inside.txt"):
        assert with_list(tmp_path, path)[0] == []
    hint = "(list files lie inside policy.paths)"
    start = "p/policy.yaml:6:19: hostsFrom:"
    for path in ("../outside.txt", "out.txt", "../../../../etc/passwd", "../no-such-file", "../p", "/dev/../proc/x"):
        expected = f"{start} `{path}` is outside the policy paths {hint}"
        if path.startswith("/"):
            expected = f"{start} a hostsFrom path is relative to the manifest (list files lie beside it)"
        assert with_list(tmp_path, path)[0] == [expected]
    assert with_list(tmp_path, "none.txt")[0] == [
        "p/policy.yaml:6:19: the list `p/none.txt` cannot be read: No such file or directory"
    ]
    assert with_list(tmp_path, "pipe")[0] == ["p/pipe: is not a regular file"]
    assert with_list(tmp_path, "sub")[0] == ["p/sub: is not a regular file"]


def test_a_list_beside_a_policy_file_that_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POLICY.replace("host: api.example.com", "hostsFrom: list.txt"))
    (tmp_path / "list.txt").write_text("a.test\n")
    write(tmp_path, sluice_yaml="policy: {paths: [a.yaml]}\n")
    report, image = compiled(tmp_path)
    assert image is not None, errors(tmp_path, report)
    os.close(image)


def test_a_list_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with open(tmp_path / "p/list.txt", "wb") as file:
        file.truncate((64 << 20) + 1)
    assert with_list(tmp_path, "list.txt")[0] == ["p/list.txt: is larger than 64 MiB"]


def test_a_file_of_manifests_has_at_most_64_mib(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    text = policy("a") + "# comment\n" * (17 << 17)
    assert len(text) > 16 << 20
    (tmp_path / "p/a.yaml").write_text(text)
    assert load(tmp_path, "p")[1] == []
    with open(tmp_path / "p/a.yaml", "r+b") as file:
        file.truncate((64 << 20) + 1)
    (found,) = load(tmp_path, "p")[1]
    assert found == "p/a.yaml: is larger than 64 MiB (long host lists belong in a hostsFrom file)"
