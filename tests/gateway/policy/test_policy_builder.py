"""The image builder in Python: ids, errors that name what was broken, lists, and the sealed memfd."""

import fcntl
import os
from collections.abc import Callable
from typing import Any

import pytest

import supervisor.policy.builder as builder
from gateway.policy.image import PolicyImage


def started(tier: int = builder.TIER_ALLOW) -> tuple[Any, int]:
    """A builder with one rule for the mesh, and its attachment."""
    image = builder.ImageBuilder()
    rule = image.rule("EgressPolicy", "shop", "r", 0, "p.yaml", 1, tier)
    all_sources = image.selector(builder.PRINCIPAL_MESH, "", "", None, True)
    return image, image.attach(rule, tier, 0, 0, image.who([all_sources]))


def finished(image: Any) -> Any:
    descriptor = image.finish_memfd()
    try:
        builder.validate(descriptor)
        return PolicyImage.from_fd(descriptor)
    finally:
        os.close(descriptor)


def verdict(image: Any, host: str) -> str:
    return str(finished(image).explain(host=host, port=443)["verdict"])


def test_the_memfd_is_sealed_and_closed_on_exec() -> None:
    image, _item = started()
    descriptor = image.finish_memfd()
    try:
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) == builder.SEALS
        assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        for change in (lambda: os.write(descriptor, b"x"), lambda: os.ftruncate(descriptor, 0)):
            with pytest.raises(PermissionError):
                change()
        assert os.fstat(descriptor).st_size == len(image.finish())
        assert os.pread(descriptor, 8, 0) == b"SLUICEPI"
    finally:
        os.close(descriptor)


def test_the_image_outlives_its_builder() -> None:
    image, item = started()
    image.host(item, b"a.com")
    data = image.finish()
    del image
    with memoryview(data) as view:
        assert view.readonly
        assert bytes(view[:8]) == b"SLUICEPI"
        assert len(view) == len(data)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (b"", "empty"),
        (b"a..b", "label is empty"),
        (b"a b", "only letters"),
        (b"*a.com", r"'\*' may only"),
        (b"1.2.3.4", "IP address"),
        (b"1.2.3", "number"),
        (b"x" * 64, "63 bytes"),
        (b"a." * 130, "253 bytes"),
        ("bücher.de".encode(), "xn--"),
    ],
)
def test_a_bad_pattern_is_named_by_the_rule_it_broke(pattern: bytes, words: str) -> None:
    image, item = started()
    for add in (image.host, image.host_except):
        with pytest.raises(builder.NameProblem, match=words) as caught:
            add(item, pattern)
        assert caught.value.line == 0
        assert pattern == b"" or pattern.decode() not in caught.value.rule


def test_lists() -> None:
    image, item = started()
    text = "# partners\r\na.com\r\n\r\n*.b.com   # all of b\nBÜCHER.de # ü\n*.straße.example\nc.com"
    assert image.host_list(item, text.encode()) == 5
    assert image.host_list(item, b"") == 0
    assert image.host_list(item, b"\xef\xbb\xbfd.com\n") == 1
    for host in ("a.com", "x.b.com", "xn--bcher-kva.de", "x.xn--strae-oqa.example", "c.com", "d.com"):
        assert verdict(image, host) == "allow", host
    for host in ("b.com", "x.a.com"):
        assert verdict(image, host) == "deny", host


@pytest.mark.parametrize(
    ("data", "line", "words"),
    [
        (b"a.com\n\n# x\nb..com\nc.com\n", 4, "label is empty"),
        (b"a.com\n10.0.0.1\n", 2, "IP address"),
        (b"ok.com\n\xff\xfe.com\n", 2, "xn--"),
        ("ü.com\nx y\n".encode(), 2, "only letters"),
        ("ok.com\n\n☃.com\n".encode(), 3, "IDNA"),
        ("ü.com\n*ü.com\n".encode(), 2, "IDNA"),
    ],
)
def test_a_bad_line_is_named(data: bytes, line: int, words: str) -> None:
    image, item = started()
    with pytest.raises(builder.NameProblem, match=words) as caught:
        image.host_list(item, data)
    assert caught.value.line == line


def test_a_million_lines_with_one_bad_one() -> None:
    image, item = started()
    lines = [b"n%d.example.com" % number for number in range(1_000_000)]
    lines[765_432] = b"n.example..com"
    with pytest.raises(builder.NameProblem) as caught:
        image.host_list(item, b"\n".join(lines))
    assert caught.value.line == 765_433
    lines[765_432] = b"*.wild.example"
    again, item = started()
    assert again.host_list(item, b"\n".join(lines)) == 1_000_000
    mapped = finished(again)
    assert mapped.explain(host="n999999.example.com", port=1)["verdict"] == "allow"
    assert mapped.explain(host="n765432.example.com", port=1)["verdict"] == "deny"
    assert mapped.size < 100 * 1_000_000


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.1/8", "::/129", "x/8", "10.0.0.0/ 8", ""])
def test_bad_address_blocks(text: str) -> None:
    image, item = started()
    adds: list[Callable[[], object]] = [
        lambda: image.cidr(item, text),
        lambda: image.cidr_except(item, text),
        lambda: image.guard(text, True),
        lambda: image.own(text, 1),
        lambda: image.network(text, "shop", "cart"),
        lambda: image.selector(builder.PRINCIPAL_MESH, "", "", text, False),
    ]
    for add in adds:
        with pytest.raises(ValueError, match=r"address block|host bits"):
            add()


def test_wrong_arguments_are_build_errors() -> None:
    image, item = started()
    rule = ("EgressPolicy", "shop", "r", 0, "p.yaml", 1)
    wrongs: list[Callable[[], object]] = [
        lambda: image.rule(*rule, 0),
        lambda: image.rule("Egress\0Policy", *rule[1:], builder.TIER_ALLOW),
        lambda: image.portset([(9, 8)]),
        lambda: image.attach(99, builder.TIER_ALLOW, 0, 0, 1),
        lambda: image.attach(1, builder.TIER_ALLOW, 0, 0, 0),
        lambda: image.who([]),
        lambda: image.who([99]),
        lambda: image.attach(1, builder.TIER_ALLOW, 0, 0, 99),
        lambda: image.selector(builder.PRINCIPAL_NAMESPACE, "", "", None, False),
        lambda: image.selector(99, "", "", None, False),
        lambda: image.host(item + 1, b"a.com"),
        lambda: image.flags(1 << 20),
    ]
    for wrong in wrongs:
        with pytest.raises(builder.BuildError):
            wrong()
    with pytest.raises(OverflowError):
        image.portset([(0, 65536)])
    with pytest.raises(OverflowError):
        image.own("10.0.0.0/8", -1)
    with pytest.raises(KeyError):
        image.rule(*rule, builder.TIER_ALLOW, on_revoke="never")


def test_one_user_and_one_network_have_one_identity() -> None:
    image, _item = started()
    image.user("bot", "shop", "cart")
    image.user("bot", "shop", "cart")
    image.network("10.0.0.0/8", "shop", "cart")
    with pytest.raises(builder.BuildError):
        image.user("bot", "bank", "")
    with pytest.raises(builder.BuildError):
        image.network("10.0.0.0/8", "bank", "")


def test_texts_survive_as_they_are() -> None:
    image = builder.ImageBuilder()
    name, file = "Über-policy", os.fsdecode(b"/etc/\xff.yaml")
    settings = image.settings('{"a":1}', '{"route":1}', '{"set":[]}')
    assert settings == image.settings('{"a":1}', '{"route":1}', '{"set":[]}') != image.settings('{"a":1}')
    assert image.settings() == 0
    rule = image.rule("EgressPolicy", "", name, 3, file, 12, builder.TIER_DENY, upstream="corp", settings=settings)
    read = finished(image).rule(rule)
    assert (read["name"], read["file"], read["namespace"]) == (name, "/etc/\\xff.yaml", None)
    assert (read["upstream"], read["line"], read["index"]) == ("corp", 12, 3)
    assert (read["sources"], read["route"], read["headers"]) == ('{"a":1}', '{"route":1}', '{"set":[]}')


def test_flags_and_the_empty_policy() -> None:
    empty = finished(builder.ImageBuilder())
    assert empty.explain(host="a.com", port=1)["reason"] == "no_policy"
    image = builder.ImageBuilder()
    image.flags(builder.IMAGE_PASSTHROUGH)
    assert finished(image).explain(host="a.com", port=1)["reason"] == "passthrough"
    image, _item = started()
    image.flags(builder.IMAGE_AUDIT)
    answer = finished(image).explain(host="a.com", port=1)
    assert (answer["verdict"], answer["reason"], answer["would_deny"]) == ("audit", "no_rule", True)
