"""The third table of legs (tests/csrc/one_byte_leg.h) in a worker: every leg that begins delivers one byte and waits.

It takes the place of gateway.io.leg's function in what that module exports, before another module imports it: the
product has no part in this. one_byte/sitecustomize.py has a worker do so.
"""

cdef extern from "../tests/csrc/one_byte_leg.h" nogil:
    sl_leg one_byte_leg(int fd)


cdef sl_leg leg_of(int fd) noexcept:
    return one_byte_leg(fd)


def put_in_place():
    """Before anything that has legs is imported."""
    import sys

    import gateway.io.leg
    import tests.support.leg_probe

    early = [name for name in ("gateway.dial.opening", "gateway.downstream.stream_connection") if name in sys.modules]
    if early:
        raise RuntimeError(f"imported before: {', '.join(early)}")
    gateway.io.leg.__pyx_capi__["leg_of"] = tests.support.leg_probe.__pyx_capi__["leg_of"]
