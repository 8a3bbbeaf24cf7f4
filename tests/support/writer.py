"""The worker's side of a segment in tests: csrc/shared/segment.c itself, as a library called through ctypes."""

import ctypes
import functools
import mmap
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

from supervisor.segment.segment import Segment

ROOT: Final = Path(__file__).resolve().parents[2]
UNITS: Final = ("shared/segment", "shared/segment_text", "shared/live_tunnels", "bytes/addr")
TEXTS: Final = {"peer": b"192.0.2.1", "dialed": b"198.51.100.7", "user": None, "name": b"api.example.com"}
WIDE: Final = ("number", "opened_ms", "generation", "up", "down")
SHORT: Final = ("rule_slot", "listener", "peer_port", "port")
BYTES: Final = ("protocol", "verdict", "phase", "reason", "would_deny")


class _Tunnel(ctypes.Structure):
    """struct writer_tunnel of segment_writer.c."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in WIDE),
        ("rule", ctypes.c_uint32),
        *((name, ctypes.c_uint16) for name in SHORT),
        *((name, ctypes.c_uint8) for name in BYTES),
        *((name, ctypes.c_char_p) for name in TEXTS),
    )


@functools.cache
def library() -> ctypes.CDLL:
    """csrc's functions."""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "segment.so"
        sources = [str(ROOT / f"csrc/{unit}.c") for unit in UNITS] + [str(ROOT / "tests/support/segment_writer.c")]
        flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", f"-I{ROOT / 'csrc'}"]
        subprocess.run([os.environ.get("CC", "cc"), *flags, *sources, "-o", str(built)], check=True)
        found = ctypes.CDLL(str(built))
    pointer, size, wide = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64
    for name, result, arguments in (
        ("sl_segment_open", pointer, (pointer, size, ctypes.c_uint32, wide)),
        ("sl_segment_prepare", ctypes.c_int, (pointer, size, ctypes.c_uint32)),
        ("sl_segment_reap", None, (pointer, size)),
        ("sl_segment_size", size, (ctypes.c_uint32,)),
        ("sl_segment_observe", None, (pointer, ctypes.c_int, wide)),
        ("sl_segment_observe_route", None, (pointer, ctypes.c_uint, ctypes.c_int, wide)),
        ("sl_tunnel_edit", None, (pointer,)),
        ("sl_tunnel_done", None, (pointer,)),
        ("sl_tunnel_release", None, (pointer, pointer)),
        ("writer_take", pointer, (pointer, ctypes.POINTER(_Tunnel))),
        ("writer_count", None, (pointer, ctypes.c_uint, wide)),
        ("writer_labelled", None, (pointer, wide, wide)),
        ("writer_key", wide, (ctypes.c_uint,) * 5),
    ):
        getattr(found, name).restype = result
        getattr(found, name).argtypes = arguments
    return found


class Writer:
    """A worker that holds a segment. Context manager: its mapping ends with it."""

    def __init__(self, segment: Segment, start: int = 0x1000, pid: int = 77) -> None:
        self.map = mmap.mmap(segment.fd, 0)
        self._held = ctypes.c_char.from_buffer(self.map)
        self.base = ctypes.addressof(self._held)
        assert library().sl_segment_open(self.base, len(self.map), pid, start) == self.base

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._held
        self.map.close()

    def count(self, counter: int, amount: int = 1) -> None:
        library().writer_count(self.base, counter, amount)

    def labelled(self, key: int, amount: int = 1) -> None:
        library().writer_labelled(self.base, key, amount)

    def observe(self, histogram: int, microseconds: int) -> None:
        library().sl_segment_observe(self.base, histogram, microseconds)

    def observe_route(self, slot: int, status_class: int, microseconds: int) -> None:
        library().sl_segment_observe_route(self.base, slot, status_class, microseconds)

    def tunnel(self, number: int, **fields: Any) -> int:
        """The address of a new record; fields as in struct writer_tunnel."""
        values: dict[str, Any] = {"opened_ms": 5_000_000, "port": 443, "protocol": 1, "verdict": 1, **TEXTS}
        record = _Tunnel(number=number, **{**values, **fields})
        taken = library().writer_take(self.base, ctypes.byref(record))
        assert taken
        return int(taken)

    def edit(self, tunnel: int) -> None:
        library().sl_tunnel_edit(tunnel)

    def done(self, tunnel: int) -> None:
        library().sl_tunnel_done(tunnel)

    def release(self, tunnel: int) -> None:
        library().sl_tunnel_release(self.base, tunnel)
