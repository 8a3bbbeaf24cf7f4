"""The compile process as its parents see it: a result with a sealed image, a refusal, or a crash that is told apart."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
import pytest

from gateway.policy.image import PolicyImage
from supervisor.config.config import Admin, Config, Gateway, Listener
from supervisor.config.reader import load_config
from supervisor.config.tls import ReadTls
from supervisor.generation.compilation import (
    COUNTS,
    GREETING,
    CompileCrashed,
    CompileResult,
    Report,
    compile_blocking,
    receive_result,
    send_result,
)
from supervisor.policy import builder
from supervisor.policy.compiler import own_addresses
from supervisor.source.problems import Problem
from tests.support.front import HASH, POLICY, compiled, errors, warnings, write

CONFIG: Final = "policy: {paths: [policy.yaml]}\nidentity: {users: users.yaml}\n"
USERS: Final = f"users: [{{name: bob, hash: {HASH}, identity: {{namespace: shop}}}}]\n"
REPORT: Final = Report(ok=False, problems=(Problem("a", 1, 2, "wrong"),), warnings=())


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def result_of(path: Path) -> CompileResult:
    result = compile_blocking(str(path))
    if result.image is not None:
        os.close(result.image)
    return result


def test_a_sound_configuration_gives_a_sealed_image(tmp_path: Path) -> None:
    path = write(tmp_path, sluice_yaml=CONFIG, policy_yaml=POLICY, users_yaml=USERS)
    result = compile_blocking(str(path))
    assert result.ok and result.problems == () and result.image is not None
    try:
        builder.validate(result.image)
        seals = fcntl.fcntl(result.image, fcntl.F_GET_SEALS)
        assert seals & fcntl.F_SEAL_WRITE and seals & fcntl.F_SEAL_SHRINK and seals & fcntl.F_SEAL_GROW
        assert not os.get_inheritable(result.image)
        image = PolicyImage.from_fd(result.image)
        assert image.explain(host="api.example.com", port=443)["verdict"] == "allow"
        assert image.explain(host="api.example.com", port=443, user="bob")["source"]["namespace"] == "shop"
    finally:
        os.close(result.image)
    assert result.users == {"bob": HASH}
    assert tuple(result.counts) == COUNTS
    assert result.counts == {
        **dict.fromkeys(("files", "resources", "rules", "names", "users"), 1),
        **dict.fromkeys(("cidrs", "networks", "workloads"), 0),
    }
    assert result.seconds > 0
    assert result.config == load_config(str(path))
    assert result.config is not None and result.settings is not None
    known = ReadTls(system_ca=result.settings["system_ca"])
    assert result.settings == result.config.settings(tls=known)
    assert "the hash is weak" in result.warning_lines()[0]


def test_a_refused_configuration_says_why_and_gives_no_image(tmp_path: Path) -> None:
    path = write(tmp_path, sluice_yaml=CONFIG, policy_yaml=POLICY.replace("Allow", "Alow"), users_yaml=USERS)
    result = compile_blocking(str(path))
    assert not result.ok and result.image is None
    assert [line.replace(f"{tmp_path}/", "") for line in result.problem_lines()] == [
        "policy.yaml:7:11: action: expected one of Allow, Deny, Audit, found the text `Alow` (did you mean `Allow`?)"
    ]
    assert result.config == load_config(str(path)), "what else could be read is there all the same"


def test_a_configuration_that_is_wrong_itself(tmp_path: Path) -> None:
    result = result_of(write(tmp_path, sluice_yaml="workers: 0\n"))
    assert (result.ok, result.config, result.settings, result.image) == (False, None, None, None)
    assert errors(tmp_path, result) == ["sluice.yaml:1:10: workers: 0 is out of range: 1 to 256"]


def test_mistakes_of_all_files_come_in_one_run(tmp_path: Path) -> None:
    policy = POLICY.replace("api.example.com", "a b") + "---\n" + POLICY.replace("ports", "prots")
    write(tmp_path, sluice_yaml=CONFIG, policy_yaml=policy, users_yaml="users: [{name: bob}]\n")
    report, _ = compiled(tmp_path)
    assert errors(tmp_path, report) == [
        "policy.yaml:6:14: `a b` is not a host name: only letters, digits, '-', '_' and '.' may stand in a name",
        "policy.yaml:9:1: duplicate ClusterEgressPolicy web (it is first defined at policy.yaml:1:1)",
        "policy.yaml:14:31: unknown key `prots` (did you mean `ports`?)",
        "users.yaml:1:9: `hash` is missing (`sluice user add bob` makes one)",
    ]


MISSING: Final = {
    "no users file": (
        "identity:\n  users: missing.yaml\n",
        "sluice.yaml:2:10: the users file `missing.yaml` does not exist (`sluice user add` makes it)",
    ),
    "no policy": ("policy:\n  paths: [none]\n", "sluice.yaml:2:11: policy path `none`: No such file or directory"),
}


@pytest.mark.parametrize(("text", "expected"), MISSING.values(), ids=list(MISSING))
def test_a_file_that_is_missing_is_named_where_it_is_asked_for(tmp_path: Path, text: str, expected: str) -> None:
    write(tmp_path, sluice_yaml=text)
    report, image = compiled(tmp_path)
    assert image is None
    assert errors(tmp_path, report) == [expected]


def test_warnings_of_every_file_are_told(tmp_path: Path) -> None:
    text = "addresses: {allow: [10.0.0.0/8], deny: [10.0.0.0/8]}\n" + CONFIG
    write(tmp_path, sluice_yaml=text, policy_yaml=POLICY, users_yaml="users: []\n")
    report, image = compiled(tmp_path)
    assert image is not None
    os.close(image)
    expected = ["sluice.yaml:1:20: 10.0.0.0/8 stands in addresses.allow and addresses.deny: deny wins"]
    assert warnings(tmp_path, report) == expected


def test_a_missing_sluice_yaml_is_a_refusal(tmp_path: Path) -> None:
    result = result_of(tmp_path / "sluice.yaml")
    assert errors(tmp_path, result) == ["sluice.yaml: cannot be read: No such file or directory"]


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    good = write(tmp_path, sluice_yaml=CONFIG, policy_yaml=POLICY, users_yaml=USERS)
    result_of(good)
    before = descriptors()
    result_of(good)
    result_of(tmp_path / "none.yaml")
    for _ in range(3):
        image = compiled(tmp_path)[1]
        assert image is not None
        os.close(image)
    write(tmp_path, policy_yaml=POLICY.replace("api.example.com", "a b"))
    compiled(tmp_path)
    assert descriptors() == before


def test_the_process_ends_with_0_and_lowers_its_priority(tmp_path: Path) -> None:
    path = write(tmp_path, sluice_yaml="{}")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        script = (
            "import os, sys, supervisor.generation.compile as c\n"
            f"sys.argv = ['x', '--config', {str(path)!r}, '--result-fd', '{theirs.fileno()}']\n"
            "status = c.main(); print(os.getpriority(os.PRIO_PROCESS, 0)); sys.exit(status)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], pass_fds=[theirs.fileno()], capture_output=True, text=True, check=True
        )
        assert int(done.stdout) >= 10
        theirs.close()
        result = receive_result(ours)
    assert result.ok and result.image is not None
    os.close(result.image)


def crash(monkeypatch: pytest.MonkeyPatch, script: str) -> str:
    """The result of compile_blocking when the process runs `script` instead."""
    real = subprocess.Popen

    def popen(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        return real([sys.executable, "-c", script, *command[3:]], **options)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(subprocess, "Popen", popen)
    before = descriptors()
    with pytest.raises(CompileCrashed) as caught:
        compile_blocking("sluice.yaml")
    assert descriptors() == before
    return str(caught.value)


SEND: Final = "import socket, sys; s = socket.socket(fileno=int(sys.argv[-1]));"
CRASHES: Final = {
    "it exits": ("import sys; sys.exit(3)", "it ended without a result, exit code 3"),
    "it is killed": (
        "import os; os.kill(os.getpid(), 9)",
        "it ended without a result, killed by SIGKILL, most likely by the kernel: out of memory",
    ),
    "it fails at import": ("raise ImportError", "it ended without a result, exit code 1"),
    "it babbles": (SEND + "s.send(b'x' * 16)", "its answer is malformed, exit code 0"),
    "it greets and sends nothing": (SEND + f"s.send({GREETING!r})", "its answer is malformed, exit code 0"),
    "it sends half a greeting": (SEND + f"s.send({GREETING[:5]!r})", "its answer is malformed, exit code 0"),
    "it sends rubbish": (
        SEND + f"import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); f.flush();"
        f"socket.send_fds(s, [{GREETING!r}], [f.fileno()])",
        "its answer cannot be read: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("script", "expected"), CRASHES.values(), ids=list(CRASHES))
def test_a_crash_is_told_apart_from_a_refusal(monkeypatch: pytest.MonkeyPatch, script: str, expected: str) -> None:
    said = crash(monkeypatch, script)
    assert said.startswith("the compile process failed: ")
    assert expected in said


def test_a_report_and_an_image_must_fit_together() -> None:
    for report, image in ((msgspec.structs.replace(REPORT, ok=True), None), (REPORT, os.memfd_create("x"))):
        before = descriptors()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            send_result(theirs, report, image)
            with pytest.raises(CompileCrashed, match="do not fit together"):
                receive_result(ours)
        assert descriptors() == before
        if image is not None:
            os.close(image)


def test_a_greeting_may_come_in_pieces() -> None:
    ours, theirs = socket.socketpair()
    report = os.memfd_create("report")
    os.write(report, msgspec.msgpack.encode(REPORT))
    with ours, theirs:
        socket.send_fds(theirs, [GREETING[:3]], [report])
        timer = threading.Timer(0.05, theirs.send, (GREETING[3:],))
        timer.start()
        result = receive_result(ours)
        timer.join()
    os.close(report)
    assert result.problem_lines() == ["a:1:2: wrong"]


# Ports of the gateway itself.


def test_every_port_it_listens_on_is_own_whatever_the_address() -> None:
    config = Config(
        path="",
        control="tcp://127.0.0.1:84",
        listeners=(Listener(host="192.0.2.7", port=81), Listener(host="::", port=82)),
        admin=Admin(port=83),
        metrics=("192.0.2.9", 86),
    )
    assert list(own_addresses(config)) == [(None, port) for port in (81, 82, 83, 84, 85, 86)]


def test_what_waits_for_a_restart_is_own_as_well() -> None:
    config = Config(path="", control="", listeners=(Listener(port=81),), admin=Admin(port=82))
    assert list(own_addresses(config, [("0.0.0.0", 80), ("127.0.0.1", 82)])) == [(None, port) for port in (80, 81, 82)]


def test_service_addresses_are_own_at_every_port() -> None:
    addresses = Gateway(service_addresses=("10.96.0.1", "fd00::1"))
    config = Config(path="", control="", listeners=(Listener(port=81),), gateway=addresses)
    found = {block for block, port in own_addresses(config) if port == 0}
    assert found == {"10.96.0.1/32", "::ffff:10.96.0.1/128", "fd00::1/128"}


def test_the_compile_process_is_the_first_to_go_and_its_address_space_has_an_end() -> None:
    script = """if True:
        import os, resource
        from supervisor.host import machine
        from supervisor.generation.compile import confine
        machine.free_memory = lambda: 400 << 20
        used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        confine()
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        print(open("/proc/self/oom_score_adj").read().strip(), 300 << 20 <= limit - used < 316 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit - 1, limit))
        machine.free_memory = lambda: 1 << 50
        confine()
        print(resource.getrlimit(resource.RLIMIT_AS) == (limit - 1, limit), "a limit that is there is not lifted")
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1000 True", "True a limit that is there is not lifted"]


def test_a_compile_that_gets_no_more_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of names that needs more than what is free, and the least that any compile gets."""
    names = (f"host-{number}.a-rather-long-name.test\n" for number in range(400_000))
    (tmp_path / "names.txt").write_text("".join(names))
    (tmp_path / "policy.yaml").write_text(
        "apiVersion: sluice.dev/v1alpha1\nkind: ClusterEgressPolicy\nmetadata: {name: many}\n"
        "spec: {action: Allow, to: [{hostsFrom: names.txt}]}\n"
    )
    (tmp_path / "sluice.yaml").write_text("policy: {paths: [policy.yaml]}\n")
    script = "from supervisor.generation import compile\nfrom supervisor.host import machine\n"
    script += "machine.free_memory = lambda: {free}\n"
    script += "compile.LEAST_MEMORY = 8 << 20\nexit(compile.main())"
    popen = subprocess.Popen
    for free, expected in (("0", "out of memory"), ("8 << 30", "")):
        monkeypatch.setattr(
            "subprocess.Popen",
            lambda command, free=free, **rest: popen(
                [sys.executable, "-P", "-c", script.format(free=free), *command[4:]], **rest
            ),
        )
        if expected:
            with pytest.raises(CompileCrashed, match=expected):
                compile_blocking(str(tmp_path / "sluice.yaml"))
        else:
            result = compile_blocking(str(tmp_path / "sluice.yaml"))
            assert result.ok and result.image is not None
            os.close(result.image)
