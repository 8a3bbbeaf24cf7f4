"""Calls every callback of every handler, for tests: also those that nothing would call in that state.

A handler that is closed gets no call of the loop's own (loop.pyx tests that), so none is made here either; all others
are made whatever it is.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from gateway.csrc cimport sl_addr
from gateway.dns_waiter cimport Waiter
from gateway.logins cimport Credentials
from gateway.loop cimport Handler, Loop
from gateway.opening cimport Requester
from gateway.parent cimport Introduced
from gateway.request cimport Request

LOOP = ("on_event", "on_timer", "on_turn", "on_drain", "close")
OTHERS = {
    Credentials: ("on_verified",),
    Waiter: ("on_resolved", "on_left"),
    Introduced: ("on_introduced", "on_passed"),
    Requester: ("on_opened", "on_refused", "on_cut"),
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
        (<Credentials> handler).on_verified(first, <uint64_t> second)
    elif name == "on_resolved":
        memset(addresses, 0, sizeof(addresses))
        addresses[0].family, addresses[1].family = 4, 6
        addresses[0].bytes[0] = addresses[0].bytes[3] = 127
        addresses[1].bytes[15] = 1
        (<Waiter> handler).on_resolved(first, addresses, second)
    elif name == "on_left":
        (<Waiter> handler).on_left()
    elif name == "on_introduced":
        (<Introduced> handler).on_introduced(first)
    elif name == "on_passed":
        (<Introduced> handler).on_passed(second, first, -1)
    elif name == "on_opened":
        (<Requester> handler).on_opened(second)
    elif name == "on_refused":
        (<Requester> handler).on_refused(first)
    elif name == "on_cut":
        (<Requester> handler).on_cut()
    else:
        raise ValueError(name)
    loop.settle(handler)
