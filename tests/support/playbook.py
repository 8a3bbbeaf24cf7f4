"""Plays scripts that read like a protocol trace on a worker whose time is the test's (small_worker.py).

A script is a block of lines; blank lines part blocks, `#` starts a comment line. Its first line is its title, then come
the world and the steps:

    listener auth=required                 options of the listener: protocol, auth, inner_name, audit
    origin one 127.0.0.2                   a server; `silent`: connections wait until it `answers`; `refuses`: it
                                           refuses them
    parent corp http2tunnel one            a parent gateway at these origins
    name a.test 127.0.0.2 ::1              DNS answers at once; without an address: there is no such name
    policy allow *.test; deny b.test       rules: a host or CIDR, and `via PARENT`, `onRevoke kill|drain|keep`

    >> 05 01 00                            the client sends hexadecimal, "text", PORT, hello(NAME): a ClientHello
    << 05 00                               that is all the client received since; ` ...`: what comes behind is skipped
    << nothing | end | reset               what else it may be; `>> end`, `>> reset` likewise
    one << "hello"                         an origin's newest connection; any other name is a further client
    >> HEADERS END_HEADERS 1 block A B     a frame, as tests/vectors/http2.txt has them; `preface`
    << HEADERS 1 :status 200               a frame, as it reads; DATA of one stream counts together: `DATA 1 5 bytes`
    one is dialed | nothing is dialed      a new connection has come to it
    one answers | one refuses              a silent origin's connection succeeds, or fails
    login "user" "password" right          a password is verified
    .. 5s passes                           timers fire; also `ms`
    reload allow a.test                    another policy
    log close outcome=closed phase=inner the next line of the access log that is an event of this kind

In quoted text `$PORT` is the port of the origins, a token `PORT` its two bytes. A step that fails says which line did.
"""

import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NoReturn

import hpack

from supervisor.config.upstreams import Upstream
from tests.support.small_worker import PATIENCE, End, Origin, Rule, SmallWorker, reset
from tests.vectors.http2 import PREFACE, TYPES, Frame, block, flag_bits, frame, frames, told
from tests.vectors.loader import tokens

FOLDER: Final = Path(__file__).parents[1] / "vectors/playbooks"
PASSES: Final = re.compile(r"([0-9.]+) ?(ms|s)( passes)?")
SETUP: Final = ("listener", "origin", "parent", "name", "policy")


class Mistake(AssertionError):
    """A sentence: the line of a script, what it expected and what was found."""


@dataclass
class Script:
    """One block."""

    title: str
    file: str
    lines: list[tuple[int, str]] = field(default_factory=list)


def load(name: str) -> list[Script]:
    """The scripts of a file, in order."""
    scripts: list[Script] = []
    fresh = True
    for number, line in enumerate((FOLDER / name).read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            fresh = True
        elif fresh:
            scripts.append(Script(line, name))
            fresh = False
        else:
            scripts[-1].lines.append((number, line))
    assert all(script.lines for script in scripts), f"{name}: a title without steps"
    assert len({script.title for script in scripts}) == len(scripts), f"{name}: two scripts of one title"
    return scripts


def play(script: Script) -> None:
    """Raises Mistake for the first line that does not hold."""
    player = Player(script)
    try:
        for number, line in script.lines:
            player.step(number, line)
        player.finish()
    finally:
        player.world.close()


@cache
def hello(name: str) -> bytes:
    """A ClientHello for `name`; the same one each time."""
    out = ssl.MemoryBIO()
    session = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


class Player:
    """One script, played on a world of its own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.world = SmallWorker()
        self.place = script.file
        self.opened = False
        self.frames: dict[int, list[Frame]] = {}  # by connection: received and not yet met by the script
        self.decoders: dict[int, hpack.Decoder] = {}
        self.seen_lines = 0

    def step(self, number: int, line: str) -> None:
        self.place = f"{self.script.file}:{number}: {line}\n   "
        word, _, rest = line.partition(" ")
        if word in SETUP and not self.opened:
            self.set_up(word, rest)
            return
        if not self.opened:
            self.opened = True
            self.world.open()
        try:
            self.act(word, rest, line)
        except (ValueError, KeyError) as wrong:
            self.fail(f"this is not a step: {wrong}")
        if self.world.loop.failures:
            self.fail("an internal error was reported (stderr has it)")

    def finish(self) -> None:
        """Bytes and connections that no line has met are a mistake."""
        self.world.settle()
        for name, end in self.ends():
            if end.received:
                self.fail(f"at the end: {name} has received {shown(end.received)} more")
        for origin in self.world.origins.values():
            if len(origin.taken) > origin.told:
                self.fail(f"at the end: {origin.name} was dialed, and no line says so")

    def fail(self, sentence: str) -> NoReturn:
        raise Mistake(f"{self.place} {sentence}")

    # ---- the world ---------------------------------------------------------------------------------------------------

    def set_up(self, word: str, rest: str) -> None:
        world = self.world
        first, *more = rest.split()
        if word == "listener":
            found = dict(part.split("=") for part in rest.split())
            world.options = {key: value == "on" if key == "audit" else value for key, value in found.items()}
        elif word == "origin":
            world.add_origin(first, more[0], more[1] if len(more) > 1 else "answers")
        elif word == "parent":
            kind, *origins = more
            addresses = tuple((world.origins[one].address, world.port) for one in origins)
            world.parents += (Upstream(first, kind, addresses),)  # type: ignore[arg-type]
        elif word == "name":
            world.names[first] = tuple(more)
        else:
            world.load(rules(rest))

    def ends(self) -> list[tuple[str, End]]:
        taken = [(one.name, end) for one in self.world.origins.values() for end in one.taken]
        clients = [("the client" if name == "client" else name, end) for name, end in self.world.clients.items()]
        return [*clients, *taken]

    def end_of(self, name: str) -> End:
        """The connection that a line speaks of."""
        origin = self.world.origins.get(name)
        if origin is None:
            return self.world.client(name)
        if not origin.taken:
            self.fail(f"{name} has no connection")
        return origin.taken[-1]

    # ---- steps -------------------------------------------------------------------------------------------------------

    def act(self, word: str, rest: str, line: str) -> None:
        arrow = rest[:2] if rest[:2] in (">>", "<<") else ""
        if word in (">>", "<<"):
            self.exchange("the client", self.end_of("client"), word, rest)
        elif arrow:
            self.exchange(word, self.end_of(word), arrow, rest[3:])
        elif word == "..":
            found = PASSES.fullmatch(rest)
            if found is None:
                raise ValueError(rest)
            self.world.pass_time(float(found[1]) / (1000 if found[2] == "ms" else 1))
        elif word == "reload":
            self.world.load(rules(rest))
            self.world.settle()
        elif word == "name":
            name, *addresses = rest.split()
            self.world.names[name] = tuple(addresses)
            self.world.settle()
        elif word == "log":
            self.logged(rest)
        elif word == "login":
            self.login(rest)
        elif rest == "is dialed":
            self.dialed(word)
        elif rest in ("answers", "refuses"):
            self.answer(self.world.origins[word], rest)
        else:
            raise ValueError(line)

    def exchange(self, name: str, end: End, arrow: str, what: str) -> None:
        kind = what.split(" ", 1)[0]
        if arrow == ">>":
            self.send(end, what, kind)
        elif what in ("nothing", "end", "reset"):
            self.meet_end(name, end, what)
        elif kind in TYPES:
            self.meet_frame(name, end, what)
        else:
            self.meet_bytes(name, end, what)

    def send(self, end: End, what: str, kind: str) -> None:
        if what == "end":
            end.connection.shutdown(1)
        elif what == "reset":
            reset(end.connection)
            end.end = "reset"
        elif what == "preface":
            end.unsent += PREFACE
        elif kind in TYPES:
            end.unsent += self.frame(what)
        else:
            end.unsent += self.bytes_of(what)
        self.world.settle()

    def bytes_of(self, text: str) -> bytes:
        port = self.world.port
        text = text.replace("$PORT", str(port))
        text = re.sub(r"(?<!\S)PORT(?!\S)", port.to_bytes(2).hex(), text)
        return b"".join(tokens(re.sub(r"hello\(([^)]*)\)", lambda found: hello(found[1]).hex(), text)))

    def frame(self, text: str) -> bytes:
        kind, flags, stream, *payload = text.replace("$PORT", str(self.world.port)).split(" ", 3)
        rest = payload[0] if payload else ""
        data = block(rest.removeprefix("block ")) if rest.startswith("block ") else b"".join(tokens(rest))
        return frame(kind, flag_bits(flags), int(stream), data)

    def until(self, holds: Callable[[], bool]) -> bool:
        """Whether it comes to hold without time passing. Only a step that fails waits, for what the kernel may still
        carry."""
        self.world.settle()
        deadline = time.monotonic() + PATIENCE
        while not (done := holds()) and time.monotonic() < deadline:
            time.sleep(0.001)
            self.world.settle()
        return done

    def meet_bytes(self, name: str, end: End, what: str) -> None:
        expected = self.bytes_of(what.removesuffix(" ..."))
        self.until(lambda: len(end.received) >= len(expected) or bool(end.end))
        found = bytes(end.received)
        if what.endswith(" ..."):
            found = found[: len(expected)]
        if found != expected:
            also = f", then its {end.end}" if end.end else ""
            self.fail(f"expected {shown(expected)}, but {name} has received {shown(found)}{also}")
        end.received.clear()

    def meet_end(self, name: str, end: End, what: str) -> None:
        if what != "nothing":
            self.until(lambda: bool(end.end) or bool(end.received))
        else:
            self.world.settle()
        wanted = "" if what == "nothing" else what
        if end.received or end.end != wanted:
            self.fail(f"expected {what}, but {name} has received {shown(end.received)}, then {end.end or 'nothing'}")

    def meet_frame(self, name: str, end: End, what: str) -> None:
        """The next frame; of DATA, as many as make the bytes expected."""
        known = self.frames.setdefault(id(end), [])
        wanted = re.fullmatch(r"DATA (\d+) (\d+) bytes( END_STREAM)?", what)
        self.until(lambda: self.cut_frames(end) and (not wanted or self.carried(known) >= int(wanted[2])))
        if not known:
            self.fail(f"expected a frame, but {name} has received {shown(end.received)}, then {end.end or 'nothing'}")
        found = self.take_frame(end, known)
        if found != what.replace("$PORT", str(self.world.port)):
            self.fail(f"but {name} has received {found}")

    def cut_frames(self, end: End) -> bool:
        """Whole frames leave the bytes received; whether there is one."""
        known = self.frames[id(end)]
        if end.received.startswith(PREFACE):
            del end.received[: len(PREFACE)]
        while len(end.received) >= 9 and len(end.received) >= 9 + int.from_bytes(end.received[:3]):
            size = 9 + int.from_bytes(end.received[:3])
            known += frames(bytes(end.received[:size]))
            del end.received[:size]
        return bool(known)

    @staticmethod
    def carried(known: list[Frame]) -> int:
        """Bytes of DATA that follow each other on one stream."""
        total = 0
        for one in known:
            if one.kind != "DATA" or one.stream != known[0].stream:
                break
            total += len(one.payload)
        return total

    def take_frame(self, end: End, known: list[Frame]) -> str:
        first = known.pop(0)
        if first.kind == "HEADERS":
            decoder = self.decoders.setdefault(id(end), hpack.Decoder())
            fields = [" ".join(map(str, each)) for each in decoder.decode(first.payload)]
            return f"HEADERS {first.stream} {', '.join(fields)}" + (" END_STREAM" if first.flags & 1 else "")
        if first.kind != "DATA":
            return told(first)
        total, last = len(first.payload), first
        while known and not last.flags & 1 and (known[0].kind, known[0].stream) == ("DATA", first.stream):
            last = known.pop(0)
            total += len(last.payload)
        return f"DATA {first.stream} {total} bytes" + (" END_STREAM" if last.flags & 1 else "")

    def dialed(self, name: str) -> None:
        if name == "nothing":
            self.world.settle()
            for origin in self.world.origins.values():
                if len(origin.taken) > origin.told:
                    self.fail(f"but {origin.name} was dialed")
            return
        origin = self.world.origins[name]
        if not self.until(lambda: len(origin.taken) > origin.told):
            self.fail(f"but no connection has come to {name}")
        origin.told += 1

    def answer(self, origin: Origin, how: str) -> None:
        if how == "refuses":
            reset(origin.taken[-1].connection)
            origin.taken[-1].end = "reset"
        if not self.world.answer_attempt(origin):
            self.fail(f"no connection to {origin.name} waits for that")
        self.world.settle()

    def login(self, rest: str) -> None:
        words, _, verdict = rest.rpartition(" ")
        asked = tuple(tokens(words))
        if not self.until(lambda: bool(self.world.logins)):
            self.fail("but no password waits to be verified")
        _, *found = self.world.logins[0]
        if tuple(found) != asked:
            self.fail(f"but {found[0]!r} with {found[1]!r} waits to be verified")
        self.world.answer_login({"right": True, "wrong": False}[verdict])
        self.world.settle()

    def logged(self, rest: str) -> None:
        event, *fields = rest.split()
        self.world.settle()
        lines = self.world.lines
        while self.seen_lines < len(lines):
            line = lines[self.seen_lines]
            self.seen_lines += 1
            if line["event"] != event:
                continue
            for part in fields:
                path, _, wanted = part.partition("=")
                found: object = line
                for key in path.split("."):
                    found = found[key] if isinstance(found, dict) else None
                if str(found) != wanted:
                    self.fail(f"but the line has {path}={found}")
            return
        self.fail(f"no such line was written; the events are {', '.join(line['event'] for line in lines) or 'none'}")


def rules(text: str) -> list[Rule]:
    """`allow *.test via corp; deny b.test`."""
    found = []
    for part in text.split(";"):
        verdict, to, *more = part.split()
        named = dict(zip(more[::2], more[1::2], strict=True))
        found.append(Rule(verdict, to, named.get("via"), named.get("onRevoke")))
    return found


def shown(data: bytes | bytearray) -> str:
    """Bytes as a reader wants them: text where it is text, cut where it is long."""
    if not data:
        return "nothing"
    text = data[:200].decode("latin-1")
    readable = all(char.isprintable() or char in "\r\n\t" for char in text)
    start = repr(text) if readable else data[:60].hex(" ")
    return start + (f" ... ({len(data)} bytes)" if len(data) > 60 else "")
