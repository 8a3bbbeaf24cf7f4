"""Messages and chunks against llhttp, the parser of Node: whatever is accepted here, llhttp reads in the same way.

The reverse does not hold: DIFFERENCES lists what llhttp lets go and the gateway refuses, each with an example. A
refusal of anything that llhttp accepts, and that is not in the list, fails. In one way llhttp accepts less: it knows
a closed list of methods.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.message_probe import Read, read_chunks

HEAD: Final = b"GET / HTTP/1.1\r\nHost: a\r\n"
ANSWER: Final = b"HTTP/1.1 200 OK\r\n"
# The rule that a message breaks here, and such a message that llhttp accepts.
DIFFERENCES: Final = {
    "a version other than HTTP/1.0 and HTTP/1.1": b"GET / HTTP/0.9\r\n\r\n",
    "HTTP/1.1 without a field Host": b"GET / HTTP/1.1\r\n\r\n",
    "several fields Host": HEAD + b"Host: a\r\n\r\n",
    "a Host other than the target's": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a Host other than HOST or HOST:PORT": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "user information in the target": b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "an authority other than HOST or HOST:PORT": b"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment in the target": b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a target * of another method than OPTIONS": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT without a port": b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT with content": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "a request line other than METHOD, TARGET and HTTP/1.1 with one space between them": b"\r\n\r\n" + HEAD + b"\r\n",
    "a Content-Length other than 1 to 18 digits": HEAD + b"Content-Length: 0000000000000000000\r\n\r\n",
    "several fields Transfer-Encoding": b"HTTP/1.1 204 x\r\n" + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n",
    "a Transfer-Encoding other than chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding in HTTP/1.0": b"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a line that ends without CR": b"\n" + HEAD + b"\r\n",
    "a status outside of 100 to 599": b"HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n",
    "a status line other than HTTP/1.1, a status of three digits and a reason": b"HTTP/1.1 200 O\x01\r\n\r\n",
    "a 101 without one protocol in Upgrade that Connection names": b"HTTP/1.1 101 x\r\n\r\n",
    "content in a 1xx or 204": b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n",
    "a trailer that only a head may have": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n",
    "a chunk size other than 1 to 16 hexadecimal digits": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n00000000000000000\r\n\r\n",
    "a chunk extension other than ;NAME or ;NAME=VALUE": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a=\r\n\r\n",
    "more than 256 bytes of extensions of a chunk": HEAD
    + b"Transfer-Encoding: chunked\r\n\r\n0;"
    + b"x" * 300
    + b"\r\n\r\n",
    "more than 64 options in Connection": HEAD + b"Connection: " + b"x," * 64 + b"x\r\n\r\n",
}


@dataclass
class Seen:
    """One message as a parser has read it."""

    first: tuple[Any, ...] = ()
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    content: bytes = b""
    whole: bool = False
    fault: str | None = None


class Callbacks:
    """The first message, as llhttp shows it."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.url = b""

    def on_url(self, url: bytes) -> None:
        if not self.seen.whole:
            self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.seen.whole:
            self.seen.fields.append((name.lower(), value.strip(b" \t")))

    def on_body(self, body: bytes) -> None:
        if not self.seen.whole:
            self.seen.content += body

    def on_message_complete(self) -> None:
        if not self.seen.whole:
            self.seen.whole = True
            self.complete()

    def complete(self) -> None:
        raise NotImplementedError


def by_llhttp(data: bytes) -> Seen | None:
    """The first message, whole or not; None: refused."""
    is_answer = data.startswith(b"HTTP/")

    class Parsed(Callbacks):
        def complete(self) -> None:
            version = parser.get_http_version()
            if is_answer:
                self.seen.first = (parser.get_status_code(), version)
            else:
                self.seen.first = (parser.get_method(), self.url, version)

    callbacks = Parsed()
    parser: Any = (httptools.HttpResponseParser if is_answer else httptools.HttpRequestParser)(callbacks)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError:
        # What follows the first message does not count.
        return callbacks.seen if callbacks.seen.whole else None
    return callbacks.seen


def target_of(facts: dict[str, Any]) -> bytes:
    query = b"" if facts["query"] is None else b"?" + facts["query"]
    path: bytes = facts["path"] + query
    match facts["form"]:
        case "authority":
            return bytes(facts["authority"])
        case "absolute":
            return bytes(facts["scheme"] + b"://" + facts["authority"]) + path
        case _:
            return path


def by_us(data: bytes) -> Seen:
    """The first message; `fault` is the rule that it breaks."""
    read, is_answer = Read(), data.startswith(b"HTTP/")
    status, used = read.receive("response" if is_answer else "request", data)
    if status != "done":
        return Seen(fault=read.fault or (status if status == "too_large" else None))
    facts, rest = read.facts(), data[used:]
    version = f"1.{facts['minor']}"
    seen = Seen((facts["status"], version) if is_answer else (facts["method"], target_of(facts), version), read.fields)
    match facts["framing"]:
        case "none":
            seen.whole = True
        case "length":
            seen.content = rest[: facts["content_length"]]
            seen.whole = len(rest) >= facts["content_length"]
        case "close":
            seen.content = rest
        case "chunked":
            chunks, seen.content, used, seen.fault = read_chunks(rest)
            if chunks == "trailers":
                trailers = Read()
                status, used = trailers.receive("trailers", rest[used:])
                seen.fault = trailers.fault
                seen.whole = status == "done"
                seen.fields = seen.fields + trailers.fields
    return seen


def compare(data: bytes) -> None:
    ours, theirs = by_us(data), by_llhttp(data)
    if ours.fault is not None:
        assert theirs is None or not theirs.whole or ours.fault in DIFFERENCES, ours.fault
        return
    if not ours.whole:
        # Lines that are not whole yet are not looked at here.
        assert theirs is None or not theirs.whole
        return
    if theirs is None and ours.first[0] not in METHODS and isinstance(ours.first[0], bytes):
        return
    assert theirs is not None and theirs.whole
    assert theirs.content == ours.content
    assert theirs.first[:1] + theirs.first[-1:] == ours.first[:1] + ours.first[-1:]
    assert [part.lower() for part in theirs.first[1:-1]] == [part.lower() for part in ours.first[1:-1]]
    assert theirs.fields == ours.fields


@pytest.mark.parametrize("fault", DIFFERENCES)
def test_each_difference_is_a_refusal_here(fault: str) -> None:
    theirs = by_llhttp(DIFFERENCES[fault])
    assert theirs is not None
    assert by_us(DIFFERENCES[fault]).fault == fault


METHODS: Final = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"QUERY"]
TARGETS: Final = [
    *(b"/", b"/a?b=c", b"*", b"a:443", b"http://a", b"http://a/", b"HTTP://A:80/x?y", b"https://a/", b"//a", b"/?"),
    *(b"/a b", b"/#", b"a", b"", b"/\xc3\xa4", b"/\x00", b"/\t", b"http://[::1]/", b"http://u@a/", b'/{|}\\^`"<>'),
]
VERSIONS: Final = [
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"http/1.1",
]
LINES: Final = [
    *(b"Host: a", b"Host: a:80", b"HOST:a", b"Host: b", b"host : a", b" Host: a", b"Host", b"Host:", b": a"),
    *(
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"content-length:\t05 ",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
    ),
    *(b"Content-Length: 0x5", b"Content-Length:", b"Content-Length: 5 5", b"Content-Length: 99999999999999999999"),
    *(b"Transfer-Encoding: chunked", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: gzip, chunked"),
    *(b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked;x"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked", b"Transfer-Encoding:\x0bchunked"),
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"),
    *(b"Expect: 100-continue", b"TE: trailers", b"X: \xff\t y ", b"X:", b"X: \x00", b"X: \x7f", b"X: a\rb", b"\xc3: x"),
    *(b"X y: z", b"\tfolded", b"x_y!#$%&'*+-.^`|~: z", b"X: a\n b", b"Content-Length : 5", b"Content-Length\x00: 5"),
]
CONTENTS: Final = [
    *(b"", b"hello", b"hell", b"hello, world", b"5\r\nhello\r\n0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n"),
    *(b"5;a=b\r\nhello\r\n00;c\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"0\r\nHost: a\r\n\r\n"),
    *(
        b"A\r\n0123456789\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"5;\r\nhello\r\n",
    ),
    *(
        b'5;a="b;\\"c"\r\nhello\r\n0\r\n\r\n',
        b"ffffffffffffffff\r\nx",
        b"fffffffffffffffff\r\nx",
        b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    ),
]
ENDS: Final = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b" \r\n", b"\r\n\r\n"]
STATUSES: Final = [
    b"200 OK",
    b"200",
    b"200 ",
    b"204 No Content",
    b"304 x",
    b"100 Continue",
    b"101 x",
    b"099 x",
    b"600 x",
]
STATUSES_BROKEN: Final = [b"2000 x", b"20 x", b"200\tOK", b" 200 OK", b"2x0 x", b"200 \xff\t", b"200 \x01"]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message of pieces that are right or nearly so; sometimes with a byte changed, left out or put in."""
    end = st.sampled_from(ENDS)
    if draw(st.booleans()):
        first = b" ".join(draw(st.sampled_from(part)) for part in (METHODS, TARGETS, VERSIONS)) + draw(end)
    else:
        first = draw(st.sampled_from(VERSIONS)) + b" " + draw(st.sampled_from(STATUSES + STATUSES_BROKEN)) + draw(end)
    lines = [line + draw(end) for line in draw(st.lists(st.sampled_from(LINES), max_size=5))]
    if draw(st.integers(0, 3)):
        lines.insert(0, b"Host: a\r\n")
    data = first + b"".join(lines) + b"\r\n" + draw(st.sampled_from(CONTENTS))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"\xff", b"0"]))
        data = data[:at] + piece + data[at + draw(st.integers(0, 1)) :]
    return data


@given(messages())
@settings(max_examples=3000, deadline=None)
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nX: y\r\n\r\n")
def test_what_is_accepted_llhttp_reads_in_the_same_way(data: bytes) -> None:
    compare(data)


@pytest.mark.full
@pytest.mark.timeout(900)
@given(messages())
@settings(max_examples=60_000, deadline=None)
def test_what_is_accepted_llhttp_reads_in_the_same_way_at_length(data: bytes) -> None:
    compare(data)


@given(messages(), st.integers(1, 7))
@settings(max_examples=500, deadline=None)
def test_chunks_in_pieces_are_the_same(data: bytes, step: int) -> None:
    _, _, content = data.partition(b"\r\n\r\n")
    whole = read_chunks(content)
    assert read_chunks(content, step) == whole
