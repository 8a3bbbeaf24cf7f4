"""Imported by every Python of a gateway under test: in a worker, each leg delivers one byte and then waits."""

import sys

if "gateway.worker" in sys.orig_argv:
    import tests.support.leg_probe as leg_probe

    leg_probe.put_in_place()
