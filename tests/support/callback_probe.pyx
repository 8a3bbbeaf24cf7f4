"""Calls every callback of every handler, for tests: also those that nothing would call in that state.

A handler that is closed gets no call of the loop's own (loop.pyx tests that), so none is made here either; all others
are made whatever it is.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg, sl_plain_leg
from gateway.dns.resolution cimport Resolution
from gateway.io.loop cimport Handler, Loop
from gateway.state.request cimport Request

LOOP = ("on_event", "on_timer", "on_turn", "on_drain", "close")
OTHERS = {
    Resolution: ("on_resolved", "on_left"),
    Request: ("on_verified", "on_opened", "on_refused"),
}


def callbacks(handler):
    """The names of what can be called on it."""
    found = list(LOOP)
    for kind, names in OTHERS.items():
        if isinstance(handler, kind):
            found += names
    return found


def is_closed(Handler handler):
    return handler.closed


def state_of(handler):
    """A request's state, else None."""
    return (<Request> handler).state if isinstance(handler, Request) else None


def deliver(Loop loop, Handler handler, str name, int first, int second):
    """One call, and what the loop does behind one. `first` and `second` are what the callback takes."""
    cdef sl_addr addresses[2]
    cdef sl_leg leg
    if name in LOOP:
        if handler.closed:
            return
        if name == "on_event":
            handler.on_event(<uint32_t> first, second)
        elif name == "on_timer":
            handler.on_timer()
        elif name == "on_turn":
            handler.on_turn()
        elif name == "on_drain":
            handler.on_drain()
        else:
            handler.close()
    elif name == "on_verified":
        (<Request> handler).on_verified(first, <uint64_t> second)
    elif name == "on_resolved":
        memset(addresses, 0, sizeof(addresses))
        addresses[0].family, addresses[1].family = 4, 6
        addresses[0].bytes[0] = addresses[0].bytes[3] = 127
        addresses[1].bytes[15] = 1
        (<Resolution> handler).on_resolved(first, addresses, second)
    elif name == "on_left":
        (<Resolution> handler).on_left()
    elif name == "on_opened":
        leg = sl_plain_leg(second)
        (<Request> handler).on_opened(&leg, 0, None)
    elif name == "on_refused":
        (<Request> handler).on_refused(first)
    else:
        raise ValueError(name)
    loop.settle(handler)
