"""The log writer against targets that are slow, full, broken or moved away."""

import fcntl
import os
import stat
import struct
import termios
import threading
import time
from pathlib import Path

import pytest

from supervisor.host.errors import StartError
from supervisor.logs.log_writer import LogWriter, open_target
from tests.support.eventually import PATIENCE, eventually


def test_writes_lines_in_order_and_counts_them(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    for number in range(5000):
        assert writer.offer(f"line {number}".encode())
    assert writer.close(PATIENCE)
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(5000)]
    assert (writer.written, writer.dropped) == (5000, 0)


def test_a_new_file_is_0640_and_an_old_one_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    mask = os.umask(0)
    try:
        writer = LogWriter(str(path))
    finally:
        os.umask(mask)
    writer.offer(b"one")
    assert writer.close(PATIENCE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    again = LogWriter(str(path))
    again.offer(b"two")
    assert again.close(PATIENCE)
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_newline_inside_a_line_cannot_forge_another(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    writer.offer(b'{"a": 1}\n{"forged": 1}')
    assert writer.close(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b'{"a": 1}\\x0a{"forged": 1}\n'


@pytest.mark.parametrize("lines", [1, 40])
def test_a_pipe_that_nobody_reads_blocks_the_thread_alone(lines: int) -> None:
    """The queue fills, offers are refused and counted; once a reader comes, whole lines come out."""
    reader, target = os.pipe()
    writer = LogWriter("pipe", fd=target, max_lines=100, max_bytes=1 << 20)
    line = b"x" * 3000
    taken = 0
    while writer.offer(line):
        taken += 1
        if writer.backlog()[0] > 90:
            time.sleep(0.001)  # the thread has what the pipe's buffer holds to write
    assert taken >= 100
    for _ in range(lines - 1):
        assert not writer.offer(line)
    assert writer.dropped == lines
    got = bytearray()
    reading = threading.Thread(target=drain, args=(reader, got))
    reading.start()
    assert writer.close(PATIENCE)
    reading.join(PATIENCE)
    assert bytes(got) == (line + b"\n") * taken
    assert writer.written == taken


def drain(reader: int, got: bytearray) -> None:
    while data := os.read(reader, 65536):
        got.extend(data)
    os.close(reader)


def test_closing_with_a_blocked_target_returns_and_counts_what_is_lost() -> None:
    reader, target = os.pipe()
    writer = LogWriter("pipe", fd=target, max_lines=200)
    while writer.offer(b"y" * 4000):
        pass
    before = writer.dropped
    assert not writer.close(0.2)
    assert writer.dropped > before
    got = bytearray()
    thread = threading.Thread(target=drain, args=(reader, got), daemon=True)
    thread.start()  # lets the writer's thread end
    eventually(lambda: got.count(b"\n") == writer.written > 0, "what was begun is written whole")
    os.close(target)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_what_is_dropped_and_what_is_kept_comes_out_in_order() -> None:
    reader, target = os.pipe()
    writer = LogWriter("pipe", fd=target, max_lines=100, max_bytes=1 << 30)
    big = b"z" * 100_000  # one line overfills the pipe: from here on the thread is blocked
    writer.offer(big)
    eventually(lambda: writer.backlog()[0] == 0, "the thread has taken it")
    assert writer.offer_many([b'{"event":"interval"}'] * 150, "interval") == 100
    assert writer.offer_many([b'{"event":"open"}'] * 60, "tunnel") == 60
    assert writer.dropped_by_event() == {"interval": 110}
    got = bytearray()
    reading = threading.Thread(target=drain, args=(reader, got))
    reading.start()
    assert writer.close(PATIENCE)
    reading.join(PATIENCE)
    assert got.split(b"\n") == [big, *[b'{"event":"interval"}'] * 40, *[b'{"event":"open"}'] * 60, b""]


@pytest.mark.parametrize("lowest", [3, 1500], ids=["low", "above those that select() knows"])
def test_a_non_blocking_target_is_waited_for(lowest: int) -> None:
    """Whatever the number of its descriptor: a process with many connections has great ones."""
    reader, pipe = os.pipe()
    target = fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, lowest)
    os.close(pipe)
    os.set_blocking(target, False)
    writer = LogWriter("pipe", fd=target)
    for _ in range(100):
        assert writer.offer(b"w" * 4000)
    eventually(lambda: unread(reader) > 60_000, "the pipe is full")
    time.sleep(0.05)  # and the thread has found it so
    got = bytearray()
    reading = threading.Thread(target=drain, args=(reader, got))
    reading.start()
    assert writer.close(PATIENCE)
    reading.join(PATIENCE)
    assert bytes(got) == (b"w" * 4000 + b"\n") * 100


def unread(pipe: int) -> int:
    """Bytes that a pipe holds."""
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0])


def test_a_broken_pipe_is_said_once_and_lines_are_counted() -> None:
    reader, target = os.pipe()
    os.close(reader)
    said: list[str] = []
    writer = LogWriter("pipe", said.append, fd=target)
    writer.offer(b"one")
    eventually(lambda: writer.dropped == 1, "the first is dropped")
    writer.offer(b"two")
    assert writer.close(PATIENCE)
    assert (writer.written, writer.dropped) == (0, 2)
    assert len(said) == 1 and "EPIPE" in said[0]


def test_a_full_disk_is_said_and_lines_are_counted() -> None:
    said: list[str] = []
    writer = LogWriter("/dev/full", said.append)
    writer.offer_many([b"one", b"two"])
    assert writer.close(PATIENCE)
    assert (writer.written, writer.dropped) == (0, 2)
    assert len(said) == 1 and "ENOSPC" in said[0]


def test_a_line_cut_short_by_a_limit_is_ended_before_the_next(tmp_path: Path) -> None:
    """A target that takes half a line: the next one begins on its own line."""
    writer = Stingy(str(tmp_path / "log"))
    writer.offer(b"a" * 10)
    eventually(lambda: writer.dropped == 1, "the first is cut")
    writer.offer(b"b")
    assert writer.close(PATIENCE)
    assert (tmp_path / "log").read_bytes() == b"aaaaa\nb\n"
    assert (writer.written, writer.dropped) == (1, 1)


class Stingy(LogWriter):
    """Writes five bytes, then fails once."""

    calls = 0

    def _write(self, data: memoryview) -> int:
        self.calls += 1
        if self.calls == 2:
            raise OSError(28, "No space left on device")
        return super()._write(data[:5] if self.calls == 1 else data)


def test_reopens_after_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(str(path))
    writer.offer(b"old")
    eventually(lambda: writer.written == 1, "the first line is written")
    path.rename(tmp_path / "rotated")
    writer.reopen()
    writer.offer(b"new")
    assert writer.close(PATIENCE)
    assert (tmp_path / "rotated").read_bytes() == b"old\n"
    assert path.read_bytes() == b"new\n"


def test_a_path_that_cannot_be_reopened_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    writer = LogWriter(str(folder / "log"))
    writer.offer(b"old")
    eventually(lambda: writer.written == 1, "the first line is written")
    folder.rename(tmp_path / "moved")
    with pytest.raises(StartError, match="ENOENT"):
        writer.reopen()
    writer.offer(b"still here")
    assert writer.close(PATIENCE)
    assert (tmp_path / "moved/log").read_bytes() == b"old\nstill here\n"


def test_targets_that_cannot_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, why in ((tmp_path / "fifo", "no process reads"), (tmp_path, "EISDIR"), (tmp_path / "no/log", "ENOENT")):
        with pytest.raises(StartError, match=why):
            open_target(str(path))
