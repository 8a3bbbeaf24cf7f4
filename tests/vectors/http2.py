"""Reads http2.txt, and knows frames well enough to write and to name them: no code is shared with the gateway's."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.vectors.loader import tokens

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TYPES: Final = (
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
)
FLAGS: Final = {"END_STREAM": 1, "ACK": 1, "END_HEADERS": 4, "PADDED": 8, "PRIORITY": 32}
CODES: Final = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)


class Frame(NamedTuple):
    """A frame as it is on the wire; `kind` is a name of TYPES, or its number."""

    kind: str
    flags: int
    stream: int
    payload: bytes


@dataclass
class Vector:
    """One connection: what the client sends, what has to come back, what is reported."""

    title: str
    data: bytes = b""
    out: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)


def frame(kind: str, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    number = TYPES.index(kind) if kind in TYPES else int(kind, 16)
    return len(payload).to_bytes(3, "big") + bytes([number, flags]) + stream.to_bytes(4, "big") + payload


def frames(data: bytes) -> Iterator[Frame]:
    """The frames of a byte string that ends with one."""
    while data:
        length = int.from_bytes(data[:3], "big")
        assert len(data) >= 9 + length, f"half a frame: {data[:40]!r}"
        kind = TYPES[data[3]] if data[3] < len(TYPES) else hex(data[3])
        yield Frame(kind, data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + length])
        data = data[9 + length :]


def literal(name: str, value: str) -> bytes:
    """A field as a literal without indexing and without Huffman (RFC 7541 section 6.2.2)."""
    return b"\0" + string(name) + string(value)


def string(text: str) -> bytes:
    """RFC 7541 section 5.2, with the integers of section 5.1."""
    data = text.encode("latin-1")
    number = len(data)
    if number < 127:
        return bytes([number]) + data
    rest, number = b"", number - 127
    while number >= 128:
        rest, number = rest + bytes([number % 128 + 128]), number // 128
    return b"\x7f" + rest + bytes([number]) + data


def block(fields: str) -> bytes:
    """`name value, name value`; `a*16000` repeats a letter."""
    found = b""
    for part in fields.split(", "):
        name, _, value = part.partition(" ")
        if match := re.fullmatch(r"(\w)\*(\d+)", value):
            value = match[1] * int(match[2])
        found += literal(name, value)
    return found


def load() -> list[Vector]:
    """Every vector of http2.txt."""
    vectors: list[Vector] = []
    opening = PREFACE + frame("SETTINGS")
    for number, line in enumerate((Path(__file__).parent / "http2.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if line.startswith("["):
                vectors.append(Vector(line.strip("[]"), opening, ["SETTINGS ACK 0"]))
            elif line == "bare":
                vectors[-1].data, vectors[-1].out = b"", []
            else:
                read_line(vectors[-1], line)
        except (KeyError, ValueError) as error:
            raise ValueError(f"http2.txt:{number}: {error}") from error
    return vectors


def read_line(vector: Vector, line: str) -> None:
    kind, _, rest = line.partition(" ")
    if kind == "<<":
        vector.out.append(rest)
    elif kind == "==":
        vector.events.append(rest)
    elif rest == "preface":
        vector.data += PREFACE
    elif rest.startswith("raw "):
        vector.data += b"".join(tokens(rest.removeprefix("raw ")))
    else:
        name, flags, stream, *payload = rest.split(" ", 3)
        text = payload[0] if payload else ""
        data = block(text.removeprefix("block ")) if text.startswith("block ") else b"".join(tokens(text))
        vector.data += frame(name, flag_bits(flags), int(stream), data)


def flag_bits(text: str) -> int:
    if text == "-":
        return 0
    if re.fullmatch(r"[0-9a-f]{2}", text):
        return int(text, 16)
    return sum(FLAGS[name] for name in text.split("|"))


def told(found: Frame) -> str:
    """A frame from the gateway as a `<<` line tells it."""
    kind, flags, stream, payload = found
    names = "ACK" if kind in ("SETTINGS", "PING") and flags & 1 else "-"
    text = f"{kind} {names} {stream}"
    if kind == "GOAWAY":
        return f"{text} last={int.from_bytes(payload[:4], 'big')} {CODES[int.from_bytes(payload[4:8], 'big')]}"
    if kind == "RST_STREAM":
        return f"{text} {CODES[int.from_bytes(payload, 'big')]}"
    if kind == "PING":
        return f'{text} "{payload.decode()}"'
    if kind == "WINDOW_UPDATE":
        return f"{text} {int.from_bytes(payload, 'big')}"
    if kind == "SETTINGS" and payload[:2] == b"\0\5":
        return f"{text} frame={int.from_bytes(payload[2:6], 'big')}"
    return text
